"""Which lines X-ray diffraction by a powder shows, so that one sees what it can exclude.

References
----------
Warren, X-ray Diffraction (1969).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, check_option, check_positive, checked, fail
from ..constants import ATOMIC_NUMBER, HC_KEV_NM
from .structures import Crystal, crystal

CU_K_ALPHA_NM: Final = (0.1540593, 0.1544427)
"""Wavelengths of Cu Kα1 and Kα2: Hölzer et al., Phys. Rev. A 56, 4554 (1997)."""
# Kα1 has twice the initial states of Kα2.
_WEIGHTS: Final = (2 / 3, 1 / 3)


@dataclass(frozen=True, eq=False)
class PowderLines:
    """Lines of one phase, in order of angle.

    Parameters
    ----------
    indices : tuple of (int, int, int)
        Miller indices of one of the planes behind each line; hexagonal for the layered structure.
    spacing_nm : array, shape (n,)
        Distance of the planes, nm.
    two_theta_deg : array, shape (n,)
        Angle between beam and diffracted beam, degrees.
    intensity : array, shape (n,)
        Integrated intensity per metal atom, in squared electrons per nm³: comparable between phases.
    """

    indices: tuple[tuple[int, int, int], ...]
    spacing_nm: NDArray[np.float64]
    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]


@checked
def scattering_factor(element: str, s_per_nm: ArrayLike, *, wavelength_nm: float) -> NDArray[np.complex128]:
    r"""Return what an atom scatters, in electrons.

    .. math:: f = f_0(s) + f' + i f'', \qquad s = \sin\theta / \lambda

    Parameters
    ----------
    element : str
        Symbol.
    s_per_nm : array_like, any shape
        Half the scattering vector over 2 pi, 1/nm.
    wavelength_nm : float
        For the anomalous terms f' and f'', which matter: Cu Kα lies just above the K edge of Co.

    Returns
    -------
    ndarray of complex128

    References
    ----------
    xraylib 4 (Schoonjans et al., Spectrochim. Acta B 66, 776, 2011): neutral atoms.

    Examples
    --------
    >>> round(float(scattering_factor("O", 0.0, wavelength_nm=0.154).real), 1)
    8.0
    """
    import xraylib

    check_option(element, "element", tuple(ATOMIC_NUMBER))
    energy_kev = HC_KEV_NM / check_positive(wavelength_nm, "wavelength_nm", remedy="give it in nm")
    z = ATOMIC_NUMBER[element]
    s = np.asarray(s_per_nm, dtype=np.float64)
    plain = np.array([xraylib.FF_Rayl(z, float(x) / 10) for x in s.ravel()]).reshape(s.shape)  # x in 1/Å
    # The library counts f'' negative; with F ~ exp(+2 pi i h r) absorption makes it positive.
    return np.asarray(plain + xraylib.Fi(z, energy_kev) - 1j * xraylib.Fii(z, energy_kev))


@checked
def powder_lines(
    structure: Crystal,
    *,
    wavelength_nm: float = CU_K_ALPHA_NM[0],
    range_deg: tuple[float, float] = (10.0, 80.0),
    debye_waller_nm2: float = 0.005,
) -> PowderLines:
    r"""Compute the lines of a powder: Bragg's law and structure factors.

    .. math:: \lambda = 2 d \sin\theta, \qquad
        I = \frac{\sum |F_{hkl}|^2}{V n_\mathrm{TM}} e^{-2 B s^2}
            \frac{1 + \cos^2 2\theta}{\sin^2\theta \cos\theta}, \qquad
        F_{hkl} = \sum_j f_j e^{2\pi i (h x_j + k y_j + l z_j)}

    with the sum over all planes of one spacing, the volume V of the cell and the number of metals in it.

    Parameters
    ----------
    structure : Crystal
    wavelength_nm : float, default Cu Kα1
        Wavelength, nm.
    range_deg : (float, float), default (10, 80)
        Smallest and largest angle 2θ, degrees.
    debye_waller_nm2 : float, default 0.005
        B of all atoms, nm²; an assumption typical of oxides at room temperature.

    Returns
    -------
    PowderLines
        Lines weaker than 1e-6 of the strongest are left out.

    Raises
    ------
    ValueError
        If the wavelength is not positive, or the range is not within 0 to 180 degrees.

    Notes
    -----
    Without absorption (a flat specimen), preferred orientation and a monochromator.

    References
    ----------
    Warren, X-ray Diffraction (1969).

    Examples
    --------
    >>> lines = powder_lines(crystal("rock salt"))
    >>> lines.indices[:2], lines.two_theta_deg[:2].round(1)
    (((1, 1, 1), (2, 0, 0)), array([36.2, 42. ]))
    """
    wavelength = check_positive(wavelength_nm, "wavelength_nm", remedy="give it in nm, such as 0.154")
    low, high = range_deg
    if not 0 < low < high < 180:
        raise fail("range_deg", expected="0 < first < last < 180", got=range_deg, remedy="give 2θ in degrees")
    s_low, s_high = (np.sin(np.deg2rad(angle / 2)) / wavelength for angle in range_deg)
    planes, s = _planes(structure, s_low, s_high)
    squared = np.abs(_structure_factors(structure, planes, s, wavelength)) ** 2
    # A plane that the lattice centering extinguishes must not name the line of another of the same spacing.
    allowed = squared > 1e-9 * squared.max()
    planes, s, squared = planes[allowed], s[allowed], squared[allowed]
    # Planes of one spacing share a line. Rounding groups them: two lines are never as close as 1e-6 of each other.
    _, first, line = np.unique(np.round(s, 6), return_index=True, return_inverse=True)
    s, planes = s[first], planes[first]
    theta = np.arcsin(s * wavelength)
    lorentz_polarization = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    volume = abs(float(np.linalg.det(structure.lattice_nm)))
    per_metal = np.bincount(line, weights=squared) / (volume * _n_metals(structure))
    intensity = per_metal * np.exp(-2 * debye_waller_nm2 * s**2) * lorentz_polarization
    seen = intensity > 1e-6 * intensity.max()
    return PowderLines(
        tuple((int(plane[0]), int(plane[1]), int(plane[2])) for plane in planes[seen]),
        1 / (2 * s[seen]),
        np.rad2deg(2 * theta[seen]),
        intensity[seen],
    )


@checked
def powder_pattern(
    metal_shares: Mapping[str, float],
    two_theta_deg: ArrayLike,
    *,
    domain_nm: Mapping[str, float] | None = None,
    instrument_fwhm_deg: float = 0.08,
) -> NDArray[np.float64]:
    r"""Compute the pattern of a mixture of phases for Cu Kα1 and Kα2, without background.

    Every line is a Lorentzian; small crystals of size L widen it (Scherrer):

    .. math:: \Delta 2\theta = 0.9\, \lambda / (L \cos\theta)

    Parameters
    ----------
    metal_shares : mapping of str to float
        Share of the metal atoms in each of ``"layered"``, ``"spinel"`` and ``"rock salt"``; they add up to 1.
    two_theta_deg : array_like, shape (n,)
        Angles at which to compute, degrees, 0 to 180.
    domain_nm : mapping of str to float, optional
        Size L of the crystals of a phase, nm; a skin is as thin as it is. By default 150 nm.
    instrument_fwhm_deg : float, default 0.08
        Full width at half maximum of a line of a perfect crystal, degrees; an assumption typical of a laboratory
        diffractometer.

    Returns
    -------
    ndarray of float64
        Intensity per degree, squared electrons per nm³; the area of a line is that of `powder_lines`.

    Raises
    ------
    ValueError
        If shares do not add up to 1, or a size or width is not positive.

    Notes
    -----
    Phases are mixed as separate crystals. A skin that is strained onto its particle has lines closer to those of the
    particle, and is harder to see than here.

    Examples
    --------
    >>> angles = np.arange(10, 80, 0.01)
    >>> pattern = powder_pattern({"layered": 1.0}, angles)
    >>> round(float(angles[pattern.argmax()]), 1)
    18.7
    """
    total = sum(metal_shares.values())
    if abs(total - 1) > 1e-6:
        raise fail("metal_shares", expected="shares that add up to 1", got=f"{total:g}", remedy="divide by their sum")
    angles = np.asarray(two_theta_deg, dtype=np.float64)
    check_finite(angles, "two_theta_deg")
    instrument = check_positive(instrument_fwhm_deg, "instrument_fwhm_deg", remedy="give it in degrees")
    sizes = {name: check_positive(size, "domain_nm", remedy="give nm") for name, size in (domain_nm or {}).items()}
    # Lines a little outside the angles still reach into them.
    span = max(float(angles.min()) - 5, 5.0), min(float(angles.max()) + 5, 170.0)
    pattern = np.zeros_like(angles)
    for name, share in metal_shares.items():
        structure = crystal(name)
        for wavelength, weight in zip(CU_K_ALPHA_NM, _WEIGHTS, strict=True):
            lines = powder_lines(structure, wavelength_nm=wavelength, range_deg=span)
            cosine = np.cos(np.deg2rad(lines.two_theta_deg / 2))
            fwhm = instrument + np.rad2deg(0.9 * wavelength / (sizes.get(name, 150.0) * cosine))
            half = fwhm / 2
            shapes = half / np.pi / ((angles[..., None] - lines.two_theta_deg) ** 2 + half**2)
            pattern += share * weight * (shapes @ lines.intensity)
    return pattern


def _planes(structure: Crystal, s_low: float, s_high: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return Miller indices (n, 3) of all planes with s between two values, 1/nm, and s."""
    reciprocal = np.linalg.inv(structure.lattice_nm).T  # rows; without 2 pi
    reach = np.floor(2 * s_high * np.linalg.norm(structure.lattice_nm, axis=1)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    # Positive indices first, so that they name their line.
    grid = grid[np.lexsort((-grid[:, 2], -grid[:, 1], -grid[:, 0], (grid < 0).sum(axis=1)))]
    s = np.linalg.norm(grid @ reciprocal, axis=1) / 2
    inside = (s >= s_low) & (s <= s_high)
    return grid[inside], s[inside]


def _structure_factors(
    structure: Crystal, planes: NDArray[np.int64], s_per_nm: NDArray[np.float64], wavelength_nm: float
) -> NDArray[np.complex128]:
    elements = sorted({element for occupant in structure.occupants for element in occupant})
    shares = np.array([[occupant.get(element, 0.0) for element in elements] for occupant in structure.occupants])
    factors = np.stack([scattering_factor(el, s_per_nm, wavelength_nm=wavelength_nm) for el in elements])
    waves = np.exp(2j * np.pi * (planes @ structure.positions.T))
    return np.asarray(np.einsum("pa,ae,ep->p", waves, shares, factors))


def _n_metals(structure: Crystal) -> float:
    return sum(occupant.get(metal, 0.0) for occupant in structure.occupants for metal in ("Mn", "Co", "Ni"))
