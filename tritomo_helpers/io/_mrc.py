"""Write MRC (2014): what IMOD, Dragonfly, Amira, ChimeraX and Tomviz open."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ._formats import LABEL

_MODES = {"int16": 1, "float32": 2, "uint16": 6}

# Byte order on disk is little-endian; the names are those of the MRC2014 specification.
_HEADER = np.dtype(
    [
        ("n", "<i4", 3), ("mode", "<i4"), ("nstart", "<i4", 3), ("m", "<i4", 3), ("cell_a", "<f4", 3),
        ("cell_b", "<f4", 3), ("map", "<i4", 3), ("dmin", "<f4"), ("dmax", "<f4"), ("dmean", "<f4"), ("ispg", "<i4"),
        ("nsymbt", "<i4"), ("extra1", "V8"), ("exttyp", "S4"), ("nversion", "<i4"), ("extra2", "V84"),
        ("origin", "<f4", 3), ("name", "S4"), ("machst", "u1", 4), ("rms", "<f4"), ("nlabl", "<i4"),
        ("label", "S80", 10),
    ]
)  # fmt: skip


def storable(array: Any, path: Path) -> NDArray[np.float32 | np.int16 | np.uint16]:
    """Return `array` in memory in a number type that MRC and VTK readers agree on.

    int16, uint16 and float32 stay; other real types become the smallest of these that holds every value, in the end
    float32 (24 bits of precision).
    """
    values = np.ascontiguousarray(array)
    if values.dtype.kind not in "biuf":
        raise fail(
            f"file {path.name}", expected="real numbers", got=f"{values.dtype}", remedy="save amplitude and phase apart"
        )
    if values.dtype.name in _MODES:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "biu":
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        for name in ("int16", "uint16"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return values.astype(name)
    return values.astype(np.float32)


def write_mrc(array: Any, path: Path, *, step_nm: float, label: str, volume: bool) -> None:
    """Write (z or tilt, y, x); row 0 comes first, which some programs show at the bottom."""
    values = storable(array, path)
    header = np.zeros((), dtype=_HEADER)
    header["n"] = header["m"] = values.shape[::-1]
    header["mode"] = _MODES[values.dtype.name]
    header["cell_a"] = np.array(values.shape[::-1]) * step_nm * 10  # the format counts in Å
    header["cell_b"] = 90
    header["map"] = (1, 2, 3)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size:
        header["dmin"], header["dmax"] = finite.min(), finite.max()
        header["dmean"] = finite.mean(dtype=np.float64)
        header["rms"] = finite.std(dtype=np.float64)
    header["ispg"] = 1 if volume else 0
    header["nversion"] = 20140
    if volume:  # index N // 2 lies at 0
        header["origin"] = [-(n // 2) * step_nm * 10 for n in values.shape[::-1]]
    header["name"] = b"MAP "
    header["machst"] = (0x44, 0x44, 0, 0)
    header["nlabl"] = 1
    header["label"][0] = (LABEL + label).encode("utf-8")[:80]
    with path.open("wb") as out:
        out.write(header.tobytes())
        out.write(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
