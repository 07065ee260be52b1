"""Volumes made small enough for a page: decimal steps, differences, deflate.

Values become whole multiples of a power of ten, so the page shows every one of them to its last digit exactly. Where
the multiples are smooth their differences along some axes are kept instead; of a few choices the smallest is taken.
"""

import base64
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail

N_LEVELS = 400  # a step is at most this fraction of the range: finer than a color map's 256 colors
MAX_CODE = 2**26  # leaves room in 32 bits for differences along three axes
MAX_VOXELS = 320**3
SLAB_VALUES = 2**20  # handled at a time, so that memory stays small beside the volume
OVERHEAD_BYTES = 75_000  # script, style and still picture, about


def budget_bytes(n_values: int) -> int:
    """Page bytes allowed for `n_values`: 0.5 MB up to 64^3, then in proportion through 1 MB at 128^3."""
    return int(0.5e6 + 0.5e6 * max(0, n_values - 64**3) / (128**3 - 64**3))


@dataclass(frozen=True)
class Extent:
    """Least and largest value of some volumes (NaN where nothing is measured), and what kind of values they are."""

    low: float
    high: float
    whole: bool
    missing: bool


def as_values(array: Any, what: str) -> NDArray[Any]:
    """Return a container's array as numbers in memory, or raise ValueError when it cannot be drawn."""
    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise fail(
            what, expected="real numbers", got=f"dtype {values.dtype}", remedy="show the real part or the magnitude"
        )
    if values.size == 0 or values.size > MAX_VOXELS:
        raise fail(
            what,
            expected=f"1 to {MAX_VOXELS} values",
            got=f"shape {values.shape}",
            remedy="crop to the particle or bin it before showing it",
        )
    if any(np.isinf(slab).any() for slab in _slabs(values)):
        raise fail(what, expected="finite values or NaN", got="infinity", remedy="set what was not measured to NaN")
    return values


def extent(volumes: Sequence[NDArray[Any]]) -> Extent:
    """Return what the color scale and the steps depend on.

    Examples
    --------
    >>> extent([np.array([[[1.0, np.nan, 3.0]]])])
    Extent(low=1.0, high=3.0, whole=True, missing=True)
    """
    low, high, whole, missing = math.inf, -math.inf, True, False
    for values in volumes:
        for slab in _slabs(values):
            finite = slab[np.isfinite(slab)]
            missing = missing or finite.size < slab.size
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                whole = whole and np.array_equal(finite, np.rint(finite))
    return Extent(low, high, whole, missing) if low <= high else Extent(math.nan, math.nan, True, missing)


def pack(volumes: Sequence[NDArray[Any]], *, span: float | None = None) -> tuple[list[dict[str, Any]], int]:
    """Encode volumes with one common step, slab by slab: four bytes of memory for each value.

    Parameters
    ----------
    volumes : sequence of ndarray
        Finite or NaN.
    span : float, optional
        Width of the color scale, when narrower than the data.

    Returns
    -------
    list of dict
        For each volume what the page needs to rebuild it; ``data`` is base64 of a zlib stream.
    int
        Exponent p: the values shown are whole multiples of 10**p.
    """
    room = budget_bytes(sum(v.size for v in volumes)) - OVERHEAD_BYTES
    *finer, coarsest = _exponents(extent(volumes), span)
    for exponent in finer:
        encoded = _within(volumes, exponent, room)
        if encoded is not None:
            return encoded, exponent
    return [_draft(v, coarsest).finish() for v in volumes], coarsest


def _within(volumes: Sequence[NDArray[Any]], exponent: int, room: float) -> list[dict[str, Any]] | None:
    """Return the volumes in steps of 10**exponent, or None when they are longer than `room` bytes."""
    drafts = [_draft(v, exponent) for v in volumes]
    if sum(4 / 3 * draft.n_bytes for draft in drafts) > 1.2 * room:
        return None
    encoded = [draft.finish() for draft in drafts]
    return encoded if sum(len(e["data"]) for e in encoded) <= room else None


def _exponents(values: Extent, span: float | None) -> list[int]:
    """Powers of ten to try as step, finest first."""
    low, high = values.low, values.high
    if math.isnan(low):
        return [0]
    widths = [w for w in (high - low, span) if w]
    width = min(widths) if widths else (abs(high) or 1.0)
    exponent = math.floor(math.log10(width / N_LEVELS) + 1e-9)
    coarsest = math.ceil(math.log10(max((high - low) / MAX_CODE, max(abs(high), abs(low)) / 2**50, 1e-300)))
    choices = [exponent, exponent + 1]
    if values.whole:  # counts and labels: whole, and exact where that is not too long
        choices = [0 if width <= 1e5 else max(exponent, 0), max(exponent, 0), max(exponent + 1, 0)]
    return list(dict.fromkeys(max(p, coarsest) for p in choices))


