"""One reconstruction problem: checked images with the weight of every pixel, and what is known beforehand."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Bools, Floats, Floats32
from .._validation import check_count, check_finite, check_flag, check_shape, fail
from ..containers import TiltSeries, Tomogram
from ..projection import Projector, Slices


@dataclass(frozen=True, eq=False)
class Problem:
    """What is measured and what is known beforehand.

    Parameters
    ----------
    images : ndarray of float32, shape (tilt, y, x)
        Measured values divided by `unit`, and zero where nothing was measured.
    projector : Projector
    support : ndarray of bool, shape (z, y, x)
        Where the specimen may be.
    positivity : bool
    weights : ndarray of float32, shape (tilt, y, x), optional
        0 where nothing was measured, at most 1; None if all pixels count alike.
    start : ndarray of float32, shape (z, y, x), optional
        First estimate, divided by `unit`.
    unit : float
        A power of two that brings the images near 1, so that no method depends on their unit.
    notes : tuple of str
        What was done to the data, in words.
    """

    images: Floats32
    projector: Projector
    support: Bools
    positivity: bool
    weights: Floats32 | None = None
    start: Floats32 | None = None
    unit: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the volume, (z, y, x)."""
        return self.support.shape

    @property
    def n_tilts(self) -> int:
        """Number of tilts."""
        return len(self.images)

    @property
    def angles_deg(self) -> Floats:
        """Tilt angles, degrees."""
        return self.projector.tilt_angles_deg

    def subset(self, tilts: ArrayLike) -> "Problem":
        """Return the problem with some of the tilts, given by index."""
        index = np.asarray(tilts)
        weights = None if self.weights is None else self.weights[index]
        return replace(self, images=self.images[index], weights=weights, projector=self.projector.subset(index))

    def slices(self, *, supersampling: int = 1) -> Slices:
        """Return the operator and the data where the specimen may be, voxels split along z and x if so asked."""
        return Slices(
            self.projector,
            self.images,
            self.support,
            self.weights,
            self.positivity,
            start=self.start,
            supersampling=supersampling,
        )


def check_problem(
    ts: TiltSeries,
    *,
    support: ArrayLike | Tomogram | None,
    positivity: bool = True,
    start: Tomogram | ArrayLike | None = None,
    n_z: int | None = None,
    weights: ArrayLike | None = None,
    projector: Projector | None = None,
) -> Problem:
    """Check everything that can be checked before anything is computed.

    A `projector` is used instead of a new one if it is of the same angles and shape.
    """
    _check_series(ts)
    images = np.asarray(ts.images)
    if images.dtype.kind not in "biuf":
        raise fail("images", expected="real numbers", got=f"dtype {images.dtype}", remedy="reconstruct real images")
    counted = _check_weights(weights, images)
    if n_z is not None:
        n_z = check_count(n_z, "n_z", remedy="give the depth in voxels")
    filled = _check_support(support, images.shape, n_z)
    normal, unit = _normalized(images, counted)
    first = _check_start(start, filled.shape, unit)
    if projector is None or not _fits(projector, ts, filled.shape):
        projector = Projector(ts.tilt_angles_deg, (filled.shape[0], images.shape[2]), n_pixels=images.shape[2])
    positivity = check_flag(positivity, "positivity")
    return _without_empty_tilts(Problem(normal, projector, filled, positivity, start=first, unit=unit), counted)


def _check_series(ts: object) -> None:
    if not isinstance(ts, TiltSeries):
        remedy = "wrap images and angles in one"
        raise fail("ts", expected="a TiltSeries", got=type(ts).__name__, remedy=remedy, error=TypeError)


def _check_weights(weights: ArrayLike | None, images: NDArray[Any]) -> Floats32:
    """Weights of all pixels, the largest 1; 0 where an image is NaN."""
    if weights is None:
        counted = np.ones(images.shape, dtype=np.float32)
    else:
        given = np.asarray(weights)
        check_shape(given, "weights", images.shape, remedy="give one weight for every pixel of every tilt")
        check_finite(given, "weights", remedy="give zero where nothing was measured")
        if given.min() < 0 or given.max() == 0:
            raise fail(
                "weights",
                expected="values of zero or above, not all zero",
                got=f"values from {given.min():g} to {given.max():g}",
                remedy="give zero where nothing was measured",
            )
        counted = (given / given.max()).astype(np.float32)
    if images.dtype.kind == "f":
        counted[np.isnan(images)] = 0
        if np.isinf(images[counted > 0]).any():
            raise fail("images", expected="no infinite value", got="one", remedy="put NaN where nothing was measured")
    if not counted.any():
        raise fail("images", expected="at least one measured pixel", got="none", remedy="check how they were made")
    return counted


def _check_support(support: ArrayLike | Tomogram | None, shape: tuple[int, ...], n_z: int | None) -> Bools:
    n_y, n_x = shape[1:]
    if support is None:
        return np.ones((n_z or n_x, n_y, n_x), dtype=bool)
    mask = np.asarray(support.values if isinstance(support, Tomogram) else support)
    if mask.ndim != 3:
        raise fail("support", expected="3 axes (z, y, x)", got=f"shape {mask.shape}", remedy="give one mask")
    filled: Bools = np.nan_to_num(mask).astype(bool)  # what is not known is not inside
    check_shape(filled, "support", (n_z or filled.shape[0], n_y, n_x), remedy="match (z, y, x) to the images")
    if not filled.any():
        raise fail("support", expected="at least one voxel", got="an empty mask", remedy="check how it was made")
    return filled


def _normalized(images: NDArray[Any], weights: Floats32) -> tuple[Floats32, float]:
    """Images divided by a power of two near their largest value, zero where the weight is zero, and that power."""
    measured = np.where(weights > 0, images, 0).astype(np.float64)
    largest = float(np.abs(measured).max())
    unit = float(2.0 ** np.floor(np.log2(largest))) if largest > 0 else 1.0
    return (measured / unit).astype(np.float32), unit


def _check_start(start: Tomogram | ArrayLike | None, shape: tuple[int, ...], unit: float) -> Floats32 | None:
    if start is None:
        return None
    values = np.asarray(start.values if isinstance(start, Tomogram) else start)
    check_shape(values, "start", shape, remedy="start from a volume on the same grid")
    check_finite(values, "start")
    return np.asarray(values / unit, dtype=np.float32)


def _fits(projector: Projector, ts: TiltSeries, shape: tuple[int, ...]) -> bool:
    return (
        np.array_equal(projector.tilt_angles_deg, ts.tilt_angles_deg)
        and projector.n_pixels == ts.images.shape[2]
        and projector.shape == (shape[0], shape[2])
    )


def _without_empty_tilts(problem: Problem, weights: Floats32) -> Problem:
    """Leave out tilts at which nothing was measured, and say what is missing."""
    kept = weights.any(axis=(1, 2))
    notes = []
    if not kept.all():
        angles = ", ".join(f"{a:g}" for a in problem.angles_deg[~kept])
        notes.append(f"nothing was measured at {angles} deg: left out")
        problem, weights = problem.subset(np.flatnonzero(kept)), weights[kept]
    missing = int(np.count_nonzero(weights == 0))
    if missing:
        notes.append(f"{missing} of {weights.size} pixels were not measured: they weigh nothing")
    return replace(problem, weights=None if np.all(weights == 1) else weights, notes=tuple(notes))
