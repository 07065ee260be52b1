"""Density of the specimen from its ADF series: film subtracted, response inverted, total variation.

References
----------
Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), for the mask; the response is that of `spectroscopy.elastic`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import alignment as alignments
from .. import tilt_series, tomography
from .._typing import Bools
from .._validation import check_positive, checked
from ..containers import TiltSeries, Tomogram
from ..spectroscopy import elastic
from ..spectroscopy.elastic import NCM111_ATOMS_PER_NM3


@checked
def density_from_adf(
    adf: TiltSeries,
    *,
    beam_counts: float | None = None,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
    alignment: alignments.Alignment | None = None,
    weight: float | None = 0.003,
) -> Tomogram:
    """Reconstruct the density from ADF.

    Parameters
    ----------
    adf : TiltSeries
        Raw counts; the level of the vacuum, with the film in it, is subtracted here.
    beam_counts : float, optional
        Counts that the whole beam would give, see :func:`spectroscopy.elastic.beam_counts`. With it the signal is
        turned into thickness before it is reconstructed. Without it ADF is taken as proportional to thickness, which
        makes the core of a 160 nm particle some 17 % too dense, and the mean inside is set to the nominal density.
    atoms_per_nm3 : mapping of str to float, default NCM111
        The material at full density, Li included.
    alignment : Alignment, optional
        Applied after the vacuum is subtracted.
    weight : float or None, default 0.003
        Of the total variation; None to choose it on tilts held out.

    Returns
    -------
    Tomogram
        Atoms per nm³ of the elements that X-rays show (all but Li), shape (z, y, x).

    Examples
    --------
    >>> from tritomo_helpers.projection import Projector
    >>> z, y, x = np.indices((10, 10, 10)) - 5
    >>> ball, angles = 89.0 * (x**2 + y**2 + z**2 < 12), np.arange(-60.0, 61.0, 30.0)
    >>> adf = TiltSeries(7 + Projector(angles, (10, 10)).forward(ball), angles, 4.63, "ADF")
    >>> density = density_from_adf(adf)
    >>> round(float(density.values[ball > 0].mean()), -1), density.quantity
    (90.0, 'density (atoms/nm³)')
    """
    series = series_signal(adf, alignment, beam_counts=beam_counts, atoms_per_nm3=atoms_per_nm3)
    support = tomography.support_from_masks(series.replace(images=tilt_series.otsu_masks(series)))
    values = tomography.reconstruct(series, method="tv", weight=weight, support=support).tomogram.values
    if beam_counts is None:
        values = values / values[particle_mask(values)].mean()
    visible = sum(n for element, n in atoms_per_nm3.items() if element != "Li")
    return Tomogram(values * np.float32(visible), adf.pixel_size_nm, "density (atoms/nm³)")


def scattering_contrast(
    fractions: Mapping[str, float], extra_atoms: Mapping[str, float], **optics: Any
) -> tuple[float, dict[str, float]]:
    r"""Scattering onto the ADF ring per visible atom, and how it rises with each fraction.

    .. math:: s = \sum_e f_e σ_e + \sum_x n_x σ_x, \qquad w_e = σ_e / s

    Parameters
    ----------
    fractions : mapping of str to float
        Of the visible elements, which sum to 1.
    extra_atoms : mapping of str to float
        Others, per visible atom.
    **optics
        See `spectroscopy.elastic.ring_cross_section_nm2`.

    Returns
    -------
    float
        s, nm² per visible atom.
    dict of str to float
        w of every visible element.

    Examples
    --------
    >>> per_atom, contrast = scattering_contrast({"O": 0.5, "Ni": 0.5}, {})
    >>> bool(contrast["Ni"] > 5 * contrast["O"])
    True
    """
    sigma = {el: elastic.ring_cross_section_nm2(el, **optics) for el in (*fractions, *extra_atoms)}
    amounts = {**fractions, **extra_atoms}
    per_atom = sum(amounts[el] * sigma[el] for el in amounts)
    return per_atom, {el: sigma[el] / per_atom for el in fractions}


def rescaled(
    density: Tomogram,
    *,
    read_as: Mapping[str, float],
    fractions: Mapping[str, float],
    extra_atoms: Mapping[str, float],
) -> Tomogram:
    """Visible atoms of the composition found that scatter as much as those that ADF was read as.

    Parameters
    ----------
    density : Tomogram
        From ADF, see `density_from_adf`, or from this function for another composition: only the mean scattering of
        the atoms in `read_as` and in `fractions` counts.
    read_as : mapping of str to float
        Atoms per nm³ of the material assumed.
    fractions, extra_atoms : mapping of str to float
        See `scattering_contrast`.

    Returns
    -------
    Tomogram

    Examples
    --------
    >>> ncm111 = Tomogram(np.full((2, 2, 2), 88.0), 4.63)
    >>> lost = {"O": 0.61, "Mn": 0.13, "Co": 0.13, "Ni": 0.13}
    >>> fewer = rescaled(ncm111, read_as=NCM111_ATOMS_PER_NM3, fractions=lost, extra_atoms={"Li": 0.3})
    >>> round(float(fewer.values[0, 0, 0]))
    78
    """
    visible = {element: n for element, n in read_as.items() if element in fractions}
    total = sum(visible.values())
    assumed, _ = scattering_contrast(
        {element: n / total for element, n in visible.items()},
        {element: n / total for element, n in read_as.items() if element not in fractions},
    )
    actual, _ = scattering_contrast(fractions, extra_atoms)
    return density.replace(values=np.asarray(density.values) * np.float32(assumed / actual))


@checked
def particle_mask(density: np.ndarray) -> Bools:
    """Voxels above Otsu's threshold of the density.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Any unit.

    Returns
    -------
    ndarray of bool, shape (z, y, x)

    Examples
    --------
    >>> int(particle_mask(np.array([[[0.0] * 5 + [1.0] * 2]])).sum())
    2
    """
    from skimage.filters import threshold_otsu

    return np.asarray(density > threshold_otsu(density))


def series_signal(
    adf: TiltSeries,
    alignment: alignments.Alignment | None,
    *,
    beam_counts: float | None = None,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
) -> TiltSeries:
    """Subtract the vacuum within Otsu masks, turn counts into voxels of path if the beam is known, and align."""
    masks = tilt_series.otsu_masks(adf)
    pairs = zip(np.asarray(adf.images), masks, strict=True)
    vacuum = np.array([tilt_series.background_level(image, mask)[0] for image, mask in pairs])
    signal = np.where(masks, adf.images - vacuum[:, None, None], 0.0)
    if beam_counts is not None:
        share = signal / check_positive(beam_counts, "beam_counts")
        signal = elastic.thickness_from_adf(share, atoms_per_nm3=atoms_per_nm3) / adf.pixel_size_nm
    series = adf.replace(images=signal)
    return series if alignment is None else alignments.apply(series, alignment)
