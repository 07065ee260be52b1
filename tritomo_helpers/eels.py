"""Energy-loss spectra: axes, thickness, and what follows from them.

Functions take spectra with any leading axes, energy last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._validation import check_increasing, check_positive, check_shape, fail
from .spectroscopy import continuum

__all__ = ["calibrate_axis", "continuum", "find_peak", "peak_area", "relative_thickness"]


def find_peak(counts: ArrayLike, energy_ev: ArrayLike, *, window_ev: tuple[float, float]) -> NDArray[np.float64]:
    r"""Find where spectra are highest within a window, to a fraction of a channel.

    A parabola goes through the highest channel :math:`I_0` and its two neighbors; its top lies at

    .. math:: E = E_0 + \frac{\Delta E}{2}\,\frac{I_{-1} - I_{+1}}{I_{-1} - 2 I_0 + I_{+1}}

    Parameters
    ----------
    counts : array_like, shape (..., energy)
        Spectra.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV.
    window_ev : (float, float)
        Where to look, eV.

    Returns
    -------
    ndarray of float64, shape (...)
        Energy of the maximum, eV; NaN where it lies at an end of the window, which then holds no peak.

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
    energy = check_increasing(energy_ev, "energy_ev")
    spectra = np.asarray(counts, dtype=float)
    check_shape(spectra, "counts", (*spectra.shape[:-1], energy.size), remedy="give one count per energy, energy last")
    inside = np.flatnonzero((energy >= window_ev[0]) & (energy <= window_ev[1]))
    if inside.size < 3:
        raise fail(
            "window_ev",
            expected=f"three channels or more of {energy[0]:g} to {energy[-1]:g} eV",
            got=window_ev,
            remedy="move or widen the window",
        )
    cut, axis = spectra[..., inside], energy[inside]
    top = cut.argmax(axis=-1)
    at = np.clip(top, 1, inside.size - 2)
    left, middle, right = (np.take_along_axis(cut, (at + i)[..., None], -1)[..., 0] for i in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, 1.0), 0.0)
    step = np.where(shift < 0, axis[at] - axis[at - 1], axis[at + 1] - axis[at])
    return np.where(top == at, axis[at] + shift * step, np.nan)


def peak_area(
    counts: ArrayLike, energy_ev: ArrayLike, *, center_ev: float, half_width_ev: float = 4.0
) -> NDArray[np.float64]:
    r"""Sum the counts of a peak above a straight line between its flanks.

    .. math:: A = \sum_{|E - E_0| \le h} \left(I(E) - \tfrac12(\bar I_- + \bar I_+)\right)

    where :math:`\bar I_\mp` are the mean counts of the channels between h and 2h below and above the center. It is a
    first look at white lines and X-ray lines, not a quantification: a line is no background model.

    Parameters
    ----------
    counts : array_like, shape (..., energy)
        Spectra.
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
    spectra = np.asarray(counts, dtype=float)
    check_shape(spectra, "counts", (*spectra.shape[:-1], energy.size), remedy="give one count per energy, energy last")
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
    floor = (spectra[..., before].mean(axis=-1) + spectra[..., after].mean(axis=-1)) / 2
    return np.asarray(spectra[..., peak].sum(axis=-1) - peak.sum() * floor)


def calibrate_axis(
    energy_ev: ArrayLike, *, measured_ev: ArrayLike, known_ev: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Correct the offset and dispersion of an energy axis from features whose energy is known.

    .. math:: E' = a + b\,E

    with :math:`a, b` by least squares over the features.

    Parameters
    ----------
    energy_ev : array_like, shape (energy,)
        The axis as it was stored, strictly increasing, eV.
    measured_ev, known_ev : array_like, shape (n_features,)
        Where features lie on that axis, and where they ought to lie, eV. Two at least; more show how far to trust it.

    Returns
    -------
    corrected_ev : ndarray of float64, shape (energy,)
        The corrected axis, eV.
    residuals_ev : ndarray of float64, shape (n_features,)
        Corrected minus known energy of each feature, eV. With two features they are zero and say nothing.

    Raises
    ------
    ValueError
        If there are fewer than two different features, the lists differ in length, or the order is reversed.

    Examples
    --------
    >>> axis, residuals = calibrate_axis([500.0, 600.0, 700.0], measured_ev=[520.0, 640.0], known_ev=[532.0, 652.0])
    >>> axis.round(6)
    array([512., 612., 712.])
    """
    energy = check_increasing(energy_ev, "energy_ev")
    measured, known = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (measured_ev, known_ev))
    check_shape(known, "known_ev", measured.shape, remedy="give one known energy for each measured one")
    if not np.all(np.isfinite([measured, known])) or np.unique(measured).size < 2:
        raise fail(
            "measured_ev",
            expected="two different features or more, all finite",
            got=measured.tolist(),
            remedy="find another peak, or correct the offset alone",
        )
    center = measured.mean()
    slope, offset = np.polyfit(measured - center, known, 1)
    if not slope > 0:
        raise fail("known_ev", expected="the same order as measured_ev", got=known.tolist(), remedy="check the pairs")
    return offset + slope * (energy - center), offset + slope * (measured - center) - known


def relative_thickness(
    low_loss: ArrayLike, energy_ev: ArrayLike, *, zero_loss_end_ev: float = 5.0
) -> NDArray[np.float64]:
    r"""Estimate thickness in mean free paths by the log-ratio method.

    .. math:: t/\lambda = \ln \frac{I_\mathrm{total}}{I_0}

    where :math:`I_0` holds the electrons below `zero_loss_end_ev` above the zero-loss peak of that spectrum.

    Parameters
    ----------
    low_loss : array_like, shape (..., energy)
        Low-loss spectra whose highest channel is in the zero-loss peak, as in specimens up to a few mean free paths.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV. An offset of the axis does not matter.
    zero_loss_end_ev : float, default 5
        Where the zero-loss peak ends, eV above its maximum: near the minimum before the first loss.

    Returns
    -------
    ndarray of float64, shape (...)
        t/lambda; NaN where a spectrum holds no counts.

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
    >>> spectrum = np.where(energy == 0, 100.0, 0.0) + np.where(energy == 23, 50.0, 0.0)
    >>> round(float(relative_thickness(spectrum, energy)), 4)  # ln 1.5
    0.4055
    """
    energy = check_increasing(energy_ev, "energy_ev")
    end = check_positive(zero_loss_end_ev, "zero_loss_end_ev", remedy="give eV above the zero-loss peak")
    spectra = np.asarray(low_loss, dtype=float)
    check_shape(
        spectra, "low_loss", (*spectra.shape[:-1], energy.size), remedy="give one count per energy, energy last"
    )
    peak = energy[spectra.argmax(axis=-1)]
    zero_loss = np.where(energy <= (peak + end)[..., None], spectra, 0.0).sum(axis=-1)
    total = spectra.sum(axis=-1)
    measured = (zero_loss > 0) & (total > 0)
    ratio = np.divide(total, zero_loss, out=np.full(total.shape, np.nan), where=measured)
    return np.asarray(np.log(ratio))
