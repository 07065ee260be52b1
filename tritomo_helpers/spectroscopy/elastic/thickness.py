"""From an annular dark-field signal back to thickness: what tomography needs.

References
----------
Cross-sections of `spectroscopy.elastic`: Mott, Proc. R. Soc. A 127, 658 (1930).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..._typing import Floats
from ..._validation import check_shape, checked, fail
from ...constants import ADF_ANGLES_MRAD, BEAM_ENERGY_KEV, CONVERGENCE_ANGLE_MRAD
from .cross_sections import NCM111_ATOMS_PER_NM3, ring_cross_section_nm2
from .plural import share_on_ring


@checked
def thickness_from_adf(
    share: ArrayLike,
    *,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
    angles_mrad: tuple[float, float] = ADF_ANGLES_MRAD,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = CONVERGENCE_ANGLE_MRAD,
) -> Floats:
    r"""Thickness that explains an annular dark-field signal: the inverse of :func:`share_on_ring`.

    Tomography needs a signal that is proportional to the matter along the ray, and ADF is not. Convert the images
    first, in nm of a material of known composition, then reconstruct: without that, a homogeneous ball of NCM111
    160 nm wide comes out about 17 % denser in its core than at its rim.

    Parameters
    ----------
    share : array_like, any shape
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


@checked
def beam_counts(
    signal: ArrayLike,
    thickness_nm: ArrayLike,
    *,
    atoms_per_nm3: Mapping[str, float] = NCM111_ATOMS_PER_NM3,
    angles_mrad: tuple[float, float] = ADF_ANGLES_MRAD,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = CONVERGENCE_ANGLE_MRAD,
) -> float:
    """Find the counts that the whole beam would give on the ADF detector, from a thickness that is known otherwise.

    Least squares of the signal against :func:`share_on_ring` of that thickness; then `signal / beam_counts` is what
    :func:`thickness_from_adf` takes.

    Parameters
    ----------
    signal : array_like, any shape
        ADF counts, background subtracted.
    thickness_nm : array_like, same shape
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
    usable = np.isfinite(counts) & np.isfinite(thickness) & (thickness > 0)
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
