"""Frames recorded more than once at one angle: taken once, averaged, or kept."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_option

REPEATS = ("first", "mean", "keep")
APART_DEG = 1e-6
"""How far apart the angles of kept repeats are set, so that each frame has its own: far below what a stage can do."""


def in_order(values: Any, angles: NDArray[np.float64], repeats: str | None, where: str) -> tuple[Any, Any]:
    """Return values sorted by angle, and the angles, each once.

    Without `repeats`, the first frame of each angle is taken, and a warning says so.

    Examples
    --------
    >>> frames = np.array([[1.0], [2.0], [4.0]])
    >>> in_order(frames, np.array([5.0, 0.0, 0.0]), "mean", "a.mrc")
    (array([[3.],
           [1.]]), array([0., 5.]))
    """
    if repeats is not None:
        check_option(repeats, "repeats", REPEATS)
    order = np.argsort(angles, kind="stable")
    if not np.array_equal(order, np.arange(order.size)):
        values = values[order]
    angles = angles[order]
    unique, first, counts = np.unique(angles, return_index=True, return_counts=True)
    if unique.size == angles.size:
        return values, angles
    if repeats is None:
        repeated = zip(unique[counts > 1], counts[counts > 1], strict=True)
        listed = ", ".join(f"{count} at {angle:g} deg" for angle, count in repeated)
        warnings.warn(
            f"{where} has repeated frames ({listed}): the first of each is taken; choose with "
            'repeats="first", "mean" or "keep"',
            stacklevel=3,
        )
    if repeats == "keep":
        number = np.arange(angles.size) - np.repeat(first, counts)
        return values, angles + number * APART_DEG
    if repeats == "mean":
        return _means(values, first, counts), unique
    return values[first], unique


def _means(values: Any, first: NDArray[np.intp], counts: NDArray[np.intp]) -> Any:
    kind = np.float64 if values.dtype == np.float64 else np.float32
    means = [values[i : i + n].mean(axis=0, dtype=np.float64) for i, n in zip(first, counts, strict=True)]
    if hasattr(values, "dask"):
        import dask.array as da

        return da.stack(means).astype(kind)
    return np.stack(means).astype(kind)
