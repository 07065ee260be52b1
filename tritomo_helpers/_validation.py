"""Checks that stop bad input with one style of message: what was expected, what came, what to do."""

import contextlib
import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

P = ParamSpec("P")
R = TypeVar("R")


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


def check_not_infinite(array: ArrayLike, what: str, *, remedy: str = "replace infinite values by NaN first") -> None:
    """Raise ValueError if `array` holds infinity; NaN stands for what is not known."""
    bad = int(np.count_nonzero(np.isinf(np.asarray(array))))
    if bad:
        raise fail(what, expected="finite values or NaN", got=f"{bad} infinite values", remedy=remedy)


def check_broadcast(
    array: ArrayLike, what: str, shape: Iterable[int], *, remedy: str = "give one number, or one for each"
) -> NDArray[np.float64]:
    """Return `array` as float64 stretched to `shape`, or raise ValueError where it does not fit."""
    values = np.asarray(array, dtype=np.float64)
    try:
        return np.broadcast_to(values, tuple(shape))
    except ValueError:
        raise fail(
            what, expected=f"one number or shape {tuple(shape)}", got=f"shape {values.shape}", remedy=remedy
        ) from None


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


@overload
def checked(function: type[R]) -> type[R]: ...
@overload
def checked(function: Callable[P, R]) -> Callable[P, R]: ...
def checked(function: Any) -> Any:
    """Refuse arguments of another kind than the signature says, before the function does any work.

    The annotations are the rule: a ``float`` is a real number and not NaN, an ``int`` a whole number (3.0 is none), a
    ``bool`` True or False, a ``str`` text, an ``ArrayLike`` numbers (no text, dates, objects or complex numbers), a
    ``Mapping`` is looked into, and a class is what it says. What the values mean is for the function to check. Of a
    class, the arguments that make an instance are checked; it goes above ``@dataclass``.

    Examples
    --------
    >>> @checked
    ... def repeat(word: str, n_times: int) -> str:
    ...     return word * n_times
    >>> repeat("ab", 2)
    'abab'
    >>> repeat("ab", 2.0)
    Traceback (most recent call last):
        ...
    ValueError: n_times: expected a whole number, got 2.0. To fix: give an integer.
    """
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    rules = {
        name: rule
        for name, parameter in signature.parameters.items()
        if parameter.kind not in several and (rule := _rule(parameter.annotation, function)) is not Any
    }
    if signature.parameters.keys() & {"self"}:  # what a class holds as an array it may be given as a list
        rules = {name: ArrayLike if class_of(rule) is np.ndarray else rule for name, rule in rules.items()}

    # A number whose default is NaN may be unknown.
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    unknown = {name for name, value in defaults.items() if isinstance(value, float) and np.isnan(value)}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given: Mapping[str, Any] = {}
        with contextlib.suppress(TypeError):  # too few, too many, misspelt: Python says it better
            given = signature.bind(*args, **kwargs).arguments
        for name, value in given.items():
            if name in rules and not (name in unknown and isinstance(value, float) and np.isnan(value)):
                _check_kind(value, name, rules[name])
        return function(*args, **kwargs)

    return call


def _rule(annotation: Any, function: Callable[..., Any]) -> Any:
    """Return an annotation as an object; none, and one that only the type checker can read, is no rule."""
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, inspect.unwrap(function).__globals__)  # as typing.get_type_hints does
        except NameError:
            return Any
    if isinstance(annotation, TypeVar):
        options = annotation.__constraints__ or (annotation.__bound__ or Any,)
        return functools.reduce(operator.or_, options)
    return annotation


def _check_kind(value: Any, what: str, rule: Any) -> None:
    """Raise ValueError unless a value is of a kind that an annotation allows; TypeError where that is a class."""
    if rule == ArrayLike:
        return check_numbers(value, what)
    options = get_args(rule) if get_origin(rule) in (Union, types.UnionType) else (rule,)
    if type(None) in options and value is None:
        return None
    arrays = get_args(ArrayLike) or (ArrayLike,)  # a union with ArrayLike is flat, unless NumPy names the type (2.5)
    if set(arrays) <= set(options):
        others = [o for o in options if o not in arrays]
        return None if _is_any(value, others) else check_numbers(value, what)
    known = [o for o in options if class_of(o) is not None]
    if len(known) < len(options) or _is_any(value, options):
        if isinstance(value, Mapping):
            _check_entries(value, what, options)
        elif isinstance(value, list | tuple | np.ndarray):
            _check_items(value, what, options)
        return None
    raise _wrong_kind(value, what, [o for o in known if o is not type(None)])


