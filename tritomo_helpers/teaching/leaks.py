"""Whether composition leaks into valence or valence into composition, from controls in which one of them is missing."""

from collections.abc import Mapping

from .._validation import fail
from ..store.results import Arrays

LEVEL = 0.05
CONTROLS = {
    "segregation-only": "metals segregated, valence constant",
    "valence-only": "metals constant, valence changes with depth",
    "segregation-lowers-valence": "segregation lowers valence",
}
"""The controls of ``study/control/pristine-1-*`` in words."""
STATEMENTS = {
    "Mn segregated": {"segregation-only", "segregation-lowers-valence"},
    "Mn depth trend": set(),
    "O depth trend": set(),
    "Mn4 segregated": {"segregation-lowers-valence"},
    "Mn4 depth trend": {"valence-only", "segregation-lowers-valence"},
    "Mn with Mn4 at equal depth": {"segregation-lowers-valence"},
}
"""What is judged, and the controls in which it is true."""


def judged(tables: Mapping[str, Arrays]) -> dict[tuple[str, str], bool]:
    """Return whether the pipeline said yes, by statement and control.

    Parameters
    ----------
    tables : mapping of str to dict of str to ndarray
        ``study/control/pristine-1-*`` by the name of the control.

    Returns
    -------
    dict of (str, str) to bool

    Raises
    ------
    ValueError
        If a table lacks a statement.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> tables = {name: products.get(f"study/control/pristine-1-{name}") for name in CONTROLS}
    >>> judged(tables)["Mn4 depth trend", "valence-only"]
    True
    """
    said: dict[tuple[str, str], bool] = {}
    for control, table in tables.items():
        p = dict(zip(table["statements"].tolist(), table["p_values"].tolist(), strict=True))
        values = dict(zip(table["names"].tolist(), table["values"].tolist(), strict=True))
        p["Mn with Mn4 at equal depth"] = values.get("Mn_Mn4_coupling_p", float("nan"))
        if missing := [statement for statement in STATEMENTS if statement not in p]:
            raise fail(f"table {control}", expected="every statement", got=f"no {missing}", remedy="run make study")
        said |= {(statement, control): p[statement] <= LEVEL for statement in STATEMENTS}
    return said


def rows(tables: Mapping[str, Arrays]) -> list[tuple[str, ...]]:
    """Return a table for readers: a row a statement, a column a control; a star where the answer is wrong.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> tables = {name: products.get(f"study/control/pristine-1-{name}") for name in CONTROLS}
    >>> rows(tables)[0]
    ('Mn segregated', 'yes', 'no', 'yes')
    """
    said = judged(tables)
    return [
        (statement.replace("Mn4", "Mn⁴⁺"), *(_word(said[statement, control], control in true) for control in tables))
        for statement, true in STATEMENTS.items()
    ]


def _word(said: bool, true: bool) -> str:
    return ("yes" if said else "no") + ("" if said is true else " *")
