r"""Elastic scattering, once and many times over: what reaches an annular detector, and what misses an aperture.

The share of the beam that leaves a foil at less than an angle R, with :math:`n_i` atoms per area of element i, is

.. math:: P(R) = \rho_R \int_0^\infty J_1(k \rho_R)\, \frac{2 J_1(k \alpha)}{k \alpha}\,
          e^{-\sum_i n_i [\sigma_i - W_i(k)]}\, dk, \qquad
          W_i(k) = \int \frac{d\sigma_i}{d\Omega} J_0(k \rho)\, d\Omega, \qquad \rho = 2 \sin\frac{\theta}{2}

with a cone of incidence of semi-angle α and the Mott-Bethe cross-section of every element. This is exact for any number
of collisions as long as angles add up as vectors in a plane; the chord ρ in place of the angle keeps areas on the
sphere, so single scattering is exact at any angle. Electrons pass atoms at random: no channeling.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_finite, check_positive, check_shape, fail
from ..constants import BOHR_RADIUS_NM, NCM111_FORMULA, NCM111_FORMULA_UNITS_PER_NM3
from .continuum import collected_share
from .kinematics import electron_wave_number_per_nm, lorentz_factor

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
_THETA = 1e-5 * np.exp(_HALF_RANGE * (_LOG_THETA + 1))
_SOLID_ANGLE = 2 * np.pi * np.sin(_THETA) * _THETA * _HALF_RANGE * _LOG_THETA_WEIGHTS
_PANEL, _PANEL_WEIGHTS = np.polynomial.legendre.leggauss(200)
# k over the wave number of the beam is a distance from the atom: beyond 0.15 nm nothing of one collision is left that
# a second one could add to.
_LARGEST_DISTANCE_NM: Final = 0.15
_DISTANCE, _DISTANCE_WEIGHTS = np.polynomial.legendre.leggauss(256)
# Pixels worked on at once: 8 MB of exponents.
_BLOCK: Final = 4096


def cross_section_nm2_per_sr(element: str, angle_mrad: ArrayLike, *, beam_energy_kev: float = 300.0) -> Floats:
    r"""Elastic cross-section of one atom per solid angle, in the first Born approximation.

    .. math:: \frac{d\sigma}{d\Omega} = \left[\frac{2 \gamma}{a_0} \frac{Z - F(q)}{q^2}\right]^2,
              \qquad q = \frac{4 \pi}{\lambda} \sin\frac{\theta}{2}

    Parameters
    ----------
    element : str
        Chemical symbol.
    angle_mrad : array_like
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
    inner, outer = _ring(angles_mrad)
    cone = check_positive(convergence_angle_mrad, "convergence_angle_mrad", zero_ok=True)
    return _scattered_beyond(element, inner, beam_energy_kev, cone) - _scattered_beyond(
        element, outer, beam_energy_kev, cone
    )


def share_inside(
    atoms_per_nm2: Mapping[str, ArrayLike],
    angle_mrad: float,
    *,
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 25.2,
) -> Floats:
    """Share of the beam that stays within an angle of the axis, after any number of elastic collisions.

    Parameters
    ----------
    atoms_per_nm2 : mapping of str to array_like
        Atoms per area along the beam of each element; the arrays broadcast. NaN gives NaN.
    angle_mrad : float
        Semi-angle of the aperture.
    beam_energy_kev, convergence_angle_mrad : float, default 300 and 25.2
        The microscope; the cone must fit into the aperture.

    Returns
    -------
    ndarray
        Between 0 and 1, in the common shape of the arrays.

    Raises
    ------
    ValueError
        If an element is unknown, there is none, or the cone does not fit into the aperture.

    Notes
    -----
    Every pixel is computed from its own composition, without tables; 4096 of them take about 20 ms.

    Examples
    --------
    A spectrometer that takes in 100 mrad loses 2.8 % of the electrons behind 100 nm of NCM111.

    >>> 1 - share_inside({el: 100 * n for el, n in NCM111_ATOMS_PER_NM3.items()}, 100.0).item()
    0.0284
    """
    return _shares_inside(atoms_per_nm2, (angle_mrad,), beam_energy_kev, convergence_angle_mrad)[..., 0]


