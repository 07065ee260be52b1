"""How fine a volume is: shells in Fourier space, edges in real space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, check_option, check_positive, check_shape, checked, fail


@dataclass(frozen=True, eq=False)
class FourierShells:
    """Agreement of two volumes by spatial frequency.

    Parameters
    ----------
    frequency_per_nm : ndarray, shape (shells,)
        Middle of each shell; the last one ends at Nyquist.
    correlation : ndarray, shape (shells,)
        Fourier shell correlation, -1 to 1.
    n_points : ndarray, shape (shells,)
        Fourier points in each shell.
    """

    frequency_per_nm: NDArray[np.float64]
    correlation: NDArray[np.float64]
    n_points: NDArray[np.int64]

    def resolution_nm(self, threshold: float = 0.143) -> float:
        """Return the period where the correlation first falls below `threshold`, nm; NaN if it never does.

        The usual thresholds are 0.143 for halves of the data and 0.5 for a result against the truth.
        """
        below = np.flatnonzero(self.correlation < threshold)
        if below.size == 0:
            return float("nan")
        i = int(below[0])
        if i == 0:
            return float(1 / self.frequency_per_nm[0])
        f, c = self.frequency_per_nm, self.correlation
        crossing = f[i - 1] + (c[i - 1] - threshold) / (c[i - 1] - c[i]) * (f[i] - f[i - 1])
        return float(1 / crossing)


@checked
def fsc(a: ArrayLike, b: ArrayLike, *, voxel_size_nm: float, axis: int | None = None) -> FourierShells:
    r"""Fourier shell correlation of two volumes.

    .. math:: \mathrm{FSC}(k) = \frac{\sum_k A \bar B}{\sqrt{\sum_k |A|^2 \sum_k |B|^2}}

    Parameters
    ----------
    a, b : array_like, shape (z, y, x)
        Independent reconstructions, or a reconstruction and the truth, in any unit. Equal masks correlate too: compare
        with care.
    voxel_size_nm : float
    axis : {0, 1, 2}, optional
        Count only the double cone within 30 degrees of this axis, to tell the wedge direction (0) from the others.

    Returns
    -------
    FourierShells
        One shell per Fourier pixel of the longest side, up to Nyquist; zero frequency is left out.

    Raises
    ------
    ValueError
        If shapes differ, are not 3D, or a value is not finite.

    References
    ----------
    Harauz and van Heel, Optik 73, 146 (1986).

    Examples
    --------
    >>> import numpy as np
    >>> v = np.random.default_rng(1).random((8, 8, 8))
    >>> fsc(v, 3 * v + 1, voxel_size_nm=4.63).correlation.round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    check_shape(first, "a", second.shape)
    if first.ndim != 3:
        raise fail("a", expected="3 axes (z, y, x)", got=f"shape {first.shape}", remedy="give volumes")
    check_finite(first, "a")
    check_finite(second, "b")
    check_positive(voxel_size_nm, "voxel_size_nm")
    n_shells = max(first.shape) // 2
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in first.shape), indexing="ij", sparse=True)
    radius = np.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    shell = np.ceil(radius * 2 * n_shells - 0.5).astype(int)
    used = (shell >= 1) & (shell <= n_shells)
    if axis is not None:
        check_option(axis, "axis", (0, 1, 2))
        used &= np.abs(k[axis]) >= np.cos(np.deg2rad(30)) * radius
    f, g, index = np.fft.fftn(first)[used], np.fft.fftn(second)[used], shell[used]

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(index, weights=values, minlength=n_shells + 1)[1:].astype(np.float64)

    norm = np.sqrt(total(np.abs(f) ** 2) * total(np.abs(g) ** 2))
    correlation = np.divide(total((f * g.conj()).real), norm, out=np.zeros(n_shells), where=norm > 0)
    frequency = np.arange(1, n_shells + 1) / (2 * n_shells * voxel_size_nm)
    return FourierShells(frequency, correlation, np.bincount(index, minlength=n_shells + 1)[1:])


@checked
def edge_width(values: ArrayLike, *, axis: int, voxel_size_nm: float, radius: float = 0.5) -> float:
    """Width of a particle's edge along one axis: how far it takes to fall from 90 % to 10 % of the inside.

    Lines along `axis` that pass near the center of mass are walked outward both ways; the answer is their median. A
    missing wedge about z makes the width along z (axis 0) larger than along x (axis 2). A sharp edge averaged over
    voxels gives about 0.8 voxel.

    Parameters
    ----------
    values : array_like, shape (z, y, x)
        A bright particle on an empty ground, in any unit.
    axis : {0, 1, 2}
        0 is along z, the direction that a missing wedge blurs; 2 is along x, across it.
    voxel_size_nm : float
    radius : float, default 0.5
        Lines are used within this share of the particle's half width, where the edge lies square to them.

    Returns
    -------
    float
        nm.

    Raises
    ------
    ValueError
        If the volume holds no particle, or values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> ball = np.sum((np.indices((24, 24, 24)) - 12) ** 2, axis=0) < 64
    >>> edge_width(ball.astype(float), axis=0, voxel_size_nm=1.0)
    0.8
    """
    volume = np.asarray(values, dtype=np.float64)
    if volume.ndim != 3:
        raise fail("values", expected="3 axes (z, y, x)", got=f"shape {volume.shape}", remedy="give a volume")
    check_option(axis, "axis", (0, 1, 2))
    check_finite(volume, "values")
    check_positive(voxel_size_nm, "voxel_size_nm")
    inside = volume > 0.5 * np.percentile(volume, 99.5)
    if not inside.any() or inside.all():
        raise fail("values", expected="a particle on an empty ground", got="neither", remedy="crop or mask the volume")
    lines = np.moveaxis(volume, axis, -1).reshape(-1, volume.shape[axis])
    filled = np.moveaxis(inside, axis, -1)
    thickness = filled.sum(axis=-1)
    positions = np.argwhere(thickness > 0)
    center, half = positions.mean(axis=0), np.sqrt(len(positions) / np.pi)
    across = np.moveaxis(np.indices(thickness.shape), 0, -1) - center
    near = (np.hypot(across[..., 0], across[..., 1]) < radius * half).ravel() & (thickness.ravel() > 2)
    widths = [_outward_width(line[::step]) for line in lines[near] for step in (1, -1)]
    if np.isnan(widths).all():
        raise fail("values", expected="an edge that rises from dark", got="none", remedy="give the empty ground, too")
    return float(np.nanmedian(widths) * voxel_size_nm)


def _outward_width(line: NDArray[np.float64]) -> float:
    """Distance in voxels over which the first rise of `line` goes from 10 % to 90 % of its inner level."""
    bright = np.flatnonzero(line > 0.5 * line.max())
    if bright.size == 0:
        return float("nan")
    level = np.median(line[bright[0] : bright[-1] + 1])
    high = int(np.flatnonzero(line >= 0.9 * level)[0])
    dark = np.flatnonzero(line[:high] < 0.1 * level)
    if dark.size == 0:
        return float("nan")
    low = int(dark[-1]) + 1
    start, stop = (i - (line[i] - share * level) / (line[i] - line[i - 1]) for i, share in ((low, 0.1), (high, 0.9)))
    return float(stop - start)
