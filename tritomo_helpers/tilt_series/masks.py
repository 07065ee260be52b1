"""Masks: where the specimen is in each image."""

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, check_ndim, check_not_infinite, check_shape, checked
from ..containers import TiltSeries, over_elements
from ._series import Series, values_of, with_values

# Neighboring pixels of white noise are uncorrelated (0 +- 1/64 in a 64 x 64 image); in an image of anything they agree.
VISIBLE_NEIGHBOR_CORRELATION = 0.3


@checked
def neighbor_correlation(image: ArrayLike) -> float:
    """Tell an image of something from an image of noise.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Any unit.

    Returns
    -------
    float
        Pearson correlation between each pixel and its right and lower neighbors: near 1 for a specimen, near 0 for
        white noise, exactly 0 for a constant image.

    Examples
    --------
    >>> round(neighbor_correlation(np.outer(np.hanning(32), np.hanning(32))), 2) > 0.98
    True
    >>> abs(neighbor_correlation(np.random.default_rng(0).normal(size=(32, 32)))) < 0.1
    True
    """
    check_ndim(image, "image", "y, x")
    check_not_infinite(image, "image")
    values = np.asarray(image, dtype=np.float64)
    values = values - values.mean()
    power = float(np.mean(values**2))
    if power == 0:
        return 0.0
    down = float(np.mean(values[1:] * values[:-1]))
    right = float(np.mean(values[:, 1:] * values[:, :-1]))
    return (down + right) / 2 / power


@checked
def background_level(image: ArrayLike, mask: ArrayLike) -> tuple[float, float]:
    """Return level and noise of the vacuum around a specimen.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Any unit.
    mask : array_like of bool, shape (y, x)
        True on the specimen. A rim two pixels wide around it is not used.

    Returns
    -------
    level, noise : float
        Median and standard deviation of the vacuum, values beyond four robust standard deviations left out. The level
        is the minimum and the noise 0 when fewer than eight vacuum pixels remain.

    Examples
    --------
    >>> image = np.full((9, 9), 3.0)
    >>> background_level(image, np.zeros((9, 9), dtype=bool))
    (3.0, 0.0)
    """
    from scipy import ndimage

    check_ndim(image, "image", "y, x")
    check_shape(mask, "mask", np.shape(image), remedy="give the mask of this image")
    image = np.asarray(image, dtype=np.float64)
    vacuum = image[~ndimage.binary_dilation(np.asarray(mask, dtype=bool), iterations=2)]
    if vacuum.size < 8:
        return float(image.min()), 0.0
    level = float(np.median(vacuum))
    spread = 1.4826 * float(np.median(np.abs(vacuum - level))) or float(vacuum.std())
    kept = vacuum[np.abs(vacuum - level) <= 4 * spread]
    return float(kept.mean()), float(kept.std())


