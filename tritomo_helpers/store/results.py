"""Arrays with their provenance in one file that is checked when it is read; dataclasses as arrays and back."""

import dataclasses
import hashlib
import json
import struct
import sys
import types
import typing
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._validation import class_of, fail
from . import files

Arrays = dict[str, NDArray[Any]]
Stored = tuple[Arrays, dict[str, Any]]
T = TypeVar("T")
_META = "provenance_json"
_CONTENTS = "contents"
_KEYS, _VALUES = "#keys", "#values"  # of mappings whose keys are no plain words
# What numpy and zipfile say to files of every kind.
_UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError, RuntimeError, struct.error, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


class DamagedResult(ValueError):  # noqa: N818  (it names a state of a file)
    """A file that is there but does not hold what was written; the message says what is wrong."""


def environment() -> dict[str, str]:
    """Return the versions that a result was made with."""
    from .. import __version__

    return {"version": __version__, "python": sys.version.split()[0], "numpy": np.__version__}


def write(path: Path, arrays: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> None:
    """Write arrays and their provenance: all of it appears under `path` at once, or nothing.

    Parameters
    ----------
    path : Path
        An .npz file; its folder is made if need be.
    arrays : mapping of str to ndarray
        Numbers, booleans and texts; no objects.
    provenance : mapping
        What JSON can hold: what the result was made of, by which versions, with which choices.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "count.npz"
    >>> write(path, {"values": np.arange(3)}, {"seed": 5})
    >>> arrays, provenance = read(path)
    >>> arrays["values"].tolist(), provenance["seed"]
    ([0, 1, 2], 5)
    """
    contents = {name: _described(np.asarray(array)) for name, array in arrays.items()}
    meta = json.dumps({**provenance, _CONTENTS: contents})
    with files.atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays, **{_META: np.array(meta)})  # type: ignore[arg-type]


def read(path: Path) -> Stored:
    """Return arrays and provenance of a file that `write` made, every byte checked.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    DamagedResult
        If what is there is not what was written: cut off, empty, another kind of file, a folder, arrays missing, added,
        or of another type, shape or content.
    """
    if path.is_dir():
        raise DamagedResult("a folder where a file should be")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise DamagedResult(f"{_size(path)} that are no archive of arrays: {error}") from error
    if _META not in arrays:
        raise DamagedResult("it does not say where it comes from")
    try:
        provenance = json.loads(str(arrays.pop(_META)))
        contents = provenance.pop(_CONTENTS)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedResult(f"what it says about itself cannot be read: {error}") from error
    present = {name: _described(array) for name, array in arrays.items()}
    wrong = sorted(name for name in {*present, *contents} if present.get(name) != contents.get(name))
    if wrong:
        raise DamagedResult(f"not as it was written: {', '.join(wrong)}")
    return arrays, provenance


def read_if_intact(path: Path, *, aside: bool = True, then: str = "it is computed again") -> Stored | None:
    """Return what `read` does, or None where there is nothing, or something damaged: of that a warning tells.

    What is damaged is renamed to ``<name>.damaged``, unless `aside` is false (a file that is not ours to touch).
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except DamagedResult as error:
        files.tell_damaged(path, str(error), aside=aside, then=then)
        return None


def _described(array: NDArray[Any]) -> list[Any]:
    """Return type, shape and the start of a digest of the content, as JSON gives them back."""
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return [array.dtype.str, list(array.shape), content]


def _size(path: Path) -> str:
    return f"{path.stat().st_size} bytes" if path.exists() else "bytes"


# --- dataclasses ---------------------------------------------------------------------------------------------------


def to_arrays(value: Any) -> Arrays:
    """Return a dataclass as named arrays, from which `from_arrays` makes an equal one.

    Parameters
    ----------
    value : dataclass instance
        Its fields are arrays, numbers, texts, None, tuples or lists of numbers or texts, mappings from text or number
        to any of these, and dataclasses of such fields.

    Returns
    -------
    dict of str to ndarray
        Names of nested fields are joined by a slash: ``"adf/images"``.

    Raises
    ------
    TypeError
        If a field is of another kind.

    Examples
    --------
    >>> from tritomo_helpers.containers import Tomogram
    >>> arrays = to_arrays(Tomogram(np.zeros((2, 2, 2)), 4.63, "density"))
    >>> list(arrays), from_arrays(Tomogram, arrays).quantity
    (['values', 'voxel_size_nm', 'quantity'], 'density')
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise fail(
            "value", expected="a dataclass", got=type(value).__name__, remedy="store its arrays", error=TypeError
        )
    return dict(_flat("", _fields(value)))


