r"""How many X-rays from every voxel reach the detectors at every tilt.

.. math:: G_{et}(\mathbf r) = \frac{1}{K} \sum_{k=1}^{K} S_k(t)\, e^{-\mu_e c_{kt}(\mathbf r)}, \qquad
          c_{kt}(\mathbf r) = \int_0^\infty ρ(\mathbf r + s\,\mathbf d_{kt})\, ds

with the shadow S of each detector, its direction d in the specimen, mass density ρ, and the mass absorption coefficient
μ at the energy of the element's *main* line. A mean over its lines would lie on the wrong side of an absorption edge.

References
----------
Williams and Carter, Transmission Electron Microscopy, 2nd ed. (2009), chapter 35; coefficients of xraylib (Schoonjans
et al., Spectrochim. Acta B 66, 776, 2011).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats, Floats32
from .._validation import check_finite, check_increasing, check_positive, check_shape, checked, fail
from ..constants import AVOGADRO_PER_MOL, BEAM_ENERGY_KEV
from ..containers import Tomogram
from ..spectroscopy import xray
from ..spectroscopy.detectors import Detectors, columns_towards


@checked
def absorption_weights(
    density: Tomogram,
    *,
    composition: Mapping[str, float],
    elements: Sequence[str],
    tilt_angles_deg: ArrayLike,
    detectors: Detectors | None = None,
    shadow: ArrayLike | None = None,
    window_ev: tuple[float, float] = (350.0, 1200.0),
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    progress: bool = False,
) -> dict[str, Floats32]:
    """Weight of every voxel in the projections of every element: its share of X-rays that are counted.

    Parameters
    ----------
    density : Tomogram
        Atoms per nm³ of the elements counted in `composition` as visible, (z, y, x). Zero or above.
    composition : mapping of str to float
        Atoms of each element per atom of `density`, such as mean atomic fractions. May hold elements without lines,
        such as Li; they add mass and absorb.
    elements : sequence of str
        For which to compute weights.
    tilt_angles_deg : array_like, shape (tilt,)
        Strictly increasing.
    detectors : Detectors, optional
        Where they stand; a Super-X by default.
    shadow : array_like, shape (tilt, detector), optional
        Share of each detector that sees the specimen, in place of the geometric one.
    window_ev : (float, float), default (350, 1200)
        Where the main line is looked for.
    beam_energy_kev : float, default 300
        Decides which line is the main one.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    dict of str to ndarray, shape (tilt, z, y, x)
        float32, 0 to 1. Multiply the density of an element with it before projecting.

    Raises
    ------
    ValueError
        If the density is negative or not finite, the composition empty, an element has no line in range, or a tilt is
        seen by no detector.

    Notes
    -----
    64 x 64 x 64 voxels, 15 tilts and four elements take about 2 s and 70 MB.

    Examples
    --------
    >>> cube = Tomogram(np.full((8, 8, 8), 89.0), 10.0)
    >>> weights = absorption_weights(cube, composition={"O": 2 / 3, "Mn": 1 / 3}, elements=["O"], tilt_angles_deg=[0.0])
    >>> weights["O"][0, [0, 7], 4, 4].round(2)
    array([0.98, 0.95], dtype=float32)
    """
    from tqdm import tqdm

    detectors = Detectors() if detectors is None else detectors
    angles = check_increasing(tilt_angles_deg, "tilt_angles_deg")
    values = np.asarray(density.values, dtype=np.float32)
    check_finite(values, "density", remedy="put 0 where nothing is")
    if values.min() < 0:
        raise fail("density", expected="atoms per nm³, zero or above", got=f"{values.min():g}", remedy="set these to 0")
    shares = _shares(detectors, angles, shadow)
    per_area = mass_absorption_per_atom(
        composition, elements, window_ev=window_ev, beam_energy_kev=beam_energy_kev
    )  # nm² per atom of density
    weights = {el: np.zeros((angles.size, *values.shape), dtype=np.float32) for el in elements}
    for i, angle in enumerate(tqdm(angles, disable=not progress, desc="absorption", unit="tilt")):
        for share, direction in zip(shares[i], detectors.directions_in_specimen(float(angle)), strict=True):
            if share == 0:
                continue
            atoms = columns_towards(values, direction[::-1], step=density.voxel_size_nm)
            for el in elements:
                weights[el][i] += np.float32(share / len(detectors)) * np.exp(-np.float32(per_area[el]) * atoms)
    return weights


@checked
def mass_absorption_per_atom(
    composition: Mapping[str, float],
    elements: Sequence[str],
    *,
    window_ev: tuple[float, float] = (350.0, 1200.0),
    beam_energy_kev: float = BEAM_ENERGY_KEV,
) -> dict[str, float]:
    r"""Absorption cross-section of the specimen per counted atom, for the main line of every element.

    .. math:: a_e = \frac{\sum_j x_j A_j\, μ_j(E_e)}{N_A}

    Parameters
    ----------
    composition : mapping of str to float
        Atoms of each element per counted atom.
    elements : sequence of str
        Whose main lines.
    window_ev, beam_energy_kev
        See `absorption_weights`.

    Returns
    -------
    dict of str to float
        nm² per atom: times atoms per nm² it is the exponent of the absorption.

    Examples
    --------
    >>> round(1e6 * mass_absorption_per_atom({"O": 2 / 3, "Mn": 1 / 3}, ["O"])["O"], 1)
    12.0
    """
    if not composition:
        raise fail("composition", expected="one element or more", got="none", remedy="give atoms per counted atom")
    for element, amount in composition.items():
        check_positive(amount, f"composition of {element}", zero_ok=True)
    grams_per_atom = sum(n * xray.atomic_weight(el) for el, n in composition.items()) / AVOGADRO_PER_MOL
    result = {}
    for element in elements:
        line = xray.main_line(element, window_ev=window_ev, beam_energy_kev=beam_energy_kev)
        cm2_per_g = float(xray.mass_absorption_of(composition, [line.energy_kev])[0])
        result[element] = cm2_per_g * grams_per_atom * 1e14
    return result


def _shares(detectors: Detectors, angles_deg: Floats, shadow: ArrayLike | None) -> Floats:
    """Share of each detector that sees the specimen, (tilt, detector), checked."""
    if shadow is None:
        shares = np.stack([detectors.shadow(float(angle)) for angle in angles_deg])
    else:
        shares = np.asarray(shadow, dtype=np.float64)
        check_shape(shares, "shadow", (angles_deg.size, len(detectors)), remedy="give one share per tilt and detector")
        check_finite(shares, "shadow")
    blind = angles_deg[~np.any(shares > 0, axis=1)]
    if blind.size or np.any(shares < 0):
        raise fail(
            "shadow",
            expected="shares of zero or above, and at least one detector that sees each tilt",
            got=f"none at {', '.join(f'{a:g}' for a in blind)} degrees" if blind.size else f"{shares.min():g}",
            remedy="leave these tilts out or correct the shares",
        )
    return shares
