"""Weighted back-projection: the inverse formula, for whatever tilts there are."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ._problem import Problem, Volume


def weighted_back_projection(problem: Problem, *, cutoff: float = 1.0) -> Volume:
    r"""Filter every image with a ramp and smear it back.

    .. math:: v = \sum_t \Delta\theta_t\, A_t^\top\, \mathcal{F}^{-1} \bigl[ |k|\, w(k)\, \mathcal{F} b_t \bigr]

    The ramp undoes the crowding of tilts near zero frequency. It also amplifies noise, so a Hann window w ends it at
    `cutoff` x Nyquist.
    """
    n_x = problem.images.shape[2]
    n_fft = int(fft.next_fast_len(2 * n_x, real=True))
    filtered = fft.irfft(fft.rfft(problem.images, n_fft, axis=2) * _ramp(n_fft, cutoff), n_fft, axis=2)[..., :n_x]
    weights = _angle_shares(problem.angles_deg).astype(np.float32)
    return problem.constrain(problem.projector.adjoint(filtered * weights[:, None, None]))


def _ramp(n_fft: int, cutoff: float) -> NDArray[np.float32]:
    """Transfer function of the ramp, made from its kernel in space so that zero frequency is not lost."""
    lag = np.minimum(np.arange(n_fft), n_fft - np.arange(n_fft))
    kernel = np.zeros(n_fft)
    kernel[0] = 0.25
    odd = lag % 2 == 1
    kernel[odd] = -1 / (np.pi * lag[odd]) ** 2
    k = fft.rfftfreq(n_fft) * 2
    window = np.where(k < cutoff, 0.5 + 0.5 * np.cos(np.pi * np.minimum(k / cutoff, 1)), 0.0)
    return np.asarray(fft.rfft(kernel).real * window, dtype=np.float32)


def _angle_shares(angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle that each tilt stands for, radians: half way to its neighbors, and as far outward at the ends."""
    if angles_deg.size == 1:
        return np.array([np.pi])
    steps = np.diff(np.deg2rad(angles_deg))
    return np.asarray((np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])) / 2)
