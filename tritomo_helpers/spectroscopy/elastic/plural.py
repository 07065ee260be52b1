"""Many collisions: where the electrons go, in angle and aside.

References
----------
Bethe, Phys. Rev. 89, 1256 (1953): many small deflections, multiplied after a Hankel transform.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from ..._typing import Floats
from ..._validation import check_positive, checked, fail
from ..kinematics import electron_wave_number_per_nm
from .cross_sections import (
    DISTANCE,
    DISTANCE_WEIGHTS,
    LARGEST_DISTANCE_NM,
    NCM111_ATOMS_PER_NM3,
    SOLID_ANGLE,
    THETA,
    check_ring,
    chord,
    cross_section_nm2_per_sr,
    scattered_beyond,
    transform,
)

# Pixels worked on at once: 8 MB of exponents.
_BLOCK: Final = 4096


@checked
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


@checked
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
    inner, outer = check_ring(angles_mrad)
    inside = _shares_inside(atoms_per_nm2, (inner, outer), beam_energy_kev, convergence_angle_mrad)
    return np.asarray(inside[..., 1] - inside[..., 0])


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
    transforms = np.stack([transform(element, beam_kev) for element in elements])
    beyond = [
        [scattered_beyond(element, edge, beam_kev, convergence_mrad) for edge in edges_mrad] for element in elements
    ]
    once = transforms[:, -1:] - np.array(beyond)
    k_max = electron_wave_number_per_nm(beam_kev) * LARGEST_DISTANCE_NM
    k = k_max * (DISTANCE + 1) / 2
    alpha = max(convergence_mrad * 1e-3, 1e-9)
    cone = 2 * j1(k * alpha) / (k * alpha)
    edges = chord(np.array(edges_mrad) * 1e-3)
    kernel = (k_max / 2 * DISTANCE_WEIGHTS * cone)[:, None] * edges * j1(np.outer(k, edges))
    result = np.empty((flat.shape[0], len(edges_mrad)))
    for start in range(0, flat.shape[0], _BLOCK):
        n = flat[start : start + _BLOCK]
        scattered = n @ transforms
        total = scattered[:, -1:]
        more = np.exp(scattered[:, :-1] - total) - np.exp(-total) * (1 + scattered[:, :-1])
        result[start : start + _BLOCK] = more @ kernel + np.exp(-total) * (1 + n @ once)
    return result.reshape(*areal.shape[:-1], len(edges_mrad))


@checked
def lateral_transfer(
    frequency_per_nm: ArrayLike,
    thickness_nm: ArrayLike,
    *,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
    beam_energy_kev: float = 300.0,
) -> Floats:
    r"""Tell how much of each spatial frequency a beam still resolves below some matter: what scattering blurs.

    .. math:: T(f, t) = \exp\Big[-\sum_i n_i \int_0^t \big(\sigma_i - W_i(2 \pi f u)\big) du\Big]

    An electron that is turned by θ at a distance u above lands u θ aside; angles of all collisions add up.

    Parameters
    ----------
    frequency_per_nm : array_like, shape (n,)
        Spatial frequency, 1/nm, zero or above.
    thickness_nm : array_like, shape (m,)
        Matter above, nm.
    atoms_per_nm3 : mapping of str to float, default NCM111
        The material.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    ndarray, shape (m, n)
        From 1 (nothing blurred) down to exp(-thickness / elastic mean free path).

    Examples
    --------
    >>> lateral_transfer([0.0, 0.1], [0.0, 100.0, 200.0]).round(2)
    array([[1.  , 1.  ],
           [1.  , 0.84],
           [1.  , 0.48]])
    """
    from scipy.special import j0

    frequency, thickness = (np.asarray(values, dtype=np.float64).ravel() for values in (frequency_per_nm, thickness_nm))
    scattered = sum(
        n * cross_section_nm2_per_sr(element, THETA * 1e3, beam_energy_kev=beam_energy_kev) * SOLID_ANGLE
        for element, n in atoms_per_nm3.items()
    )
    # The removed part as a function of k = 2 pi f u, once; then its running integral, which depends on k alone.
    k = np.linspace(0, 2 * np.pi * float(frequency.max(initial=0)) * float(thickness.max(initial=0)) + 1e-9, 600)
    removed = np.sum(scattered) - j0(np.outer(k, chord(THETA))) @ scattered
    integral = np.append(0.0, np.cumsum((removed[1:] + removed[:-1]) / 2 * np.diff(k)))
    rate = 2 * np.pi * frequency
    above = np.interp(np.outer(thickness, rate), k, integral)
    exponent = np.divide(above, rate, out=np.zeros_like(above), where=rate > 0)
    return np.asarray(np.exp(-exponent))
