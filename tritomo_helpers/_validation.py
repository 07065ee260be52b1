"""Checks that stop bad input with one style of message: what was expected, what came, what to do."""

import contextlib
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fail(what: str, *, expected: str, got: object, remedy: str, error: type[Exception] = ValueError) -> Exception:
    """Build the error for a bad argument; the caller raises it.

    Parameters
    ----------
    what : str
        Name of the argument or thing at fault.
    expected, remedy : str
        What it should have been, and what to do now.
    got : object
        What came instead, shown with ``str``.
    error : type of Exception, default ValueError
        Class of the error to build.

    Returns
    -------
    Exception
        Ready to raise.

    Examples
    --------
    >>> str(fail("dose", expected="a positive number", got=-1, remedy="give electrons per pixel"))
    'dose: expected a positive number, got -1. To fix: give electrons per pixel.'
    """
    return error(f"{what}: expected {expected}, got {got}. To fix: {remedy.rstrip('.')}.")


def check_positive(
    value: float, what: str, *, remedy: str = "give a number above zero", zero_ok: bool = False
) -> float:
    """Return `value` as float, or raise ValueError unless it is finite and positive (or zero, when `zero_ok`)."""
    number = float("nan")
    if not isinstance(value, str | bytes | bool):
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero_ok):
        expected = "a finite number, zero or above" if zero_ok else "a finite number above zero"
        raise fail(what, expected=expected, got=repr(value), remedy=remedy)
    return number


def check_range(value: Any, what: str, low: float, high: float, *, remedy: str = "choose one between") -> float:
    """Return `value` as float, or raise ValueError unless it is a number from `low` to `high`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise fail(what, expected=f"a number from {low:g} to {high:g}", got=repr(value), remedy=remedy)
    return float(value)


def check_share(value: Any, what: str, *, remedy: str = "give a share, such as 0.5") -> float:
    """Return `value` as float, or raise ValueError unless it is a share above 0 and up to 1."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real) or not 0 < float(value) <= 1:
        raise fail(what, expected="a share above 0 and up to 1", got=repr(value), remedy=remedy)
    return float(value)


def check_count(value: Any, what: str, *, largest: int | None = None, remedy: str = "give how many") -> int:
    """Return `value` as int, or raise ValueError unless it is a whole number above zero (and not above `largest`)."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < 1 or (largest is not None and value > largest):
        expected = "a whole number above zero" if largest is None else f"a whole number from 1 to {largest}"
        raise fail(what, expected=expected, got=repr(value), remedy=remedy)
    return int(value)


def check_flag(value: Any, what: str) -> bool:
    """Return `value` as bool, or raise ValueError unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise fail(what, expected="True or False", got=repr(value), remedy="give one of these")
    return bool(value)


def check_option(value: Any, what: str, options: Collection[Any]) -> Any:
    """Return `value`, or raise ValueError unless it is one of `options`."""
    if value not in options:
        names = ", ".join(map(repr, options))
        raise fail(what, expected=f"one of {names}", got=repr(value), remedy="choose one of these")
    return value


def check_ndim(array: Any, what: str, axes: str) -> None:
    """Raise ValueError unless `array` has the axes named in `axes`, such as ``"tilt, y, x"``."""
    n_axes = len(axes.split(","))
    if np.ndim(array) != n_axes:
        raise fail(
            what,
            expected=f"{n_axes} axes ({axes})",
            got=f"shape {np.shape(array)}",
            remedy=f"reshape or transpose so that the axes are ({axes})",
        )


def check_shape(array: Any, what: str, shape: Iterable[int], *, remedy: str = "make the shapes agree") -> None:
    """Raise ValueError unless `array` has exactly `shape`."""
    if np.shape(array) != tuple(shape):
        raise fail(what, expected=f"shape {tuple(shape)}", got=f"shape {np.shape(array)}", remedy=remedy)


def check_finite(array: ArrayLike, what: str, *, remedy: str = "mask or replace NaN and infinite values first") -> None:
    """Raise ValueError if `array` holds NaN or infinity."""
    bad = int(np.count_nonzero(~np.isfinite(np.asarray(array))))
    if bad:
        raise fail(what, expected="finite values only", got=f"{bad} NaN or infinite values", remedy=remedy)


def check_increasing(values: ArrayLike, what: str, *, n: int | None = None) -> NDArray[np.float64]:
    """Return `values` as a 1D float64 array, or raise ValueError unless finite and strictly increasing.

    Parameters
    ----------
    values : array_like, shape (n,)
        Coordinates such as tilt angles or energies.
    what : str
        Name used in the message.
    n : int, optional
        Required length.
    """
    raw = np.asarray(values)
    if raw.size and raw.dtype.kind not in "iuf":
        raise fail(what, expected="numbers", got=f"{values!r:.60}", remedy="convert text to numbers first")
    array = raw.astype(np.float64)
    if array.ndim != 1 or array.size == 0:
        raise fail(
            what, expected="a non-empty 1D sequence", got=f"shape {array.shape}", remedy="give one value per step"
        )
    if n is not None and array.size != n:
        raise fail(
            what,
            expected=f"{n} values, one per step of the data",
            got=f"{array.size} values",
            remedy="drop or add values",
        )
    check_finite(array, what)
    steps = np.diff(array)
    if np.any(steps == 0):
        repeated = sorted(set(array[1:][steps == 0].tolist()))
        raise fail(what, expected="each value once", got=f"repeated {repeated}", remedy="average or drop the repeats")
    if np.any(steps < 0):
        raise fail(
            what,
            expected="increasing values",
            got=f"a step down after {array[:-1][steps < 0][0]:g}",
            remedy="sort the data and its coordinates together",
        )
    return array
