r"""Composition from line maps and a density: counts as density times fraction, all elements at once.

.. math:: d_{et} = \frac{g_t}{k_e}\, M_t\big[\rho\, G_{et} f_e\big] + n

with the k-factors k, one gain g per tilt (dose, unit of the density), and the weights G of absorption and shadow. Gains
and mean fractions follow from sums over the particle; `tomography.fractions` does the rest.

References
----------
Cliff and Lorimer, J. Microsc. 103, 203 (1975), for the k-factors; the rest is derived here.
"""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from .._typing import Bools, Floats, Floats32
from .._validation import check_positive, checked, fail
from ..containers import Tomogram
from ..spectroscopy.detectors import Detectors
from ..tomography.fractions import FractionData, Prior
from .density import rescaled, scattering_contrast
from .inputs import ElementMaps

#: Where the search for settings begins. The mean comes from sums of all counts, so it has little freedom left.
START = Prior(sd=0.01, length_nm=9.0, decay_nm=40.0, mean_sd=0.003)
#: Values that `fusion.reconstruct` tries on counts set aside. Sizes of the elements follow from all counts afterwards,
#: see `weigh_lengths`: a third of them hardly tells one from another.
GRID = {
    "sd": (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03),
    "length_nm": (5.0, 7.0, 9.0, 12.0, 16.0, 22.0),
    "decay_nm": (15.0, 25.0, 40.0, 80.0, float("inf")),
}
#: Slices along the tilt axis that are added up while settings are chosen: in half the time, from nearly all counts.
SLICES = 2


def start_sds(mean_fractions: Floats) -> tuple[float, ...]:
    """Relative standard deviations where the search begins: the most abundant element (oxygen) varies half as much."""
    majority = int(np.argmax(mean_fractions))
    alone = len(mean_fractions) == 2
    return tuple(0.5 if element == majority and not alone else 1.0 for element in range(len(mean_fractions)))


@checked
def fraction_data(
    maps: ElementMaps,
    density: Tomogram,
    mask: Bools,
    *,
    k_factors: Mapping[str, float],
    detectors: Detectors | None = None,
    absorption: bool = True,
    extra_atoms: Mapping[str, float] | None = None,
    density_error: float = 0.01,
    rim_error: float = 0.07,
    density_error_length_nm: float | None = 7.0,
    read_as: Mapping[str, float] | None = None,
    adf_contrast: bool = False,
    n_updates: int = 2,
) -> FractionData:
    """Find mean fractions and gains, with absorption by what is found, and hand everything to the engine.

    Parameters
    ----------
    maps : ElementMaps
    density : Tomogram
        Atoms per nm³ of the elements mapped.
    mask : ndarray of bool, shape (z, y, x)
    k_factors : mapping of str to float
        Of intensities *without* absorption, such as those from cross-sections.
    detectors : Detectors, optional
        For absorption and shadow; a Super-X by default.
    absorption : bool, default True
        False leaves both out.
    extra_atoms : mapping of str to float, optional
        Atoms that absorb and emit no line, per atom of the density, such as ``{"Li": 1 / 3}``.
    density_error, rim_error : float, default 0.01 and 0.07
        Relative error of a voxel's density inside, and in the outermost voxels of the particle and beyond.
    density_error_length_nm : float or None, default 7
        Length over which it stays alike. None makes `density_error` that of the projected density at a pixel.
    read_as : mapping of str to float, optional
        Material that ADF was read as when it was turned into density, atoms of each element per nm³. The density is
        rescaled to the composition found: a particle that lost oxygen has fewer atoms than its ADF seems to say.
    adf_contrast : bool, default False
        Whether the density comes from ADF, and so rises where heavy atoms take the place of light ones.
    n_updates : int, default 2
        Times that absorption and density are computed from the composition found.

    Returns
    -------
    FractionData

    Raises
    ------
    ValueError
        If the k-factors are for other elements or not positive.

    Examples
    --------
    >>> from tritomo_helpers.containers import TiltSeries
    >>> from tritomo_helpers.fusion import element_maps
    >>> from tritomo_helpers.projection import Projector
    >>> z, y, x = np.indices((10, 10, 10)) - 5
    >>> ball, angles = 89.0 * (x**2 + y**2 + z**2 < 12), np.arange(-60.0, 61.0, 30.0)
    >>> adf = TiltSeries(Projector(angles, (10, 10)).forward(ball), angles, 4.63, "ADF")
    >>> maps = {"O": adf.replace(images=0.2 * adf.images), "Mn": adf.replace(images=0.1 * adf.images)}
    >>> data = fraction_data(
    ...     element_maps(maps, adf), Tomogram(ball, 4.63), ball > 0, k_factors={"O": 1.0, "Mn": 1.0}, absorption=False
    ... )
    >>> data.mean_fractions.round(3)
    array([0.667, 0.333])
    """
    per_count = check_k_factors(k_factors, maps.elements)
    n_elements, n_tilts = maps.images.shape[:2]
    measured = maps.images.sum(axis=(2, 3), dtype=np.float64)
    fractions = per_count * measured.sum(axis=1)
    fractions = fractions / fractions.sum()
    inner = ndimage.binary_erosion(mask)
    unit = FractionData(
        maps.images,
        maps.covariance,
        maps.tilt_angles_deg,
        np.asarray(density.values, dtype=np.float32),
        mask,
        np.full(n_elements, 1 / n_elements),
        np.full((n_elements, n_tilts), float(n_elements)),
        density_error=density_error if density_error_length_nm is None else np.where(inner, density_error, rim_error),
        density_error_length_nm=density_error_length_nm,
        voxel_size_nm=density.voxel_size_nm,
    )
    gains = np.ones(n_tilts)
    extra, given = dict(extra_atoms or {}), density
    for _ in range(n_updates if absorption or read_as else 1):
        if read_as:
            density = rescaled(given, read_as=read_as, fractions=_named(maps, fractions), extra_atoms=extra)
            unit = unit.replace(density=np.asarray(density.values, dtype=np.float32))
        if absorption:
            unit = unit.replace(weights=_weights(maps, density, fractions, detectors, extra))
        path = unit.expected().sum(axis=(2, 3), dtype=np.float64)  # density times weights, summed over the image
        fractions, gains = fractions_and_gains(measured, path, per_count, fractions)
    contrast = scattering_contrast(_named(maps, fractions), extra)[1] if adf_contrast else None
    return unit.replace(
        mean_fractions=fractions,
        gains=gains / per_count[:, None],
        contrast=None if contrast is None else np.array([contrast[element] for element in maps.elements]),
    )


