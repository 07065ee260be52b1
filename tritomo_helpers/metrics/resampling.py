"""Data set aside, split or drawn again, to judge a result by."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_count, check_finite, check_share, checked, fail


@checked
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


@checked
def thin_counts(
    counts: ArrayLike, *, rng: np.random.Generator, fraction: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Split Poisson counts into two parts that are independent of each other.

    Each count goes to the first part with probability `fraction`. If the counts are Poisson with mean m, the parts are
    Poisson with means fraction x m and (1 - fraction) x m, and statistically independent: one part judges what was
    made from the other.

    Parameters
    ----------
    counts : array_like of whole numbers, any shape
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


@checked
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
    check_share(level, "level", remedy="give a share, such as 0.95")
    check_count(n_resamples, "n_resamples")
    drawn = statistic(data[rng.integers(data.size, size=(n_resamples, data.size))], axis=-1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
