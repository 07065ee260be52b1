"""Read HyperSpy's hspy files with h5py alone: nothing is unpickled, no file stays open."""

from pathlib import Path
from typing import Any

import numpy as np

from ._guard import HDF5Array, check_size, lazily, opened, unreadable
from ._stored import Stored, make_axis


def read_hspy(path: Path, *, lazy_above_bytes: float) -> list[Stored]:
    """Return every signal in the file, on disk (Dask) where its data are larger than `lazy_above_bytes`."""
    import h5py

    with opened(path) as file:
        signals = [group for group in file["Experiments"].values() if isinstance(group, h5py.Group)]
        stored = [_signal(group, path, lazy_above_bytes) for group in signals if "data" in group]
    if not stored:
        raise unreadable(path, "no signal in its group Experiments")
    return stored


def _signal(group: Any, path: Path, lazy_above_bytes: float) -> Stored:
    dataset = group["data"]
    n_bytes = dataset.size * dataset.dtype.itemsize
    check_size(path, n_bytes)
    axes = tuple(_axis(group, i) for i in range(len(dataset.shape)))
    for axis, n in zip(axes, dataset.shape, strict=True):
        if axis.values.size != n:
            raise ValueError(f"axis {axis.name!r} has {axis.values.size} values for {n} points")
    if n_bytes <= lazy_above_bytes:
        data = dataset[()]
    else:
        data = lazily(HDF5Array(dataset, path), path, chunks=dataset.chunks or "auto")
    tilts = group.get("metadata/Tomography/_sig_tilts/data")  # where ETSpy keeps the angles
    stage = _attribute(group, "metadata/Acquisition_instrument/TEM/Stage", "tilt_alpha")
    return Stored(
        data,
        axes,
        title=str(_attribute(group, "metadata/General", "title") or ""),
        signal_type=str(_attribute(group, "metadata/Signal", "signal_type") or ""),
        angles_deg=None if tilts is None else np.ravel(tilts[()]).astype(np.float64),
        stage_deg=None if stage is None else float(stage),
        container=str(_attribute(group, "metadata/tritomo", "container") or ""),
    )


def _axis(group: Any, i: int) -> Any:
    axis = group[f"axis-{i}"]
    described = dict(axis.attrs)
    if "axis" in axis:
        described["axis"] = axis["axis"][()]
    if "expression" in described:
        raise ValueError(f"axis {i} is given by an expression; convert it to a DataAxis in HyperSpy")
    return make_axis(described)


def _attribute(group: Any, where: str, name: str) -> Any:
    return group[where].attrs.get(name) if where in group else None
