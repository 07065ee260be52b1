"""What matter does to X-rays, and the X-rays that braking electrons make in it.

References
----------
Schoonjans et al., Spectrochim. Acta B 66, 776 (2011), for what xraylib tabulates.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..._typing import Floats
from ..._validation import check_positive, checked
from ...constants import ATOMIC_WEIGHT_G_PER_MOL, BARN_NM2, BOHR_RADIUS_NM, ELECTRON_REST_ENERGY_KEV, FINE_STRUCTURE
from .lines import atomic_number


@checked
def atomic_weight(element: str) -> float:
    """Return the atomic weight of an element, g/mol: the project's own where there is one, else xraylib's.

    Examples
    --------
    >>> atomic_weight("O"), atomic_weight("Au")
    (15.999, 197.2)
    """
    import xraylib

    return ATOMIC_WEIGHT_G_PER_MOL.get(element) or float(xraylib.AtomicWeight(atomic_number(element)))


@checked
def mass_absorption(element: str, energy_kev: ArrayLike) -> Floats:
    """Mass absorption coefficient of an element for X-rays.

    Parameters
    ----------
    element : str
        Chemical symbol.
    energy_kev : array_like, any shape
        Photon energy, keV.

    Returns
    -------
    ndarray
        cm²/g, total cross-section of xraylib 4.

    Examples
    --------
    >>> mass_absorption("O", [0.6]).round(-3)
    array([16000.])
    """
    import xraylib

    energies = np.asarray(energy_kev, dtype=np.float64)
    number = atomic_number(element)
    values = [xraylib.CS_Total(number, float(energy)) for energy in energies.ravel()]
    return np.asarray(values).reshape(energies.shape)


@checked
def mass_absorption_of(composition: Mapping[str, float], energy_kev: ArrayLike) -> Floats:
    """Mass absorption coefficient of a compound, from its atoms per formula unit (or per volume).

    Parameters
    ----------
    composition : mapping of str to float
        Atoms of each element, in any common unit.
    energy_kev : array_like, any shape
        Photon energy, keV.

    Returns
    -------
    ndarray
        cm²/g.

    Examples
    --------
    >>> from tritomo_helpers.constants import NCM111_FORMULA
    >>> mass_absorption_of(NCM111_FORMULA, [0.525]).round(-1)
    array([2940.])
    """
    masses = {element: n * atomic_weight(element) for element, n in composition.items()}
    total = sum(masses.values())
    parts = [mass / total * mass_absorption(element, energy_kev) for element, mass in masses.items()]
    return np.asarray(np.sum(parts, axis=0))


@checked
def bremsstrahlung_cross_section(
    element: str, energy_kev: ArrayLike, *, beam_energy_kev: float = 300.0, elevation_deg: float = 18.0
) -> Floats:
    r"""Bremsstrahlung towards a detector on the beam's side of the specimen, as if it went into the full sphere.

    Kramers' spectrum with the logarithm of the Born approximation, tipped forward by the speed of the electron:

    .. math:: \frac{d\sigma}{dk} = \frac{16}{3}\frac{\alpha r_e^2 Z^2}{\beta^2 k}
              \ln\frac{1 + \sqrt{1-x}}{1 - \sqrt{1-x}}\; w(\vartheta), \qquad x = k / T_0

    Parameters
    ----------
    element : str
        Chemical symbol.
    energy_kev : array_like, any shape
        Photon energy k, keV.
    beam_energy_kev : float, default 300
        T0.
    elevation_deg : float, default 18
        Elevation of the detector above the specimen plane, towards the electron source.

    Returns
    -------
    ndarray
        barn/keV/atom. Multiply by Ω / 4π.

    References
    ----------
    Jackson, Classical Electrodynamics, 3rd ed. (1999), chapter 15: w is the pattern (1 + cos²) of soft photons seen
    from the moving electron.

    Notes
    -----
    Good to tens of percent, which is enough for a background that is a tenth of the lines.

    Examples
    --------
    >>> float(bremsstrahlung_cross_section("Mn", 1.0))
    7.77
    """
    photon = np.asarray(energy_kev, dtype=np.float64)
    beam = check_positive(beam_energy_kev, "beam_energy_kev")
    gamma = 1 + beam / ELECTRON_REST_ENERGY_KEV
    beta = np.sqrt(1 - gamma**-2)
    forward = -np.sin(np.deg2rad(elevation_deg))  # cosine of the angle between photon and electron
    rest = (forward - beta) / (1 - beta * forward)
    pattern = 0.75 * (1 + rest**2) * (1 - beta**2) / (1 - beta * forward) ** 2
    root = np.sqrt(np.clip(1 - photon / beam, 0, 1))
    logarithm = np.log1p(root) - np.log(np.maximum(1 - root, 1e-300))
    classical_radius2 = FINE_STRUCTURE**4 * BOHR_RADIUS_NM**2 / BARN_NM2
    scale = 16 / 3 * FINE_STRUCTURE * classical_radius2 * atomic_number(element) ** 2 / beta**2
    return np.asarray(np.where(root > 0, scale / photon * logarithm * pattern, 0.0))
