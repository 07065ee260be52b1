"""Hot pixels: single pixels that a detector or a cosmic ray has filled, found and replaced."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_ndim, check_not_infinite, check_positive, checked
from ._series import Series, map_tilts

_LEAST_RATIO = 1.5  # a hot pixel exceeds each of its neighbors by this; the top of a small particle does not


@checked
def hot_pixels(image: ArrayLike, *, threshold: float = 10.0) -> NDArray[np.bool_]:
    """Find pixels that stand out from all of their neighbors.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Any unit.
    threshold : float, default 10
        How far above the median of its 3 x 3 surroundings a pixel has to be, in standard deviations of such
        differences over the image (from their median, so that hot pixels do not count).

    Returns
    -------
    ndarray of bool, shape (y, x)

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(100, 3, (16, 16))
    >>> image[4, 7] = 400
    >>> np.argwhere(hot_pixels(image)).tolist()
    [[4, 7]]
    """
    from scipy import ndimage

    check_positive(threshold, "threshold", remedy="give standard deviations, such as 10")
    check_ndim(image, "image", "y, x")
    check_not_infinite(image, "image")
    values = np.asarray(image, dtype=np.float64)
    excess = values - ndimage.median_filter(values, size=3, mode="nearest")
    spread = 1.4826 * float(np.median(np.abs(excess)))
    if spread == 0:  # most pixels are equal, as in maps of few counts
        spread = float(np.std(np.sort(excess, axis=None)[: -max(1, excess.size // 100)]))
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
    neighbors = ndimage.maximum_filter(values, footprint=ring, mode="nearest")
    floor = float(np.median(values))
    stands_out = values - floor > _LEAST_RATIO * (neighbors - floor)
    return np.asarray((excess > threshold * spread) & stands_out)


@checked
def remove_hot_pixels(x: Series, *, threshold: float = 10.0) -> Series:
    """Replace hot pixels by the median of their surroundings; nothing else is changed.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x), or counts (tilt, y, x, energy), whose energies are cleaned one by one. Dask stays lazy.
    threshold : float, default 10
        As in `hot_pixels`.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type; integers become float32.

    Examples
    --------
    >>> from tritomo_helpers.containers import TiltSeries
    >>> image = np.full((1, 5, 5), 2.0)
    >>> image[0, 2, 2] = 50
    >>> remove_hot_pixels(TiltSeries(image, [0], 1.0)).images.max().item()
    2.0
    """
    return map_tilts(x, lambda tilt, _: _cleaned(tilt, threshold))


def _cleaned(tilt: NDArray[np.floating], threshold: float) -> NDArray[np.floating]:
    from scipy import ndimage

    if tilt.ndim == 3:
        return np.stack([_cleaned(tilt[..., k], threshold) for k in range(tilt.shape[-1])], axis=-1)
    return np.where(hot_pixels(tilt, threshold=threshold), ndimage.median_filter(tilt, size=3, mode="nearest"), tilt)
