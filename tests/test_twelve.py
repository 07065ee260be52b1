"""The table of the twelve particles, read: stages, intervals, what the paper states, and what is missing."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tritomo_helpers import plotting
from tritomo_helpers.products import quoted, study_tables, twelve
from tritomo_helpers.products.study import PARTICLES

CYCLES = np.array([0] * 4 + [50] * 2 + [100] * 4 + [200] * 2)
OXYGEN = np.array([66.0, 67.0, 66.5, 66.5, 66.0, 67.0, 66.0, 66.0, 66.0, 70.0, 60.0, 62.0])
SHELLS = 3


def table(**changes):
    """Twelve particles of three shells; truth is 66.5 until 200 cycles, the paper's method is one higher."""
    truth = np.where(CYCLES < 200, 66.5, 61.0)[:, None]
    column = np.broadcast_to(OXYGEN[:, None, None], (12, 1, SHELLS))
    depth, n = np.arange(SHELLS) * 4.0 + 2, np.array([900.0, 400.0, 5.0])
    profiles = np.concatenate([np.tile([depth, n], (12, 1, 1)), column], axis=1)
    return {
        "particles": np.array(PARTICLES),
        "cycles": CYCLES,
        "quantities": np.array(["O_at_percent"]),
        "truth": truth,
        "best": OXYGEN[:, None],
        "paper": OXYGEN[:, None] + 1,
        "best_low": OXYGEN[:, None] - 0.6,
        "best_high": OXYGEN[:, None] + 0.6,
        "columns": np.array(["depth_nm", "n_voxels", "O_at_percent_mean"]),
        "best_profiles": profiles,
        "paper_profiles": profiles,
        "true_columns": np.array(["depth_nm", "O_at_percent_mean"]),
        "true_profiles": profiles[:, [0, 2]],
        **changes,
    }


@pytest.fixture
def study():
    return twelve.Twelve(table())


def test_stages_are_means_over_their_particles_with_students_interval(study):
    means = study.by_stage(study.values("O_at_percent"))
    assert means.n.tolist() == [4, 2, 4, 2]
    assert means.mean.tolist() == [66.5, 66.5, 67.0, 61.0]
    assert means.sd[3] == pytest.approx(np.sqrt(2))  # of 60 and 62, divided by n - 1
    # Student's t of 3 and of 1 degree of freedom, from a printed table.
    assert means.half_width[2] == pytest.approx(3.182 * 2.0 / 2, rel=1e-3)
    assert means.half_width[3] == pytest.approx(12.706 * np.sqrt(2) / np.sqrt(2), rel=1e-3)


def test_a_particle_that_is_missing_is_left_out_of_its_stage(study):
    values = study.values("O_at_percent").copy()
    values[[0, 10, 11]] = np.nan
    means = study.by_stage(values)
    assert means.n.tolist() == [3, 2, 4, 0]
    assert np.isnan([means.mean[3], means.sd[3]]).all()


def test_shells_of_few_voxels_are_left_out(study):
    assert [profile.mean.size for profile in study.profiles("O_at_percent_mean")] == [2] * 12
    assert study.at_surface("O_at_percent").tolist() == OXYGEN.tolist()
    assert study.stage_profile("O_at_percent_mean", method="best", cycles=200).mean.tolist() == [61.0, 61.0]


def test_distance_from_truth_and_what_the_intervals_hold(study):
    assert twelve.largest_miss(study, "O_at_percent", method="best") == pytest.approx(3.5)
    held = np.abs(OXYGEN - np.where(CYCLES < 200, 66.5, 61.0)) <= 0.6
    assert twelve.coverage(study, "O_at_percent") == pytest.approx(held.mean())


def test_rows_hold_the_paper_the_truth_and_both_methods(study):
    rows = twelve.comparison(study, ["O_at_percent"])
    row = {name: cell.replace("\N{NO-BREAK SPACE}", " ") for name, cell in zip(twelve.HEAD, rows[0], strict=True)}
    assert row == {
        "quantity": "O (at%)",
        "cycles": "0",
        "paper": "66.0 to 67.0",
        "truth": "66.5",
        "paper's method": "67.5 ± 0.41",
        "best method": "66.5 ± 0.41",
    }
    last = dict(zip(twelve.HEAD, rows[3], strict=True))
    assert (last["paper"], last["truth"]) == ("61.0", "61.0")


