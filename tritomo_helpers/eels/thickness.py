"""Thickness from low-loss spectra, and why it cannot be measured.

References
----------
Malis, Cheng and Egerton, J. Electron Microsc. Tech. 8, 193 (1988).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_increasing, check_positive, checked
from ..spectroscopy import over_spectra
from .peaks import SPIKE_RATIO, check_energies

THICKNESS_FAULTS: Final = (
    "",
    "NaN channels",
    "no counts",
    "spiked channel",
    "zero loss off the axis",
    "no sharp zero loss",
)
# A plasmon may be this many times higher than the zero loss before it is taken for it.
_LOWEST_ZERO_LOSS: Final = 0.05
# A zero-loss peak has its first local maximum within so many channels of where it begins.
_RISE_CHANNELS: Final = 48
# A spike that holds less than this share of the counts changes t/lambda by less than noise does.
_SPIKE_SHARE: Final = 0.01


@checked
def relative_thickness(low_loss: ArrayLike, energy_ev: ArrayLike, *, zero_loss_end_ev: float = 5.0) -> Floats:
    r"""Estimate thickness in mean free paths by the log-ratio method.

    .. math:: t/\lambda = \ln \frac{I_\mathrm{total}}{I_0}

    where :math:`I_0` holds the electrons below `zero_loss_end_ev` above the zero-loss peak of that spectrum. That peak
    is the first local maximum above 5 % of the highest channel.

    Parameters
    ----------
    low_loss : array_like, shape (..., energy)
        Counts: numpy, memory map or Dask. The plasmon may stand above the zero-loss peak, up to twenty times.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV. An offset of the axis does not matter.
    zero_loss_end_ev : float, default 5
        Where the zero-loss peak ends, eV above its maximum: near the minimum before the first loss.

    Returns
    -------
    ndarray of float64, shape (...)
        t/lambda; NaN where nothing can be measured: :func:`thickness_faults` says why.

    Raises
    ------
    ValueError
        If shapes differ or the limit is not positive.

    Notes
    -----
    The tails of the zero-loss peak beyond the limit count as losses: in vacuum the result is not quite zero, and that
    value shows the size of the bias.

    References
    ----------
    Malis, Cheng and Egerton, J. Electron Microsc. Tech. 8, 193 (1988).

    Examples
    --------
    >>> energy = np.arange(-5.0, 40.0)
    >>> spectrum = 100 * np.exp(-(energy**2)) + 50 * np.exp(-((energy - 23) ** 2))
    >>> round(float(relative_thickness(spectrum, energy)), 4)  # ln 1.5
    0.4055
    """
    return np.asarray(_measure_thickness(low_loss, energy_ev, zero_loss_end_ev)[0])


@checked
def thickness_faults(low_loss: ArrayLike, energy_ev: ArrayLike, *, zero_loss_end_ev: float = 5.0) -> NDArray[np.str_]:
    """Say why :func:`relative_thickness` gives NaN.

    Parameters
    ----------
    low_loss, energy_ev, zero_loss_end_ev
        As for :func:`relative_thickness`.

    Returns
    -------
    ndarray of str, shape (...)
        Empty where thickness is measured, otherwise one of ``THICKNESS_FAULTS``. *Spiked channel*: a hot channel or a
        cosmic ray stands more than four times above both neighbors and holds more than 1 % of the counts. *Zero loss
        off the axis*: the first channel is already above 5 % of the highest, or the axis ends before the zero loss
        does. *No sharp zero loss*: the first maximum is as wide as a plasmon.

    Examples
    --------
    >>> energy = np.arange(2.0, 60.0)
    >>> str(thickness_faults(np.exp(-(((energy - 23) / 9) ** 2)), energy))
    'no sharp zero loss'
    """
    return np.asarray(np.array(THICKNESS_FAULTS)[_measure_thickness(low_loss, energy_ev, zero_loss_end_ev)[1]])


def _measure_thickness(low_loss: Any, energy_ev: ArrayLike, zero_loss_end_ev: float) -> tuple[Any, Any]:
    """t/lambda, and index into `THICKNESS_FAULTS`."""
    energy = check_increasing(energy_ev, "energy_ev")
    end = check_positive(zero_loss_end_ev, "zero_loss_end_ev", remedy="give eV above the zero-loss peak")
    check_energies(low_loss, "low_loss", energy)
    measured: tuple[Any, Any] = over_spectra(low_loss, lambda spectra: _log_ratio(spectra, energy, end))
    return measured


def _log_ratio(stored: NDArray[Any], energy: Floats, end: float) -> tuple[Floats, NDArray[np.int8]]:
    spectra = np.asarray(stored, dtype=float)
    missing = ~np.isfinite(spectra).all(axis=1)
    if missing.any():
        spectra = np.where(missing[:, None], 0.0, spectra)
    peak, off_axis = zero_loss_channel(spectra, energy, end)
    total = spectra.sum(axis=1)
    last = np.searchsorted(energy, energy[peak] + end, side="right")
    before = spectra[:, : last.max(initial=0)]
    zero_loss = np.where(np.arange(before.shape[1]) < last[:, None], before, 0.0).sum(axis=1)
    faults = [
        missing,
        (spectra.max(axis=1) <= 0) | (total <= 0) | (zero_loss <= 0),
        _has_spike(spectra, _SPIKE_SHARE * total),
        off_axis | (last >= energy.size),
        ~_is_sharp(spectra, energy, peak, end),
    ]
    fault = np.select(faults, list(range(1, 6)), 0).astype(np.int8)
    ratio = np.divide(total, zero_loss, out=np.full(total.shape, np.nan), where=fault == 0)
    return np.asarray(np.log(ratio)), fault


def zero_loss_channel(spectra: Floats, energy: Floats, end: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Highest channel of the first peak, and whether that peak begins before the axis does."""
    threshold = _LOWEST_ZERO_LOSS * spectra.max(axis=1)
    above = spectra > threshold[:, None]
    start = _first_maximum(spectra, threshold, above.argmax(axis=1))
    # Noise makes local maxima on the rising flank: climb on to the highest channel close by.
    stop = np.searchsorted(energy, energy[start] + end / 2, side="right")
    near = start[:, None] + np.arange((stop - start).max(initial=1))
    values = np.take_along_axis(spectra, np.minimum(near, energy.size - 1), 1)
    return start + np.where(near < stop[:, None], values, -np.inf).argmax(axis=1), above[:, 0]


