"""How containers and results are printed: the shape of an array, not its numbers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

_LONG = 60


def _text(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype") and value.shape != ():
        return f"{value.dtype} {' × '.join(map(str, value.shape))}"
    if isinstance(value, Mapping):
        names = ", ".join(map(str, value))
        return "{" + (names if len(names) <= _LONG else f"{len(value)} entries") + "}"
    text = repr(value)
    return text if len(text) <= _LONG else f"<{type(value).__name__}>"


def short_repr(self: Any) -> str:
    """Return a dataclass in one line: its ``__repr__`` where a field may hold an array.

    Examples
    --------
    >>> import numpy as np
    >>> @dataclasses.dataclass
    ... class Result:
    ...     values: np.ndarray
    ...     error: float
    ...
    ...     __repr__ = short_repr
    >>> Result(np.zeros((64, 64)), 0.1)
    Result(values=float64 64 × 64, error=0.1)
    """
    shown = (f"{f.name}={_text(getattr(self, f.name))}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__.rpartition('.')[2]}({', '.join(shown)})"
