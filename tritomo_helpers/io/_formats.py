"""Which reader opens which file, and what its answer looks like. The only place that calls RosettaSciIO's readers."""

import importlib
import struct
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail

READERS = {
    ".ali": "mrc",
    ".bcf": "bruker",
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".hspy": "hspy",
    ".mrc": "mrc",
    ".rec": "mrc",
    ".st": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
}
"""RosettaSciIO plugin by extension. zspy is left out: it needs zarr, and zarr may unpickle."""

_NM = {"å": 0.1, "angstrom": 0.1, "angstroms": 0.1, "pm": 1e-3, "nm": 1.0, "µm": 1e3, "μm": 1e3, "um": 1e3}
_EV = {"ev": 1.0, "kev": 1e3}
_DEGREES = ("deg", "degree", "degrees", "°")
_IMAGE_AXES = ("x", "y", "z", "width", "height")


@dataclass(frozen=True)
class Axis:
    """One axis of a stored array: values and step in its own units, and its kind: energy, tilt, space or unknown."""

    name: str
    units: str
    values: NDArray[np.float64]
    kind: str
    step: float

    @property
    def step_nm(self) -> float:
        """Distance between neighbors in nm, NaN when the axis is not in units of length."""
        factor = _NM.get(self.units.lower(), float("nan"))
        return abs(self.step) * factor

    @property
    def values_ev(self) -> NDArray[np.float64]:
        """Values in eV."""
        return self.values * _EV.get(self.units.lower(), 1.0)


@dataclass(frozen=True)
class Stored:
    """One array as a file holds it, with its axes in array order."""

    data: Any
    axes: tuple[Axis, ...]
    title: str
    signal_type: str
    original: Mapping[str, Any]

    def index(self, kind: str) -> int | None:
        """Position of the first axis of a kind, or None."""
        return next((i for i, axis in enumerate(self.axes) if axis.kind == kind), None)


def check_file(path: str | Path, extensions: Any = READERS) -> Path:
    """Return `path` as Path, or raise if the file is missing or its extension is not one of `extensions`."""
    path = Path(path).expanduser()
    if path.suffix.lower() not in extensions:
        raise fail(
            f"file {path.name}",
            expected=f"an extension among {' '.join(sorted(extensions))}",
            got=repr(path.suffix),
            remedy="export it from the acquisition program in one of these formats",
        )
    if not path.is_file():
        raise fail(
            f"file {path}",
            expected="a file",
            got="a folder" if path.is_dir() else "nothing there",
            remedy="check the path; datasets.fetch returns full paths",
            error=FileNotFoundError,
        )
    return path


LAZY_ABOVE_BYTES = 64_000_000
"""Spectra larger than this stay on disk (Dask) unless asked for."""


def read(path: str | Path, *, lazy: bool | None = None) -> list[Stored]:
    """Open every array in a file. Nothing is unpickled.

    An hspy file is read at once when it is small or `lazy` is False, because its lazy arrays keep the file open; other
    formats are lazy where they can be.
    """
    path = check_file(path)
    if path.suffix.lower() != ".hspy":
        lazy = True
    elif lazy is None:
        lazy = _largest_bytes(path) > LAZY_ABOVE_BYTES
    reader = importlib.import_module(f"rsciio.{READERS[path.suffix.lower()]}").file_reader
    with warnings.catch_warnings():
        # The MRC reader leaves its header's file object to the garbage collector.
        warnings.filterwarnings("ignore", category=ResourceWarning, message="unclosed file")
        try:
            signals = reader(str(path), lazy=lazy)
        except _UNREADABLE as error:
            traceback.clear_frames(error.__traceback__)  # closes the file that the reader left open
            raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    is_mrc = READERS[path.suffix.lower()] == "mrc"
    found = [_stored(signal, is_mrc=is_mrc) for signal in signals]
    if is_mrc:  # read lazily, a truncated file would fail much later and in other words
        header = found[0].original["std_header"]
        missing = 1024 + int(header["NEXT"]) + found[0].data.nbytes - path.stat().st_size
        if missing > 0:
            raise _unreadable(path, f"{missing} bytes missing at its end")
    return found


_UNREADABLE = (
    OSError, KeyError, IndexError, ValueError, TypeError, AssertionError, NotImplementedError, struct.error
)  # fmt: skip
"""What readers raise on a damaged file."""


def _largest_bytes(path: Path) -> int:
    """Return the size in memory of the largest array of an HDF5 file."""
    import h5py

    sizes = [0]
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda _, item: sizes.append(item.nbytes) if isinstance(item, h5py.Dataset) else None)
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    return max(sizes)


def _unreadable(path: Path, problem: str) -> Exception:
    return fail(
        f"file {path.name}",
        expected=f"a readable {path.suffix} file",
        got=problem,
        remedy="check that the download or copy is complete",
    )


def _stored(signal: Mapping[str, Any], *, is_mrc: bool) -> Stored:
    metadata = signal.get("metadata", {})
    data = signal["data"]
    axes = tuple(make_axis(axis) for axis in signal["axes"])
    title = str(metadata.get("General", {}).get("title", ""))
    original = signal.get("original_metadata", {})
    if is_mrc:
        data, axes, title = _mrc(data, original)
    return Stored(
        data=data,
        axes=axes,
        title=title,
        signal_type=str(metadata.get("Signal", {}).get("signal_type", "")),
        original=original,
    )


LABEL = "tritomo: "
"""Begins the MRC label that holds what the array shows."""


def _mrc(data: Any, original: Mapping[str, Any]) -> tuple[Any, tuple[Axis, ...], str]:
    """Put back axes of length one, which the reader drops, and take sizes and label from the header."""
    header = original["std_header"]
    shape = tuple(int(header[key]) for key in ("NZ", "NY", "NX"))
    if "fei_header" in original:  # FEI keeps the pixel size, in m, in its extended header
        steps_nm = [float(original["fei_header"]["pixel_size"][0]) * 1e9] * 3
    else:
        lengths = (("Zlen", "MZ"), ("Ylen", "MY"), ("Xlen", "MX"))
        steps_nm = [float(header[length]) / max(int(header[count]), 1) / 10 for length, count in lengths]
    axes = tuple(
        Axis(name, "nm", step * np.arange(n, dtype=np.float64), "space", step)
        for name, n, step in zip("zyx", shape, steps_nm, strict=True)
    )
    labels = bytes.fromhex(str(header.get("LABELS") or ""))[:80].decode("utf-8", errors="ignore").strip(" \0")
    return data.reshape(shape), axes, labels.removeprefix(LABEL) if labels.startswith(LABEL) else ""


def make_axis(axis: Mapping[str, Any]) -> Axis:
    """Classify one axis description of RosettaSciIO or HyperSpy by its units, then by its name."""
    name, units = _text(axis.get("name")), _text(axis.get("units"))
    if axis.get("axis") is not None:
        values = np.asarray(axis["axis"], dtype=np.float64)
        step = float(values[1] - values[0]) if values.size > 1 else float("nan")
    else:
        step = float(axis.get("scale", 1.0))
        values = float(axis.get("offset", 0.0)) + step * np.arange(int(axis["size"]), dtype=np.float64)
    if units.lower() in _EV or name.lower().startswith("energy"):
        kind = "energy"
    elif units.lower() in _DEGREES or name.lower() in ("tilt", "projections"):
        kind = "tilt"
    elif units.lower() in _NM or name.lower() in _IMAGE_AXES:
        kind = "space"
    else:
        kind = "unknown"
    return Axis(name, units, values, kind, step)


def _text(value: Any) -> str:
    return "" if value is None or str(value) in ("<undefined>", "None") else str(value)
