"""Containers to HyperSpy signals and hspy files, and back. The only place that imports HyperSpy."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import checked, fail
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ._chunks import PACKING, chunk_shape, write_chunks

Container = TiltSeries | SpectrumTiltSeries | Tomogram


@checked
def to_hyperspy(obj: Container) -> Any:
    """Return a HyperSpy signal with named, calibrated axes.

    Parameters
    ----------
    obj : TiltSeries, SpectrumTiltSeries or Tomogram
        Lazy counts stay lazy.

    Returns
    -------
    hyperspy signal
        Signal2D for images and volumes, an EELS or EDS signal for spectra (EDS axes in keV, as eXSpy expects). Space is
        in nm with 0 at index N // 2, tilt in degrees. The data are not copied.

    Raises
    ------
    TypeError
        If `obj` is not one of the three containers.

    Examples
    --------
    >>> to_hyperspy(TiltSeries(np.zeros((3, 4, 5)), [-10, 0, 10], 4.63, "ADF"))
    <Signal2D, title: ADF, dimensions: (3|5, 4)>
    """
    import hyperspy.api as hs

    data, axes, metadata = described(obj)
    kind = hs.signals.Signal1D if isinstance(obj, SpectrumTiltSeries) else hs.signals.Signal2D
    plain = [{key: value for key, value in axis.items() if key != "_type"} for axis in axes]
    with warnings.catch_warnings():
        # eXSpy 0.3 still imports lazy signals from where HyperSpy 2.5 no longer wants them looked for.
        warnings.filterwarnings("ignore", message="Importing `Lazy.* from `hyperspy", category=UserWarning)
        signal = kind(data, axes=plain, metadata=metadata)
        if hasattr(data, "dask"):
            signal = signal.as_lazy()
        if metadata["Signal"]["signal_type"]:
            signal.set_signal_type(metadata["Signal"]["signal_type"])
    # eXSpy fills in a detector nobody described (elevation 35 degrees and so on); better none than a wrong one.
    if signal.metadata.has_item("Acquisition_instrument"):
        del signal.metadata.Acquisition_instrument
    return signal


def described(obj: Any) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """Return the array, HyperSpy's description of its axes, and metadata."""
    if isinstance(obj, TiltSeries):
        data, title, signal_type = obj.images, obj.label, ""
        tilted, step = obj.tilt_angles_deg, obj.pixel_size_nm
        axes = [_tilt(tilted), _space("y", data.shape[1], step), _space("x", data.shape[2], step)]
    elif isinstance(obj, SpectrumTiltSeries):
        data, title = obj.counts, obj.label
        signal_type = {"EDS": "EDS_TEM", "EELS": "EELS"}.get(title.partition(" ")[0], "")
        energy, units = (obj.energy_ev / 1000, "keV") if signal_type == "EDS_TEM" else (obj.energy_ev, "eV")
        axes = [
            _tilt(obj.tilt_angles_deg),
            _space("y", data.shape[1], obj.pixel_size_nm, navigate=True),
            _space("x", data.shape[2], obj.pixel_size_nm, navigate=True),
            _axis("Energy loss" if signal_type == "EELS" else "Energy", units, energy, navigate=False),
        ]
    elif isinstance(obj, Tomogram):
        data, title, signal_type = obj.values, obj.quantity, ""
        axes = [
            _space(name, n, obj.voxel_size_nm, navigate=name == "z") for name, n in zip("zyx", data.shape, strict=True)
        ]
    else:
        raise fail(
            "obj",
            expected="a TiltSeries, SpectrumTiltSeries or Tomogram",
            got=type(obj).__name__,
            remedy="put the array and its coordinates into one of these",
            error=TypeError,
        )
    metadata = {
        "General": {"title": title},
        "Signal": {"signal_type": signal_type},
        "tritomo": {"container": type(obj).__name__},
    }
    return data, axes, metadata


def _space(name: str, n: int, step: float, *, navigate: bool = False) -> dict[str, Any]:
    return _uniform(name, "nm", -(n // 2) * step, step, n, navigate=navigate)


def _tilt(angles: NDArray[np.float64]) -> dict[str, Any]:
    return _axis("tilt", "deg", angles, navigate=True)


def _axis(name: str, units: str, values: NDArray[np.float64], *, navigate: bool) -> dict[str, Any]:
    steps = np.diff(values)
    if values.size == 1:
        return _uniform(name, units, float(values[0]), 1.0, 1, navigate=navigate)
    step = float(values[-1] - values[0]) / (values.size - 1)
    if np.allclose(steps, step, rtol=1e-6, atol=0):
        return _uniform(name, units, float(values[0]), step, values.size, navigate=navigate)
    return {
        "_type": "DataAxis",
        "name": name,
        "units": units,
        "axis": np.array(values),
        "size": values.size,
        "navigate": navigate,
        "is_binned": False,
    }


def _uniform(name: str, units: str, offset: float, scale: float, size: int, *, navigate: bool) -> dict[str, Any]:
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "units": units,
        "offset": offset,
        "scale": scale,
        "size": size,
        "navigate": navigate,
        "is_binned": False,
    }


def write_hspy(obj: Container, path: Path) -> None:
    """Write one container; compressed, one chunk per tilt, so that a tilt can be read alone."""
    from importlib.metadata import version

    import h5py
    from rsciio.hspy import file_writer

    data, axes, metadata = described(obj)
    lazy = hasattr(data, "dask")
    stored = data if lazy else np.asarray(data)
    signal = {
        "data": stored,
        "axes": axes,
        "metadata": metadata,
        "original_metadata": {},
        "attributes": {"_lazy": lazy, "ragged": False},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
        "package_info": {"package": "tritomo_helpers", "package_version": version("tritomo-helpers")},
    }
    if lazy:
        file_writer(str(path), signal, chunks=chunk_shape(stored.shape), show_progressbar=False, **PACKING)
        return
    file_writer(str(path), signal, write_dataset=False, show_progressbar=False, **PACKING)
    with h5py.File(path, "a") as file:
        (group,) = file["Experiments"].values()
        chunks = chunk_shape(stored.shape)
        write_chunks(group.create_dataset("data", stored.shape, stored.dtype, chunks=chunks, **PACKING), stored)
