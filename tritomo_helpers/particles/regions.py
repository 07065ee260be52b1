"""Where an element is rich: connected regions above a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_count, check_ndim, checked, fail
from ..constants import SCAN_STEP_NM
from ..containers import Tomogram


@dataclass(frozen=True, eq=False)
class RichRegions:
    """Voxels above a threshold and the connected regions that they form.

    Parameters
    ----------
    share : float
        Rich voxels over voxels with a value, between 0 and 1.
    labels : ndarray of int, shape (z, y, x)
        0 where not rich, else the number of the region, the largest first.
    centres : ndarray, shape (region, 3)
        Centre of each region as index (z, y, x).
    centres_nm : ndarray, shape (region, 3)
        The same as position (x, y, z) from index N // 2 of each axis, nm.
    sizes : ndarray of int, shape (region,)
        Voxels of each region.
    indicator : ndarray, shape (z, y, x)
        1 where rich, 0 where not, NaN where nothing was measured: its depth profile is the rich share of each shell.
    """

    share: float
    labels: NDArray[np.int64]
    centres: Floats
    centres_nm: Floats
    sizes: NDArray[np.int64]
    indicator: Floats


@overload
def rich_regions(
    fractions: Tomogram | ArrayLike, *, threshold: float, min_voxels: int = 1, voxel_size_nm: float | None = None
) -> RichRegions: ...
@overload
def rich_regions(
    fractions: Mapping[str, Tomogram | ArrayLike],
    *,
    threshold: float,
    min_voxels: int = 1,
    voxel_size_nm: float | None = None,
) -> dict[str, RichRegions]: ...


@checked
def rich_regions(
    fractions: Tomogram | ArrayLike | Mapping[str, Tomogram | ArrayLike],
    *,
    threshold: float,
    min_voxels: int = 1,
    voxel_size_nm: float | None = None,
) -> RichRegions | dict[str, RichRegions]:
    """Find where an element exceeds a threshold.

    Parameters
    ----------
    fractions : Tomogram or array_like, shape (z, y, x), or mapping from element to these
        Any unit; NaN outside the particle.
    threshold : float
        In the unit of the fractions. The paper takes 16.67 at% for metals, the mean of a metal in rock salt, and 80 at%
        for oxygen.
    min_voxels : int, default 1
        Regions with fewer voxels get no label. They count in `share`, as in the paper.
    voxel_size_nm : float, optional
        That of the tomogram by default, else 4.63 nm.

    Returns
    -------
    RichRegions, or dict of element to RichRegions

    Raises
    ------
    ValueError
        If nothing was measured, or the threshold is no number.

    Notes
    -----
    Noise makes rich voxels, and the more the nearer the mean is to the threshold: compare with a null of the same mean.
    Voxels that share a corner are connected.

    Examples
    --------
    >>> volume = np.full((5, 5, 5), 11.0)
    >>> volume[1, 1, 1:3] = 20.0
    >>> rich = rich_regions(volume, threshold=16.67, voxel_size_nm=2.0)
    >>> rich.share, rich.centres, rich.centres_nm
    (0.016, array([[1. , 1. , 1.5]]), array([[-1., -2., -2.]]))
    """
    if isinstance(fractions, Mapping):
        return {
            name: rich_regions(volume, threshold=threshold, min_voxels=min_voxels, voxel_size_nm=voxel_size_nm)
            for name, volume in fractions.items()
        }
    check_count(min_voxels, "min_voxels")
    from scipy import ndimage

    size = voxel_size_nm if voxel_size_nm is not None else getattr(fractions, "voxel_size_nm", SCAN_STEP_NM)
    values = np.asarray(getattr(fractions, "values", fractions), dtype=np.float64)
    check_ndim(values, "fractions", "z, y, x")
    if not np.isfinite(threshold):
        raise fail(
            "threshold", expected="a finite number", got=threshold, remedy="give it in the unit of the fractions"
        )
    measured = np.isfinite(values)
    if not measured.any():
        raise fail("fractions", expected="values in the particle", got="NaN everywhere", remedy="check the mask")
    rich = measured & (np.nan_to_num(values, nan=-np.inf) > threshold)
    connected, n = ndimage.label(rich, np.ones((3, 3, 3)))
    sizes = np.bincount(connected.ravel(), minlength=n + 1)[1:]
    order = [k for k in np.argsort(-sizes, kind="stable") if sizes[k] >= min_voxels]
    number = np.zeros(n + 1, dtype=np.int64)
    number[np.array(order, dtype=int) + 1] = np.arange(1, len(order) + 1)
    labels = number[connected]
    centers = np.array(ndimage.center_of_mass(rich, labels, range(1, len(order) + 1)), dtype=float).reshape(-1, 3)
    return RichRegions(
        share=float(rich.sum() / measured.sum()),
        labels=labels,
        centres=centers,
        centres_nm=(centers - np.array(values.shape) // 2)[:, ::-1] * size,
        sizes=sizes[order],
        indicator=np.where(measured, rich.astype(float), np.nan),
    )
