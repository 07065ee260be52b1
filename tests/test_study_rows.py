"""Tables of a study: outliers within their stage, averages over the particles of a stage."""

import numpy as np
import pytest

from tritomo_helpers.pipeline.study import _flag_outliers, averages_of_stages


def particle_rows(values, stages):
    return [
        {"state": "done", "stage": stage, "x": float(x), "x_low": 0.0, "trend_p": 0.01, "outlier_in": ""}
        for x, stage in zip(values, stages, strict=True)
    ]


def test_outliers_are_flagged_within_their_stage():
    rows = particle_rows((1.0, 1.1, 0.9, 1.05, 3.0), ["all"] * 5)
    _flag_outliers(rows)
    assert [row["outlier_in"] for row in rows] == ["", "", "", "", "x"]
    rows = particle_rows((1.0, 1.1, 0.9, 5.0, 5.1, 4.95), ["fresh"] * 3 + ["old"] * 3)
    _flag_outliers(rows)
    assert [row["outlier_in"] for row in rows] == [""] * 6, "what cycling does makes nobody an outlier"
    rows = particle_rows((1.0, 1.1, 0.9, 5.0, 5.1, 1.0), ["fresh"] * 3 + ["old"] * 3)
    _flag_outliers(rows)
    assert [row["outlier_in"] for row in rows] == [""] * 5 + ["x"], "normal, had it not been cycled"


@pytest.mark.parametrize("sizes", [(4, 2, 4, 2), (7, 1, 1, 1, 1), (12,)])
def test_one_study_of_twenty_without_outliers_names_one(sizes):
    stages = [f"stage {number}" for number, size in enumerate(sizes) for _ in range(size)]
    rng = np.random.default_rng(0)
    n_flagged = 0
    for _ in range(300):
        rows = [{"state": "done", "stage": stage, "outlier_in": ""} for stage in stages]
        for row in rows:
            row |= {f"x{i}": float(value) for i, value in enumerate(rng.normal(size=5))}
        _flag_outliers(rows)
        n_flagged += any(row["outlier_in"] for row in rows)
    assert 3 <= n_flagged <= 26, "15 expected, within three standard deviations"


def test_a_stage_has_the_mean_of_its_particles_and_their_spread():
    rows = [*particle_rows((1.0, 3.0, 7.0), ["fresh", "fresh", "old"]), {"state": "failed", "stage": "old"}]
    fresh, old = averages_of_stages(rows)
    assert fresh == {"stage": "fresh", "n_particles": 2, "x_mean": 2.0, "x_sd": pytest.approx(2**0.5, rel=1e-3)}
    assert old == {"stage": "old", "n_particles": 1, "x_mean": 7.0, "x_sd": ""}
    rows = particle_rows((1.0, 3.0), ["fresh", "fresh"])
    rows[0] |= {"Mn4_percent": 80.0, "Mn_decay_nm": 1e4}
    assert averages_of_stages(rows)[0] | {"Mn4_percent_mean": 80.0, "Mn4_percent_n": 1} == averages_of_stages(rows)[0]
    assert not any("decay" in name for name in averages_of_stages(rows)[0]), "without end where nothing decays"
