"""Sums over shells, which every module of this folder needs."""

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_positive, check_shape, checked, fail
from ..constants import SCAN_STEP_NM
from ..containers import Tomogram
from .shells import Shells, mean_depth_nm


@dataclass(frozen=True, eq=False)
class ShellSums:
    """The voxels of a particle that have a value, sorted into shells."""

    inside: NDArray[np.bool_]
    label: NDArray[np.int64]
    values: Floats
    n: NDArray[np.int64]
    depth_nm: Floats
    voxel_size_nm: float
    shells: Shells

    def as_one_shell(self) -> "ShellSums":
        """Return the same voxels as if depth did not matter."""
        label, n = np.ones_like(self.label), np.array([self.label.size])
        return replace(self, label=label, n=n, shells=self.inside.astype(np.int64))

    def mean(self, x: Floats) -> Floats:
        """Return the mean of each shell of values (voxel,); NaN where a shell has none."""
        sums = np.bincount(self.label, weights=x, minlength=self.n.size + 1)[1:]
        return np.asarray(np.divide(sums, self.n, out=np.full(self.n.size, np.nan), where=self.n > 0))

    def variance(self, x: Floats) -> Floats:
        """Return the variance within each shell, divided by n: that of what is there."""
        return self.mean((x - self.mean(x)[self.label - 1]) ** 2)

    def draws(self, error_draws: ArrayLike) -> Floats:
        """Return draws (draw, voxel) of the voxels that count, from volumes or from the voxels of the particle."""
        draws = np.asarray(error_draws, dtype=np.float64)
        if draws.ndim == 4:
            check_shape(draws, "error_draws", (draws.shape[0], *self.shells.shape))
            return np.asarray(draws[:, self.inside])
        n_voxels = int((self.shells > 0).sum())
        check_shape(
            draws, "error_draws", (*draws.shape[:1], n_voxels), remedy="give volumes, or the voxels of the shells"
        )
        return np.asarray(draws[:, self.inside[self.shells > 0]])


def shell_sums(
    values: Tomogram | ArrayLike,
    shells: Shells,
    *,
    voxel_size_nm: float | None = None,
    depth_nm: ArrayLike | None = None,
) -> ShellSums:
    """Check a volume and its shells and sort its voxels; voxels without a value are left out."""
    size = voxel_size_nm if voxel_size_nm is not None else getattr(values, "voxel_size_nm", SCAN_STEP_NM)
    check_positive(size, "voxel_size_nm")
    volume = np.asarray(getattr(values, "values", values), dtype=np.float64)
    labels = np.asarray(shells)
    check_shape(volume, "values", labels.shape, remedy="give a volume and shells of one shape")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise fail(
            "shells",
            expected="whole numbers, 0 outside and 1 at the surface",
            got=f"{labels.dtype} from {labels.min()} on",
            remedy="make them with particles.shells(mask)",
        )
    inside = (labels > 0) & np.isfinite(volume)
    if not inside.any():
        raise fail("values", expected="values inside the shells", got="NaN everywhere", remedy="check mask and volume")
    n_shells = int(labels.max())
    label = labels[inside].astype(np.int64)
    n = np.bincount(label, minlength=n_shells + 1)[1:]
    if depth_nm is None:
        depth = mean_depth_nm(labels, voxel_size_nm=size)
    else:
        known = np.asarray(depth_nm, dtype=np.float64)
        check_shape(known, "depth_nm", labels.shape, remedy="give the depth of every voxel")
        sums = np.bincount(label, weights=known[inside], minlength=n_shells + 1)[1:]
        depth = np.divide(sums, n, out=np.full(n_shells, np.nan), where=n > 0)
    return ShellSums(inside, label, volume[inside], n, np.asarray(depth), float(size), labels)


@checked
def independent_voxels(shells: Shells, *, correlation_length_nm: float, voxel_size_nm: float = SCAN_STEP_NM) -> Floats:
    r"""Return how many independent values the voxels of each shell are worth, where errors are correlated.

    .. math:: n_\mathrm{ind} = n^2 / \sum_{ij} \exp(-r_{ij}^2 / 2 l^2)

    is the number for which the error of the mean of n voxels is that of one over its square root.

    Parameters
    ----------
    shells : ndarray of int, shape (z, y, x)
        0 outside.
    correlation_length_nm : float
        Standard deviation l of the errors' Gaussian autocorrelation, nm; 0 for white noise. A volume that was smoothed
        by a Gaussian of standard deviation s has l = 1.41 s.
    voxel_size_nm : float, default 4.63

    Returns
    -------
    ndarray, shape (n_shells,)
        Between 1 and the number of voxels.

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> cube = shells(np.ones((5, 5, 5), bool))
    >>> independent_voxels(cube, correlation_length_nm=0.0)
    array([98., 26.,  1.])
    >>> independent_voxels(cube, correlation_length_nm=1000.0).round(1)
    array([1., 1., 1.])
    """
    length = check_positive(correlation_length_nm, "correlation_length_nm", zero_ok=True) / voxel_size_nm
    return _independent(shells.astype(np.int16).tobytes(), shells.shape, length).copy()


@functools.lru_cache(maxsize=8)
def _independent(content: bytes, shape: tuple[int, ...], length_px: float) -> Floats:
    """Sum the correlations of all pairs, axis by axis; kept, because a null asks for those of one particle often."""
    shells = np.frombuffer(content, np.int16).reshape(shape)
    n = np.bincount(shells[shells > 0], minlength=int(shells.max()) + 1)[1:].astype(float)
    if length_px == 0:
        return n
    steps = [np.subtract.outer(np.arange(size), np.arange(size)) for size in shape]
    along_z, along_y, along_x = (np.exp(-(step**2) / (2 * length_px**2)) for step in steps)
    worth = np.full(n.size, np.nan)
    for k in np.flatnonzero(n):
        here = (shells == k + 1).astype(float)
        near = np.einsum("ab,bcd->acd", along_z, here, optimize=True)
        near = np.matmul(along_y, near) @ along_x
        worth[k] = n[k] ** 2 / float((here * near).sum())
    return worth
