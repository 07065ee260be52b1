"""Which reader opens which file. The only place that calls RosettaSciIO's readers."""

import importlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._validation import fail
from ._berkeley import read_berkeley
from ._bruker import check_bruker
from ._guard import check_size, lazily, reading, unreadable
from ._hspy import read_hspy
from ._mrc import read_mrc
from ._stored import Stored, make_axis
from ._velox import is_velox, read_velox

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
"""Reader by extension. zspy is left out: it needs zarr, and zarr may unpickle."""

_MAPPED = (".dm3", ".dm4")
"""Formats whose reader maps the file itself into memory, where an array beyond its end would end the process."""

LAZY_ABOVE_BYTES = 64_000_000
"""Spectra larger than this stay on disk (Dask) unless asked for."""


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


def read(path: str | Path, *, lazy: bool | None = None) -> list[Stored]:
    """Open every array in a file, titles made unique. Nothing is unpickled.

    Arrays of hspy files are read at once when they are small or `lazy` is False; other formats stay on disk where they
    can.
    """
    path = check_file(path)
    reader = READERS[path.suffix.lower()]
    if path.stat().st_size == 0:
        raise unreadable(path, "an empty file")
    lazy_above_bytes = {None: float(LAZY_ABOVE_BYTES), True: -1.0, False: float("inf")}[lazy]
    if reader == "hspy":
        arrays = read_hspy(path, lazy_above_bytes=lazy_above_bytes)
    elif reader == "mrc":
        arrays = read_mrc(path)
    elif reader == "emd" and is_velox(path):
        arrays = read_velox(path)
    elif reader == "emd":
        arrays = read_berkeley(path, lazy_above_bytes=lazy_above_bytes)
    else:
        arrays = _read_by_rosettasciio(path, reader)
    if not arrays:
        raise unreadable(path, "no array in it")
    return _unique_titles(arrays)


def _read_by_rosettasciio(path: Path, reader: str) -> list[Stored]:
    with reading(path):
        lazy = reader != "tiff"  # which leaves its file open, as it does when the file is damaged
        if not lazy:
            _check_tiff(path)
        if reader == "bruker":
            check_bruker(path)
        signals = importlib.import_module(f"rsciio.{reader}").file_reader(str(path), lazy=lazy)
        return [_stored(signal, path) for signal in signals]


def _check_tiff(path: Path) -> None:
    import tifffile

    with path.open("rb") as stream, tifffile.TiffFile(stream) as tiff:
        for series in tiff.series:
            check_size(path, series.size * series.dtype.itemsize)
            series.asarray()


def _stored(signal: Mapping[str, Any], path: Path) -> Stored:
    metadata, data = signal.get("metadata", {}), signal["data"]
    axes = tuple(make_axis(axis) for axis in signal["axes"])
    if tuple(axis.values.size for axis in axes) != tuple(data.shape):
        raise ValueError(f"axes of {[axis.values.size for axis in axes]} points for an array {data.shape}")
    n_bytes = math.prod(map(int, data.shape)) * data.dtype.itemsize
    check_size(path, n_bytes, compressed=path.suffix.lower() not in _MAPPED)
    if hasattr(data, "dask"):
        data = lazily(data, path, chunks=data.chunks)
    return Stored(
        data,
        axes,
        title=str(metadata.get("General", {}).get("title", "")),
        signal_type=str(metadata.get("Signal", {}).get("signal_type", "")),
        stage_deg=_stage(signal),
    )


def _stage(signal: Mapping[str, Any]) -> float | None:
    """Return the tilt of the stage, from where RosettaSciIO's own mapping says that a format keeps it."""
    stated = _at(signal.get("metadata", {}), "Acquisition_instrument.TEM.Stage.tilt_alpha")
    for place, (target, convert) in signal.get("mapping", {}).items():
        if stated is None and target == "Acquisition_instrument.TEM.Stage.tilt_alpha":
            value = _at(signal.get("original_metadata", {}), place)
            stated = value if value is None or convert is None else convert(value)
    return None if stated is None else float(stated)


def _at(tree: Any, place: str) -> Any:
    for name in place.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _unique_titles(arrays: list[Stored]) -> list[Stored]:
    """Make titles of images unique, so that each can be named; detectors of one scan share theirs."""
    seen: dict[str, int] = {}
    named = []
    for stored in arrays:
        title = stored.title
        if stored.index("energy") is None and title:
            seen[title] = seen.get(title, 0) + 1
            title = title if seen[title] == 1 else f"{title} {seen[title]}"
        named.append(replace(stored, title=title))
    return named
