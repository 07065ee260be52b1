"""Read EMD files of NCEM's kind (Berkeley), as ncempy, Tomviz and Prismatic write them, with h5py alone.

RosettaSciIO reverses the axes and takes angles to be evenly spaced, so that a tilt series comes back mirrored.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ._guard import HDF5Array, check_size, lazily, opened
from ._stored import Stored, make_axis


def read_berkeley(path: Path, *, lazy_above_bytes: float) -> list[Stored]:
    """Return every array that the file marks as one of EMD, with its dimensions in the order of the array."""
    import h5py

    groups: list[Any] = []

    def collect(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and item.attrs.get("emd_group_type") == 1 and _data(item) is not None:
            groups.append(item)

    with opened(path) as file:
        file.visititems(collect)
        return [_stored(group, path, lazy_above_bytes) for group in groups]


def _data(group: Any) -> Any:
    return next((group[name] for name in ("data", "datacube", "dataset") if name in group), None)


def _stored(group: Any, path: Path, lazy_above_bytes: float) -> Stored:
    dataset = _data(group)
    n_bytes = dataset.size * dataset.dtype.itemsize
    check_size(path, n_bytes)
    is_large = n_bytes > lazy_above_bytes
    data = lazily(HDF5Array(dataset, path), path, chunks=dataset.chunks or "auto") if is_large else dataset[()]
    axes = tuple(_axis(group, i, n) for i, n in enumerate(dataset.shape))
    return Stored(data, axes, title=group.name.rsplit("/", 1)[-1])


def _axis(group: Any, i: int, n: int) -> Any:
    """Return one axis; a dimension may hold all values, or the first two."""
    if f"dim{i + 1}" not in group:
        return make_axis({"size": n})
    dimension = group[f"dim{i + 1}"]
    values = np.asarray(dimension[()], dtype=np.float64).ravel()
    name, units = (_text(dimension.attrs.get(key, "")) for key in ("name", "units"))
    if values.size == 2 < n:
        return make_axis({"name": name, "units": units, "offset": values[0], "scale": np.diff(values)[0], "size": n})
    if values.size != n:
        raise ValueError(f"dimension {name!r} has {values.size} values for {n} points")
    return make_axis({"name": name, "units": units, "axis": values})


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
