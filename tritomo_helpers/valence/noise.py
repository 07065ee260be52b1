"""Noise of counts from the scatter between neighboring pixels, never from the residuals of a fit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import fail

_BLOCK = 32
SMOOTH_WINDOWS_EV = ((603.0, 632.0), (700.0, 760.0), (815.0, 845.0))
"""Where core-loss spectra hold no white line, eV."""


def neighbor_statistics(spectra: NDArray[np.float32], energy_ev: Floats) -> Floats:
    r"""Compare every spectrum with its right neighbor, in blocks of channels without a feature.

    With the ratio :math:`\rho` of the block's sums, :math:`D = I_1 - \rho I_2` has no mean and

    .. math:: \operatorname{var} D = g\,(\bar I_1 + \rho^2 \bar I_2) + r^2 (1 + \rho^2)

    for a variance of g per count and a readout variance r².

    Parameters
    ----------
    spectra : ndarray, shape (y, x, energy)
        Core-loss spectra of one tilt, aligned in energy.
    energy_ev : ndarray, shape (energy,)

    Returns
    -------
    ndarray, shape (3, n)
        Variance of D, the factor of g, the factor of r², per pair and block.
    """
    rows = []
    for low, high in SMOOTH_WINDOWS_EV:
        inside = np.flatnonzero((energy_ev >= low) & (energy_ev <= high))
        for start in range(0, inside.size - _BLOCK + 1, _BLOCK):
            block = spectra[..., inside[start] : inside[start] + _BLOCK].astype(np.float64)
            left, right = block[:, :-1], block[:, 1:]
            left_mean, right_mean = left.mean(axis=-1), right.mean(axis=-1)
            usable = (left_mean > 0) & (right_mean > 0)
            ratio = np.divide(left_mean, right_mean, out=np.zeros_like(left_mean), where=usable)
            # Pairs across the edge of a particle would compare a spectrum with almost nothing.
            usable &= (ratio > 0.5) & (ratio < 2)
            variance = (left - ratio[..., None] * right).var(axis=-1, ddof=1)
            rows.append(np.stack([variance, left_mean + ratio**2 * right_mean, 1 + ratio**2])[:, usable])
    return np.concatenate(rows, axis=1) if rows else np.empty((3, 0))


def estimate_noise(statistics: Sequence[Floats]) -> tuple[float, float]:
    """Return variance per count and readout variance from `neighbor_statistics` of several tilts.

    Parameters
    ----------
    statistics : sequence of ndarray, shape (3, n)

    Returns
    -------
    variance_per_count : float
        1 for counted electrons; the gain of a detector otherwise.
    readout_variance : float
        Counts squared per channel; never negative.

    Raises
    ------
    ValueError
        If there are too few pairs of pixels with counts.
    """
    variance, per_count, readout = np.concatenate(statistics, axis=1)
    if variance.size < 100:
        raise fail(
            "core_loss",
            expected="at least 100 pairs of neighboring pixels with counts, to estimate the noise",
            got=variance.size,
            remedy="give variance_per_count and readout_variance",
        )
    gain, floor = 1.0, 1.0
    for _ in range(4):
        weight = 1 / np.maximum(gain * per_count + floor * readout, 1e-12) ** 2
        normal = np.array(
            [
                [np.sum(weight * per_count**2), np.sum(weight * per_count * readout)],
                [np.sum(weight * per_count * readout), np.sum(weight * readout**2)],
            ]
        )
        right = np.array([np.sum(weight * per_count * variance), np.sum(weight * readout * variance)])
        gain, floor = np.linalg.solve(normal, right)
        if floor < 0:
            floor, gain = 0.0, right[0] / normal[0, 0]
    return float(gain), float(floor)
