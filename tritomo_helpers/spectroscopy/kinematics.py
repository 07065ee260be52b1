"""Momentum, wavelength and angles of fast electrons: what every cross-section of a beam electron begins with."""

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_positive
from ..constants import ELECTRON_REST_ENERGY_KEV, HC_KEV_NM

_REMEDY = "give it in keV, such as 300"


def lorentz_factor(beam_energy_kev: float) -> float:
    """Total over rest energy of the beam electrons.

    Examples
    --------
    >>> round(lorentz_factor(300.0), 4)
    1.5871
    """
    return 1 + check_positive(beam_energy_kev, "beam_energy_kev", remedy=_REMEDY) / ELECTRON_REST_ENERGY_KEV


def electron_wavelength_nm(beam_energy_kev: float) -> float:
    r"""Return the relativistic wavelength of the beam electrons.

    .. math:: \lambda = hc / \sqrt{E (E + 2 m c^2)}

    Parameters
    ----------
    beam_energy_kev : float
        Kinetic energy, keV.

    Returns
    -------
    float
        Wavelength, nm.

    Raises
    ------
    ValueError
        If the energy is not positive.

    Examples
    --------
    >>> round(electron_wavelength_nm(300.0), 6)
    0.001969
    """
    energy = check_positive(beam_energy_kev, "beam_energy_kev", remedy=_REMEDY)
    return float(HC_KEV_NM / np.sqrt(energy * (energy + 2 * ELECTRON_REST_ENERGY_KEV)))


def electron_wave_number_per_nm(beam_energy_kev: float) -> float:
    """Return 2 pi over the wavelength, 1/nm.

    Examples
    --------
    >>> round(electron_wave_number_per_nm(300.0))
    3191
    """
    return 2 * np.pi / electron_wavelength_nm(beam_energy_kev)


def kinetic_mass_energy_ev(beam_energy_kev: float) -> float:
    """Return T = m v² / 2 in eV (m the rest mass), which enters the cross-sections in place of the beam energy.

    Examples
    --------
    >>> round(kinetic_mass_energy_ev(300.0) / 1e3, 1)
    154.1
    """
    return 500.0 * ELECTRON_REST_ENERGY_KEV * (1 - lorentz_factor(beam_energy_kev) ** -2)


def bethe_ridge_angle_mrad(energy_ev: ArrayLike, *, beam_energy_kev: float = 300.0) -> Floats:
    """Angle at which a free electron at rest takes up the energy loss.

    Examples
    --------
    >>> float(bethe_ridge_angle_mrad(640.0))
    40.6
    """
    rest_ev, beam_ev = ELECTRON_REST_ENERGY_KEV * 1e3, beam_energy_kev * 1e3
    momentum2 = beam_ev * (beam_ev + 2 * rest_ev)
    return np.asarray(1e3 * np.sqrt(2 * rest_ev * np.asarray(energy_ev, dtype=np.float64) / momentum2))
