"""What an alignment is, how it is applied, and how two of them are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._representation import short_repr
from .._typing import Floats
from .._validation import check_finite, check_increasing, check_option, check_shape, fail
from ..containers import SpectrumTiltSeries, TiltSeries, over_elements
from ..tilt_series import apply_rotation, apply_shifts, map_tilts, select_tilts
from ._warp import coordinates, turn

Series = TypeVar("Series", TiltSeries, SpectrumTiltSeries)


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

    __repr__ = short_repr

    def __post_init__(self) -> None:
        angles = check_increasing(self.tilt_angles_deg, "tilt_angles_deg")
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


@overload
def apply(x: Series, alignment: Alignment, *, drop: bool = ..., outside: str = ...) -> Series: ...
@overload
def apply(
    x: Mapping[str, Series], alignment: Alignment, *, drop: bool = ..., outside: str = ...
) -> dict[str, Series]: ...
def apply(x: Any, alignment: Alignment, *, drop: bool = False, outside: str = "wrap") -> Any:
    """Apply an alignment to any channel of the same scan.

    Parameters
    ----------
    x : TiltSeries, SpectrumTiltSeries or mapping of element to them
        Images (tilt, y, x) or counts (tilt, y, x, energy) with the angles of the series that was aligned.
    alignment : Alignment
        From `estimate`, usually of the ADF series.
    drop : bool, default False
        Leave out the tilts that could not be aligned. You decide: without it such a tilt is an error.
    outside : {"wrap", "nan", "zero"}, default "wrap"
        See `tilt_series.apply_shifts`.

    Returns
    -------
    TiltSeries, SpectrumTiltSeries or dict of them
        Same type, shifted and turned; Dask stays lazy. The sum of each tilt is conserved with ``outside="wrap"``.

    Raises
    ------
    ValueError
        If the angles differ, or a tilt has no shift and `drop` is False (the angles are named).

    Examples
    --------
    >>> series = TiltSeries(np.eye(3)[None], [0], 1.0)
    >>> apply(series, Alignment(np.array([[0, 1]]), np.array([0.0]))).images[0]
    array([[0., 1., 0.],
           [0., 0., 1.],
           [1., 0., 0.]])
    """
    if isinstance(x, Mapping):
        return over_elements(x, lambda series: apply(series, alignment, drop=drop, outside=outside))
    if not np.array_equal(x.tilt_angles_deg, alignment.tilt_angles_deg):
        raise fail(
            "tilt_angles_deg",
            expected=f"the {alignment.tilt_angles_deg.size} angles of the aligned series",
            got=f"{x.n_tilts} angles from {x.tilt_angles_deg[0]:g} to {x.tilt_angles_deg[-1]:g} deg",
            remedy="apply an alignment to channels of the same scan only",
        )
    if alignment.excluded_angles_deg and not drop:
        raise fail(
            "alignment",
            expected="a shift for every tilt",
            got="none at " + ", ".join(f"{angle:g}" for angle in alignment.excluded_angles_deg) + " deg",
            remedy="look at alignment.failures, then pass drop=True to go on without these tilts",
        )
    kept = x if alignment.aligned.all() else select_tilts(x, alignment.aligned)
    shifts, rotation_deg = alignment.shifts_px[alignment.aligned], alignment.axis_rotation_deg
    if not rotation_deg:
        return apply_shifts(kept, shifts, outside=outside)
    check_option(outside, "outside", ("wrap", "nan", "zero"))
    straight = apply_rotation(apply_shifts(kept, shifts), -rotation_deg)
    if outside == "wrap":
        return straight
    fill = np.nan if outside == "nan" else 0.0
    return map_tilts(straight, lambda tilt, i: _filled(tilt, shifts[i], rotation_deg, fill))


def _filled(tilt: NDArray[Any], shift_px: Floats, rotation_deg: float, fill: float) -> NDArray[Any]:
    """Fill what a shift and a turn back by `rotation_deg` brought in from outside the frame."""
    size = tilt.shape[:2]
    place = np.stack(np.meshgrid(*(coordinates(n) for n in size), indexing="ij"), axis=-1)
    source = turn(place, rotation_deg) - shift_px + np.array([n // 2 for n in size])
    beyond = ((source < 0) | (source > np.array(size) - 1)).any(axis=-1)
    result = np.array(tilt)
    result[beyond] = fill
    return result


def remove_gauge(
    shifts_px: ArrayLike, tilt_angles_deg: ArrayLike, *, axis_rotation_deg: float = 0.0
) -> NDArray[np.float64]:
    r"""Take out of shifts, or of the difference of two sets, what only moves the specimen or the frame.

    .. math:: s_y \to s_y - b, \qquad s_x \to s_x - (a + x_0 \cos t + z_0 \sin t)

    A specimen displaced by (x_0, b, z_0) moves its images by exactly this, and a is where the axis lies in the frame:
    two alignments that differ by it are equally good. Least squares finds a, b, x_0 and z_0.

    Parameters
    ----------
    shifts_px : array_like, shape (tilt, 2)
        Shifts (y, x), or the difference of two sets, pixels. NaN rows stay NaN and are not used.
    tilt_angles_deg : array_like, shape (tilt,)
        Degrees.
    axis_rotation_deg : float, default 0
        Turn of the axis in the raw images, as `Alignment.axis_rotation_deg`.

    Returns
    -------
    ndarray of float64, shape (tilt, 2)
        What is left (along, across the axis), pixels.

    Raises
    ------
    ValueError
        If there is not one pair per tilt or fewer than four tilts have shifts: three would leave nothing across.

    Examples
    --------
    >>> t = np.array([-60.0, -20.0, 10.0, 30.0, 60.0])
    >>> moved = np.stack([np.full(5, 2.0), 1 + 3 * np.cos(np.deg2rad(t))], axis=1)
    >>> bool(np.abs(remove_gauge(moved, t)).max() < 1e-12)
    True
    """
    angles = check_increasing(tilt_angles_deg, "tilt_angles_deg")
    shifts = turn(np.asarray(shifts_px, dtype=np.float64), -axis_rotation_deg)
    check_shape(shifts, "shifts_px", (angles.size, 2), remedy="give one (y, x) pair per tilt")
    used = np.isfinite(shifts).all(axis=1)
    if used.sum() < 4:
        raise fail("shifts_px", expected="four tilts or more", got=int(used.sum()), remedy="compare longer series")
    check_finite(shifts[used], "shifts_px")
    theta = np.deg2rad(angles)
    basis = np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)
    left = shifts.copy()
    left[:, 0] -= shifts[used, 0].mean()
    left[:, 1] -= basis @ np.linalg.lstsq(basis[used], shifts[used, 1], rcond=None)[0]
    return left
