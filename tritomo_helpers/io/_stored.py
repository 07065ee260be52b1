"""One array as a file holds it: what every reader returns, and what its axes are."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _units

STAGE_STILL_DEG = 0.05
"""Stage angles closer than this are the same tilt: a goniometer reads out some thousandths of a degree apart."""

SECTION = "section"
"""Name of the first axis of an MRC file, which may be z or tilt: its header gives it a length either way."""

_IMAGE_AXES = {"z": 0, "depth": 0, "y": 1, "height": 1, "x": 2, "width": 2}
_TILT_NAME = re.compile(r"(tilt|angle|projection|alpha)", re.IGNORECASE)


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
        return abs(self.step) * _units.factor(self.units, "nm")

    @property
    def values_ev(self) -> NDArray[np.float64]:
        """Values in eV, NaN when the units are not those of an energy."""
        return np.asarray(self.values * _units.factor(self.units, "eV"))

    @property
    def values_deg(self) -> NDArray[np.float64] | None:
        """Values in degrees; None for an axis that only counts its steps, or in units that are not of an angle."""
        factor = _units.factor(self.units, "deg")
        if math.isfinite(factor):
            return np.asarray(self.values * factor)
        return None

    @property
    def place(self) -> int | None:
        """Where the name says that the axis belongs: 0 for z, 1 for y, 2 for x, None without such a name."""
        return _IMAGE_AXES.get(self.name.lower())


@dataclass(frozen=True)
class Stored:
    """One array as a file holds it, with its axes in array order.

    Parameters
    ----------
    data : numpy, memory map or Dask array
    axes : tuple of Axis
    title, signal_type : str
    detector : str
        Which of several detectors recorded it.
    angles_deg : ndarray, optional
        Of a stack, from its extended header or, by ETSpy, from its metadata; they win over a tilt axis.
    stage_deg : float, optional
        Tilt of the stage in the metadata.
    container : str
        Name of the container that `io.save` wrote, or "Tomogram" for what the header calls a volume.
    """

    data: Any
    axes: tuple[Axis, ...]
    title: str = ""
    signal_type: str = ""
    detector: str = ""
    angles_deg: NDArray[np.float64] | None = None
    stage_deg: float | None = None
    container: str = ""

    def index(self, kind: str) -> int | None:
        """Position of the first axis of a kind, or None."""
        return next((i for i, axis in enumerate(self.axes) if axis.kind == kind), None)

    @property
    def is_image(self) -> bool:
        """Whether it is an image, or a stack of them, of real numbers."""
        return self.index("energy") is None and self.data.ndim in (2, 3) and self.data.dtype.kind in "biuf"


def make_axis(axis: Mapping[str, Any]) -> Axis:
    """Classify one axis description of RosettaSciIO or HyperSpy by its units, then by its name."""
    name, units = _text(axis.get("name")), _text(axis.get("units"))
    if axis.get("axis") is not None:
        values = np.asarray(axis["axis"], dtype=np.float64)
        step = float(values[1] - values[0]) if values.size > 1 else math.nan
    else:
        step = float(axis.get("scale", 1.0))
        values = float(axis.get("offset", 0.0)) + step * np.arange(int(axis["size"]), dtype=np.float64)
    return Axis(name, units, values, _kind(name, units), step)


def space_axes(names: Sequence[str], steps_nm: Any, shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return axes in nm that start at 0."""
    return tuple(
        Axis(name, "nm", float(step) * np.arange(n, dtype=np.float64), "space", float(step))
        for name, n, step in zip(names, shape, steps_nm, strict=True)
    )


def _kind(name: str, units: str) -> str:
    lower = name.lower()
    if math.isfinite(_units.factor(units, "eV")) or "energy" in lower:
        return "energy"
    if lower in _IMAGE_AXES:
        return "space"
    if _TILT_NAME.match(name) or math.isfinite(_units.factor(units, "deg")):
        return "tilt"
    return "space" if math.isfinite(_units.factor(units, "nm")) else "unknown"


def _text(value: Any) -> str:
    return "" if value is None or str(value) in ("<undefined>", "None", "_None_") else str(value)
