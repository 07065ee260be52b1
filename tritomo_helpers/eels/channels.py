"""Channels that cannot be used: not finite, saturated or dead."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import fail

_LIVE_COUNTS = 30
# Noise lets the largest count of an image occur twice side by side, but hardly three times in many of its spectra.
_CLIPPED_CHANNELS, _CLIPPED_SHARE, _CLIPPED_FROM = 3, 0.1, 255


def check_channels(counts: NDArray[Any], energy_ev: Floats, name: str = "counts") -> None:
    """Raise ValueError for dead, saturated or NaN channels in a block of spectra.

    Parameters
    ----------
    counts : ndarray, shape (n, energy)
    energy_ev : ndarray, shape (energy,)
    name : str
        Of the argument, for the message.

    Examples
    --------
    >>> spectra = np.full((4, 5), 100)
    >>> spectra[:, 2] = 0
    >>> check_channels(spectra, np.arange(600.0, 605.0))
    Traceback (most recent call last):
    ...
    ValueError: counts: expected live channels in the selected range, got dead channels at 602 eV. To fix: interpolate
    over these channels, or leave the spectra out.
    """
    bad, what = _bad_channels(counts)
    if bad.any():
        where = ", ".join(f"{e:g}" for e in energy_ev[bad][:4])
        raise fail(
            name,
            expected="live channels in the selected range",
            got=f"{what} at {where} eV",
            remedy="interpolate over these channels, or leave the spectra out",
        )


def _bad_channels(counts: NDArray[Any]) -> tuple[NDArray[np.bool_], str]:
    total = counts.sum(axis=0, dtype=float)
    if not np.isfinite(total).all():
        return ~np.isfinite(total), "NaN or infinite values"
    highest = counts.max(initial=0)
    at_end = counts == highest
    full = np.issubdtype(counts.dtype, np.integer) and highest == np.iinfo(counts.dtype).max
    clipped = (at_end.sum(axis=1) >= _CLIPPED_CHANNELS).mean() > _CLIPPED_SHARE if counts.size else False
    # A whole spectrum of one value is flat, not clipped.
    clipped = clipped and highest >= _CLIPPED_FROM and at_end.mean() < 0.5
    if full or clipped:
        return at_end.any(axis=0), "saturated channels"
    dead = (total == 0) & (np.median(total) > _LIVE_COUNTS)
    live = np.flatnonzero(total)
    if live.size:
        # Beyond the first and last live channel nothing was recorded, or shifted in.
        dead[: live[0]] = dead[live[-1] :] = False
    return dead, "dead channels"