def _first_maximum(spectra: Floats, threshold: Floats, begin: NDArray[np.intp]) -> NDArray[np.intp]:
    """First local maximum above the threshold, which channel `begin` is the first to exceed; 1 where there is none.

    The few channels behind `begin` hold it in nearly every spectrum; only the others are searched to their end.
    """
    last = spectra.shape[1] - 1
    result = np.ones(len(spectra), dtype=np.intp)
    rows = np.arange(len(spectra))
    for width in (_RISE_CHANNELS, last + 1):
        at = begin[rows, None] + np.arange(-1, width + 1)
        values = spectra[rows[:, None], np.clip(at, 0, last)]
        here = values[:, 1:-1]
        is_maximum = (here > threshold[rows, None]) & (here >= values[:, :-2]) & (here > values[:, 2:])
        is_maximum &= (at[:, 1:-1] > 0) & (at[:, 1:-1] < last)
        first = is_maximum.argmax(axis=1)
        has_one = is_maximum.any(axis=1)
        result[rows[has_one]] = begin[rows[has_one]] + first[has_one]
        rows = rows[~has_one]
    return result


def _has_spike(spectra: Floats, least: Floats) -> NDArray[np.bool_]:
    """Whether a channel of more than `least` counts stands alone."""
    tall = spectra > least[:, None]
    columns = np.flatnonzero(tall.any(axis=0))
    last = spectra.shape[1] - 1
    # At an end of the axis there is one neighbor.
    below = spectra[:, np.where(columns > 0, columns - 1, 1)]
    above = spectra[:, np.where(columns < last, columns + 1, last - 1)]
    alone = spectra[:, columns] > SPIKE_RATIO * np.maximum(np.maximum(below, above), 0)
    return np.asarray((tall[:, columns] & alone).any(axis=1))


def _is_sharp(spectra: Floats, energy: Floats, peak: NDArray[np.intp], end: float) -> NDArray[np.bool_]:
    """Whether the spectrum falls to half of the peak on both sides within the width allowed to the zero loss."""
    at_peak = energy[peak]
    first, stop = np.searchsorted(energy, [at_peak.min(initial=energy[-1]) - end, at_peak.max(initial=energy[0]) + end])
    near = slice(max(int(first) - 1, 0), int(stop) + 1)
    low = np.asarray(spectra[:, near] < 0.5 * np.take_along_axis(spectra, peak[:, None], 1))
    distance = energy[near] - at_peak[:, None]
    below = (low & (distance < 0) & (distance >= -end)).any(axis=1)
    above = (low & (distance > 0) & (distance <= end)).any(axis=1)
    return np.asarray(below & above)
