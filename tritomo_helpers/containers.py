"""The three kinds of data that pass between stages, and the alignment that they share, checked when they are made.

Axis order is ``(tilt, y, x, energy)`` and ``(z, y, x)``; the tilt axis is y. Index i of an axis of length N lies at
``(i - N // 2) * pixel size``. Arrays inside a container are read-only: a stage returns a new container.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._representation import short_repr
from ._validation import check_increasing, check_ndim, check_numbers, check_positive, check_shape, checked, fail

Given = TypeVar("Given")
Result = TypeVar("Result")


def _read_only(array: Any) -> Any:
    """Return a read-only view of a numpy array (memory maps too); lazy arrays are read-only already."""
    if isinstance(array, np.ma.MaskedArray):
        floats = array.astype(np.result_type(array.dtype, np.float32))
        array = np.ma.filled(floats, np.nan)  # what is masked was not measured
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
        return array
    if hasattr(array, "dask"):
        return array
    return _read_only(np.asarray(array))


class _Container:
    """What the three containers share."""

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked again."""
        return replace(self, **changes)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class TiltSeries(_Container):
    """Images of one specimen at increasing tilt.

    Parameters
    ----------
    images : array, shape (tilt, y, x)
        numpy or Dask. NaN means not measured; masked values become NaN.
    tilt_angles_deg : array_like, shape (tilt,)
        Strictly increasing, degrees. Positive tilt: the projection at angle t integrates along (sin t, 0, cos t) in
        (x, y, z) and is sampled along (cos t, 0, -sin t).
    pixel_size_nm : float
        Side of a square pixel, nm.
    label : str, default ""
        What the images show, such as ``"ADF"`` or ``"Mn K"``.

    Raises
    ------
    ValueError
        If axes, angles or pixel size are not as above.

    Examples
    --------
    >>> series = TiltSeries(np.zeros((3, 4, 5)), [-10, 0, 10], 4.63, "ADF")
    >>> series.n_tilts, series.images.flags.writeable
    (3, False)
    """

    images: Any
    tilt_angles_deg: NDArray[np.float64]
    pixel_size_nm: float
    label: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_ndim(self.images, "images", "tilt, y, x")
        self._set("images", _read_only(self.images))
        angles = check_increasing(self.tilt_angles_deg, "tilt_angles_deg", n=self.images.shape[0])
        self._set("tilt_angles_deg", _read_only(angles))
        self._set("pixel_size_nm", check_positive(self.pixel_size_nm, "pixel_size_nm", remedy="give it in nm"))

    @property
    def n_tilts(self) -> int:
        """Number of tilts."""
        return int(self.tilt_angles_deg.size)


@dataclass(frozen=True, eq=False)
class SpectrumTiltSeries(_Container):
    """Spectra at every pixel of every tilt.

    Parameters
    ----------
    counts : array, shape (tilt, y, x, energy)
        numpy array, memory map or Dask array; never loaded whole unless asked for.
    tilt_angles_deg : array_like, shape (tilt,)
        Strictly increasing, degrees.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV.
    pixel_size_nm : float
        Side of a square pixel, nm.
    label : str, default ""
        ``"EDS"``, ``"EELS low-loss"`` or ``"EELS core-loss"``.

    Raises
    ------
    ValueError
        If axes, angles, energies or pixel size are not as above.

    Examples
    --------
    >>> series = SpectrumTiltSeries(np.zeros((1, 2, 2, 8)), [0], np.arange(8) * 0.15, 4.63)
    >>> round(series.dispersion_ev, 2)
    0.15
    """

    counts: Any
    tilt_angles_deg: NDArray[np.float64]
    energy_ev: NDArray[np.float64]
    pixel_size_nm: float
    label: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_ndim(self.counts, "counts", "tilt, y, x, energy")
        self._set("counts", _read_only(self.counts))
        angles = check_increasing(self.tilt_angles_deg, "tilt_angles_deg", n=self.counts.shape[0])
        self._set("tilt_angles_deg", _read_only(angles))
        energy = check_increasing(self.energy_ev, "energy_ev", n=self.counts.shape[3])
        self._set("energy_ev", _read_only(energy))
        self._set("pixel_size_nm", check_positive(self.pixel_size_nm, "pixel_size_nm", remedy="give it in nm"))

    @property
    def n_tilts(self) -> int:
        """Number of tilts."""
        return int(self.tilt_angles_deg.size)

    @property
    def dispersion_ev(self) -> float:
        """Mean channel width, eV (NaN for a single channel)."""
        if self.energy_ev.size < 2:
            return float("nan")
        return float((self.energy_ev[-1] - self.energy_ev[0]) / (self.energy_ev.size - 1))


