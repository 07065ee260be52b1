"""One table out of those of the particles."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..store.results import Arrays
from .registry import get

_METHODS = ("best", "paper")
_WITH_INTERVAL = ("at_percent", "percent")
_NOTHING: Arrays = {
    **dict.fromkeys(("names", "statements", "columns", "true_names", "true_columns"), np.array([], dtype=str)),
    **dict.fromkeys(("values", "measured", "p_values", "true_values"), np.array([])),
    **dict.fromkeys(("null", "profiles", "true_profiles"), np.empty((0, 2))),
}
"""The table of a particle that was not computed."""


def joined(
    particles: Sequence[str], stages: NDArray[Any], *, read: Callable[[str], Arrays | None] | None = None
) -> Arrays:
    """Return the table `study_particles` from the tables of every particle and method.

    `read` gives a table by its name, or None where there is none: NaN then; by default each is computed if need be.
    """
    tables = {
        method: [(read or get)(f"study/{method}/{name}") or _NOTHING for name in particles] for method in _METHODS
    }
    everything = [table for method in _METHODS for table in tables[method]]
    either = [best if best is not _NOTHING else paper for best, paper in zip(*tables.values(), strict=True)]
    quantities = _union(everything, "names", also="true_names")
    best = _numbers(tables["best"], "names", "values", quantities)
    result = {
        "particles": np.array(particles),
        "stages": stages,
        "cycles": np.array([0 if stage == "pristine" else int(stage.split("-")[1]) for stage in stages]),
        "quantities": np.array(quantities),
        "truth": _numbers(either, "true_names", "true_values", quantities),
        "best": best,
        "paper": _numbers(tables["paper"], "names", "values", quantities),
        **_intervals(best, quantities),
    }
    columns = _union(everything, "columns")
    result["columns"] = np.array(columns)
    for method in _METHODS:
        result[f"{method}_profiles"] = _profiles(tables[method], "columns", "profiles", columns)
    true_columns = _union(either, "true_columns")
    result["true_columns"] = np.array(true_columns)
    result["true_profiles"] = _profiles(either, "true_columns", "true_profiles", true_columns)
    statements = _union(tables["best"], "statements")
    result["statements"] = np.array(statements, dtype=str)
    for column, name in (("p_values", "best_p"), ("measured", "best_measured")):
        result[name] = _numbers(tables["best"], "statements", column, statements)
    low, high = (
        _numbers([{**t, "end": t["null"][:, end]} for t in tables["best"]], "statements", "end", statements)
        for end in (0, 1)
    )
    result["best_null"] = np.stack([low, high], axis=-1)
    return result


def _union(tables: Sequence[Arrays], *names: str, also: str | None = None) -> list[str]:
    every = [str(item) for table in tables for name in (*names, *([also] if also else [])) for item in table[name]]
    return list(dict.fromkeys(every))


def _numbers(tables: Sequence[Arrays], names: str, values: str, wanted: Sequence[str]) -> NDArray[np.float64]:
    known = [dict(zip(table[names].tolist(), table[values].tolist(), strict=True)) for table in tables]
    return np.array([[of_particle.get(name, np.nan) for name in wanted] for of_particle in known], dtype=np.float64)


def _profiles(tables: Sequence[Arrays], names: str, values: str, wanted: Sequence[str]) -> NDArray[np.float32]:
    n_shells = max(table[values].shape[1] for table in tables)
    stacked = np.full((len(tables), len(wanted), n_shells), np.nan, dtype=np.float32)
    for of_particle, table in zip(stacked, tables, strict=True):
        for name, row in zip(table[names].tolist(), table[values], strict=True):
            of_particle[wanted.index(name), : row.size] = row
    return stacked


def _intervals(best: NDArray[np.float64], quantities: Sequence[str]) -> Arrays:
    """Return, for each quantity, the columns that hold the ends of its interval: ``Mn_at_percent`` has ``Mn_low``."""
    ends = {}
    for end in ("low", "high"):
        column = np.full(best.shape, np.nan)
        for i, name in enumerate(quantities):
            stem, _, what = name.partition("_")
            if what in _WITH_INTERVAL and f"{stem}_{end}" in quantities:
                column[:, i] = best[:, quantities.index(f"{stem}_{end}")]
        ends[f"best_{end}"] = column
    return ends