def share_on_ring(
    atoms_per_nm2: Mapping[str, ArrayLike],
    *,
    angles_mrad: tuple[float, float] = (100.0, 200.0),
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 25.2,
) -> Floats:
    """Share of the beam that ends on an annular detector, after any number of elastic collisions.

    More matter pushes more electrons outward *onto* the ring than off it, so the signal of 100 to 200 mrad grows faster
    than the thickness: per nm by 8 % at 100 nm of NCM111 and by 16 % at 200 nm. A density found as ADF over the sum of
    cross-sections is too high in the core of a particle of 160 nm by about as much; see :func:`thickness_from_adf`.

    Parameters
    ----------
    atoms_per_nm2 : mapping of str to array_like
        Atoms per area along the beam of each element; the arrays broadcast. NaN gives NaN.
    angles_mrad : (float, float), default (100, 200)
        Inner and outer edge of the detector.
    beam_energy_kev, convergence_angle_mrad : float, default 300 and 25.2
        The microscope; the cone must fit inside the ring.

    Returns
    -------
    ndarray
        Between 0 and 1, in the common shape of the arrays.

    Raises
    ------
    ValueError
        As :func:`share_inside`.

    Examples
    --------
    >>> thin, thick = (share_on_ring({"Mn": n}).item() for n in (100.0, 4000.0))
    >>> thick / thin / 40
    1.08
    """
    inner, outer = _ring(angles_mrad)
    inside = _shares_inside(atoms_per_nm2, (inner, outer), beam_energy_kev, convergence_angle_mrad)
    return np.asarray(inside[..., 1] - inside[..., 0])


def thickness_from_adf(
    share: ArrayLike,
    *,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
    angles_mrad: tuple[float, float] = (100.0, 200.0),
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 25.2,
) -> Floats:
    r"""Thickness that explains an annular dark-field signal: the inverse of :func:`share_on_ring`.

    Tomography needs a signal that is proportional to the matter along the ray, and ADF is not. Convert the images
    first, in nm of a material of known composition, then reconstruct: without that, a homogeneous ball of NCM111
    160 nm wide comes out about 17 % denser in its core than at its rim.

    Parameters
    ----------
    share : array_like
        ADF signal as a fraction of the beam, background subtracted. Where the beam is not known, `beam_counts` finds it
        from a thickness measured otherwise, such as t/λ of the low-loss spectra.
    atoms_per_nm3 : mapping of str to float, default NCM111
        The material, at full density.
    angles_mrad, beam_energy_kev, convergence_angle_mrad
        As in :func:`share_on_ring`.

    Returns
    -------
    ndarray
        nm, in the shape of `share`. Below zero where noise is, in proportion; NaN where the signal is NaN or larger
        than any thickness gives.

    Raises
    ------
    ValueError
        If the material is empty or the angles are impossible.

    Notes
    -----
    Elsewhere in composition the result is the thickness of the assumed material that scatters as much: the sum of
    cross-sections times atoms per area, over that of one nm. Rock salt of the same sum, 200 nm thick, differs by 0.6 %,
    the material without lithium by 0.1 %.

    Examples
    --------
    >>> signal = share_on_ring({element: n * np.array([50.0, 200.0]) for element, n in NCM111_ATOMS_PER_NM3.items()})
    >>> thickness_from_adf(signal).round(2)
    array([ 50., 200.])
    """
    from scipy.interpolate import CubicSpline

    optics = {"beam_energy_kev": beam_energy_kev, "convergence_angle_mrad": convergence_angle_mrad}
    per_nm = sum(
        n * ring_cross_section_nm2(element, angles_mrad=angles_mrad, **optics) for element, n in atoms_per_nm3.items()
    )
    if not per_nm > 0:
        raise fail(
            "atoms_per_nm3",
            expected="atoms of at least one element",
            got=dict(atoms_per_nm3),
            remedy="give the number density of every element of the material",
        )
    # Up to where even single scattering would put 60 % of the beam on the ring: past the largest signal there is.
    thickness = np.linspace(0, 0.6 / per_nm, 1201)
    signal = share_on_ring(_slab(thickness, atoms_per_nm3), angles_mrad=angles_mrad, **optics)
    end = int(np.argmax(signal)) + 1
    given = np.asarray(share, dtype=np.float64)
    inverse = CubicSpline(signal[:end], thickness[:end])
    result = np.where(given < 0, given / per_nm, inverse(np.clip(given, 0, signal[end - 1])))
    return np.asarray(np.where(given > signal[end - 1], np.nan, result))


