"""Spectra that do not fit into memory, a block at a time."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from .._validation import check_shape, checked

_BLOCK_BYTES = 8_000_000


@checked
def over_spectra(counts: Any, function: Callable[..., Any], *more: Any) -> Any:
    """Apply a function of many spectra to numpy arrays, memory maps or Dask arrays, in bounded memory.

    Parameters
    ----------
    counts : array, shape (..., energy)
        Spectra, energy last; Dask arrays are computed a group of their chunks along the first axis at a time.
    function : callable
        Receives a block of spectra, shape (n, energy), of the dtype that is stored, and the same block of each array
        in `more`. Returns an array of shape (n, ...) or a tuple of such arrays.
    *more : arrays, shape (..., anything)
        Go along with `counts`: their leading axes are the same, such as the low loss beside the core loss.

    Returns
    -------
    ndarray or tuple of ndarray, shape (..., ...)
        What `function` returns, with the leading axes of `counts`.

    Raises
    ------
    ValueError
        If the leading axes differ.

    Notes
    -----
    A block holds at most 8 MB of double-precision spectra. Beyond the result, that block and what `function` makes of
    it, memory holds one group of Dask chunks: rechunk to one tilt if chunks are large.

    Examples
    --------
    >>> series = np.arange(24.0).reshape(2, 3, 4)
    >>> over_spectra(series, lambda spectra: spectra.sum(axis=1))
    array([[ 6., 22., 38.],
           [54., 70., 86.]])
    """
    sources = [source if hasattr(source, "shape") else np.asarray(source) for source in (counts, *more)]
    leading = sources[0].shape[:-1]
    for i, source in enumerate(sources[1:], 1):
        check_shape(source, f"array {i} beside counts", (*leading, source.shape[-1]), remedy="take both from one scan")
    results: list[np.ndarray] | None = None
    single = True
    n_before = 0
    for block in _blocks(sources):
        made = function(*block)
        single = not isinstance(made, tuple)
        parts = (made,) if single else made
        if results is None:
            n = int(np.prod(leading, dtype=int))
            results = [np.empty((n, *np.shape(p)[1:]), dtype=np.asarray(p).dtype) for p in parts]
        for result, block_result in zip(results, parts, strict=True):
            result[n_before : n_before + block[0].shape[0]] = block_result
        n_before += block[0].shape[0]
    maps = tuple(result.reshape((*leading, *result.shape[1:])) for result in results or ())
    return maps[0] if single else maps


def _blocks(sources: list[Any]) -> Iterator[list[np.ndarray]]:
    """Yield the spectra of all sources, flattened, in blocks of bounded size; an empty source makes one empty block."""
    n_energies = max(source.shape[-1] for source in sources)
    n_block = max(1, _BLOCK_BYTES // (8 * max(n_energies, 1)))
    for rows in _row_slices(sources):
        flat = [np.asarray(source[rows] if source.ndim > 1 else source) for source in sources]
        flat = [values.reshape(-1, values.shape[-1]) for values in flat]
        for start in range(0, max(flat[0].shape[0], 1), n_block):
            yield [values[start : start + n_block] for values in flat]


def _row_slices(sources: list[Any]) -> list[slice]:
    """Cut the first axis where the Dask chunks of all sources end, or anywhere without Dask."""
    if sources[0].ndim == 1:
        return [slice(None)]
    n_rows = sources[0].shape[0]
    per_row = sum(8 * int(np.prod(source.shape[1:], dtype=int)) for source in sources)
    n_group = max(1, _BLOCK_BYTES // max(per_row, 1))
    allowed = set(range(n_rows + 1))
    for source in sources:
        if hasattr(source, "chunks") and hasattr(source, "dask"):
            allowed &= {0, *np.cumsum(source.chunks[0]).tolist()}
    cuts = [0]
    ends = sorted(allowed | {n_rows})
    for end, following in zip(ends[1:], [*ends[2:], None], strict=True):
        if following is None or following - cuts[-1] > n_group:
            cuts.append(end)
    return [slice(a, b) for a, b in pairwise(cuts)] or [slice(0, 0)]