@dataclass(frozen=True, eq=False)
class Tomogram(_Container):
    """A quantity on a cubic voxel grid.

    Parameters
    ----------
    values : array, shape (z, y, x)
        z is the beam direction at zero tilt, y the tilt axis. NaN means not measured.
    voxel_size_nm : float
        Side of a cubic voxel, nm.
    quantity : str, default ""
        What the values are, with unit, such as ``"Mn (at%)"``.

    Raises
    ------
    ValueError
        If axes or voxel size are not as above.

    Examples
    --------
    >>> Tomogram(np.ones((4, 4, 4)), 4.63, "density (1/nm³)").values.shape
    (4, 4, 4)
    """

    values: Any
    voxel_size_nm: float
    quantity: str = field(default="")

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_ndim(self.values, "values", "z, y, x")
        self._set("values", _read_only(self.values))
        self._set("voxel_size_nm", check_positive(self.voxel_size_nm, "voxel_size_nm", remedy="give it in nm"))


@checked
@dataclass(frozen=True, eq=False)
class Alignment:
    """Shifts and a turn that bring every tilt of a series onto one tilt axis, and how they were found.

    Parameters
    ----------
    shifts_px : ndarray, shape (tilt, 2)
        Shift (y, x) to be applied to each raw image, pixels, before the turn. NaN where a tilt is left out.
    tilt_angles_deg : ndarray, shape (tilt,)
        Angles of the series it was estimated on.
    axis_rotation_deg : float
        Angle by which the specimen's axes appear turned in the raw images, x toward y about index N // 2; `apply` turns
        the images back by it after the shift.
    method : str
        What was done: the method asked for, or what took its place.
    extended : {"", "along", "across", "both"}
        Whether the frame cuts the specimen, and in which direction seen from the tilt axis.
    why : tuple of str
        What was chosen and why, in the order of the steps.
    failures : dict of float to str
        Tilt angle to reason, for every tilt that could not be aligned.
    residuals : ndarray, shape (tilt,)
        How far each tilt is from agreeing with the others, dimensionless; see `why` for which measure. NaN where a tilt
        is left out.
    pixel_size_nm : float, default NaN
        Of the images it was estimated on, nm; with `image_shape` it lets other channels be shifted by as much.
    image_shape : tuple of int
        (y, x) of these images, pixels; empty if not known.

    Examples
    --------
    >>> Alignment(np.zeros((2, 2)), np.array([0.0, 10.0]), method="by hand").excluded_angles_deg
    ()
    """

    shifts_px: NDArray[np.float64]
    tilt_angles_deg: NDArray[np.float64]
    axis_rotation_deg: float = 0.0
    method: str = ""
    extended: str = ""
    why: tuple[str, ...] = ()
    failures: dict[float, str] = field(default_factory=dict)
    residuals: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    pixel_size_nm: float = float("nan")
    image_shape: tuple[int, ...] = ()

    __repr__ = short_repr

    def __post_init__(self) -> None:
        angles = check_increasing(self.tilt_angles_deg, "tilt_angles_deg")
        for name in ("shifts_px", "residuals"):
            check_numbers(getattr(self, name), name)
        check_shape(self.shifts_px, "shifts_px", (angles.size, 2), remedy="give one (y, x) pair per tilt")
        for name in ("shifts_px", "tilt_angles_deg", "residuals"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @property
    def excluded_angles_deg(self) -> tuple[float, ...]:
        """Angles without a shift: those that failed and those that were left out by choice."""
        return tuple(float(angle) for angle in self.tilt_angles_deg[~self.aligned])

    @property
    def aligned(self) -> NDArray[np.bool_]:
        """True for each tilt that has a shift, shape (tilt,)."""
        return np.asarray(np.isfinite(self.shifts_px).all(axis=1))


def over_elements(maps: Mapping[str, Given], function: Callable[[Given], Result]) -> dict[str, Result]:
    """Apply a function to what a mapping holds for each element.

    Raises
    ------
    ValueError
        If the mapping is empty.

    Examples
    --------
    >>> over_elements({"Mn": 1, "Co": 2}, lambda value: 10 * value)
    {'Mn': 10, 'Co': 20}
    """
    if not maps:
        raise fail("mapping", expected="at least one element", got="none", remedy="give one container per element")
    return {element: function(value) for element, value in maps.items()}
