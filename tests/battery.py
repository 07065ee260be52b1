"""Bad arguments for every public function: made from its signature, one argument at a time.

A case is good values for what a function needs, with one of them replaced. Hard cases must be refused by an error of
this package, which says what to do; soft ones (numbers that are not finite, numbers of other kinds) may be accepted,
but must not end in an error of another package.
"""

import datetime as dt
import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import tritomo_helpers
from tritomo_helpers import phantoms
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries, Tomogram

ANGLES = np.array([-40.0, 0.0, 30.0])
N = 6
BALL = ((np.indices((N, N, N)) - 2.5) ** 2).sum(axis=0) < 5.0


def specimens() -> dict[str, Callable[[], Any]]:
    """Return small good values by the class that a signature asks for."""
    images = BALL.sum(axis=0)[None] * np.ones((3, 1, 1)) * 100.0
    energy_ev = np.arange(0.0, 4000.0, 20.0)
    return {
        "SpectrumTiltSeries": lambda: SpectrumTiltSeries(np.ones((3, N, N, energy_ev.size)), ANGLES, energy_ev, 5.0),
        "TiltSeries": lambda: TiltSeries(images, ANGLES, 5.0, "ADF"),
        "Tomogram": lambda: Tomogram(BALL * 1.0, 5.0, "density"),
        "Phantom": lambda: phantoms.balls([[0, 0, 0]], [30], shape=8),
        "Generator": lambda: np.random.default_rng(0),
    }


ARRAYS: dict[str, Callable[[], Any]] = {
    "energy_ev": lambda: np.arange(0.0, 4000.0, 20.0),
    "tilt_angles_deg": ANGLES.copy,
    "angles_deg": ANGLES.copy,
    "shifts_px": lambda: np.zeros((3, 2)),
    "mask": BALL.copy,
    "masks": lambda: np.ones((3, N, N), bool),
    "shells": lambda: BALL.astype(int),
    "depth_nm": lambda: np.where(BALL, 1.0, -1.0),
    "counts": lambda: np.ones((3, N, N, 200)),
    "values": lambda: BALL * 1.0,
    "volume": lambda: BALL * 1.0,
    "truth": lambda: BALL * 1.0,
    "spectrum": lambda: np.ones(200),
}

NO_NUMBER = {"None": None, "text": "x", "list": [], "complex": 1j, "date": dt.date(2024, 1, 1), "object": object()}
NO_COUNT = {**NO_NUMBER, "part": 2.5, "nan": float("nan"), "negative": -1, "true": True}
NO_ARRAY = {
    "None": None,
    "text": "x",
    "texts": np.array(["a", "b"]),
    "objects": np.array([None, {}], dtype=object),
    "dates": np.array(["2024-01-01"], dtype="datetime64[D]"),
    "mapping": {"a": 1},
}
SOFT_ARRAY = {
    "empty": np.array([]),
    "scalar": 1.0,
    "nan": np.full((3, N, N), np.nan),
    "inf": np.full((3, N, N), np.inf),
    "bool": np.ones((3, N, N), bool),
    "masked": np.ma.masked_less(np.arange(3.0 * N * N).reshape(3, N, N), 5),
    "big-endian": np.ones((3, N, N), ">f4"),
    "strided": np.ones((3, N, 2 * N))[..., ::2],
    "five axes": np.ones((1, 2, 1, 2, 1)),
}


@dataclass(frozen=True)
class Case:
    """One call with one bad argument."""

    name: str
    call: Callable[..., Any]
    arguments: dict[str, Any]
    hard: bool


def public_functions() -> dict[str, Callable[..., Any]]:
    """Return every exported function and class by its name, each once."""
    called: dict[str, Callable[..., Any]] = {}
    seen: set[int] = set()
    for module in modules():
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if callable(item) and not isinstance(item, types.GenericAlias) and id(item) not in seen:
                seen.add(id(item))
                called[f"{module.__name__.removeprefix('tritomo_helpers.')}.{name}"] = item
    return dict(sorted(called.items()))


