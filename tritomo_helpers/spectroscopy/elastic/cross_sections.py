"""Elastic cross-sections of single atoms and what is derived from them once and for all.

References
----------
Mott, Proc. R. Soc. A 127, 658 (1930).
"""

from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from ..._typing import Floats
from ..._validation import check_finite, check_positive, checked, fail
from ...constants import BOHR_RADIUS_NM, NCM111_FORMULA, NCM111_FORMULA_UNITS_PER_NM3
from ..continuum import collected_share
from ..kinematics import electron_wave_number_per_nm, lorentz_factor

NCM111_ATOMS_PER_NM3: Final = MappingProxyType(
    {element: n * NCM111_FORMULA_UNITS_PER_NM3 for element, n in NCM111_FORMULA.items()}
)
"""Atoms of each element per nm³ of LiNi1/3Co1/3Mn1/3O2."""

# Beyond 1.2 rad so little is scattered that it changes losses by half a percent of themselves.
_LARGEST_ANGLE_RAD: Final = 1.2
# Below this sin(theta/2)/lambda (1/Angstrom; 1.2 mrad at 300 kV) the table of form factors is too coarse for Z - F.
_SMALLEST_S: Final = 0.03
_LOG_THETA, _LOG_THETA_WEIGHTS = np.polynomial.legendre.leggauss(1500)
_HALF_RANGE = np.log(_LARGEST_ANGLE_RAD / 1e-5) / 2
THETA = 1e-5 * np.exp(_HALF_RANGE * (_LOG_THETA + 1))
SOLID_ANGLE = 2 * np.pi * np.sin(THETA) * THETA * _HALF_RANGE * _LOG_THETA_WEIGHTS
_PANEL, _PANEL_WEIGHTS = np.polynomial.legendre.leggauss(200)
# k over the wave number of the beam is a distance from the atom: beyond 0.15 nm nothing of one collision is left that
# a second one could add to.
LARGEST_DISTANCE_NM: Final = 0.15
DISTANCE, DISTANCE_WEIGHTS = np.polynomial.legendre.leggauss(256)


@checked
def cross_section_nm2_per_sr(element: str, angle_mrad: ArrayLike, *, beam_energy_kev: float = 300.0) -> Floats:
    r"""Elastic cross-section of one atom per solid angle, in the first Born approximation.

    .. math:: \frac{d\sigma}{d\Omega} = \left[\frac{2 \gamma}{a_0} \frac{Z - F(q)}{q^2}\right]^2,
              \qquad q = \frac{4 \pi}{\lambda} \sin\frac{\theta}{2}

    Parameters
    ----------
    element : str
        Chemical symbol.
    angle_mrad : array_like, any shape
        Scattering angle, mrad.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    ndarray
        nm² per steradian, in the shape of `angle_mrad`.

    Raises
    ------
    ValueError
        If there is no such element, or an angle is not finite.

    References
    ----------
    Mott, Proc. R. Soc. A 127, 658 (1930); X-ray form factors F of xraylib (Schoonjans et al., Spectrochim. Acta B 66,
    776, 2011).

    Examples
    --------
    >>> manganese, oxygen = (cross_section_nm2_per_sr(element, 150.0) for element in ("Mn", "O"))
    >>> float(oxygen / manganese)
    0.108
    """
    import xraylib

    try:
        number = xraylib.SymbolToAtomicNumber(element)
    except ValueError:
        raise fail(
            "element", expected="a chemical symbol", got=repr(element), remedy="write it as in the periodic table"
        ) from None
    check_finite(angle_mrad, "angle_mrad")
    half = np.asarray(angle_mrad, dtype=np.float64) * 0.5e-3
    # 10 Angstrom in a nm; s = q / (4 pi).
    s = np.maximum(electron_wave_number_per_nm(beam_energy_kev) * np.abs(np.sin(half)) / (2 * np.pi) / 10, _SMALLEST_S)
    form_factor = np.array([xraylib.FF_Rayl(number, value) for value in s.ravel().tolist()]).reshape(s.shape)
    q2 = (40 * np.pi * s) ** 2
    return np.asarray((2 * lorentz_factor(beam_energy_kev) / BOHR_RADIUS_NM * (number - form_factor) / q2) ** 2)


