"""The smooth losses under the edges: outer-shell electrons far above their binding energy.

References
----------
Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), chapter 3.
"""

from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_option, checked
from ..constants import BARN_NM2, BOHR_RADIUS_NM, RYDBERG_EV
from .continuum import optical_strength
from .kinematics import bethe_ridge_angle_mrad, kinetic_mass_energy_ev, lorentz_factor

_BOHR_AREA_BARN: Final = 4 * np.pi * BOHR_RADIUS_NM**2 / BARN_NM2
_OUTER_SHELLS: Final = MappingProxyType(
    {
        "Li": ("K",),
        "C": ("L1", "L2"),
        "O": ("L1", "L2", "L3"),
        "F": ("L1", "L2", "L3"),
        "Mn": ("M1", "M2", "M3", "M4", "M5"),
        "Co": ("M1", "M2", "M3", "M4", "M5"),
        "Ni": ("M1", "M2", "M3", "M4", "M5"),
    },
)
_OUTER_ELECTRONS: Final = MappingProxyType({"Li": 3, "C": 4, "O": 6, "F": 7, "Mn": 15, "Co": 17, "Ni": 18})
OUTER_ELEMENTS: Final = tuple(_OUTER_ELECTRONS)
"""Elements for which :func:`outer_shell_background` is known."""


def _edge_ev(element: str, shell: str) -> float:
    import xraylib

    number = xraylib.SymbolToAtomicNumber(element)
    return float(1e3 * xraylib.EdgeEnergy(number, getattr(xraylib, f"{shell}_SHELL")))


@checked
def outer_shell_background(
    element: str, energy_ev: ArrayLike, *, beam_energy_kev: float = 300.0, collection_angle_mrad: float = 100.0
) -> Floats:
    r"""Cross-section per eV and atom of the electrons outside the edges studied here, far above their binding energy.

    Two parts: small angles excite them as photons would (dipole part, up to the Bethe ridge), large angles knock them
    out as if they were free (the ridge itself):

    .. math:: \frac{d\sigma}{dE} = 4\pi a_0^2 \frac{R^2}{T}
              \left[\frac{1}{E}\frac{df}{dE}\ln\!\Big(1 + \frac{\theta_c^2}{\theta_E^2}\Big) + \frac{n}{E^2}\right]

    Parameters
    ----------
    element : str
        One of :data:`OUTER_ELEMENTS`.
    energy_ev : array_like, any shape
        Energy loss, eV.
    beam_energy_kev, collection_angle_mrad : float
        The microscope. A ridge outside the aperture is not counted.

    Returns
    -------
    ndarray
        barn/eV/atom.

    Raises
    ------
    ValueError
        If the element is not tabulated.

    Notes
    -----
    The two parts overlap partly, so the sum is right to about 30 %. Every shell begins at its edge, as a step. Inner
    shells (O K, metal L) are not in it.

    Examples
    --------
    >>> outer_shell_background("O", [636.0]).round(1)
    array([8.])
    """
    check_option(element, "element", OUTER_ELEMENTS)
    energies = np.asarray(energy_ev, dtype=np.float64)
    t_ev = kinetic_mass_energy_ev(beam_energy_kev)
    ridge_mrad = bethe_ridge_angle_mrad(energies, beam_energy_kev=beam_energy_kev)
    cutoff = np.minimum(ridge_mrad, collection_angle_mrad)
    characteristic_mrad = 1e3 * energies / (2 * lorentz_factor(beam_energy_kev) * t_ev)
    strength = sum(
        np.where(energies >= _edge_ev(element, shell), optical_strength(element, (shell,), energies), 0.0)
        for shell in _OUTER_SHELLS[element]
    )
    dipole = strength / energies * np.log1p((cutoff / characteristic_mrad) ** 2)
    ridge = np.where(ridge_mrad < collection_angle_mrad, _OUTER_ELECTRONS[element] / energies**2, 0.0)
    return np.asarray(_BOHR_AREA_BARN * RYDBERG_EV**2 / t_ev * (dipole + ridge))
