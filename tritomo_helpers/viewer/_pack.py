"""Volumes made small enough for a page: decimal steps, differences, deflate.

Values become whole multiples of a power of ten, so the page shows every one of them to its last digit exactly. Where
the multiples are smooth their differences along some axes are kept instead; of a few choices the smallest is taken.
"""

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail

N_LEVELS = 400  # a step is at most this fraction of the range: finer than a color map's 256 colors
MAX_CODE = 2**26  # leaves room in 32 bits for differences along three axes
MAX_VOXELS = 320**3
OVERHEAD_BYTES = 75_000  # script, style and still picture, about


def budget_bytes(n_values: int) -> int:
    """Page bytes allowed for `n_values`: 0.5 MB up to 64^3, then in proportion through 1 MB at 128^3."""
    return int(0.5e6 + 0.5e6 * max(0, n_values - 64**3) / (128**3 - 64**3))


def as_values(array: Any, what: str) -> NDArray[np.float64]:
    """Return a container's array as float64, or raise ValueError when it cannot be drawn."""
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
    values = values.astype(np.float64)
    if np.isinf(values).any():
        raise fail(what, expected="finite values or NaN", got="infinity", remedy="set what was not measured to NaN")
    return values


def pack(volumes: Sequence[NDArray[np.float64]], *, span: float | None = None) -> tuple[list[dict[str, Any]], int]:
    """Encode volumes with one common step.

    Parameters
    ----------
    volumes : sequence of ndarray of float64
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
    finite = np.concatenate([v[np.isfinite(v)] for v in volumes])
    room = budget_bytes(sum(v.size for v in volumes)) - OVERHEAD_BYTES
    *finer, coarsest = _exponents(finite, span)
    for exponent in finer:
        drafts = [_draft(v, exponent) for v in volumes]
        if sum(4 / 3 * draft.n_bytes for draft in drafts) > 1.2 * room:
            continue
        encoded = [draft.finish() for draft in drafts]
        if sum(len(e["data"]) for e in encoded) <= room:
            return encoded, exponent
    return [_draft(v, coarsest).finish() for v in volumes], coarsest


def _exponents(finite: NDArray[np.float64], span: float | None) -> list[int]:
    """Powers of ten to try as step, finest first."""
    if finite.size == 0:
        return [0]
    low, high = float(finite.min()), float(finite.max())
    widths = [w for w in (high - low, span) if w]
    width = min(widths) if widths else (abs(high) or 1.0)
    exponent = math.floor(math.log10(width / N_LEVELS) + 1e-9)
    coarsest = math.ceil(math.log10(max((high - low) / MAX_CODE, max(abs(high), abs(low)) / 2**50, 1e-300)))
    choices = [exponent, exponent + 1]
    if np.array_equal(finite, np.rint(finite)):  # counts and labels: whole, and exact where that is not too long
        choices = [0 if width <= 1e5 else max(exponent, 0), max(exponent, 0), max(exponent + 1, 0)]
    return list(dict.fromkeys(max(p, coarsest) for p in choices))


def to_steps(values: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Return values as whole multiples of 10**exponent, NaN kept."""
    scaled = values * 10.0**-exponent if exponent < 0 else values / 10.0**exponent
    return np.rint(scaled)


@dataclass(frozen=True)
class _Draft:
    """Bytes before they are squeezed as far as they go."""

    head: dict[str, Any]
    raw: bytes
    n_bytes: int

    def finish(self) -> dict[str, Any]:
        strategies = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY)  # noise wants the last
        stream = min((_deflate(self.raw, strategy) for strategy in strategies), key=len)
        return self.head | {"data": base64.b64encode(stream).decode("ascii")}


def _draft(values: NDArray[np.float64], exponent: int) -> _Draft:
    steps = to_steps(values, exponent)
    finite = np.isfinite(steps)
    first = int(steps[finite].min()) if finite.any() else 0
    return _draft_codes(np.where(finite, steps - (first - 1), 0).astype(np.int64), first)  # 0 is "not measured"


def encode_codes(codes: NDArray[np.int64]) -> dict[str, Any]:
    """Encode whole numbers on three axes, zero or above, in the smallest of the ways tried."""
    return _draft_codes(codes, 1).finish()


def _draft_codes(codes: NDArray[np.int64], first: int) -> _Draft:
    choices = [(axes, *_planes(codes, axes)) for axes in ((), (2,), (1, 2), (0, 1, 2))]
    sizes = [len(_deflate(raw, zlib.Z_RLE)) for *_, raw in choices]  # quick, and ranks them well
    best = int(np.argmin(sizes))
    axes, n_planes, raw = choices[best]
    return _Draft(
        {"shape": list(codes.shape), "first": first, "axes": list(axes), "planes": n_planes}, raw, sizes[best]
    )


def _planes(codes: NDArray[np.int64], axes: tuple[int, ...]) -> tuple[int, bytes]:
    """Take differences along `axes`, fold them to positive numbers, and put low bytes before high bytes."""
    for axis in axes:
        codes = np.diff(codes, axis=axis, prepend=0)
    folded = np.where(codes < 0, -2 * codes - 1, 2 * codes) if axes else codes
    n_planes = max(1, (int(folded.max()).bit_length() + 7) // 8)
    return n_planes, b"".join(((folded >> 8 * i) & 255).astype(np.uint8).tobytes() for i in range(n_planes))


def _deflate(raw: bytes, strategy: int) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, 15, 9, strategy)
    return stream.compress(raw) + stream.flush()


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