@checked
def ring_cross_section_nm2(
    element: str,
    *,
    angles_mrad: tuple[float, float] = (100.0, 200.0),
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 0.0,
) -> float:
    """Cross-section of one atom for one collision that ends on a ring of angles.

    Parameters
    ----------
    element : str
        Chemical symbol.
    angles_mrad : (float, float), default (100, 200)
        Inner and outer edge of the ring; an inner edge of 0 makes it a disc.
    beam_energy_kev : float, default 300
        Beam energy.
    convergence_angle_mrad : float, default 0
        Semi-angle of the incident cone.

    Returns
    -------
    float
        nm².

    Examples
    --------
    Z contrast of a 100 to 200 mrad ring follows an exponent near 1.95.

    >>> sigma = {element: ring_cross_section_nm2(element) for element in ("O", "Mn")}
    >>> float(np.log(sigma["Mn"] / sigma["O"]) / np.log(25 / 8))
    1.95
    """
    inner, outer = check_ring(angles_mrad)
    cone = check_positive(convergence_angle_mrad, "convergence_angle_mrad", zero_ok=True)
    return scattered_beyond(element, inner, beam_energy_kev, cone) - scattered_beyond(
        element, outer, beam_energy_kev, cone
    )


def check_ring(angles_mrad: tuple[float, float]) -> tuple[float, float]:
    """Return the edges of a ring, or raise ValueError unless 0 <= inner < outer."""
    inner, outer = angles_mrad
    if not 0 <= inner < outer < np.inf:
        raise fail(
            "angles_mrad",
            expected="0 <= inner < outer",
            got=tuple(angles_mrad),
            remedy="give the inner angle first, in mrad",
        )
    return float(inner), float(outer)


def chord(angle_rad: ArrayLike) -> Floats:
    """Return 2 sin(angle / 2): the distance on the unit sphere, which keeps areas."""
    return np.asarray(2 * np.sin(np.asarray(angle_rad, dtype=np.float64) / 2))


@lru_cache(maxsize=256)
def scattered_beyond(element: str, edge_mrad: float, beam_energy_kev: float, convergence_mrad: float) -> float:
    """Cross-section of one atom for one collision that carries an electron of the cone beyond an edge, nm²."""
    if edge_mrad == 0:
        return float(transform(element, beam_energy_kev)[-1])
    edge = float(chord(edge_mrad * 1e-3)) * 1e3
    # The share that ends beyond is smooth between these angles.
    borders = np.unique(
        np.clip([abs(edge - convergence_mrad), edge + convergence_mrad, _LARGEST_ANGLE_RAD * 1e3], 1e-2, None)
    )
    beyond = 0.0
    for low, high in pairwise(np.log(borders)):
        theta = np.exp(low + (high - low) * (_PANEL + 1) / 2)
        kept = collected_share(
            chord(theta * 1e-3) * 1e3, convergence_angle_mrad=convergence_mrad, collection_angle_mrad=edge
        )
        per_log_angle = (
            2
            * np.pi
            * np.sin(theta * 1e-3)
            * theta
            * 1e-3
            * cross_section_nm2_per_sr(element, theta, beam_energy_kev=beam_energy_kev)
        )
        beyond += float((_PANEL_WEIGHTS * per_log_angle * (1 - kept)).sum() * (high - low) / 2)
    return beyond


@lru_cache(maxsize=64)
def transform(element: str, beam_energy_kev: float) -> Floats:
    """W(k) of one element at the nodes, and the total cross-section as last value, nm²."""
    from scipy.special import j0

    scattered = cross_section_nm2_per_sr(element, THETA * 1e3, beam_energy_kev=beam_energy_kev) * SOLID_ANGLE
    at = electron_wave_number_per_nm(beam_energy_kev) * LARGEST_DISTANCE_NM * (DISTANCE + 1) / 2
    return np.append(j0(np.outer(at, chord(THETA))) @ scattered, scattered.sum())