def beam_counts(
    signal: ArrayLike,
    thickness_nm: ArrayLike,
    *,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
    angles_mrad: tuple[float, float] = (100.0, 200.0),
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 25.2,
) -> float:
    """Find the counts that the whole beam would give on the ADF detector, from a thickness that is known otherwise.

    Least squares of the signal against :func:`share_on_ring` of that thickness; then `signal / beam_counts` is what
    :func:`thickness_from_adf` takes.

    Parameters
    ----------
    signal : array_like
        ADF counts, background subtracted.
    thickness_nm : array_like
        Thickness of the material at the same pixels, such as the mean free path times t/λ of the low-loss spectra. A
        thickness that is wrong by some percent makes both results wrong by as much.
    atoms_per_nm3 : mapping of str to float, default NCM111
        The material, at full density.
    angles_mrad, beam_energy_kev, convergence_angle_mrad
        As in :func:`share_on_ring`.

    Returns
    -------
    float
        Electrons per pixel times the efficiency and gain of the detector.

    Raises
    ------
    ValueError
        If the shapes differ, or no pixel has a finite signal and a thickness above zero.

    Examples
    --------
    >>> thickness = np.array([0.0, 60.0, 150.0])
    >>> share = share_on_ring({element: n * thickness for element, n in NCM111_ATOMS_PER_NM3.items()})
    >>> round(beam_counts(4.7e7 * share, thickness) / 1e7, 3)
    4.7
    """
    counts, thickness = np.asarray(signal, dtype=np.float64), np.asarray(thickness_nm, dtype=np.float64)
    check_shape(thickness, "thickness_nm", counts.shape, remedy="give the thickness of every pixel of the signal")
    usable = np.isfinite(counts) & (thickness > 0)
    if not usable.any():
        raise fail(
            "thickness_nm",
            expected="a pixel with a finite signal and a thickness above zero",
            got="none",
            remedy="give thickness in nm, on pixels inside the particle",
        )
    share = share_on_ring(
        _slab(thickness[usable], atoms_per_nm3),
        angles_mrad=angles_mrad,
        beam_energy_kev=beam_energy_kev,
        convergence_angle_mrad=convergence_angle_mrad,
    )
    return float((share * counts[usable]).sum() / (share**2).sum())


def _slab(thickness_nm: Floats, atoms_per_nm3: Mapping[str, float]) -> dict[str, Floats]:
    return {element: n * thickness_nm for element, n in atoms_per_nm3.items()}


def _ring(angles_mrad: tuple[float, float]) -> tuple[float, float]:
    inner, outer = angles_mrad
    if not 0 <= inner < outer < np.inf:
        raise fail(
            "angles_mrad",
            expected="0 <= inner < outer",
            got=tuple(angles_mrad),
            remedy="give the inner angle first, in mrad",
        )
    return float(inner), float(outer)


def _chord(angle_rad: ArrayLike) -> Floats:
    return np.asarray(2 * np.sin(np.asarray(angle_rad, dtype=np.float64) / 2))


