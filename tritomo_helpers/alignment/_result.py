"""How an alignment is applied, and how two of them are compared."""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import (
    check_increasing,
    check_not_infinite,
    check_option,
    check_range,
    check_shape,
    checked,
    fail,
)
from ..constants import SAME_ANGLE_DEG
from ..containers import Alignment, SpectrumTiltSeries, TiltSeries, over_elements
from ..tilt_series import apply_rotation, apply_shifts, map_tilts, select_tilts, values_of
from ._warp import coordinates, turn

Series = TypeVar("Series", TiltSeries, SpectrumTiltSeries)


@overload
def apply(x: Series, alignment: Alignment, *, drop: bool = ..., outside: str = ...) -> Series: ...
@overload
def apply(
    x: Mapping[str, Series], alignment: Alignment, *, drop: bool = ..., outside: str = ...
) -> dict[str, Series]: ...
@checked
def apply(x: Any, alignment: Alignment, *, drop: bool = False, outside: str = "wrap") -> Any:
    """Apply an alignment to any channel of the same scan.

    Parameters
    ----------
    x : TiltSeries, SpectrumTiltSeries or mapping of element to them
        Images (tilt, y, x) or counts (tilt, y, x, energy) with the angles of the series that was aligned, to 0.05
        degrees. A channel with other pixels of the same field of view, such as a binned map, is shifted by as many nm.
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
        If the angles or fields of view differ, or a tilt has no shift and `drop` is False (the angles are named).

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
    _check_angles(x, alignment)
    scale = _pixels_per_aligned_pixel(x, alignment)
    if alignment.excluded_angles_deg and not drop:
        raise fail(
            "alignment",
            expected="a shift for every tilt",
            got="none at " + ", ".join(f"{angle:g}" for angle in alignment.excluded_angles_deg) + " deg",
            remedy="look at alignment.failures, then pass drop=True to go on without these tilts",
        )
    kept = x if alignment.aligned.all() else select_tilts(x, alignment.aligned)
    shifts, rotation_deg = alignment.shifts_px[alignment.aligned] * scale, alignment.axis_rotation_deg
    shifts = shifts + _offset_of_bins(tuple(values_of(x).shape[1:3]), alignment.image_shape, 1 / scale)
    if not rotation_deg:
        return apply_shifts(kept, shifts, outside=outside)
    check_option(outside, "outside", ("wrap", "nan", "zero"))
    straight = apply_rotation(apply_shifts(kept, shifts), -rotation_deg)
    if outside == "wrap":
        return straight
    fill = np.nan if outside == "nan" else 0.0
    return map_tilts(straight, lambda tilt, i: _filled(tilt, shifts[i], rotation_deg, fill))


def _check_angles(x: TiltSeries | SpectrumTiltSeries, alignment: Alignment) -> None:
    expected, got = alignment.tilt_angles_deg, x.tilt_angles_deg
    if expected.shape == got.shape and np.allclose(expected, got, rtol=0, atol=SAME_ANGLE_DEG):
        return
    words = f"{got.size} angles from {got[0]:g} to {got[-1]:g} deg"
    wanted = f"the {expected.size} angles of the aligned series"
    if expected.shape == got.shape:
        i = int(np.argmax(np.abs(expected - got)))
        wanted, words = f"{wanted}, tilt {i} at {expected[i]:.6g} deg", f"{got[i]:.6g} deg there"
    raise fail(
        "tilt_angles_deg", expected=wanted, got=words, remedy="apply an alignment to channels of the same scan only"
    )


def _pixels_per_aligned_pixel(x: TiltSeries | SpectrumTiltSeries, alignment: Alignment) -> float:
    """Return by what shifts in pixels of the aligned series become shifts in pixels of `x`."""
    shape, size_nm = tuple(values_of(x).shape[1:3]), x.pixel_size_nm
    if not alignment.image_shape or not np.isfinite(alignment.pixel_size_nm):
        return 1.0  # shifts from elsewhere: taken as they are
    fields_nm = np.array(shape) * size_nm, np.array(alignment.image_shape) * alignment.pixel_size_nm
    if np.abs(fields_nm[0] - fields_nm[1]).max() > max(size_nm, alignment.pixel_size_nm):
        aligned = _field(alignment.image_shape, alignment.pixel_size_nm)
        raise fail(
            "pixel size",
            expected=f"the field of view of the aligned series, {aligned}",
            got=_field(shape, size_nm),
            remedy="correct pixel_size_nm if the channel was binned, or crop both to one field of view",
        )
    return 1.0 if shape == alignment.image_shape else alignment.pixel_size_nm / size_nm


def _offset_of_bins(shape: tuple[int, ...], aligned_shape: tuple[int, ...], n: float) -> Floats:
    """Return by how many of its own pixels the middle of a series of n x n bins, index N // 2, lies beside the axis.

    A bin of n pixels has its middle (n - 1) / 2 of them behind its first one.
    """
    size = round(n)
    if size < 2 or abs(n - size) > 1e-3 or tuple(length // size for length in aligned_shape) != shape:
        return np.zeros(2)
    return np.array(
        [m // 2 - (length // 2 - (size - 1) / 2) / size for m, length in zip(shape, aligned_shape, strict=True)]
    )


def _field(shape: tuple[int, ...], size_nm: float) -> str:
    return f"{shape[0]} x {shape[1]} pixels of {size_nm:.4g} nm"


def _filled(tilt: NDArray[Any], shift_px: Floats, rotation_deg: float, fill: float) -> NDArray[Any]:
    """Fill what a shift and a turn back by `rotation_deg` brought in from outside the frame."""
    size = tilt.shape[:2]
    place = np.stack(np.meshgrid(*(coordinates(n) for n in size), indexing="ij"), axis=-1)
    source = turn(place, rotation_deg) - shift_px + np.array([n // 2 for n in size])
    beyond = ((source < 0) | (source > np.array(size) - 1)).any(axis=-1)
    result = np.array(tilt)
    result[beyond] = fill
    return result


@checked
def remove_gauge(
    shifts_px: ArrayLike, tilt_angles_deg: ArrayLike, *, axis_rotation_deg: float = 0.0
) -> NDArray[np.float64]:
    r"""Take out of shifts, or of the difference of two sets, what only moves the specimen or the frame.

    .. math:: s_y \to s_y - b, \qquad s_x \to s_x - (a - x_0 \cos t + z_0 \sin t)

    A specimen displaced by (x_0, -b, z_0) changes the shifts that bring it back by exactly this, and a is where the
    axis lies in the frame: two alignments that differ by it are equally good. Least squares finds a, b, x_0 and z_0.

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
    check_range(axis_rotation_deg, "axis_rotation_deg", -180, 180, remedy="give degrees between")
    check_shape(shifts_px, "shifts_px", (angles.size, 2), remedy="give one (y, x) pair per tilt")
    check_not_infinite(shifts_px, "shifts_px")
    shifts = turn(np.asarray(shifts_px, dtype=np.float64), -axis_rotation_deg)
    used = np.isfinite(shifts).all(axis=1)
    if used.sum() < 4:
        raise fail("shifts_px", expected="four tilts or more", got=int(used.sum()), remedy="compare longer series")
    theta = np.deg2rad(angles)
    basis = np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)
    left = shifts.copy()
    left[:, 0] -= shifts[used, 0].mean()
    left[:, 1] -= basis @ np.linalg.lstsq(basis[used], shifts[used, 1], rcond=None)[0]
    return left
