"""Compressed chunks of HDF5 made on all cores, where the HDF5 library makes them on one."""

import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKING = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""How the datasets are made that `write_chunks` fills."""


MOST_WORKERS = 4
"""Each holds a tilt and its bytes in memory."""


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a chunk: one tilt or slice, so that it can be read alone."""
    return (1, *shape[1:])


def write_chunks(dataset: Any, values: NDArray[Any]) -> None:
    """Fill an HDF5 dataset whose chunks are single tilts or slices, made with `PACKING`.

    The bytes are what HDF5's own filters read: shuffled, then deflated. Counts repeat zeros and little else, so that
    searching for runs alone is quicker than the usual search and leaves smaller files.
    """
    n_workers = min(os.cpu_count() or 1, MOST_WORKERS)
    with ThreadPoolExecutor(n_workers) as pool:
        packed: deque[tuple[int, Future[bytes]]] = deque()
        for index in range(len(values)):
            packed.append((index, pool.submit(_pack, values[index])))
            if len(packed) > n_workers:  # no more than these are held in memory
                _put(dataset, *packed.popleft())
        for index, future in packed:
            _put(dataset, index, future)


def _put(dataset: Any, index: int, packed: "Future[bytes]") -> None:
    dataset.id.write_direct_chunk((index, *(0,) * (dataset.ndim - 1)), packed.result())


def _pack(values: NDArray[Any]) -> bytes:
    single = np.ascontiguousarray(values)
    n_bytes = single.itemsize
    shuffled = np.ascontiguousarray(single.reshape(-1).view(np.uint8).reshape(-1, n_bytes).T)
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(shuffled.data) + packer.flush()
