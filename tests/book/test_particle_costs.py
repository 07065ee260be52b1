"""The section of the page on performance about particles of one's own."""

import pytest

from tools.book import particle_costs, stage


def row(tilts, side, n, seconds, peak_mb):
    return {"tilts": tilts, "side_px": side, "particles": n, "cpu_s": seconds, "peak_mb": peak_mb}


def test_a_large_study_is_extrapolated_from_the_two_largest_images():
    voxels = [side**3 / 1e6 for side in (64, 128, 256)]
    rows = [row(16, 64, 2, 999.0, 999.0), row(8, 128, 1, 300.0, 400 + voxels[1]), row(8, 64, 1, 60.0, 400 + voxels[0])]
    need = particle_costs.of_large_study(rows)
    assert need["hours"] == pytest.approx(300 * 5 * 61 / 8 / 3600)
    assert need["gigabytes"] == pytest.approx((400 + voxels[2]) / 1024)
    assert f"{need['hours'] * 1000:,.0f} processor hours in all" in particle_costs.section(rows)[-1]


def test_the_measured_cost_grows_no_faster_than_what_it_is_measured_against():
    rows = {(r["tilts"], r["side_px"], r["particles"]): r for r in particle_costs.read()}
    base = rows[8, 32, 1]["cpu_s"]
    assert rows[16, 32, 1]["cpu_s"] < 2.1 * base
    assert rows[8, 32, 2]["cpu_s"] < 2.1 * base
    assert rows[8, 64, 1]["cpu_s"] < 4.2 * base
    assert rows[8, 128, 1]["cpu_s"] < 8.4 * rows[8, 64, 1]["cpu_s"]


def test_results_that_one_function_makes_are_one_row_with_their_sum():
    seconds = {
        "twin/pristine-1/valence": 80.0,
        "study/particles": 0.2,
        "twin/cycled-200-1/valence": 160.0,
        "x": 7.0,
    }
    title, *_, by_function, of_table, other, _ = stage.kept_results(seconds)
    assert title.endswith("4 results, 4.1 min")
    assert by_function == (
        "| Valence of a particle from raw counts to volumes; the truth is not used | `twin/…` | 2 | 4.0 min |"
    )
    assert of_table.endswith("| `study/particles` | 1 | under 1 s |")
    assert other == "| x | `x` | 1 | 7 s |"
