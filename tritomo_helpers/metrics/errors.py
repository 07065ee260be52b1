"""Misfit to a truth or to a measurement."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Bools
from .._validation import check_finite, check_numbers, check_option, check_shape, checked, fail


@checked
def nrmse(x: ArrayLike, truth: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    r"""Error relative to the truth.

    .. math:: \lVert x - x_0 \rVert / \lVert x_0 \rVert

    Parameters
    ----------
    x, truth : array_like, same shape
        Estimate and truth, same unit.
    mask : array_like of bool, same shape, optional
        Where to compare; everywhere by default. NaN is not inside.

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
        inside = _inside(mask)
        estimate, reference = estimate[inside], reference[inside]
    check_finite(estimate, "x inside the mask")
    check_finite(reference, "truth inside the mask")
    norm = np.linalg.norm(reference)
    if norm == 0:
        raise fail("truth", expected="a value other than zero inside the mask", got="none", remedy="check the mask")
    return float(np.linalg.norm(estimate - reference) / norm)


@checked
def dice(a: ArrayLike, b: ArrayLike) -> float:
    r"""Overlap of two masks, :math:`2 |A \cap B| / (|A| + |B|)`.

    Parameters
    ----------
    a, b : array_like of bool, same shape
        NaN is not inside.

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
    first, second = _inside(a), _inside(b)
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
        F and K: Fourier coefficients or projections, in any one unit.
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
    for what, values in (("calculated", calculated), ("measured", measured)):
        if np.asarray(values).dtype.kind != "c":
            check_numbers(values, what)
    f, k = _signed(calculated), _signed(measured)
    check_shape(f, "calculated", k.shape)
    check_finite(f, "calculated")
    check_finite(k, "measured")
    norm = float(np.abs(k).sum(dtype=np.float64))
    if norm == 0:
        raise fail("measured", expected="a value other than zero", got="only zeros", remedy="drop empty data")
    misfit = np.abs(np.abs(f) - np.abs(k)) if convention == "amplitude" else np.abs(f - k)
    return float(misfit.sum(dtype=np.float64) / norm)


@checked
def held_out_error(predicted: ArrayLike, measured: ArrayLike) -> float:
    r"""Error of a prediction for data that were not used, :math:`\lVert p - b \rVert / \lVert b \rVert`.

    It has a floor: the noise of the held-out data themselves.

    Parameters
    ----------
    predicted, measured : array_like, same shape
        In any one unit.

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


@checked
def poisson_deviance(expected: ArrayLike, counts: ArrayLike) -> float:
    r"""Mean Poisson deviance per value, :math:`2 \langle c \ln(c / m) - c + m \rangle`.

    About 1 where the expected counts are right and not small; less where they are small; larger where they are wrong.

    Parameters
    ----------
    expected : array_like, same shape
        Counts m, not negative.
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


def _signed(values: ArrayLike) -> NDArray[Any]:
    """Return values whose differences cannot wrap, as those of unsigned counts do."""
    array = np.asarray(values)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def _inside(mask: ArrayLike) -> Bools:
    """Return where a mask is set; NaN, which `bool` would take for True, is not inside."""
    array = np.asarray(mask)
    return np.asarray((array != 0) & ~np.isnan(array) if array.dtype.kind == "f" else array, dtype=bool)
