"""The one place that knows where each container keeps its values."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_count, check_shape, checked, fail
from ..containers import SpectrumTiltSeries, TiltSeries

Series = TypeVar("Series", TiltSeries, SpectrumTiltSeries)


@checked
def values_of(x: object) -> Any:
    """Return the images or counts of a container.

    Examples
    --------
    >>> values_of(TiltSeries(np.ones((2, 3, 4)), [0, 10], 1.0)).shape
    (2, 3, 4)
    """
    if isinstance(x, TiltSeries):
        return x.images
    if isinstance(x, SpectrumTiltSeries):
        return x.counts
    raise fail(
        "series",
        expected="a TiltSeries or a SpectrumTiltSeries",
        got=type(x).__name__,
        remedy="put the array into a container with its angles",
        error=TypeError,
    )


def with_values(x: Series, values: Any) -> Series:
    return x.replace(images=values) if isinstance(x, TiltSeries) else x.replace(counts=values)


@checked
def map_tilts(x: Series, function: Callable[[NDArray[Any], int], NDArray[Any]]) -> Series:
    """Apply a function that keeps the shape to each tilt, lazily for Dask arrays and memory maps.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy).
    function : callable
        Receives one tilt, a floating-point array (y, x) or (y, x, energy), and its index. For Dask input it sees all
        of y and x and one chunk of energies, so it must treat each energy by itself.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        float64 for float64 input, float32 otherwise.

    Examples
    --------
    >>> series = TiltSeries(np.ones((2, 1, 1)), [0, 10], 1.0)
    >>> map_tilts(series, lambda tilt, i: tilt * i).images.ravel()
    array([0., 1.])
    """
    values: Any = values_of(x)
    dtype = np.dtype(np.float64 if values.dtype == np.float64 else np.float32)
    if isinstance(values, np.memmap) or isinstance(getattr(values, "base", None), np.memmap):
        import dask.array as da

        values = da.from_array(values, chunks=(1, *values.shape[1:3], *(["auto"] * (values.ndim - 3))))
    if hasattr(values, "dask"):
        values = values.rechunk({0: 1, 1: -1, 2: -1})

        def on_block(block: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
            i = block_info[0]["array-location"][0][0]
            return np.asarray(function(np.asarray(block[0], dtype=dtype), i), dtype=dtype)[None]

        return with_values(x, values.map_blocks(on_block, dtype=dtype, meta=np.empty((0,) * values.ndim, dtype)))
    result = np.empty(values.shape, dtype=dtype)
    for i in range(values.shape[0]):
        result[i] = function(np.asarray(values[i], dtype=dtype), i)
    return with_values(x, result)


@checked
def select_tilts(x: Series, keep: ArrayLike) -> Series:
    """Return the series with some tilts only.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        numpy or Dask.
    keep : array_like of bool, shape (tilt,)
        True for the tilts to keep.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type with fewer tilts.

    Raises
    ------
    ValueError
        If there is not one value per tilt, or nothing is kept.

    Examples
    --------
    >>> select_tilts(TiltSeries(np.zeros((3, 2, 2)), [-10, 0, 10], 1.0), [True, False, True]).tilt_angles_deg
    array([-10.,  10.])
    """
    kept = np.asarray(keep, dtype=bool)
    check_shape(kept, "keep", (x.n_tilts,), remedy="give one True or False per tilt")
    if not kept.any():
        raise fail("keep", expected="at least one tilt", got="none", remedy="keep a tilt")
    changes: dict[str, Any] = {"tilt_angles_deg": x.tilt_angles_deg[kept]}
    changes["images" if isinstance(x, TiltSeries) else "counts"] = values_of(x)[np.flatnonzero(kept)]
    return x.replace(**changes)


@checked
def bin_pixels(x: Series, n: int) -> Series:
    """Add up n x n pixels, so that each new one has the counts of all of them.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy or Dask, which stays lazy.
    n : int

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        float64 for float64 input, float32 otherwise; pixels n times as large. The middle of the images moves by half of
        n - 1 old pixels, alike in every channel: align afterwards.

    Raises
    ------
    ValueError
        If the images cannot be divided so.

    Examples
    --------
    >>> binned = bin_pixels(TiltSeries(np.ones((2, 4, 6)), [0, 10], 1.5), 2)
    >>> binned.images.shape, binned.images.max().item(), binned.pixel_size_nm
    ((2, 2, 3), 4.0, 3.0)
    """
    n = check_count(n, "n")
    values: Any = values_of(x)
    n_tilts, height, width = values.shape[:3]
    if height % n or width % n:
        raise fail(
            "n",
            expected=f"a divisor of {height} and of {width} pixels",
            got=n,
            remedy="choose another, or crop the images first",
        )
    dtype = np.dtype(np.float64 if values.dtype == np.float64 else np.float32)
    blocks = (n_tilts, height // n, n, width // n, n, *values.shape[3:])
    if hasattr(values, "dask"):
        values = values.rechunk({0: 1, 1: -1, 2: -1})
    binned = values.reshape(blocks).sum(axis=(2, 4), dtype=dtype)
    return with_values(x, binned).replace(pixel_size_nm=n * x.pixel_size_nm)
