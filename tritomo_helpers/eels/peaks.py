"""Peaks in spectra: where they are, how many counts they hold, and why they cannot be measured.

References
----------
Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), chapter 4.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_increasing, check_positive, check_shape, checked, fail
from ..spectroscopy import over_spectra

PEAK_FAULTS: Final = ("", "NaN channels", "highest at an end of the window", "spiked channel")
# A peak that the spectrometer resolves spreads over its neighbors; a spike stands this many times above both ...
SPIKE_RATIO: Final = 4.0
# ... and this many standard deviations of the noise.
_SPIKE_SIGNIFICANCE: Final = 8.0


@checked
def find_peak(counts: ArrayLike, energy_ev: ArrayLike, *, window_ev: tuple[float, float]) -> Floats:
    r"""Find where spectra are highest within a window, to a fraction of a channel.

    A parabola goes through the highest channel :math:`I_0` and its two neighbors; its top lies at

    .. math:: E = E_0 + \frac{\Delta E}{2}\,\frac{I_{-1} - I_{+1}}{I_{-1} - 2 I_0 + I_{+1}}

    Parameters
    ----------
    counts : array_like, shape (..., energy)
        Spectra: numpy, memory map or Dask.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV.
    window_ev : (float, float)
        Where to look, eV.

    Returns
    -------
    ndarray of float64, shape (...)
        Energy of the maximum, eV; NaN where nothing can be measured: :func:`peak_faults` says why.

    Raises
    ------
    ValueError
        If the shapes differ or the window holds fewer than three channels.

    Examples
    --------
    >>> energy = np.arange(600.0, 700.0, 0.5)
    >>> round(float(find_peak(np.exp(-(((energy - 640.2) / 4) ** 2)), energy, window_ev=(630, 650))), 2)
    640.2
    """
    return np.asarray(_measure_peak(counts, energy_ev, window_ev)[0])


@checked
def peak_faults(counts: ArrayLike, energy_ev: ArrayLike, *, window_ev: tuple[float, float]) -> NDArray[np.str_]:
    """Say why :func:`find_peak` gives NaN.

    Parameters
    ----------
    counts, energy_ev, window_ev
        As for :func:`find_peak`.

    Returns
    -------
    ndarray of str, shape (...)
        Empty where the peak is measured, otherwise one of ``PEAK_FAULTS``: a channel of the window is NaN; the highest
        channel lies at an end of the window, which then holds no peak; or it is a hot or spiked channel that stands
        more than four times above both neighbors.

    Examples
    --------
    >>> falling = np.arange(20.0)[::-1]
    >>> str(peak_faults(falling, np.arange(600.0, 620.0), window_ev=(605, 615)))
    'highest at an end of the window'
    """
    return np.asarray(np.array(PEAK_FAULTS)[_measure_peak(counts, energy_ev, window_ev)[1]])


def check_energies(counts: Any, what: str, energy: Floats) -> None:
    """Raise ValueError unless the last axis of `counts` has one channel per energy."""
    remedy = "give one count per energy, energy last"
    check_shape(counts, what, (*np.shape(counts)[:-1], energy.size), remedy=remedy)


def _measure_peak(counts: Any, energy_ev: ArrayLike, window_ev: tuple[float, float]) -> tuple[Any, Any]:
    """Position of the highest point, eV, and index into `PEAK_FAULTS`."""
    energy = check_increasing(energy_ev, "energy_ev")
    check_energies(counts, "counts", energy)
    inside = np.flatnonzero((energy >= window_ev[0]) & (energy <= window_ev[1]))
    if inside.size < 3:
        raise fail(
            "window_ev",
            expected=f"three channels or more of {energy[0]:g} to {energy[-1]:g} eV",
            got=window_ev,
            remedy="move or widen the window",
        )
    window = slice(inside[0], inside[-1] + 1)

    def measure(spectra: NDArray[Any]) -> tuple[Floats, NDArray[np.int8]]:
        return _measure_in_window(np.asarray(spectra[:, window], dtype=float), energy[window])

    measured: tuple[Any, Any] = over_spectra(counts, measure)
    return measured


def _measure_in_window(cut: Floats, axis: Floats) -> tuple[Floats, NDArray[np.int8]]:
    missing = np.asarray(~np.isfinite(cut).all(axis=1))
    cut = np.where(missing[:, None], 0.0, cut)
    top = cut.argmax(axis=1)
    at = np.clip(top, 1, axis.size - 2)
    left, middle, right = (np.take_along_axis(cut, (at + i)[:, None], 1)[:, 0] for i in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, 1.0), 0.0)
    step = np.where(shift < 0, axis[at] - axis[at - 1], axis[at + 1] - axis[at])
    beside, floor = np.maximum(left, right), np.median(cut, axis=1)
    spiked = (middle - floor > SPIKE_RATIO * (beside - floor)) & (middle - beside > _SPIKE_SIGNIFICANCE * _noise(cut))
    fault = np.select([missing, top != at, spiked], [1, 2, 3], 0).astype(np.int8)
    return np.where(fault == 0, axis[at] + shift * step, np.nan), fault


def _noise(cut: Floats) -> Floats:
    """Noise per channel from second differences, which a smooth spectrum does not have."""
    if cut.shape[1] < 5:
        return np.zeros(cut.shape[0])
    return np.asarray(np.median(np.abs(np.diff(cut, 2, axis=1)), axis=1) / (0.6745 * np.sqrt(6)))


@checked
def peak_area(counts: ArrayLike, energy_ev: ArrayLike, *, center_ev: float, half_width_ev: float = 4.0) -> Floats:
    r"""Sum the counts of a peak above a straight line between its flanks.

    .. math:: A = \sum_{|E - E_0| \le h} \left(I(E) - \tfrac12(\bar I_- + \bar I_+)\right)

    where :math:`\bar I_\mp` are the mean counts of the channels between h and 2h below and above the center. It is a
    first look at white lines and X-ray lines, not a quantification: a line is no background model.

    Parameters
    ----------
    counts : array_like, shape (..., energy)
        Spectra: numpy, memory map or Dask.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV.
    center_ev : float
        Energy of the peak, eV.
    half_width_ev : float, default 4
        h, eV.

    Returns
    -------
    ndarray of float64, shape (...)
        Counts; noise makes it negative where there is nothing.

    Raises
    ------
    ValueError
        If shapes differ, or peak or flanks lie outside the axis or hold no channel.

    Examples
    --------
    >>> energy = np.arange(600.0, 700.0)
    >>> spectrum = 500 - energy / 2 + np.where(energy == 640, 30.0, 0.0)
    >>> float(peak_area(spectrum, energy, center_ev=640))
    30.0
    """
    energy = check_increasing(energy_ev, "energy_ev")
    half = check_positive(half_width_ev, "half_width_ev", remedy="give it in eV")
    check_energies(counts, "counts", energy)
    distance = energy - center_ev
    peak = np.abs(distance) <= half
    before, after = (distance < -half) & (distance >= -2 * half), (distance > half) & (distance <= 2 * half)
    if center_ev - 2 * half < energy[0] or center_ev + 2 * half > energy[-1] or not (before.any() and after.any()):
        raise fail(
            "center_ev",
            expected=f"a peak with flanks of {half:g} eV inside {energy[0]:g} to {energy[-1]:g} eV",
            got=center_ev,
            remedy="choose another peak or width",
        )
    weights = peak - peak.sum() / 2 * (before / before.sum() + after / after.sum())
    return np.asarray(over_spectra(counts, lambda spectra: spectra @ weights))
