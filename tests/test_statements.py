"""What the paper states, weighed from tables: each verdict computed again another way, and turned by other numbers."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from tests.test_twelve import CYCLES, table
from tritomo_helpers import plotting, products, teaching
from tritomo_helpers.products import twelve
from tritomo_helpers.teaching import statements

SHELLS = 12
METALS, STATES = ("Mn", "Co", "Ni"), ("Mn4", "Mn2", "Co2")
TRENDS = ("Mn4 depth trend", "Co3 depth trend")
# Claim, quantity, stages, effect: those that compare the means of two stages.
CHANGES = {
    "oxygen falls by 200 cycles": ("O_at_percent", 0, 200, "less"),
    "Mn⁴⁺ falls over the first 50 cycles": ("Mn4_percent", 0, 50, "less"),
    "Mn⁴⁺ rises from 50 to 100 cycles": ("Mn4_percent", 50, 100, "greater"),
    "Mn⁴⁺ falls from 100 to 200 cycles": ("Mn4_percent", 100, 200, "less"),
}


def study(*, sign=1.0, seed=0):
    """Twelve particles in which everything changes as the paper states it, or the other way round."""
    rng = np.random.default_rng(seed)
    at = np.searchsorted([0, 50, 100, 200], CYCLES)
    means = {
        "O_at_percent": 64 + sign * np.array([2.7, 2.6, 2.5, -3.0])[at],
        **{f"{el}_at_percent": np.array([11.1, 11.1, 11.1, 13.0])[at] for el in METALS},
        "Mn4_percent": 70 + sign * np.array([14, 4, 11, -17])[at],
        "Mn2_percent": np.array([11.5, 13, 12, 42])[at],
        "Co2_percent": np.array([20, 21.5, 22.5, 89])[at],
        "rock_salt_percent_of_metal": np.array([0, 1, 3, 43])[at],
        **{f"{el}_rich_percent": np.full(12, 3.0) for el in METALS},
        **{f"{el}_null_rich_percent": np.full(12, 3.0) for el in METALS},
    }
    values = np.stack([v + 0.05 * rng.normal(size=12) for v in means.values()], axis=1)
    names = [f"{name}_mean" for name in means if name[-10:] == "at_percent"] + ["Mn_at_percent_sd"]
    flat = [np.tile(v[:, None], SHELLS) for name, v in means.items() if name[-10:] == "at_percent"]
    columns = np.array(["depth_nm", "n_voxels", *names])
    per_shell = np.stack(
        [np.tile(np.arange(SHELLS) * 4.0 + 2, (12, 1)), np.full((12, SHELLS), 900.0), *flat, np.ones((12, SHELLS))],
        axis=1,
    ) + np.where(np.arange(len(columns)) < 2, 0, 0.01)[:, None] * rng.normal(size=(12, len(columns), SHELLS))
    slope = sign * np.where(CYCLES == 200, -0.2, 0.5)[:, None] * np.ones(2)
    return twelve.Twelve(
        table(
            quantities=np.array(list(means)),
            **dict.fromkeys(("truth", "best", "paper"), values),
            columns=columns,
            **dict.fromkeys(("best_profiles", "paper_profiles"), per_shell),
            statements=np.array(TRENDS),
            best_measured=slope,
            best_null=np.tile([-0.03, 0.03], (12, 2, 1)),
        )
    )


@functools.cache
def tables():
    return products.get("story/inhomogeneity"), products.get("composition/depth-profiles")


def every(of):
    rows = statements.composition_statements(of, *tables()) + statements.valence_statements(of)
    return {row.claim: row for row in rows}


@pytest.fixture(scope="module")
def as_stated():
    return every(study())


def welch(of, quantity, before, after, effect):
    """Return what scipy says of a change: whether its 95 % interval leaves out zero, and on which side."""
    values = of.values(quantity)
    groups = [values[of.members(cycles)] for cycles in (after, before)]
    low, high = stats.ttest_ind(*groups, equal_var=False).confidence_interval(0.95)
    wanted, other = (high < 0, low > 0) if effect == "less" else (low > 0, high < 0)
    return "holds" if wanted else "is contradicted" if other else "is not shown"


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, "holds"), (-1.0, "is contradicted"), (0.001, "is not shown")])
def test_change_between_stages_is_judged_as_scipy_judges_it(sign, verdict):
    of = study(sign=sign)
    rows = every(of)
    judged = {claim: rows[claim].verdict for claim in CHANGES}
    assert judged == {claim: welch(of, *changed) for claim, changed in CHANGES.items()}
    assert verdict in judged.values()


def test_verdicts_of_the_committed_tables_are_those_of_scipy():
    of = twelve.load()
    rows = every(of)
    judged = {claim: row.verdict for claim in CHANGES if (row := rows[claim]).verdict != "is not tested"}
    assert judged == {claim: welch(of, *CHANGES[claim]) for claim in judged}


def test_trend_has_to_hold_in_the_particle_that_speaks_least_for_it():
    of = study()
    for claim, cycles, turned in (
        ("Mn⁴⁺ grows inward before cycling", 0, -0.5),
        ("Mn⁴⁺ falls inward after 200 cycles", 200, 0.2),
    ):
        assert every(of)[claim].verdict == "holds"
        weakest = of.table["best_measured"].copy()
        weakest[np.flatnonzero(of.members(cycles))[-1], 0] = 0.01
        unsure = twelve.Twelve({**of.table, "best_measured": weakest})
        assert every(unsure)[claim].verdict == "is not shown"
        weakest[np.flatnonzero(of.members(cycles))[-1], 0] = turned
        assert every(twelve.Twelve({**of.table, "best_measured": weakest}))[claim].verdict == "is contradicted"


def test_rock_salt_brings_its_share_of_the_metals(as_stated):
    """By hand: 43 % of the metals turn, of which 88.5 % (Mn) and 80 % (Co) were not divalent before."""
    manganese, cobalt = (as_stated[f"{el}²⁺ grows as rock salt does, by metal"] for el in ("Mn", "Co"))
    assert float(manganese.evidence.split()[0].replace("−", "-")) == pytest.approx(30.5 - 43 * 0.885, abs=0.3)
    assert float(cobalt.evidence.split()[0]) == pytest.approx(69 - 43 * 0.80, abs=0.3)
    assert (manganese.verdict, cobalt.verdict) == ("is contradicted", "is contradicted")


def test_null_of_the_same_height_leaves_nothing_of_rich_voxels(as_stated):
    claim = "after 200 cycles more rich voxels than the null of that mean and dose"
    assert as_stated[claim].verdict == "is not shown"


def test_absorption_bends_a_flat_profile_by_more_than_the_flatness_that_was_seen(as_stated):
    profiles = products.get("composition/depth-profiles")
    bend = np.ptp((profiles["without"] - profiles["corrected"])[0])
    assert statements.absorption_bend(profiles) == pytest.approx(bend, abs=0.05)
    row = as_stated["oxygen flat within 1 at% excludes vacancies: absorption bends it less"]
    low, high = 0.9 * bend, 1.1 * bend  # mass absorption coefficients are known to 10 %
    assert row.verdict == ("holds" if high < 1 else "is contradicted" if low > 1 else "is not shown")


def test_without_particles_nothing_is_said():
    empty = study()
    lost = {
        name: np.full_like(empty.table[name], np.nan)
        for name in ("best", "best_measured", "best_profiles", "paper_profiles")
    }
    rows = every(twelve.Twelve({**empty.table, **lost}))
    assert {rows[claim].verdict for claim in (*CHANGES, "Mn⁴⁺ grows inward before cycling")} == {"is not tested"}


def wrong(*, value=20.0, effect=0.0, where=("exelfs", "Mn4 trend"), error=1.0):
    """A table of mismatches in which every conclusion has the same value, and one of them moves."""
    conclusions = [name for names in statements.WHAT_IF_COLUMNS.values() for name in names]
    mismatches = list(statements.WHAT_IF)
    moved = np.zeros((2, len(mismatches), len(conclusions)))
    moved[1, mismatches.index(where[0]), conclusions.index(where[1])] = effect
    return {
        "particle": np.array(["pristine-1", "cycled-200-1"]),
        "mismatch": np.array(mismatches),
        "conclusion": np.array(conclusions),
        "touched": np.array([[name in ("absorption", "wedge"), name != "absorption"] for name in mismatches]),
        "value": np.full((2, len(conclusions)), value) * [[1.0], [2.0]],
        "standard_error": np.full((2, len(conclusions)), error),
        "effect": moved,
        "chi2": np.ones((2, len(mismatches))),
    }


class TestWhatIf:
    @pytest.mark.parametrize(("effect", "beyond"), [(1.9, False), (2.0, True), (-2.0, True)])
    def test_number_moves_beyond_its_interval_or_not(self, effect, beyond):
        errors = statements.in_errors(wrong(effect=effect))
        assert errors.max() == abs(effect)
        assert np.any(errors > statements.TWO_SIDED) == beyond

    def test_conclusions_of_each_kind_are_named(self):
        for kind, columns in statements.WHAT_IF_COLUMNS.items():
            assert len(statements.what_if_head(kind)) == len(columns) + 2

    def test_fall_is_moved_by_the_difference_between_the_particles(self):
        table = wrong(effect=3.0, where=("dispersion", "Mn4 mean"))
        changes = statements.changes_of_fall(table, "Mn4 mean")
        assert changes.pop(statements.WHAT_IF["dispersion"]) == 3
        assert set(changes.values()) == {0}

    @pytest.mark.parametrize(
        ("effect", "where", "turns"),
        [
            (-37.0, ("exelfs", "Mn4 trend"), []),  # 40 down to 3, above 1.96
            (-39.0, ("exelfs", "Mn4 trend"), ["Mn⁴⁺ inward, cycled-200-1"]),
            (-43.0, ("exelfs", "Mn4 trend"), ["Mn⁴⁺ inward, cycled-200-1"]),
            (-17.0, ("wedge", "O mean"), []),  # a rise of 20 down to 3, above 1.96 times the root of 2
            (-18.0, ("wedge", "O mean"), ["O over the cycles"]),
            (-90.0, ("wedge", "rich"), []),  # no verdict hangs on it
        ],
    )
    def test_conclusion_is_turned_where_it_would_be_another_one(self, effect, where, turns):
        found = statements.turned(wrong(effect=effect, where=where))
        assert found == [(statements.WHAT_IF[where[0]], conclusion) for conclusion in turns]

    def test_what_has_no_scatter_is_moved_by_any_effect(self):
        still, moved = (statements.in_errors(wrong(effect=e, error=0.0)) for e in (0.0, 0.1))
        assert still.max() == 0
        assert np.isinf(moved).sum() == 1


def test_oxygen_shows_the_explanations_that_take_oxygen_out():
    rows = {row[0]: row for row in statements.explanations(study(), shape=24)}
    assert {name: row[3] for name, row in rows.items()} == {
        "oxygen vacancies": "holds",
        "excess lithium": "is not shown",
        "a skin of rock salt": "holds",
        "segregation of metals": "is not shown",
    }
    assert float(rows["excess lithium"][5]) > 1.05  # ICP would see it
    assert float(rows["a skin of rock salt"][4].split()[0]) > 1  # XRD would


def test_distance_counts_half_widths_from_the_middle_of_the_null():
    assert teaching.weigh("a", 5.0, null=(1.0, 3.0)).distance == 3
    assert teaching.weigh("a", 0.0, null=(1.0, 3.0)).distance == -2
    assert np.isnan(teaching.weigh("a", 0.0, null=None).distance)


def test_claims_of_no_difference_say_how_large_one_could_be_and_are_squares():
    same = teaching.weigh("a is as b", 0.1, null=(-0.5, 0.5), effect="within", unit="at%")
    more = teaching.weigh("a is more than b", 0.1, null=(-0.5, 0.5), unit="at%")
    assert same.sentence == "a is as b (no difference larger than ±0.50 at%)"
    assert (more.sentence, more.absence) == ("a is more than b", False)
    axes = plotting.show_distances(["some", "none"], [3.0, 0.5], absence=[False, True])
    marks = {line.get_marker(): line.get_xdata().tolist() for line in axes.lines}
    assert (marks["o"], marks["s"]) == ([3.0], [0.5])
    plt.close("all")


def test_distances_beyond_the_frame_are_arrows_at_its_edge():
    axes = plotting.show_distances(["near", "far", "far below"], [0.5, 99.0, -99.0], limit=20)
    marks = {line.get_marker(): line.get_xdata().tolist() for line in axes.lines}
    assert marks == {"o": [0.5], ">": [20.0], "<": [-20.0]}
    with pytest.raises(ValueError, match="distances: expected shape"):
        plotting.show_distances(["near"], [1.0, 2.0])
    plt.close("all")


def test_table_needs_a_cell_for_each_column():
    with pytest.raises(ValueError, match="rows: expected 2 cells"):
        teaching.show_table(("a", "b"), [("1",)])
