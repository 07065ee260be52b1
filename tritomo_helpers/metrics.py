"""How good is a reconstruction: with the truth (NRMSE, Dice), and without it (R factors, held-out data, FSC)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._validation import check_finite, check_option, check_positive, check_shape, fail

__all__ = [
    "FourierShells",
    "bootstrap_interval",
    "dice",
    "edge_width",
    "free_mask",
    "fsc",
    "held_out_error",
    "nrmse",
    "poisson_deviance",
    "r_factor",
    "thin_counts",
]


def nrmse(x: ArrayLike, truth: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    r"""Error relative to the truth.

    .. math:: \lVert x - x_0 \rVert / \lVert x_0 \rVert

    Parameters
    ----------
    x, truth : array_like, same shape
        Estimate and truth, same unit.
    mask : array_like of bool, same shape, optional
        Where to compare; everywhere by default.

    Returns
    -------
    float
        0 is perfect; 1 is what an estimate of zero scores.

    Raises
    ------
    ValueError
        If shapes differ, a compared value is not finite, the mask is empty or the truth is zero in it.

    Examples
    --------
    >>> nrmse([3.0, 4.0, 9.0], [3.0, 3.0, 0.0], mask=[True, True, False])
    0.23570...
    """
    estimate, reference = np.asarray(x, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    check_shape(estimate, "x", reference.shape, remedy="compare arrays on one grid")
    if mask is not None:
        check_shape(mask, "mask", reference.shape)
        chosen = np.asarray(mask, dtype=bool)
        estimate, reference = estimate[chosen], reference[chosen]
    check_finite(estimate, "x inside the mask")
    check_finite(reference, "truth inside the mask")
    norm = np.linalg.norm(reference)
    if norm == 0:
        raise fail("truth", expected="a value other than zero inside the mask", got="none", remedy="check the mask")
    return float(np.linalg.norm(estimate - reference) / norm)


def dice(a: ArrayLike, b: ArrayLike) -> float:
    r"""Overlap of two masks, :math:`2 |A \cap B| / (|A| + |B|)`.

    Parameters
    ----------
    a, b : array_like of bool, same shape

    Returns
    -------
    float
        1 for equal masks, 0 for disjoint ones.

    Raises
    ------
    ValueError
        If shapes differ or both masks are empty.

    Examples
    --------
    >>> dice([True, True, False], [True, False, False])
    0.66666...
    """
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    check_shape(first, "a", second.shape)
    total = int(first.sum() + second.sum())
    if total == 0:
        raise fail("masks", expected="at least one voxel", got="two empty masks", remedy="check how they were made")
    return float(2 * np.count_nonzero(first & second) / total)


def r_factor(calculated: ArrayLike, measured: ArrayLike, *, convention: str = "amplitude") -> float:
    r"""Misfit to the measurement, in one of the two conventions in use.

    ``"amplitude"`` is the crystallographer's, and what GENFIRE reports over its measured Fourier points;
    ``"difference"`` also counts wrong phases, and is the usual one for projections.

    .. math::
        R_\mathrm{amplitude} = \frac{\sum \bigl| |F| - |K| \bigr|}{\sum |K|}, \qquad
        R_\mathrm{difference} = \frac{\sum |F - K|}{\sum |K|}

    Parameters
    ----------
    calculated, measured : array_like, same shape, real or complex
        F and K: Fourier coefficients or projections.
    convention : {"amplitude", "difference"}

    Returns
    -------
    float
        0 is a perfect fit. The amplitude form is never the larger one.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite or the measurement is zero.

    References
    ----------
    Pryor et al., Sci. Rep. 7, 10409 (2017).

    Examples
    --------
    >>> r_factor([1.0, -2.0], [1.0, 2.0]), r_factor([1.0, -2.0], [1.0, 2.0], convention="difference")
    (0.0, 1.33333...)
    """
    check_option(convention, "convention", ("amplitude", "difference"))
    f, k = np.asarray(calculated), np.asarray(measured)
    check_shape(f, "calculated", k.shape)
    check_finite(f, "calculated")
    check_finite(k, "measured")
    norm = float(np.abs(k).sum(dtype=np.float64))
    if norm == 0:
        raise fail("measured", expected="a value other than zero", got="only zeros", remedy="drop empty data")
    misfit = np.abs(np.abs(f) - np.abs(k)) if convention == "amplitude" else np.abs(f - k)
    return float(misfit.sum(dtype=np.float64) / norm)


def free_mask(shape: int | tuple[int, ...], *, rng: np.random.Generator, fraction: float = 0.05) -> NDArray[np.bool_]:
    """Choose data to keep out of a fit, for an R_free that noise cannot lower.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the data.
    rng : numpy.random.Generator
        The same seed gives the same choice.
    fraction : float, default 0.05
        Share kept out, between 0 and 1.

    Returns
    -------
    ndarray of bool, shape `shape`
        True where kept out; never empty unless `fraction` is 0.

    Raises
    ------
    ValueError
        If `fraction` is not in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> int(free_mask(200, rng=np.random.default_rng(1)).sum())
    10
    """
    if not 0 <= fraction < 1:
        raise fail("fraction", expected="a number from 0 to below 1", got=fraction, remedy="keep a few percent out")
    mask = np.zeros(shape, dtype=bool)
    n_out = min(int(np.ceil(fraction * mask.size)), mask.size)
    mask.reshape(-1)[rng.choice(mask.size, size=n_out, replace=False)] = True
    return mask


def held_out_error(predicted: ArrayLike, measured: ArrayLike) -> float:
    r"""Error of a prediction for data that were not used, :math:`\lVert p - b \rVert / \lVert b \rVert`.

    It has a floor: the noise of the held-out data themselves.

    Parameters
    ----------
    predicted, measured : array_like, same shape

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As `nrmse`.

    Examples
    --------
    >>> held_out_error([1.0, 1.0], [1.0, 0.0])
    1.0
    """
    return nrmse(predicted, measured)


def poisson_deviance(expected: ArrayLike, counts: ArrayLike) -> float:
    r"""Mean Poisson deviance per value, :math:`2 \langle c \ln(c / m) - c + m \rangle`.

    About 1 where the expected counts are right and not small; less where they are small; larger where they are wrong.

    Parameters
    ----------
    expected : array_like
        m, not negative.
    counts : array_like, same shape
        c, not negative.

    Returns
    -------
    float
        Infinite if counts came where none were expected.

    Raises
    ------
    ValueError
        If shapes differ or a value is negative or not finite.

    Examples
    --------
    >>> poisson_deviance([2.0, 4.0], [2.0, 4.0])
    0.0
    """
    m, c = np.asarray(expected, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    check_shape(m, "expected", c.shape)
    for name, values in (("expected", m), ("counts", c)):
        check_finite(values, name)
        if np.any(values < 0):
            raise fail(
                name, expected="values of zero or above", got=values.min(), remedy="give counts, not differences"
            )
    if np.any((m == 0) & (c > 0)):
        return float("inf")
    ratio = np.divide(c, m, out=np.ones_like(c), where=(c > 0) & (m > 0))
    return float(2 * np.mean(c * np.log(ratio) - c + m))


def thin_counts(
    counts: ArrayLike, *, rng: np.random.Generator, fraction: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Split Poisson counts into two parts that are independent of each other.

    Each count goes to the first part with probability `fraction`. If the counts are Poisson with mean m, the parts are
    Poisson with means fraction x m and (1 - fraction) x m, and statistically independent: one part judges what was
    made from the other.

    Parameters
    ----------
    counts : array_like of whole numbers
        Zero or above.
    rng : numpy.random.Generator
    fraction : float, default 0.5
        Between 0 and 1.

    Returns
    -------
    first, second : ndarray of int64
        They add up to `counts`.

    Raises
    ------
    ValueError
        If a value is not a whole number of zero or above, or `fraction` is not inside (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> first, second = thin_counts([10, 0, 5], rng=np.random.default_rng(1))
    >>> (first + second).tolist()
    [10, 0, 5]
    """
    if not 0 < fraction < 1:
        raise fail("fraction", expected="a number between 0 and 1", got=fraction, remedy="give the first part's share")
    values = np.asarray(counts, dtype=np.float64)
    check_finite(values, "counts")
    whole = np.rint(values)
    if np.any(values < 0) or np.any(np.abs(values - whole) > 1e-3):
        raise fail(
            "counts", expected="whole numbers of zero or above", got="other values", remedy="thin raw counts only"
        )
    total = whole.astype(np.int64)
    first = rng.binomial(total, fraction)
    return first, total - first


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


