"""The mean over neighboring pixels, weighted so that vacuum is not mixed in.

References
----------
The paper's Methods: a mean over 3 x 3 pixels.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_count, check_finite, check_shape, checked, fail
from ..containers import SpectrumTiltSeries
from ..tilt_series import map_tilts


@checked
def filter_neighbors(
    x: SpectrumTiltSeries, *, size_px: int = 3, weights: ArrayLike | None = None
) -> SpectrumTiltSeries:
    r"""Replace every spectrum by the weighted mean of the square of pixels around it.

    .. math:: \bar I(y, x, E) = \frac{\sum_{y', x'} w(y', x')\, I(y', x', E)}{\sum_{y', x'} w(y', x')}

    over the `size_px` x `size_px` pixels of the same tilt; at the rim of the frame over those that exist.

    Parameters
    ----------
    x : SpectrumTiltSeries
        Numpy, memory map or Dask, one tilt in memory at a time.
    size_px : int, default 3
        Odd side of the square, pixels (paper: 3).
    weights : array_like, shape (tilt, y, x), optional
        Non-negative; by default all 1. The core loss of a square is the sum over its atoms, so its mean takes no
        weights. The low loss must be that of the same atoms: weight it by t/lambda, or vacuum beside the
        particle makes the specimen look too thin. NaN counts as zero; where no weight is left the plain mean stands.

    Returns
    -------
    SpectrumTiltSeries
        float32 (float64 for float64 input).

    Raises
    ------
    ValueError
        If the size is not odd and positive, weights are negative, or shapes differ.

    Examples
    --------
    >>> counts = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
    >>> series = SpectrumTiltSeries(counts, [0], [0.0], 1.0)
    >>> filter_neighbors(series).counts.ravel()
    array([1.5, 3. , 4. ])
    >>> filter_neighbors(series, weights=np.array([[[0.0, 1.0, 3.0]]])).counts.ravel()
    array([2., 5., 5.])
    """
    if size_px != int(size_px) or size_px < 1 or size_px % 2 == 0:
        raise fail("size_px", expected="an odd number of pixels, 1 or more", got=size_px, remedy="use 3 or 5")
    given = np.ones(x.counts.shape[:3]) if weights is None else np.asarray(weights, dtype=float)
    given = np.where(np.isnan(given), 0.0, given)
    check_shape(given, "weights", x.counts.shape[:3], remedy="give one weight per pixel of every tilt")
    check_finite(given, "weights")
    if np.any(given < 0):
        raise fail("weights", expected="zero or more", got=f"{given.min():g}", remedy="clip t/lambda at zero")

    def average(tilt: NDArray[Any], i: int) -> NDArray[Any]:
        # A square without any weight falls back on the plain mean.
        weight = given[i].astype(tilt.dtype) + np.finfo(tilt.dtype).tiny ** 0.5
        return np.asarray(sum_neighbors(tilt * weight[..., None], size_px) / sum_neighbors(weight, size_px)[..., None])

    return map_tilts(x, average)


@checked
def sum_neighbors(values: NDArray[Any], size_px: int) -> NDArray[Any]:
    """Sum over a square of pixels along the first two axes; outside the frame there is nothing.

    Parameters
    ----------
    values : ndarray, shape (y, x, ...)
        Any unit.
    size_px : int
        Odd side of the square, pixels.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> sum_neighbors(np.array([[1.0, 2.0, 6.0]]), 3)
    array([[3., 9., 8.]])
    """
    check_count(size_px, "size_px", remedy="give an odd number of pixels")
    for axis in (0, 1):
        total = values.copy()
        for shift in range(1, size_px // 2 + 1):
            ahead, behind = [slice(None)] * values.ndim, [slice(None)] * values.ndim
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            if values.shape[axis] > shift:
                total[tuple(behind)] += values[tuple(ahead)]
                total[tuple(ahead)] += values[tuple(behind)]
        values = total
    return values
