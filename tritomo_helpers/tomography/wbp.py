"""Weighted back-projection: the inverse formula, for whatever tilts there are."""

import numpy as np
from scipy import fft

from .._typing import Floats, Floats32
from ..projection import Projector


def weighted_back_projection(projector: Projector, images: Floats32, *, cutoff: float = 1.0) -> Floats32:
    r"""Filter every image with a ramp and smear it back.

    .. math:: v = \sum_t \Delta\theta_t\, A_t^\top\, \mathcal{F}^{-1} \bigl[ |k|\, w(k)\, \mathcal{F} b_t \bigr]

    The ramp undoes the crowding of tilts near zero frequency. It also amplifies noise, so a Hann window w ends it at
    `cutoff` x Nyquist.
    """
    n_x = images.shape[2]
    n_fft = int(fft.next_fast_len(2 * n_x, real=True))
    filtered = fft.irfft(fft.rfft(images, n_fft, axis=2) * _ramp(n_fft, cutoff), n_fft, axis=2)[..., :n_x]
    shares = angle_shares(projector.tilt_angles_deg).astype(np.float32)
    return projector.adjoint(filtered * shares[:, None, None])


def _ramp(n_fft: int, cutoff: float) -> Floats32:
    """Transfer function of the ramp, made from its kernel in space so that zero frequency is not lost."""
    lag = np.minimum(np.arange(n_fft), n_fft - np.arange(n_fft))
    kernel = np.zeros(n_fft)
    kernel[0] = 0.25
    odd = lag % 2 == 1
    kernel[odd] = -1 / (np.pi * lag[odd]) ** 2
    k = fft.rfftfreq(n_fft) * 2
    window = np.where(k < cutoff, 0.5 + 0.5 * np.cos(np.pi * np.minimum(k / cutoff, 1)), 0.0)
    return np.asarray(fft.rfft(kernel).real * window, dtype=np.float32)


def angle_shares(angles_deg: Floats) -> Floats:
    """Angle that each tilt stands for, radians.

    Half way to its neighbors, and as far outward at the ends of the wedge. Tilts 180 degrees apart show the same, so
    over a range of 180 degrees or more the neighbors are those on the half circle, and the shares add up to pi.

    Examples
    --------
    >>> np.rad2deg(angle_shares(np.array([-60.0, -20.0, 0.0, 40.0]))).round(9).tolist()
    [40.0, 30.0, 30.0, 40.0]
    >>> np.rad2deg(angle_shares(np.arange(0.0, 360.0, 45.0))).round(9).tolist()
    [22.5, 22.5, 22.5, 22.5, 22.5, 22.5, 22.5, 22.5]
    """
    if angles_deg.size == 1:
        return np.array([np.pi])
    width = float(angles_deg[-1] - angles_deg[0])
    if width < 180:
        steps = np.diff(np.deg2rad(angles_deg))
        first, last = (min(step, np.pi - np.deg2rad(width)) for step in (steps[0], steps[-1]))
        return np.asarray((np.concatenate([[first], steps]) + np.concatenate([steps, [last]])) / 2)
    directions, of_tilt, n_same = np.unique(
        np.round(angles_deg % 180, 6) % 180, return_inverse=True, return_counts=True
    )
    ahead = np.deg2rad(np.diff(directions, append=directions[0] + 180))
    return np.asarray(((ahead + np.roll(ahead, 1)) / 2 / n_same)[of_tilt])
