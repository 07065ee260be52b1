"""The boundary to other people's readers: whatever they raise on a damaged file becomes one message of ours."""

import gc
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .._validation import fail

_IN_CYCLES = (".tif", ".tiff")
"""Formats whose reader keeps its open file in a ring of references."""

_MOST_COMPRESSED = 1100
"""Deflate makes at most one byte of a thousand; a file that claims more claims what it does not hold."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn anything that the block raises into a ValueError that names the file, and keep its warnings quiet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # readers raise whatever the damage happens to cause, zlib.error and MemoryError too
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file that a reader left open, and that is closed here
            _let_go(error, collect=path.suffix.lower() in _IN_CYCLES)
        raise unreadable(path, f"{type(error).__name__}: {error}") from error


def _let_go(error: BaseException | None, *, collect: bool) -> None:
    """Clear what the frames behind an error hold, and those behind the errors that led to it."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    if collect:
        gc.collect()


def unreadable(path: Path, problem: str) -> Exception:
    """Build the error for a file that cannot be read."""
    return fail(
        f"file {path.name}",
        expected=f"a readable {path.suffix} file",
        got=problem,
        remedy="check that the download or copy is complete",
    )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file within `reading`."""
    import h5py

    with reading(path), h5py.File(path, "r") as file:
        yield file


def check_size(path: Path, n_bytes: int, *, compressed: bool = True) -> None:
    """Raise ValueError if an array of `n_bytes` cannot come from this file, before memory is reserved for it."""
    most = path.stat().st_size * _MOST_COMPRESSED + 1_000_000 if compressed else path.stat().st_size
    if n_bytes > most:
        raise unreadable(path, f"an array of {n_bytes:.3g} bytes in a file of {path.stat().st_size}")


class GuardedArray:
    """An array on disk that dask reads in pieces; a damaged piece raises our error, whenever it is read."""

    def __init__(self, data: Any, path: Path) -> None:
        self.shape, self.dtype, self.ndim = tuple(data.shape), data.dtype, data.ndim
        self._data, self._path = data, path

    def __getitem__(self, key: Any) -> Any:
        with reading(self._path):
            piece = self._data[key]
            return np.asarray(piece.compute(scheduler="synchronous") if hasattr(piece, "dask") else piece)


class HDF5Array:
    """A dataset by file and name; the file is open only while a piece of it is read."""

    def __init__(self, dataset: Any, path: Path) -> None:
        self.shape, self.dtype, self.ndim = dataset.shape, dataset.dtype, len(dataset.shape)
        self._name, self._path = dataset.name, path

    def __getitem__(self, key: Any) -> Any:
        import h5py

        with h5py.File(self._path, "r") as file:
            return file[self._name][key]


def lazily(data: Any, path: Path, *, chunks: Any) -> Any:
    """Return a Dask array of something that can be sliced."""
    import dask.array as da

    # Without `meta` Dask would read a piece now, to see what it gets.
    meta = np.empty((0,) * data.ndim, dtype=data.dtype)
    return da.from_array(GuardedArray(data, path), chunks=chunks, name=False, meta=meta)


def in_memory(data: Any, path: Path) -> Any:
    """Return a numpy array of its own, read from whatever `data` is."""
    with reading(path):
        return np.array(data.compute(scheduler="synchronous") if hasattr(data, "dask") else data)