def test_what_the_paper_states_is_quoted_and_nothing_else():
    assert quoted.quoted("Co_rich_percent").tolist() == [[0, 0], [0, 0], [0.1, 0.1], [0.2, 0.5]]
    assert np.isnan(quoted.quoted("Mn4_percent")[:2]).all()
    for high, *low in (("Mn4", "Mn3", "Mn2"), ("Co3", "Co2")):
        total = sum(quoted.quoted(f"{state}_percent")[2:] for state in (high, *low))
        np.testing.assert_allclose(total, 100)


def test_particles_that_were_not_computed_are_nan():
    first = {
        **dict.fromkeys(("names", "true_names"), np.array(["O_at_percent"])),
        **dict.fromkeys(("values", "true_values"), np.array([66.0])),
        **{"statements": np.array(["O depth trend"]), "measured": np.array([0.1]), "p_values": np.array([0.2])},
        "null": np.array([[-1.0, 1.0]]),
        **dict.fromkeys(("columns", "true_columns"), np.array(["depth_nm"])),
        **dict.fromkeys(("profiles", "true_profiles"), np.array([[2.0, 6.0]])),
    }
    there = {"study/best/pristine-1": first, "study/paper/pristine-2": first}
    joined = study_tables.joined(PARTICLES[:3], np.array(["pristine"] * 3), read=there.get)
    np.testing.assert_array_equal(joined["best"][:, 0], [66.0, np.nan, np.nan])
    np.testing.assert_array_equal(joined["paper"][:, 0], [np.nan, 66.0, np.nan])
    np.testing.assert_array_equal(joined["truth"][:, 0], [66.0, 66.0, np.nan])
    assert np.isnan(joined["best_profiles"][1:]).all()


def test_figure_against_cycles_has_truth_dashed_and_quoted_hollow(study):
    (axes,) = plotting.show_stage_series([study.series("O_at_percent")])
    (truth,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert truth.get_ydata().tolist() == [66.5, 66.5, 66.5, 61.0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert hollow[0].get_ydata().tolist() == [66.5, 66.5, 66.5, 61.0]
    (surface,) = plotting.show_stage_series([study.series("O_at_percent", surface=True)])
    assert not [line for line in surface.lines if line.get_markerfacecolor() == "white"]
    plt.close("all")


def test_particles_of_a_stage_stand_beside_each_other(study):
    intervals = study.intervals("O_at_percent")
    axes = plotting.show_particles(OXYGEN, CYCLES, intervals=intervals, name="O (at%)")
    at = axes.lines[0].get_xdata()
    assert len(set(at)) == 12
    assert at[:4].mean() == pytest.approx(0)
    with pytest.raises(ValueError, match="intervals: expected shape"):
        plotting.show_particles(OXYGEN, CYCLES, intervals=intervals[:3], name="O (at%)")
    plt.close("all")


def test_curves_share_the_limits_of_a_row(study):
    curves = study.curves("O_at_percent_mean", method="best")
    both = study.curves_by_method(["O_at_percent_mean"])
    assert list(both) == ["paper method", "best method"]
    np.testing.assert_array_equal(both["best method"][0].mean, curves.mean)
    rows = plotting.show_stage_curves(both)
    assert rows[0][0].get_ylim() == rows[0][1].get_ylim()
    assert len([line for line in rows[0][0].lines if line.get_linestyle() == "--"]) == 4
    with pytest.raises(ValueError, match="columns: expected the same quantities"):
        plotting.show_stage_curves({"a": [curves], "b": []})
    plt.close("all")


def test_trend_is_the_smallest_slope_and_the_widest_null():
    slopes = np.where(CYCLES == 0, 0.5, 0.1)[:, None] * np.ones(1)
    slopes[1], slopes[2] = 0.4, np.nan
    null = np.tile([-0.05, 0.02], (12, 1, 1))
    of = twelve.Twelve(table(statements=np.array(["Mn4 depth trend"]), best_measured=slopes, best_null=null))
    assert of.trend("Mn4 depth trend", cycles=0) == (0.4, 0.05)
    slopes[1] = -0.4
    assert of.trend("Mn4 depth trend", cycles=0) == (-0.4, 0.05), "reversed in one of the stage"
    assert np.isnan(of.trend("Co3 depth trend", cycles=0)).all()
