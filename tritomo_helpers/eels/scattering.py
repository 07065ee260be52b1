"""An edge as plural scattering leaves it, for what is to be subtracted from raw spectra.

References
----------
Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), section 4.3.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_increasing, checked, fail
from ..constants import BEAM_ENERGY_KEV, COLLECTION_ANGLE_MRAD, CONVERGENCE_ANGLE_MRAD
from ..spectroscopy import continuum as continuum_model
from ..spectroscopy import over_spectra
from .peaks import check_energies
from .zero_loss import check_same_dispersion


@checked
def scattered_edge(
    edge: str,
    energy_ev: ArrayLike,
    low_loss: ArrayLike,
    low_loss_ev: ArrayLike,
    *,
    continuum: str | Callable[..., Any] = "hydrogenic",
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = CONVERGENCE_ANGLE_MRAD,
    collection_angle_mrad: float = COLLECTION_ANGLE_MRAD,
) -> Floats:
    r"""Convolve the continuum of an edge with the low loss of each pixel.

    .. math:: y(E) = \int \sigma(E - E')\, K(E')\, dE', \qquad K = \frac{I_\mathrm{low}}{N}

    Parameters
    ----------
    edge : str
        Such as ``"Mn L1"``. White lines are not part of it.
    energy_ev : array_like, shape (energy,)
        Core-loss axis, evenly spaced, eV; the edge must begin on it.
    low_loss : array_like, shape (..., energy of the low loss)
        Counts of aligned low-loss spectra: numpy, memory map or Dask.
    low_loss_ev : array_like, shape (energy of the low loss,)
        Their axis, of the same dispersion, zero loss at 0 eV, eV.
    continuum : str or callable, default ``"hydrogenic"``
        Model of :func:`continuum`.
    beam_energy_kev, convergence_angle_mrad, collection_angle_mrad : float
        The microscope.

    Returns
    -------
    ndarray of float64, shape (..., energy)
        barn/eV/atom: times the amount of the element (counts per barn/eV/atom, as :func:`fit_edges` gives it), the
        counts of this edge in the raw spectrum.

    Raises
    ------
    ValueError
        If the dispersions differ, 0 eV is not on the low-loss axis, or the edge begins beyond the core-loss axis.

    Examples
    --------
    >>> energy, low_ev = np.arange(700, 900, 0.5), np.arange(-20, 80, 0.5)
    >>> low = np.where(low_ev == 0, 3.0, 0.0) + np.where(low_ev == 20, 1.0, 0.0)  # a quarter lost 20 eV
    >>> result = scattered_edge("Mn L1", energy, low, low_ev)
    >>> single = continuum_model("Mn L1", energy)
    >>> bool(np.allclose(result[50:], 0.75 * single[50:] + 0.25 * single[10:-40]))
    True
    """
    energy, low_energy = check_increasing(energy_ev, "energy_ev"), check_increasing(low_loss_ev, "low_loss_ev")
    check_energies(low_loss, "low_loss", low_energy)
    check_same_dispersion(low_energy, energy)
    single = continuum_model(
        edge,
        energy,
        model=continuum,
        beam_energy_kev=beam_energy_kev,
        convergence_angle_mrad=convergence_angle_mrad,
        collection_angle_mrad=collection_angle_mrad,
    )
    if not single.any() or single[0] > 0:
        raise fail(
            "energy_ev",
            expected=f"an axis on which {edge} begins",
            got=f"{energy[0]:g} to {energy[-1]:g} eV",
            remedy="take the whole core-loss axis",
        )
    zero = int(np.abs(low_energy).argmin())
    return np.asarray(over_spectra(low_loss, lambda low: _convolved(single, low, zero)))


def _convolved(single: Floats, low: NDArray[Any], zero: int) -> Floats:
    from scipy.fft import irfft, next_fast_len, rfft

    n = int(next_fast_len(single.size + low.shape[1], real=True))
    total = low.sum(axis=1, dtype=np.float64, keepdims=True)
    kernel = np.divide(low, total, out=np.zeros(low.shape), where=total > 0)
    return np.asarray(irfft(rfft(kernel, n, axis=1) * rfft(single, n), n, axis=1)[:, zero : zero + single.size])
