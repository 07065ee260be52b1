"""Named arrays in HDF5, and tables in CSV."""

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._validation import checked, fail
from ._chunks import PACKING, chunk_shape, write_chunks
from ._formats import check_file
from ._guard import check_size, opened, reading

if TYPE_CHECKING:
    import pandas as pd


@checked
def load_arrays(path: str | Path, *, group: str = "/", names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read the arrays, numbers and texts of an HDF5 file, groups as nested dicts.

    Parameters
    ----------
    path : path
        An .h5, .hdf5 or .hspy file.
    group : str, default "/"
        Path inside the file to start from.
    names : sequence of str, optional
        Read only these, such as ``["shifts_px"]`` of a large truth file.

    Returns
    -------
    dict of str to ndarray, number, str or dict
        Attributes of a group stand beside its arrays. All of it is read; objects of other kinds (pickles, references)
        are left out.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If the extension is another one or there is no such group.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "truth.h5"
    >>> save({"shifts_px": np.zeros((15, 2)), "dose": {"electrons": 9.36e7}}, path)
    >>> load_arrays(path)["dose"]["electrons"]
    93600000.0
    """
    import h5py

    file_path = check_file(path, (".h5", ".hdf5", ".hspy"))
    with opened(file_path) as file:
        source = file.get(group)
        is_group, groups = isinstance(source, h5py.Group), ", ".join(file)
        have = sorted([*source, *source.attrs]) if is_group else []
        absent = [name for name in names or () if name not in have]
        values = _read_group(source, file_path, names) if is_group and not absent else {}
    if not is_group:
        raise fail(
            f"group {group!r} of {file_path.name}",
            expected="a group",
            got=groups or "nothing",
            remedy="name one of these",
        )
    if absent:
        expected = f"some of {', '.join(have)}"
        raise fail(f"names in {file_path.name}", expected=expected, got=absent, remedy="choose among these")
    return values


def _read_group(group: Any, path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    import h5py

    values: dict[str, Any] = {}
    for name, value in group.attrs.items():
        if names is not None and name not in names:
            continue
        plain = _plain(value)
        if plain is not None:
            values[name] = plain
    for name, item in group.items():
        if names is not None and name not in names:
            continue
        if isinstance(item, h5py.Group):
            values[name] = _read_group(item, path)
        elif isinstance(item, h5py.Dataset):
            check_size(path, item.size * item.dtype.itemsize)
            text = h5py.check_string_dtype(item.dtype) is not None
            plain = _plain(item.asstr()[()] if text else item[()])
            if plain is not None:
                values[name] = plain
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.generic) and value.dtype.kind in "biufcSU":
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return [str(text) for text in value] if all(isinstance(text, str) for text in value.ravel()) else None
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
        return value
    return value if isinstance(value, str | int | float) else None


def write_arrays(values: Any, path: Path) -> None:
    """Write a mapping or dataclass of arrays, numbers, texts, mappings and dataclasses; None is left out."""
    import h5py

    with h5py.File(path, "w") as file:
        _write_group(values, file, path.name)


def _write_group(values: Any, group: Any, where: str) -> None:
    for name, value in _items(values):
        if value is None:
            continue
        here = f"{where} / {name}"
        if isinstance(value, Mapping) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            _write_group(value, group.create_group(str(name)), here)
            continue
        if isinstance(value, list | tuple) and value and all(isinstance(text, str) for text in value):
            group.create_dataset(str(name), data=list(value), dtype=h5_text())
            continue
        if isinstance(value, str):
            group.attrs[str(name)] = value
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            raise fail(
                here, expected="numbers, text or a mapping of these", got=type(value).__name__, remedy="convert it"
            )
        if array.ndim == 0:
            group.attrs[str(name)] = array[()]
        else:
            _write_array(group, str(name), array)


def _write_array(group: Any, name: str, array: NDArray[Any]) -> None:
    """Compress what is large, one chunk per tilt or slice, quickly rather than hard."""
    if array.size <= 1000:
        group.create_dataset(name, data=array)
    elif array.ndim <= 2:
        group.create_dataset(name, data=array, **PACKING)
    else:
        chunks = chunk_shape(array.shape)
        write_chunks(group.create_dataset(name, array.shape, array.dtype, chunks=chunks, **PACKING), array)


def h5_text() -> Any:
    """Return HDF5's type for text of any length."""
    import h5py

    return h5py.string_dtype()


def _items(values: Any) -> list[tuple[Any, Any]]:
    if isinstance(values, Mapping):
        return list(values.items())
    return [(field.name, getattr(values, field.name)) for field in dataclasses.fields(values)]


@checked
def load_table(path: str | Path, *, header_rows: int = 1) -> "pd.DataFrame":
    r"""Read a CSV table.

    Parameters
    ----------
    path : path
        A .csv file with commas, or with semicolons or tabs; then with decimal commas too.
    header_rows : int, default 1
        With 2, the second row names groups of columns, each name standing over its first column, as in the cycling
        curves of ``NMC_charge_discharge_Jia``.

    Returns
    -------
    pandas.DataFrame
        Columns named by the header. With two header rows the columns are pairs (group, name) in a MultiIndex, so that
        ``table["1C"]`` is the first charge.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, has another extension, or does not parse.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cycles.csv"
    >>> _ = path.write_text("V,mAh,V,mAh\n1C,,1D,\n3.7,0.2,4.4,0.1\n")
    >>> load_table(path, header_rows=2)["1D"]["V"].tolist()
    [4.4]
    """
    import pandas as pd

    file = check_file(path, (".csv",))
    if header_rows not in (1, 2):
        raise fail("header_rows", expected="1 or 2", got=header_rows, remedy="count the rows above the first number")
    with reading(file):
        text = file.read_text(encoding="utf-8-sig")
    options, problem = _dialect(text, header_rows)
    if problem:
        raise fail(
            f"file {file.name}", expected="comma-separated columns", got=problem, remedy="check that it is a CSV file"
        )
    with reading(file):
        if header_rows == 1:
            single: pd.DataFrame = pd.read_csv(io.StringIO(text), **options)
            return single
        head = pd.read_csv(io.StringIO(text), header=None, nrows=2, dtype=str, sep=options["sep"])
        table: pd.DataFrame = pd.read_csv(io.StringIO(text), header=None, skiprows=2, **options)
        names, groups = head.iloc[0], head.iloc[1].ffill()
        table.columns = pd.MultiIndex.from_arrays([groups, names], names=["group", "name"])
        return table


def _dialect(text: str, header_rows: int) -> tuple[dict[str, Any], str]:
    """Return how the columns are separated and the decimals written, and what is wrong with that, if anything."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return {}, "an empty file"
    separator = max(";\t,", key=lambda mark: (lines[0].count(mark), mark != ","))
    rows = list(csv.reader(lines, delimiter=separator))
    n_columns = max(map(len, rows[:header_rows]))
    longer = next((i for i, row in enumerate(rows[header_rows:], header_rows + 1) if len(row) > n_columns), None)
    if longer is not None:
        return {}, f"{len(rows[longer - 1])} values in row {longer} under {n_columns} names (decimal commas?)"
    cells = [cell.strip() for row in rows[header_rows:] for cell in row]
    commas = separator != "," and any(re.fullmatch(r"[-+]?\d+,\d+([eE][-+]?\d+)?", cell) for cell in cells)
    return {"sep": separator, "decimal": "," if commas else "."}, ""
