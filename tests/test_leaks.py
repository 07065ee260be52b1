"""Controls tell what leaks: a table that is read as by hand, and what the committed one says."""

import numpy as np
import pytest

from tritomo_helpers import products
from tritomo_helpers.teaching import leaks


def table(coupling_p, **p_values):
    p_values = {name.replace("_", " "): p for name, p in p_values.items()}
    return {
        "statements": np.array(list(p_values)),
        "p_values": np.array(list(p_values.values())),
        "names": np.array(["Mn_Mn4_coupling_p"]),
        "values": np.array([coupling_p]),
    }


def test_a_star_stands_where_the_answer_is_wrong():
    said = {"Mn_segregated": 0.2, "Mn_depth_trend": 0.05, "O_depth_trend": 0.4, "Mn4_segregated": 0.6}
    rows = leaks.rows({"segregation-only": table(0.9, **said, Mn4_depth_trend=0.051)})
    assert [row[1] for row in rows] == ["no *", "yes *", "no", "no", "no", "no"]
    with pytest.raises(ValueError, match=r"table valence-only: expected every statement, got no \['O depth trend'"):
        leaks.judged({"valence-only": table(0.9, Mn_segregated=0.2, Mn_depth_trend=0.05)})


def test_depth_trends_of_valence_and_segregation_of_metals_are_told_apart():
    tables = {name: products.get(f"study/control/pristine-1-{name}") for name in leaks.CONTROLS}
    said = leaks.judged(tables)
    for statement in ("Mn segregated", "Mn depth trend", "Mn4 depth trend"):
        for control in leaks.CONTROLS:
            assert said[statement, control] == (control in leaks.STATEMENTS[statement])
    coupling = {
        name: dict(zip(table["names"], table["values"], strict=True))["Mn_Mn4_coupling"]
        for name, table in tables.items()
    }
    # A true coupling is negative and stronger than what leaks.
    assert coupling["segregation-lowers-valence"] < -0.3
    assert 0 < coupling["segregation-only"] < 0.3
    assert abs(coupling["valence-only"]) < 0.1
