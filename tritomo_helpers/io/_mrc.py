"""MRC stacks and volumes as IMOD, SerialEM, FEI, Dragonfly and ChimeraX write and open them; by way of mrcfile."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ._guard import reading, unreadable
from ._stored import SECTION, Stored, space_axes

LABEL = "tritomo:"
"""Begins the MRC label that holds what the array shows."""

LABEL_BYTES = 80

_SINGLE_PRECISION = ("int16", "float32", "uint16")
_IMOD_STAMP = 1146047817
_OLD_FEI = 131072  # bytes of its extended header: 1024 records of 32 floats
_OLD_FEI_PIXEL = 11  # index of the pixel size in a record


def read_mrc(path: Path) -> list[Stored]:
    """Return the one array of an MRC file (z or tilt, y, x) as a memory map, its axes in nm."""
    import mrcfile

    with reading(path), mrcfile.mmap(path, permissive=True) as file:
        header, extended, data = file.header.copy(), file.extended_header, file.data
        indexed = file.indexed_extended_header if str(file.header.exttyp, "ascii")[:3] == "FEI" else None
        angles, step_nm = _extended(header, extended, indexed)
    if data is None:
        raise unreadable(path, "fewer bytes than its header says")
    if int(header.ispg) == 401:
        raise fail(
            f"file {path.name}",
            expected="one stack of images or one volume",
            got="a stack of volumes (ISPG 401)",
            remedy="save the volumes to separate files",
        )
    with reading(path):
        data = _in_order(_signed(data, header), header)
        steps = [step_nm] * 3 if step_nm else _steps_nm(header)
        axes = space_axes((SECTION, "y", "x"), steps, data.shape)
        label = _label(header)
    ours = label.startswith(LABEL)
    kind = ("Tomogram" if int(header.ispg) == 1 else "TiltSeries") if ours else ""
    title = label.removeprefix(LABEL).strip() if ours else ""
    return [Stored(data, axes, title=title, angles_deg=angles, container=kind)]


def _signed(data: Any, header: Any) -> Any:
    """Bytes of mode 0 are signed, except where IMOD says that it wrote unsigned ones."""
    stamp, flags = np.frombuffer(header.tobytes()[152:160], dtype=header.nx.dtype)
    unsigned = int(stamp) == _IMOD_STAMP and not int(flags) & 1
    return data.view(np.uint8) if data.dtype == np.int8 and unsigned else data


def _in_order(data: Any, header: Any) -> Any:
    """Return the data with sections, rows and columns along z, y, x, as MAPC, MAPR and MAPS name them."""
    data = data.reshape((int(header.nz), int(header.ny), int(header.nx)))
    named = [int(header.maps), int(header.mapr), int(header.mapc)]
    if sorted(named) != [1, 2, 3]:  # not filled in, as old programs leave it
        return data
    return np.transpose(data, [named.index(3), named.index(2), named.index(1)])


def _steps_nm(header: Any) -> list[float]:
    lengths, counts = header.cella, (header.mz, header.my, header.mx)
    cell = (lengths.z, lengths.y, lengths.x)
    return [float(length) / max(int(n), 1) / 10 for length, n in zip(cell, counts, strict=True)]


def _label(header: Any) -> str:
    return bytes(header.label[0]).decode("utf-8", errors="ignore").strip(" \0")


def _extended(header: Any, extended: Any, indexed: Any) -> tuple[NDArray[np.float64] | None, float]:
    """Return the angle of every image and the pixel size in nm, as far as an extended header has them."""
    n = int(header.nz)
    if indexed is not None and len(indexed) >= n:
        return _recorded(indexed["Alpha tilt"][:n]), float(indexed["Pixel size X"][0]) * 1e9
    order = header.nx.dtype.byteorder
    if int(header.nsymbt) == _OLD_FEI:
        records = np.frombuffer(extended.tobytes(), dtype=np.dtype("f4").newbyteorder(order)).reshape(-1, 32)
        return _recorded(records[:n, 0]), float(records[0, _OLD_FEI_PIXEL]) * 1e9
    if bytes(header.exttyp) == b"SERI":  # two numbers of the header say how long a record is and what is in it
        record, contents = np.frombuffer(header.tobytes()[128:132], dtype=np.dtype("i2").newbyteorder(order))
        if contents & 1 and record >= 2 and record * n <= int(header.nsymbt):
            shorts = np.frombuffer(extended.tobytes()[: record * n], dtype=np.dtype("i2").newbyteorder(order))
            return _recorded(shorts.reshape(n, -1)[:, 0] / 100), 0.0
    return None, 0.0


def _recorded(angles: Any) -> NDArray[np.float64] | None:
    """Angles that are all equal mean that the stage was not recorded, whatever the header says."""
    values = np.asarray(angles, dtype=np.float64)
    return values if values.size and np.ptp(values) > 0 else None


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
    if values.dtype.name in _SINGLE_PRECISION:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "biu":
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        for name in ("int16", "uint16"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return values.astype(name)
    return values.astype(np.float32)


def _fitting(label: str, path: Path) -> bytes:
    """Return a label in the 80 bytes that the format has for it, with a warning where it is longer."""
    encoded = label.encode()
    if len(encoded) > LABEL_BYTES:
        warnings.warn(f"{path.name}: the label is cut after {LABEL_BYTES} bytes: {label!r}", stacklevel=4)
    return encoded[:LABEL_BYTES].decode(errors="ignore").encode()


def write_mrc(array: Any, path: Path, *, step_nm: float, label: str, volume: bool) -> None:
    """Write (z or tilt, y, x); row 0 comes first, which some programs show at the bottom."""
    import mrcfile

    values = storable(array, path)
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as file:
        warnings.filterwarnings("ignore", message="Data array contains", category=RuntimeWarning)  # NaN is not measured
        file.set_data(values)
        if volume:
            file.set_volume()  # and one section is a volume too
            file.header.origin = tuple(-(n // 2) * step_nm * 10 for n in values.shape[::-1])  # index N // 2 lies at 0
        else:
            file.set_image_stack()
        file.voxel_size = step_nm * 10  # the format counts in Å
        if not volume:
            file.header.cella.z = values.shape[0] * step_nm * 10
            file.header.mz = values.shape[0]
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size:
            file.header.dmin, file.header.dmax = finite.min(), finite.max()
            file.header.dmean = finite.mean(dtype=np.float64)
            file.header.rms = finite.std(dtype=np.float64)
        file.header.label = b""
        file.header.label[0] = _fitting(f"{LABEL} {label}", path)
        file.header.nlabl = 1