@lru_cache(maxsize=256)
def _scattered_beyond(element: str, edge_mrad: float, beam_energy_kev: float, convergence_mrad: float) -> float:
    """Cross-section of one atom for one collision that carries an electron of the cone beyond an edge, nm²."""
    if edge_mrad == 0:
        return float(_transform(element, beam_energy_kev)[-1])
    edge = float(_chord(edge_mrad * 1e-3)) * 1e3
    # The share that ends beyond is smooth between these angles.
    borders = np.unique(
        np.clip([abs(edge - convergence_mrad), edge + convergence_mrad, _LARGEST_ANGLE_RAD * 1e3], 1e-2, None)
    )
    beyond = 0.0
    for low, high in pairwise(np.log(borders)):
        theta = np.exp(low + (high - low) * (_PANEL + 1) / 2)
        kept = collected_share(
            _chord(theta * 1e-3) * 1e3, convergence_angle_mrad=convergence_mrad, collection_angle_mrad=edge
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
def _transform(element: str, beam_energy_kev: float) -> Floats:
    """W(k) of one element at the nodes, and the total cross-section as last value, nm²."""
    from scipy.special import j0

    scattered = cross_section_nm2_per_sr(element, _THETA * 1e3, beam_energy_kev=beam_energy_kev) * _SOLID_ANGLE
    at = electron_wave_number_per_nm(beam_energy_kev) * _LARGEST_DISTANCE_NM * (_DISTANCE + 1) / 2
    return np.append(j0(np.outer(at, _chord(_THETA))) @ scattered, scattered.sum())


def _shares_inside(
    atoms_per_nm2: Mapping[str, ArrayLike], edges_mrad: tuple[float, ...], beam_kev: float, convergence_mrad: float
) -> Floats:
    """Share inside each edge, on a new last axis.

    Zero and one collision are summed in closed form. The integral over k holds two and more, which fall off so fast in
    k that few nodes do.
    """
    from scipy.special import j1

    check_positive(convergence_mrad, "convergence_angle_mrad", zero_ok=True)
    for edge in edges_mrad:
        check_positive(edge, "angle_mrad")
        if edge < convergence_mrad:
            raise fail(
                "angle_mrad",
                expected=f"an aperture that takes in the whole cone of {convergence_mrad:g} mrad",
                got=f"{edge:g} mrad",
                remedy="open the aperture or reduce the convergence angle",
            )
    if not atoms_per_nm2:
        raise fail("atoms_per_nm2", expected="at least one element", got="none", remedy="give atoms per nm²")
    elements = tuple(atoms_per_nm2)
    areal = np.stack(
        np.broadcast_arrays(*(np.asarray(atoms_per_nm2[el], dtype=np.float64) for el in elements)), axis=-1
    )
    flat = areal.reshape(-1, len(elements))
    transforms = np.stack([_transform(element, beam_kev) for element in elements])
    beyond = [
        [_scattered_beyond(element, edge, beam_kev, convergence_mrad) for edge in edges_mrad] for element in elements
    ]
    once = transforms[:, -1:] - np.array(beyond)
    k_max = electron_wave_number_per_nm(beam_kev) * _LARGEST_DISTANCE_NM
    k = k_max * (_DISTANCE + 1) / 2
    alpha = max(convergence_mrad * 1e-3, 1e-9)
    cone = 2 * j1(k * alpha) / (k * alpha)
    edges = _chord(np.array(edges_mrad) * 1e-3)
    kernel = (k_max / 2 * _DISTANCE_WEIGHTS * cone)[:, None] * edges * j1(np.outer(k, edges))
    result = np.empty((flat.shape[0], len(edges_mrad)))
    for start in range(0, flat.shape[0], _BLOCK):
        n = flat[start : start + _BLOCK]
        scattered = n @ transforms
        total = scattered[:, -1:]
        more = np.exp(scattered[:, :-1] - total) - np.exp(-total) * (1 + scattered[:, :-1])
        result[start : start + _BLOCK] = more @ kernel + np.exp(-total) * (1 + n @ once)
    return result.reshape(*areal.shape[:-1], len(edges_mrad))