def from_arrays(kind: type[T], arrays: Mapping[str, NDArray[Any]]) -> T:
    """Return the dataclass that `to_arrays` took apart, by the types of its fields.

    Parameters
    ----------
    kind : type
        The dataclass.
    arrays : mapping of str to ndarray
        As `to_arrays` gives them. A field without an array gets its default, or None.

    Returns
    -------
    instance of `kind`

    Raises
    ------
    ValueError
        If a field that needs a value has none, or an array belongs to no field.

    Examples
    --------
    >>> from tritomo_helpers.containers import TiltSeries
    >>> series = TiltSeries(np.zeros((2, 3, 3)), [0, 10], 4.63, "ADF")
    >>> from_arrays(TiltSeries, to_arrays(series)).tilt_angles_deg.tolist()
    [0.0, 10.0]
    """
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    unknown = {name.split("/")[0] for name in arrays} - {field.name for field in fields}
    if unknown:
        raise fail(
            f"arrays of a {kind.__name__}",
            expected=f"some of {', '.join(field.name for field in fields)}",
            got=", ".join(sorted(unknown)),
            remedy="read them as what they are",
        )
    values = {}
    for field in fields:
        if any(name.split("/")[0] == field.name for name in arrays):
            values[field.name] = _built(hints[field.name], field.name, arrays)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            if type(None) not in typing.get_args(hints[field.name]):
                raise fail(
                    f"arrays of a {kind.__name__}",
                    expected=f"one for {field.name}",
                    got=", ".join(arrays) or "none",
                    remedy="read them as what they are",
                )
            values[field.name] = None
    return kind(**values)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}


def _built(hint: Any, name: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value of one field, of the type that its annotation says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _built(next(a for a in arguments if a is not type(None)), name, arrays)
    below = {n.removeprefix(f"{name}/"): a for n, a in arrays.items() if n.startswith(f"{name}/")}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_arrays(hint, below)
    if below:
        of_value = arguments[1] if len(arguments) == 2 else Any
        if _KEYS in below:
            return dict(zip(below[_KEYS].tolist(), below[_VALUES].tolist(), strict=True))
        return {key: _built(of_value, key, below) for key in dict.fromkeys(n.split("/")[0] for n in below)}
    array = arrays[name]
    if (origin or hint) in (tuple, list, Sequence):
        return tuple(array.tolist()) if (origin or hint) is not list else array.tolist()
    if array.ndim == 0 and class_of(hint) is not np.ndarray:
        return array.item()
    return array


def _flat(prefix: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    for key, value in fields.items():
        name = f"{prefix}{key}"
        if value is None:
            continue
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _flat(f"{name}/", _fields(value))
        elif isinstance(value, Mapping) and value and all(isinstance(k, str) and "/" not in k for k in value):
            yield from _flat(f"{name}/", value)
        elif isinstance(value, Mapping):
            yield f"{name}/{_KEYS}", np.array(list(value))
            yield f"{name}/{_VALUES}", np.array(list(value.values()))
        else:
            array = np.asarray(value)
            if array.dtype.kind not in "biufcUS":
                raise fail(
                    name,
                    expected="numbers, texts, or dataclasses and mappings of these",
                    got=type(value).__name__,
                    remedy="turn it into arrays first",
                    error=TypeError,
                )
            yield name, array
