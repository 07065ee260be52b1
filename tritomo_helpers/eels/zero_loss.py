"""Energy drift: where the zero-loss peak is, and both loss ranges moved by it.

References
----------
Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011).
"""

from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_increasing, check_shape, checked, fail
from ..containers import SpectrumTiltSeries
from ..spectroscopy import over_spectra
from .peaks import check_energies
from .thickness import zero_loss_channel

Spectra = TypeVar("Spectra", SpectrumTiltSeries, Any)

CENTROID_SIGMA_EV: Final = 0.6
CENTROID_ITERATIONS: Final = 6
# The weight pulls the centroid of a peak of FWHM 1 eV to a good half of its distance; this makes up for it.
CENTROID_GAIN: Final = 1.8
_MOST_WITHOUT_ZERO_LOSS: Final = 0.05


@checked
def zero_loss_center(low_loss: ArrayLike, energy_ev: ArrayLike) -> Floats:
    r"""Find the zero-loss peak to a few thousandths of an eV, by a centroid that moves with it.

    .. math:: E_0 \leftarrow E_0 + g\, \frac{\sum_i w_i I_i (E_i - E_0)}{\sum_i w_i I_i}, \qquad
              w_i = e^{-(E_i - E_0)^2 / 2 \sigma^2}

    with :math:`\sigma` = 0.6 eV and g = 1.8, six times over, from the highest channel of the first peak.

    Parameters
    ----------
    low_loss : array_like, shape (..., energy)
        Counts of low-loss spectra: numpy, memory map or Dask.
    energy_ev : array_like, shape (energy,)
        Center of each channel, evenly spaced, eV.

    Returns
    -------
    ndarray of float64, shape (...)
        Energy of the zero loss on that axis, eV; NaN where there is none.

    Raises
    ------
    ValueError
        If shapes differ.

    Notes
    -----
    A parabola through the three highest channels is seven times noisier: the peak is flat where it is highest, and its
    flanks, which tell its position, are not used.

    Examples
    --------
    >>> energy = np.arange(-10, 40, 0.15)
    >>> spectrum = np.exp(-(((energy - 0.437) / 0.6) ** 2)) + 0.05 * np.exp(-(((energy - 23) / 8) ** 2))
    >>> round(float(zero_loss_center(spectrum, energy)), 3)
    0.437
    """
    energy = check_increasing(energy_ev, "energy_ev")
    check_energies(low_loss, "low_loss", energy)
    return np.asarray(over_spectra(low_loss, lambda spectra: _centroids(spectra, energy)))


def _centroids(stored: NDArray[Any], energy: Floats) -> Floats:
    spectra = np.asarray(stored, dtype=float)
    missing = ~np.isfinite(spectra).all(axis=1)
    spectra = np.where(missing[:, None], 0.0, spectra)
    peak, off_axis = zero_loss_channel(spectra, energy, 5.0)
    step = (energy[-1] - energy[0]) / (energy.size - 1)
    half = int(np.ceil(4 * CENTROID_SIGMA_EV / step)) + 2
    near = np.clip(peak[:, None] + np.arange(-half, half + 1), 0, energy.size - 1)
    counts, at = np.take_along_axis(spectra, near, 1), energy[near]
    center = energy[peak]
    for _ in range(CENTROID_ITERATIONS):
        distance = at - center[:, None]
        weighted = np.exp(-0.5 * (distance / CENTROID_SIGMA_EV) ** 2) * counts
        total = weighted.sum(axis=1)
        move = np.divide((weighted * distance).sum(axis=1), total, out=np.full(total.shape, np.nan), where=total > 0)
        center = center + CENTROID_GAIN * move
    lost = missing | off_axis | ~(np.abs(center - energy[peak]) < 2 * CENTROID_SIGMA_EV + step)
    return np.where(lost, np.nan, center)