def _wrong_kind(value: Any, what: str, options: list[Any]) -> Exception:
    if options[0] in _WORDS:
        words, remedy = _WORDS[options[0]]
        return fail(what, expected=words, got=_shown(value), remedy=remedy)
    *first, last = dict.fromkeys(class_of(option).__name__ for option in options)
    names = f"{', '.join(first)} or {last}" if first else last
    ours = {"TiltSeries": "images, tilt_angles_deg, pixel_size_nm", "Tomogram": "values, voxel_size_nm, quantity"}
    call = next((f"wrap it: {name}({ours[name]})" for name in (*first, last) if name in ours), f"give a {names}")
    plain = any(option in (Mapping, Sequence, tuple, list, dict) for option in map(class_of, options))
    got = _shown(value) if plain or not hasattr(value, "dtype") else type(value).__name__
    return fail(what, expected=f"a {names}", got=got, remedy=call, error=ValueError if plain else TypeError)


_WORDS: dict[Any, tuple[str, str]] = {
    float: ("a number", "give one number, not NaN"),
    int: ("a whole number", "give an integer"),
    bool: ("True or False", "give one of these"),
    str: ("text", "give a name in quotes"),
}


def class_of(option: Any) -> Any:
    """Return the class that isinstance can ask for, or None where an annotation has none."""
    plain = get_origin(option) or option
    plain = getattr(plain, "__value__", plain)  # a named type, such as NDArray since NumPy 2.5
    plain = get_origin(plain) or plain
    return plain if isinstance(plain, type) and plain is not Any and not typing.is_typeddict(plain) else None


def _is_any(value: Any, options: Iterable[Any]) -> bool:
    return any(_is(value, class_of(option)) for option in options if class_of(option) is not None)


def _is(value: Any, kind: type) -> bool:
    flag = isinstance(value, bool | np.bool_)
    if kind is bool:
        return flag
    if kind in (float, int):
        scalar = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        number = isinstance(scalar, Real if kind is float else Integral) and not flag
        return number and not np.isnan(float(scalar))
    if kind is np.ndarray and hasattr(value, "dtype") and hasattr(value, "shape"):
        return True  # Dask arrays and memory maps, too
    if kind in (tuple, list, Sequence, Collection, Iterable):  # arrays are sequences here, text is none
        keyed = kind is not Iterable and isinstance(value, Mapping)
        return isinstance(value, Iterable) and not keyed and not isinstance(value, str | bytes)
    return isinstance(value, Mapping if kind is dict else kind)


def _check_entries(value: Mapping[Any, Any], what: str, options: Iterable[Any]) -> None:
    rules = [get_args(o) for o in options if class_of(o) is Mapping and len(get_args(o)) == 2]
    for key, entry in value.items() if rules else ():
        _check_kind(key, f"a key of {what}", rules[0][0])
        of_entries = [of_entry for _, of_entry in rules]
        _check_kind(entry, f"{what}[{key!r}]", ArrayLike if ArrayLike in of_entries else of_entries[0])


def _check_items(value: Any, what: str, options: Iterable[Any]) -> None:
    """Raise ValueError unless what a sequence holds is of the kind asked for, where that is arrays or a class."""
    rules = [get_args(o)[0] for o in options if class_of(o) in (Sequence, Iterable, Collection) and get_args(o)]
    if len(rules) != 1 or rules[0] in (float, int, bool, str):
        return
    for index, item in enumerate(value if isinstance(value, list | tuple) else value[:1] if value.ndim else ()):
        _check_kind(item, f"{what}[{index}]", rules[0])


def check_numbers(value: Any, what: str) -> None:
    """Raise ValueError unless a value is a number or an array of real numbers; lazy arrays are not computed."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        try:
            dtype = np.asarray(value).dtype
        except (TypeError, ValueError):
            dtype = np.dtype(object)
    if getattr(dtype, "kind", "O") not in "biuf":
        raise fail(what, expected="real numbers", got=_shown(value), remedy="give an array of numbers")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