def to_steps(values: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Return values as whole multiples of 10**exponent, NaN kept."""
    scaled = values * 10.0**-exponent if exponent < 0 else values / 10.0**exponent
    return np.rint(scaled)


@dataclass(frozen=True)
class _Draft:
    """Codes, and the differences that make them small, before they are squeezed as far as they go."""

    head: dict[str, Any]
    codes: NDArray[np.int32]
    n_bytes: int

    def finish(self) -> dict[str, Any]:
        strategies = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY)  # noise wants the last
        axes, n_planes = tuple(self.head["axes"]), self.head["planes"]
        streams = (b"".join(_deflate(_plane_bytes(self.codes, axes, n_planes), strategy)) for strategy in strategies)
        return self.head | {"data": base64.b64encode(min(streams, key=len)).decode("ascii")}


def _slabs(values: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Yield the values a few slices at a time, as float64."""
    n = _slices_per_slab(values)
    for i in range(0, len(values), n):
        yield values[i : i + n].astype(np.float64)


def _slices_per_slab(values: NDArray[Any]) -> int:
    return max(1, SLAB_VALUES // max(1, int(values[0].size)))


def _draft(values: NDArray[Any], exponent: int) -> _Draft:
    low = np.array([extent([values]).low])
    first = 0 if np.isnan(low[0]) else int(to_steps(low, exponent)[0])
    codes = np.empty(values.shape, dtype=np.int32)
    n = _slices_per_slab(values)
    for i, slab in enumerate(_slabs(values)):
        steps = to_steps(slab, exponent)
        codes[i * n : (i + 1) * n] = np.where(np.isfinite(steps), steps - (first - 1), 0)  # 0 is "not measured"
    return _draft_codes(codes, first)


def encode_codes(codes: NDArray[np.int64]) -> dict[str, Any]:
    """Encode whole numbers on three axes, zero or above, in the smallest of the ways tried."""
    return _draft_codes(codes.astype(np.int32), 1).finish()


def _draft_codes(codes: NDArray[np.int32], first: int) -> _Draft:
    sizes = {}
    for axes in ((), (2,), (1, 2), (0, 1, 2)):
        n_planes = _n_planes(codes, axes)
        # Run lengths are quick, and rank the choices well.
        size = sum(map(len, _deflate(_plane_bytes(codes, axes, n_planes), zlib.Z_RLE)))
        sizes[axes] = (size, n_planes)
    axes = min(sizes, key=lambda choice: sizes[choice][0])
    head = {"shape": list(codes.shape), "first": first, "axes": list(axes), "planes": sizes[axes][1]}
    return _Draft(head, codes, sizes[axes][0])


def _n_planes(codes: NDArray[np.int32], axes: tuple[int, ...]) -> int:
    """Bytes that the largest difference needs."""
    largest = max(int(folded.max()) for folded in _folded(codes, axes))
    return max(1, (largest.bit_length() + 7) // 8)


def _folded(codes: NDArray[np.int32], axes: tuple[int, ...]) -> Iterator[NDArray[np.int32]]:
    """Yield slab by slab the differences along `axes`, folded to positive numbers."""
    n = _slices_per_slab(codes)
    for i in range(0, len(codes), n):
        block = codes[i : i + n]
        if 0 in axes:
            before = codes[i - 1 : i] if i else np.zeros_like(codes[:1])
            block = np.diff(block, axis=0, prepend=before)
        for axis in set(axes) - {0}:
            block = np.diff(block, axis=axis, prepend=np.int32(0))
        yield np.where(block < 0, -2 * block - 1, 2 * block) if axes else block


def _plane_bytes(codes: NDArray[np.int32], axes: tuple[int, ...], n_planes: int) -> Iterator[bytes]:
    """Yield the low bytes of all differences before their high bytes."""
    for plane in range(n_planes):
        for folded in _folded(codes, axes):
            yield ((folded >> 8 * plane) & 255).astype(np.uint8).tobytes()


def _deflate(pieces: Iterable[bytes], strategy: int) -> Iterator[bytes]:
    stream = zlib.compressobj(6, zlib.DEFLATED, 15, 9, strategy)
    for piece in pieces:
        yield stream.compress(piece)
    yield stream.flush()


def unpack(encoded: dict[str, Any], exponent: int) -> NDArray[np.float64]:
    """Rebuild the values as the page does (the script's twin, for tests and for reading a saved page)."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(encoded["data"])), np.uint8)
    planes = planes.reshape(encoded["planes"], *encoded["shape"]).astype(np.int64)
    codes = sum(plane << 8 * i for i, plane in enumerate(planes))
    if encoded["axes"]:
        codes = np.where(codes & 1, -(codes + 1) // 2, codes // 2)
    for axis in encoded["axes"]:
        codes = np.cumsum(codes, axis=axis)
    steps = np.where(codes == 0, np.nan, codes + encoded["first"] - 1.0)
    return steps / 10.0**-exponent if exponent < 0 else steps * 10.0**exponent