@checked
def otsu_masks(ts: TiltSeries, *, grow_to_sigma: float | None = 4.0, min_fraction: float = 0.02) -> NDArray[np.bool_]:
    r"""Find the specimen in every image of an ADF tilt series.

    Otsu's threshold maximizes the variance between two classes of gray values,

    .. math:: k^* = \arg\max_k \; w_0(k) w_1(k) [\mu_0(k) - \mu_1(k)]^2 .

    For a projection of a rounded particle it lies near half the greatest thickness and cuts off the thin rim, which is
    the surface. So the mask is grown from Otsu's region into every connected pixel that stands out of the vacuum.

    Parameters
    ----------
    ts : TiltSeries
        Images of shape (tilt, y, x), bright specimen on a dark background, any unit.
    grow_to_sigma : float or None, default 4
        Grow to pixels brighter than the vacuum by this many standard deviations of its noise. None keeps Otsu's own
        region, as in the paper.
    min_fraction : float, default 0.02
        Grown pixels must also exceed the vacuum by this fraction of the mean of Otsu's region, dimensionless, so that
        interpolation ripples of noise-free data do not count as specimen.

    Returns
    -------
    ndarray of bool, shape (tilt, y, x)
        The largest connected region of each tilt with its holes filled. All False where a tilt shows nothing but
        noise (see `neighbor_correlation`).

    Raises
    ------
    ValueError
        If the images hold NaN or infinity.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979).

    Examples
    --------
    >>> y, x = np.mgrid[-16:16, -16:16]
    >>> thickness = 2 * np.sqrt(np.clip(10.0**2 - x**2 - y**2, 0, None))
    >>> ball = TiltSeries(thickness[None], [0], 1.0)
    >>> int((thickness > 0).sum()), int(otsu_masks(ball).sum()), int(otsu_masks(ball, grow_to_sigma=None).sum())
    (305, 305, 285)
    """
    masks = np.zeros(ts.images.shape, dtype=bool)
    for i in range(ts.n_tilts):
        image = np.asarray(ts.images[i], dtype=np.float64)
        check_finite(image, f"image at {ts.tilt_angles_deg[i]:g} deg")
        masks[i] = _otsu_mask(image, grow_to_sigma, min_fraction)
    return masks


def _otsu_mask(image: NDArray[np.float64], grow_to_sigma: float | None, min_fraction: float) -> NDArray[np.bool_]:
    from scipy import ndimage
    from skimage.filters import apply_hysteresis_threshold, threshold_otsu

    if neighbor_correlation(image) < VISIBLE_NEIGHBOR_CORRELATION:
        return np.zeros(image.shape, dtype=bool)
    high = float(threshold_otsu(image))
    region = _largest(image > high)
    if grow_to_sigma is not None:
        level, noise = background_level(image, region)
        for _ in range(2):  # the first vacuum estimate still holds the thin rim
            contrast = float(image[region].mean()) - level
            low = min(level + max(grow_to_sigma * noise, min_fraction * contrast), high)
            region = _largest(apply_hysteresis_threshold(image, low, high))
            level, noise = background_level(image, region)
    return np.asarray(ndimage.binary_fill_holes(region), dtype=bool)


def _largest(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected region."""
    from scipy import ndimage

    labels, n_regions = ndimage.label(region)
    if n_regions < 2:
        return region
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax(), dtype=bool)


@overload
def apply_masks(x: Series, masks: ArrayLike) -> Series: ...
@overload
def apply_masks(x: Mapping[str, Series], masks: ArrayLike) -> dict[str, Series]: ...
@checked
def apply_masks(x: Any, masks: ArrayLike) -> Any:
    """Set everything outside the masks to zero, in any channel.

    Parameters
    ----------
    x : TiltSeries, SpectrumTiltSeries or mapping of element to them
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy or Dask.
    masks : array_like of bool, shape (tilt, y, x)
        True on the specimen, usually `otsu_masks` of the ADF series.

    Returns
    -------
    TiltSeries, SpectrumTiltSeries or dict of them
        Same type, dtype and laziness. A NaN outside becomes zero too: vacuum is known to hold no atoms.

    Raises
    ------
    ValueError
        If the masks do not have the shape of the images.

    Examples
    --------
    >>> series = TiltSeries(np.ones((1, 2, 2)), [0], 1.0)
    >>> apply_masks(series, [[[True, False], [False, False]]]).images.sum()
    np.float64(1.0)
    """
    if isinstance(x, Mapping):
        return over_elements(x, lambda series: apply_masks(series, masks))
    masks = np.asarray(masks, dtype=bool)
    check_shape(masks, "masks", values_of(x).shape[:3], remedy="compute the masks from the ADF images of the same scan")
    values = values_of(x)
    where = masks if values.ndim == 3 else masks[..., None]
    if hasattr(values, "dask"):
        import dask.array as da

        return with_values(x, da.where(where, values, values.dtype.type(0)))
    return with_values(x, np.where(where, values, values.dtype.type(0)))