@checked
def align_zero_loss(
    low_loss: Spectra,
    core_loss: Spectra,
    *,
    low_loss_ev: ArrayLike | None = None,
    core_loss_ev: ArrayLike | None = None,
) -> tuple[Spectra, Spectra, Floats]:
    r"""Move both loss ranges of every pixel by whole channels so that the zero loss is at 0 eV.

    .. math:: k = \operatorname{round}(\delta / \Delta E), \qquad I'_i = I_{i + k}

    with the center :math:`\delta` of :func:`zero_loss_center`. Whole channels keep counts counts, without correlation
    between neighbors; what remains, at most half a channel, is the same in both ranges, so deconvolution by the pixel's
    own low loss takes it out.

    Parameters
    ----------
    low_loss, core_loss : SpectrumTiltSeries, or arrays of shape (..., energy)
        Both ranges of the same pixels with the same dispersion: numpy, memory map or Dask.
    low_loss_ev, core_loss_ev : array_like, shape (energy,), optional
        Energy axes, needed for plain arrays only.

    Returns
    -------
    low_loss, core_loss : as given
        Same type and dtype. The axes are cropped to the channels that every pixel has: see ``energy_ev`` of the series;
        of plain arrays the channels from ``max(0, -k.min())`` to ``n - max(0, k.max())`` remain. Dask stays lazy, and
        memory maps become Dask arrays.
    drift_ev : ndarray of float64, shape (...)
        :math:`\delta`, eV: features lie this much above their energy. NaN where there is no zero loss; such a pixel is
        moved by the median.

    Raises
    ------
    ValueError
        If the pixels or the dispersions differ, an axis is missing, or more than 5 % of the spectra have no zero loss.

    Examples
    --------
    >>> energy = np.arange(-10, 40, 0.15)
    >>> low = np.exp(-(((energy - np.array([[0.3], [-0.3]])) / 0.6) ** 2))
    >>> core = np.stack([np.roll(np.eye(200)[100], k) for k in (2, -2)])
    >>> low, core, drift_ev = align_zero_loss(low, core, low_loss_ev=energy, core_loss_ev=600 + 0.15 * np.arange(200))
    >>> drift_ev.round(3), core.argmax(axis=1)
    (array([ 0.3, -0.3]), array([98, 98]))
    """
    low_counts: Any
    core_counts: Any
    low_counts, low_axis = _counts_and_axis(low_loss, low_loss_ev, "low_loss")
    core_counts, core_axis = _counts_and_axis(core_loss, core_loss_ev, "core_loss")
    check_shape(
        core_counts,
        "core_loss",
        (*low_counts.shape[:-1], core_axis.size),
        remedy="take both ranges from one scan, in one shape",
    )
    step = check_same_dispersion(low_axis, core_axis)
    drift = zero_loss_center(low_counts, low_axis)
    n_lost = int(np.isnan(drift).sum())
    if n_lost > _MOST_WITHOUT_ZERO_LOSS * drift.size:
        raise fail(
            "low_loss",
            expected="a zero-loss peak on the axis of (nearly) every spectrum",
            got=f"none in {n_lost} of {drift.size} spectra from {low_axis[0]:g} to {low_axis[-1]:g} eV",
            remedy="take the range that holds 0 eV, correct the axis, or leave dead spectra out",
        )
    channels = np.round(np.where(np.isnan(drift), np.nanmedian(drift), drift) / step).astype(np.int64)
    first, lost_end = max(0, -int(channels.min())), max(0, int(channels.max()))
    low = _moved(low_loss, low_counts, low_axis, channels, (first, lost_end))
    return low, _moved(core_loss, core_counts, core_axis, channels, (first, lost_end)), drift


def check_same_dispersion(low_axis: Floats, core_axis: Floats) -> float:
    """Return the dispersion that both axes share, eV, or raise ValueError."""
    for axis, what in ((low_axis, "low_loss_ev"), (core_axis, "core_loss_ev")):
        steps = np.diff(axis)
        if steps.size < 1 or np.ptp(steps) > 1e-3 * steps.mean():
            raise fail(
                what, expected="evenly spaced channels", got="uneven steps", remedy="interpolate the spectra first"
            )
    low, core = (float((axis[-1] - axis[0]) / (axis.size - 1)) for axis in (low_axis, core_axis))
    if abs(low - core) > 1e-3 * core:
        raise fail(
            "dispersion",
            expected="the same for low loss and core loss",
            got=f"{low:g} and {core:g} eV per channel",
            remedy="bin or interpolate one range to the channels of the other",
        )
    return core


def _counts_and_axis(x: Any, axis_ev: ArrayLike | None, what: str) -> tuple[Any, Floats]:
    if isinstance(x, SpectrumTiltSeries):
        return x.counts, x.energy_ev
    if axis_ev is None:
        raise fail(
            f"{what}_ev",
            expected="the energy axis of an array",
            got="none",
            remedy="give it in eV, or give a SpectrumTiltSeries",
        )
    counts = x if hasattr(x, "shape") else np.asarray(x)
    energy = check_increasing(axis_ev, f"{what}_ev")
    check_energies(counts, what, energy)
    return counts, energy


def _moved(x: Any, counts: Any, axis: Floats, channels: NDArray[np.int64], crop: tuple[int, int]) -> Any:
    n = axis.size - sum(crop)
    if n < 2:
        raise fail(
            "drift",
            expected="less than the axis is long",
            got=f"{channels.min()} to {channels.max()} channels of {axis.size}",
            remedy="leave out the pixels that jump: look at zero_loss_center",
        )
    if isinstance(counts, np.memmap) or isinstance(getattr(counts, "base", None), np.memmap):
        import dask.array as da

        counts = da.from_array(counts, chunks=(*((1,) if counts.ndim > 1 else ()), *counts.shape[1:]))
    if hasattr(counts, "dask"):
        import dask.array as da

        counts = counts.rechunk({counts.ndim - 1: -1})
        moves = da.from_array(channels[..., None], chunks=(*counts.chunks[:-1], (1,)))
        values = da.map_blocks(
            lambda block, move: _pick(block, move[..., 0], crop[0], n),
            counts,
            moves,
            chunks=(*counts.chunks[:-1], (n,)),
            dtype=counts.dtype,
            meta=np.empty((0,) * counts.ndim, counts.dtype),
        )
    else:
        values = _pick(counts, channels, crop[0], n)
    if not isinstance(x, SpectrumTiltSeries):
        return values
    return x.replace(counts=values, energy_ev=axis[crop[0] : crop[0] + n])


def _pick(counts: NDArray[Any], channels: NDArray[np.int64], first: int, n: int) -> NDArray[Any]:
    """Copy `n` channels of each spectrum, from channel `first` plus its own shift on."""
    result = np.empty((*counts.shape[:-1], n), dtype=counts.dtype)
    for k in np.unique(channels):
        here = channels == k
        result[here] = counts[here][..., first + k : first + k + n]
    return result
