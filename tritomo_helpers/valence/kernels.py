"""What the low-loss range tells about every pixel: energy offset, thickness, and the kernel of plural scattering.

A core-loss spectrum is the single-scattering spectrum convolved with the low-loss spectrum of the same pixel. Pixels of
like thickness share one kernel, so that its noise does not matter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import fail
from ..eels import relative_thickness, zero_loss_center

VACUUM_THICKNESS = 0.08
"""Pixels below this t/lambda count as vacuum; the support film of 4 nm has 0.01, and 0.03 at 70 degrees."""
_MIN_VACUUM_PIXELS = 16


@dataclass(frozen=True, eq=False)
class Binned:
    """One tilt, its pixels sorted into bins of like thickness.

    Parameters
    ----------
    shift_channels : ndarray of int, shape (pixel,)
        By how many channels the zero-loss peak lies too high.
    thickness : ndarray, shape (pixel,)
        t/lambda by the log-ratio; NaN where a spectrum cannot be used.
    labels : ndarray of int, shape (pixel,)
        Bin of each pixel, 0 for vacuum, -1 for none.
    kernels : ndarray, shape (bin, energy)
        See `binned`.
    """

    shift_channels: NDArray[np.int64]
    thickness: Floats
    labels: NDArray[np.int64]
    kernels: Floats

    def pixels(self, label: int) -> NDArray[np.int64]:
        """Return the pixels of a bin."""
        return np.flatnonzero(self.labels == label)


def shifted(spectra: NDArray[np.float32], shift_channels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Move spectra (pixel, energy) down by whole channels, zero where nothing was measured."""
    n_channels = spectra.shape[1]
    result = np.zeros_like(spectra)
    for shift in np.unique(shift_channels):
        pixels = shift_channels == shift
        low, high = max(shift, 0), min(n_channels + shift, n_channels)
        result[pixels, low - shift : high - shift] = spectra[pixels, low:high]
    return result


def zero_channel(energy_ev: Floats) -> int:
    """Index of the channel closest to zero loss."""
    if not energy_ev[0] < 0 < energy_ev[-1]:
        raise fail(
            "low_loss axis",
            expected="an axis that holds 0 eV, where the zero-loss peak lies",
            got=f"{energy_ev[0]:g} to {energy_ev[-1]:g} eV",
            remedy="give the low-loss series, and calibrate its axis (eels.calibrate_axis)",
        )
    return int(np.abs(energy_ev).argmin())


def binned(counts: NDArray[np.float32], energy_ev: Floats, *, n_bins: int, room_channels: tuple[int, int]) -> Binned:
    r"""Align the low-loss spectra of one tilt, measure thickness, and average the spectra of like thickness.

    .. math:: K_b = \frac{\sum_{i \in b} t_i\, L_i}{V \sum_{i \in b} t_i}

    The weight is the thickness :math:`t_i`: a thick pixel gives more core-loss counts, with its own kernel. The
    vacuum's mean sum V is the right unit, since the axis ends before the last losses do and the aperture loses
    electrons; a kernel of unit sum would be a few percent too high in thick parts. Without vacuum in the image V is the
    mean sum of all spectra.

    Parameters
    ----------
    counts : ndarray, shape (pixel, energy)
        Low-loss spectra.
    energy_ev : ndarray, shape (energy,)
        Their axis, eV.
    n_bins : int
    room_channels : (int, int)
        Channels of the core-loss axis below and above the fit window: a spectrum shifted further cannot be used.

    Returns
    -------
    Binned
    """
    dispersion = (energy_ev[-1] - energy_ev[0]) / (energy_ev.size - 1)
    position = zero_loss_center(counts, energy_ev)
    shift = np.rint((np.nan_to_num(position) - energy_ev[zero_channel(energy_ev)]) / dispersion).astype(np.int64)
    usable = np.isfinite(position) & (-shift <= room_channels[0]) & (shift <= room_channels[1])
    aligned = shifted(counts, np.where(usable, shift, 0))
    thickness = np.where(usable, relative_thickness(aligned, energy_ev), np.nan)
    vacuum = thickness < VACUUM_THICKNESS
    reference = vacuum if np.count_nonzero(vacuum) >= _MIN_VACUUM_PIXELS else usable
    unit = aligned[reference].sum(axis=1, dtype=np.float64).mean() if reference.any() else np.nan
    labels = thickness_bins(thickness, n_bins)
    kernels = np.zeros((n_bins, energy_ev.size))
    for label in range(n_bins):
        pixels = np.flatnonzero(labels == label)
        if pixels.size:
            # Vacuum pixels may have a thickness of zero, and all weigh the same.
            weight = np.maximum(thickness[pixels], 1e-3).astype(np.float32)
            kernels[label] = weight @ aligned[pixels] / (weight.sum() * unit)
    return Binned(shift, thickness, labels, kernels)


def thickness_bins(thickness: Floats, n_bins: int) -> NDArray[np.int64]:
    """Sort pixels into bins of equal numbers along thickness; vacuum is bin 0 of its own.

    Examples
    --------
    >>> thickness_bins(np.array([0.0, 0.01, 0.5, 0.6, 0.9]), 3)
    array([0, 0, 1, 1, 2])
    """
    labels = np.zeros(thickness.shape, dtype=np.int64)
    inside = np.flatnonzero(thickness >= VACUUM_THICKNESS)
    order = inside[np.argsort(thickness[inside], kind="stable")]
    labels[order] = 1 + np.arange(order.size) * (n_bins - 1) // max(order.size, 1)
    labels[~np.isfinite(thickness)] = -1
    return labels