def modules() -> Iterator[types.ModuleType]:
    """Yield the public modules, those that are deeper last."""
    for module in sorted(pkgutil.walk_packages(tritomo_helpers.__path__, "tritomo_helpers."), key=lambda m: m.name):
        if not any(word.startswith("_") for word in module.name.split(".")) and ".data" not in module.name:
            yield importlib.import_module(module.name)


def cases_of(name: str, function: Callable[..., Any]) -> Iterator[Case]:
    """Yield the cases of one function."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return
    good = {p.name: good_value(p) for p in parameters.values() if needed(p)}
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        for label, value, hard in bad_values(parameter):
            yield Case(f"{name}({parameter.name}={label})", function, {**good, parameter.name: value}, hard)


def needed(parameter: inspect.Parameter) -> bool:
    """Return whether a call must give it."""
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_KEYWORD,
        parameter.VAR_POSITIONAL,
    )


def kind_of(parameter: inspect.Parameter) -> str:
    """Return what a signature says as text, arrays by their name also where NumPy gives them none (before 2.5)."""
    return str(parameter.annotation).replace(
        str(ArrayLike).removeprefix("typing.Union[").removesuffix("]"), "ArrayLike"
    )


def good_value(parameter: inspect.Parameter) -> Any:
    """Return a value that a function may well accept."""
    kind = kind_of(parameter)
    if parameter.name in ARRAYS:
        return ARRAYS[parameter.name]()
    for class_name, make in specimens().items():
        if class_name in kind:
            return make() if not kind.startswith(("collections.abc.Mapping", "Mapping")) else {"O": make()}
    if "ArrayLike" in kind or "NDArray" in kind or "ndarray" in kind:
        return np.ones((3, N, N))
    if "bool" in kind:
        return True
    if "int" in kind and "float" not in kind:
        return 2
    if "float" in kind:
        return 1.0
    return "x"


def bad_values(parameter: inspect.Parameter) -> Iterator[tuple[str, Any, bool]]:
    """Yield (label, value, whether it must be refused) for one parameter."""
    kind = kind_of(parameter)
    optional = "None" in kind
    if kind in ("<class 'float'>", "float", "float | None"):
        yield from ((label, v, not (optional and v is None)) for label, v in NO_NUMBER.items())
        nan_is_wrong = not _is_unknown(parameter.default)
        yield from (("nan", float("nan"), nan_is_wrong), ("inf", float("inf"), False), ("numpy", np.float32(1), False))
    elif kind in ("<class 'int'>", "int", "int | None"):
        yield from ((label, v, not (optional and v is None)) for label, v in NO_COUNT.items())
        yield "numpy", np.int64(2), False
    elif kind in ("<class 'bool'>", "bool"):
        yield from (("text", "no", True), ("None", None, True), ("number", 2, True), ("array", np.ones(2), True))
    elif kind in ("<class 'str'>", "str", "str | None"):
        yield from (("misspelt", "misspelt?", False), ("number", 3, True), ("list", [], True))
    elif any(class_name in kind for class_name in specimens()):
        yield from ((label, NO_NUMBER[label], not optional) for label in ("None", "text", "list", "complex"))
        yield "array", np.ones((2, 2)), False
    elif "ArrayLike" in kind:
        yield from ((label, v, not (optional and v is None)) for label, v in NO_ARRAY.items())
        yield from ((label, v, False) for label, v in SOFT_ARRAY.items())


def _is_unknown(default: Any) -> bool:
    """Return whether a parameter stays NaN until it is known."""
    return isinstance(default, float) and np.isnan(default)


def verdict(case: Case) -> str | None:
    """Return what is wrong with what happened, or None."""
    try:
        case.call(**case.arguments)
    except ValueError as error:
        return None if "To fix: " in str(error) else f"ValueError: {error}"
    except Exception as error:  # every other class is what is looked for
        ours = "To fix: " in str(error)
        return None if ours else f"{type(error).__name__}: {error}"
    return "accepted" if case.hard else None