def _named(maps: ElementMaps, fractions: Floats) -> dict[str, float]:
    return dict(zip(maps.elements, np.maximum(fractions, 0).tolist(), strict=True))


def check_k_factors(k_factors: Mapping[str, float], elements: tuple[str, ...]) -> Floats:
    """Return the k-factors in the order of the elements, or raise ValueError."""
    if set(k_factors) != set(elements):
        raise fail("k_factors", expected=f"one for each of {list(elements)}", got=list(k_factors), remedy="match them")
    return np.array([check_positive(k_factors[element], f"k-factor of {element}") for element in elements])


def fractions_and_gains(measured: Floats, path: Floats, k_factors: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Mean fractions and gain of each tilt from sums over the images.

    Parameters
    ----------
    measured : ndarray, shape (element, tilt)
        Counts.
    path : ndarray, shape (element, tilt)
        Projected density times weights.
    k_factors, start : ndarray, shape (element,)
        k-factors, and first fractions.

    Returns
    -------
    fractions : ndarray, shape (element,)
    gains : ndarray, shape (tilt,)

    Examples
    --------
    >>> path = np.array([[10.0, 20.0], [10.0, 20.0]])
    >>> fractions, gains = fractions_and_gains(np.array([[6.0, 12.0], [2.0, 4.0]]), path, np.ones(2), np.full(2, 0.5))
    >>> fractions.round(3), gains.round(3)
    (array([0.75, 0.25]), array([0.8, 0.8]))
    """
    fractions = start
    for _ in range(20):
        gains = measured.sum(axis=0) / np.sum((fractions / k_factors)[:, None] * path, axis=0)
        fractions = k_factors * measured.sum(axis=1) / (path @ gains)
        fractions = fractions / fractions.sum()
    return fractions, measured.sum(axis=0) / np.sum((fractions / k_factors)[:, None] * path, axis=0)


def _weights(
    maps: ElementMaps,
    density: Tomogram,
    fractions: Floats,
    detectors: Detectors | None,
    extra_atoms: Mapping[str, float],
) -> Floats32:
    from .. import eds

    composition = _named(maps, fractions) | dict(extra_atoms)
    weights = eds.absorption_weights(
        density,
        composition=composition,
        elements=maps.elements,
        tilt_angles_deg=maps.tilt_angles_deg,
        detectors=detectors,
    )
    return np.stack([weights[element] for element in maps.elements])
