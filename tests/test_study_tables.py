"""The tables of single particles become one: every number stands where it belongs, and what is missing is NaN."""

import numpy as np
import pytest

from tritomo_helpers.products import study_tables


def table(value, *, shells, method):
    found = {
        "names": np.array(["Mn_at_percent", "Mn_low", "Mn_high"] if method == "best" else ["Mn_at_percent"]),
        "values": np.array([value, value - 1, value + 1] if method == "best" else [value]),
        "statements": np.array(["Mn segregated"] if method == "best" else [], dtype=str),
        "measured": np.array([2.0] if method == "best" else []),
        "null": np.array([[0.5, 1.5]] if method == "best" else np.empty((0, 2))),
        "p_values": np.array([0.025] if method == "best" else []),
        "columns": np.array(["depth_nm", "Mn_at_percent_mean"]),
        "profiles": np.full((2, shells), value),
    }
    truth = {
        "true_names": np.array(["Mn_at_percent", "volume_nm3"]),
        "true_values": np.array([11.0, 5.0]),
        "true_columns": np.array(["depth_nm"]),
        "true_profiles": np.zeros((1, shells)),
    }
    return found | truth


@pytest.fixture
def joined(monkeypatch):
    tables = {
        "study/best/a-1": table(12.0, shells=2, method="best"),
        "study/best/cycled-200-1": table(13.0, shells=3, method="best"),
        "study/paper/a-1": table(14.0, shells=2, method="paper"),
        "study/paper/cycled-200-1": table(15.0, shells=3, method="paper"),
    }
    monkeypatch.setattr(study_tables, "get", tables.__getitem__)
    return study_tables.joined(("a-1", "cycled-200-1"), np.array(["pristine", "cycled-200"]))


def test_numbers_by_particle_and_quantity(joined):
    column = joined["quantities"].tolist().index("Mn_at_percent")
    assert joined["cycles"].tolist() == [0, 200]
    assert [joined[m][:, column].tolist() for m in ("truth", "best", "paper")] == [[11, 11], [12, 13], [14, 15]]
    assert joined["best_low"][:, column].tolist() == [11, 12]
    assert joined["best_high"][:, column].tolist() == [13, 14]
    volume = joined["quantities"].tolist().index("volume_nm3")
    assert np.isnan(joined["best"][:, volume]).all()


def test_profiles_end_where_a_particle_ends(joined):
    assert joined["best_profiles"].shape == (2, 2, 3)
    assert np.isnan(joined["best_profiles"][0, :, 2]).all()
    assert joined["paper_profiles"][1, 1].tolist() == [15, 15, 15]
    assert joined["best_null"].tolist() == [[[0.5, 1.5]], [[0.5, 1.5]]]
    assert joined["best_p"].tolist() == [[0.025], [0.025]]
