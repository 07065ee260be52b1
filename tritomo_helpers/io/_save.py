"""Containers to files."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._validation import checked, fail
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ..store.files import atomic_file
from ._arrays import write_arrays
from ._hyperspy import write_hspy
from ._mrc import write_mrc
from ._vti import write_vti

EXTENSIONS = {
    "TiltSeries": (".hspy", ".mrc"),
    "SpectrumTiltSeries": (".hspy",),
    "Tomogram": (".hspy", ".mrc", ".vti"),
    "dict": (".h5",),
}
"""What can be written where."""


@checked
def save(obj: Any, path: str | Path) -> None:
    """Write a container, or named arrays, in the format that the extension names.

    Parameters
    ----------
    obj : TiltSeries, SpectrumTiltSeries, Tomogram, mapping or dataclass
        Mappings and other dataclasses may hold arrays, numbers, texts and further mappings.
    path : path
        ``.hspy`` (all three containers; opens in HyperSpy), ``.mrc`` (tilt series and volumes; the angles of a tilt
        series go to a .rawtlt file beside it), ``.vti`` (volumes, for ParaView), ``.h5`` (mappings). An existing file
        is replaced, in one step: no half-written file is ever seen under this name.

    Raises
    ------
    ValueError
        If the extension does not suit the object.
    FileNotFoundError
        If the folder does not exist.

    Notes
    -----
    mrc and vti hold int16, uint16 or float32; float64 is rounded to float32. NaN is kept. hspy holds every type, in
    chunks of one tilt, compressed. Lazy counts are written without being loaded whole.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> folder = Path(tempfile.mkdtemp())
    >>> save(TiltSeries(np.ones((2, 4, 4), np.int16), [0, 2.5], 4.63, "ADF"), folder / "adf.mrc")
    >>> (folder / "adf.rawtlt").read_text().split()
    ['0.0', '2.5']
    """
    path = Path(path).expanduser()
    containers = (TiltSeries, SpectrumTiltSeries, Tomogram)
    is_arrays = isinstance(obj, Mapping) or (dataclasses.is_dataclass(obj) and not isinstance(obj, (type, *containers)))
    kind = "dict" if is_arrays else type(obj).__name__
    if kind not in EXTENSIONS:
        raise fail(
            "obj",
            expected="a TiltSeries, SpectrumTiltSeries, Tomogram or mapping of arrays",
            got=kind,
            remedy="put the array and its coordinates into a container",
            error=TypeError,
        )
    if path.suffix.lower() not in EXTENSIONS[kind]:
        raise fail(
            f"file {path.name}",
            expected=f"{' or '.join(EXTENSIONS[kind])} for a {kind}",
            got=repr(path.suffix),
            remedy="change the extension",
        )
    if not path.parent.is_dir():
        raise fail(
            f"folder {path.parent}",
            expected="a folder",
            got="nothing there",
            remedy="create it first",
            error=FileNotFoundError,
        )
    with_angles = isinstance(obj, TiltSeries) and path.suffix.lower() == ".mrc"
    with atomic_file(path) as temporary:
        _write(obj, temporary)
        if with_angles:  # stopped in between, a stack has no angles, which is an error, and never those of another
            path.with_suffix(".rawtlt").unlink(missing_ok=True)
    if with_angles:
        with atomic_file(path.with_suffix(".rawtlt")) as side:
            side.write_text("".join(f"{float(angle)!r}\n" for angle in obj.tilt_angles_deg), encoding="utf-8")


def _write(obj: Any, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix == ".hspy":
        write_hspy(obj, path)
    elif suffix == ".vti":
        write_vti(obj, path)
    elif suffix == ".h5":
        write_arrays(obj, path)
    elif isinstance(obj, Tomogram):
        write_mrc(obj.values, path, step_nm=obj.voxel_size_nm, label=obj.quantity, volume=True)
    else:
        write_mrc(obj.images, path, step_nm=obj.pixel_size_nm, label=obj.label, volume=False)