def fsc(a: ArrayLike, b: ArrayLike, *, voxel_size_nm: float, axis: int | None = None) -> FourierShells:
    r"""Fourier shell correlation of two volumes.

    .. math:: \mathrm{FSC}(k) = \frac{\sum_k A \bar B}{\sqrt{\sum_k |A|^2 \sum_k |B|^2}}

    Parameters
    ----------
    a, b : array_like, shape (z, y, x)
        Independent reconstructions, or a reconstruction and the truth. Equal masks correlate too: compare with care.
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


def edge_width(values: ArrayLike, *, axis: int, voxel_size_nm: float, radius: float = 0.5) -> float:
    """Width of a particle's edge along one axis: how far it takes to fall from 90 % to 10 % of the inside.

    Lines along `axis` that pass near the center of mass are walked outward both ways; the answer is their median. A
    missing wedge about z makes the width along z (axis 0) larger than along x (axis 2). A sharp edge averaged over
    voxels gives about 0.8 voxel.

    Parameters
    ----------
    values : array_like, shape (z, y, x)
        A bright particle on an empty ground.
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


def bootstrap_interval(
    values: ArrayLike,
    *,
    rng: np.random.Generator,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
    level: float = 0.95,
    n_resamples: int = 1000,
) -> tuple[float, float]:
    """Interval of a statistic by drawing the values again with replacement.

    Parameters
    ----------
    values : array_like, shape (n,)
        Independent values; voxels of one particle are not.
    rng : numpy.random.Generator
    statistic : callable, default numpy.mean
        Must accept ``axis=-1``.
    level : float, default 0.95
        Coverage aimed at.
    n_resamples : int, default 1000

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If there are fewer than two values, or one is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> low, high = bootstrap_interval(np.arange(100.0), rng=np.random.default_rng(1))
    >>> bool(low < 49.5 < high)
    True
    """
    data = np.asarray(values, dtype=np.float64).ravel()
    if data.size < 2:
        raise fail("values", expected="two or more", got=data.size, remedy="give independent repeats")
    check_finite(data, "values")
    drawn = statistic(data[rng.integers(data.size, size=(n_resamples, data.size))], axis=-1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
