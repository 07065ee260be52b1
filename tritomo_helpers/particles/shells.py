"""Where the particle is, and how deep below its surface every voxel lies."""

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Bools, Floats
from .._validation import check_ndim, check_not_infinite, check_option, check_positive, checked, fail
from ..constants import SCAN_STEP_NM
from ..containers import Tomogram

Shells = NDArray[np.int64]
_ERODED_THROUGH = {"faces": "taxicab", "corners": "chessboard"}


@checked
def otsu_mask(volume: Tomogram | ArrayLike, *, largest: bool = True, fill: bool = True) -> Bools:
    """Return where the particle is: voxels above Otsu's threshold, as the paper takes them from the ADF tomogram.

    Parameters
    ----------
    volume : Tomogram or array_like, shape (z, y, x)
        Density in any unit. NaN counts as outside.
    largest : bool, default True
        Keep the largest connected piece alone, without specks of noise around it.
    fill : bool, default True
        Fill holes that are closed on all sides.

    Returns
    -------
    ndarray of bool, shape (z, y, x)

    Raises
    ------
    ValueError
        If fewer than two values differ, so that there is no threshold.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979).

    Examples
    --------
    >>> volume = np.zeros((5, 5, 5))
    >>> volume[1:4, 1:4, 1:4] = 8.0
    >>> volume[2, 2, 2] = 0.0  # a pore
    >>> int(otsu_mask(volume).sum()), int(otsu_mask(volume, fill=False).sum())
    (27, 26)
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    values = np.asarray(getattr(volume, "values", volume), dtype=np.float64)
    check_ndim(values, "volume", "z, y, x")
    finite = values[np.isfinite(values)]
    if finite.size == 0 or np.ptp(finite) == 0:
        raise fail("volume", expected="values that differ", got="a constant", remedy="give the density of a particle")
    mask = np.nan_to_num(values, nan=-np.inf) > threshold_otsu(finite)
    if largest:
        labels, n = ndimage.label(mask)
        mask = labels == 1 + np.argmax(ndimage.sum_labels(mask, labels, range(1, n + 1)))
    return np.asarray(ndimage.binary_fill_holes(mask) if fill else mask)


@checked
def shells(mask: ArrayLike, *, through: str = "faces") -> Shells:
    """Peel a particle voxel by voxel: 0 outside, 1 the outermost voxels, 2 the next, as in the paper.

    The voxels of shell k go in the k-th step of an erosion by one voxel. What lies at the border of the volume is at
    the surface.

    Parameters
    ----------
    mask : array_like of bool, shape (z, y, x)
        Where the particle is.
    through : {"faces", "corners"}
        Which neighbors outside put a voxel at the surface: the 6 that share a face, or all 26. The paper does not say;
        faces make the thinnest shells.

    Returns
    -------
    ndarray of int, shape (z, y, x)

    Raises
    ------
    ValueError
        If the mask is empty or not 3D.

    Examples
    --------
    >>> shells(np.ones((5, 5, 5), bool))[2, 2]
    array([1, 2, 3, 2, 1])
    >>> [int((shells(np.ones((5, 5, 5), bool)) == k).sum()) for k in (1, 2, 3)]
    [98, 26, 1]
    """
    from scipy import ndimage

    inside = np.asarray(mask, dtype=bool)
    check_ndim(inside, "mask", "z, y, x")
    _check_some(inside)
    metric = _ERODED_THROUGH[check_option(through, "through", list(_ERODED_THROUGH))]
    steps = ndimage.distance_transform_cdt(np.pad(inside, 1), metric=metric)
    return np.asarray(steps[1:-1, 1:-1, 1:-1], dtype=np.int64)


@checked
def depth_shells(depth_nm: ArrayLike, *, thickness_nm: float = SCAN_STEP_NM) -> Shells:
    """Sort voxels into shells of equal thickness by a depth that is known, such as that of a phantom.

    Parameters
    ----------
    depth_nm : array_like, shape (z, y, x)
        Depth below the surface, nm; negative or NaN outside.
    thickness_nm : float, default 4.63
        Of a shell, nm.

    Returns
    -------
    ndarray of int, shape (z, y, x)
        0 outside, k for depths from (k - 1) to k times the thickness.

    Examples
    --------
    >>> depth_shells(np.array([[[-1.0, 0.0, 4.0, 5.0]]]))
    array([[[0, 1, 1, 2]]])
    """
    check_ndim(depth_nm, "depth_nm", "z, y, x")
    check_not_infinite(depth_nm, "depth_nm")
    depth = np.nan_to_num(np.asarray(depth_nm, dtype=np.float64), nan=-1.0)
    inside = depth >= 0
    _check_some(inside)
    step = check_positive(thickness_nm, "thickness_nm")
    return np.where(inside, np.floor(np.where(inside, depth, 0) / step) + 1, 0).astype(np.int64)


@checked
def mean_depth_nm(shells: Shells, *, voxel_size_nm: float = SCAN_STEP_NM) -> Floats:
    """Return how deep the voxels of each shell lie below the surface, on average.

    The surface runs halfway between a voxel inside and its nearest one outside. Shells that are peeled get thinner
    where the surface is oblique, so that shell k lies less deep than k - 1/2 voxels.

    Parameters
    ----------
    shells : ndarray of int, shape (z, y, x)
        0 outside.
    voxel_size_nm : float, default 4.63

    Returns
    -------
    ndarray, shape (n_shells,)
        nm, for shells 1, 2, ...; NaN for a number that no voxel has.

    Examples
    --------
    >>> mean_depth_nm(shells(np.ones((5, 5, 5), bool)), voxel_size_nm=2.0)
    array([1., 3., 5.])
    """
    return np.asarray(_mean_depth_px(shells.astype(np.int16).tobytes(), shells.shape) * voxel_size_nm)


@functools.lru_cache(maxsize=8)
def _mean_depth_px(content: bytes, shape: tuple[int, ...]) -> Floats:
    """Return mean depths in voxels; kept, because a verdict asks for those of one particle a hundred times."""
    from scipy import ndimage

    shells = np.frombuffer(content, np.int16).reshape(shape)
    inside = shells > 0
    outside_to_center = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1, 1:-1]
    sizes = np.bincount(shells[inside])[1:].astype(float)
    sums = np.bincount(shells[inside], weights=outside_to_center[inside] - 0.5)[1:]
    return np.asarray(np.divide(sums, sizes, out=np.full(sizes.size, np.nan), where=sizes > 0))


def _check_some(inside: Bools) -> None:
    if not inside.any():
        raise fail("mask", expected="voxels of a particle", got="none", remedy="lower the threshold of the mask")
