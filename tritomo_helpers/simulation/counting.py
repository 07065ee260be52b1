"""Counting the spectra of many pixels, block by block."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Pixels simulated at once: their spectra in single precision are 4 MB, and fit the processor's cache."""


def count_in_blocks(
    count: Callable[[slice, np.random.Generator], NDArray[Any]],
    *,
    n_pixels: int,
    n_channels: int,
    dtype: Any,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Count the spectra of one exposure block by block on all cores, the same on any number of them.

    Parameters
    ----------
    count : callable
        Takes a slice of pixels and a generator, returns the counts (pixel, energy).
    n_pixels, n_channels : int
        Size of the exposure.
    dtype
        Of the counts.
    rng : numpy.random.Generator
        Every block gets a stream of its own, spawned from this one.

    Returns
    -------
    ndarray, shape (n_pixels, n_channels)
    """
    result = np.empty((n_pixels, n_channels), dtype=dtype)
    starts = range(0, n_pixels, BLOCK)
    # SFC64 is half again as fast as the default generator, for the many millions of Poisson numbers here.
    seeds = rng.bit_generator.seed_seq.spawn(len(starts))  # type: ignore[attr-defined]

    def fill(start: int, seed: np.random.SeedSequence) -> None:
        part = slice(start, min(start + BLOCK, n_pixels))
        result[part] = count(part, np.random.Generator(np.random.SFC64(seed)))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(fill, starts, seeds))
    return result
