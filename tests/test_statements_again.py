"""Every verdict on the statements of the paper, computed again by scipy, and turned by what is planted in a table."""

import numpy as np
import pytest
from scipy import stats

from tests.test_statements import METALS, every, study, tables
from tritomo_helpers.products import twelve
from tritomo_helpers.teaching import statements

INNER = 8
PAPERS = "paper"


def said(low, high, effect):
    """What follows where the 95 % interval of an effect is (low, high)."""
    if effect == "within":
        return "holds" if low <= 0 <= high else "is contradicted"
    wanted, other = (high < 0, low > 0) if effect == "less" else (low > 0, high < 0)
    return "holds" if wanted else "is contradicted" if other else "is not shown"


def between(of, values, before, after, effect):
    groups = [values[of.members(cycles)] for cycles in (after, before)]
    groups = [group[np.isfinite(group)] for group in groups]
    return said(*stats.ttest_ind(*groups, equal_var=False).confidence_interval(0.95), effect)


def among(of, values, cycles, effect):
    here = values[of.members(cycles)]
    return said(*stats.ttest_1samp(here[np.isfinite(here)], 0).confidence_interval(0.95), effect)


def rise(of, element):
    return np.array(
        [
            p.mean[INNER] - p.mean[0] if p.n.size > INNER else np.nan
            for p in of.profiles(f"{element}_at_percent_mean", method=PAPERS)
        ]
    )


def at_surface(of):
    return np.array([p.sd[0] for p in of.profiles("Mn_at_percent_mean", method=PAPERS)])


def rich(of, element, kind=""):
    return of.values(f"{element}_{kind}rich_percent", method=PAPERS)


def share_of_mn(of):
    metals = [of.values(f"{el}_at_percent") for el in METALS]
    return 100 * metals[0] / sum(metals)


AGAIN = {
    "oxygen is lost at the surface as inside": lambda of: between(of, -rise(of, "O"), 0, 200, "within"),
    "after 200 cycles more rich voxels than the null of that mean and dose": lambda of: among(
        of, sum(rich(of, el) - rich(of, el, "null_") for el in METALS) / 3, 200, "greater"
    ),
    "more Co-rich than Mn-rich voxels after 200 cycles": lambda of: among(
        of, rich(of, "Co") - rich(of, "Mn"), 200, "greater"
    ),
    "metals vary less after 50 cycles than before": lambda of: between(of, at_surface(of), 0, 50, "less"),
    "and more at 200 cycles than at 50": lambda of: between(of, at_surface(of), 50, 200, "greater"),
    "and the variation of Mn with it": lambda of: between(of, at_surface(of), 50, 100, "greater"),
    "after 100 cycles cobalt is flat within the particles": lambda of: among(of, rise(of, "Co"), 100, "within"),
    "disproportionation: less Mn among the metals": lambda of: between(of, share_of_mn(of), 50, 100, "less"),
}


def planted(of, *, paper=None, best=None, profile=None):
    """A copy with amounts added: to quantities of a stage, or to the outermost shell of a column."""
    table = {**of.table, **{name: np.array(of.table[name]) for name in ("paper", "best", "paper_profiles")}}
    quantities, columns = of.table["quantities"].tolist(), of.table["columns"].tolist()
    for method, change in (("paper", paper), ("best", best)):
        if change:
            quantity, cycles, amount = change
            table[method][of.members(cycles), quantities.index(quantity)] += amount
    if profile:
        column, cycles, amount = profile
        table["paper_profiles"][of.members(cycles), columns.index(column), 0] += amount
    return twelve.Twelve(table)


# Claim, what is planted, and the verdict that follows.
PLANTED = [
    ("oxygen is lost at the surface as inside", {"profile": ("O_at_percent_mean", 200, -3.0)}, "is contradicted"),
    ("oxygen is lost at the surface as inside", {}, "holds"),
    (
        "after 200 cycles more rich voxels than the null of that mean and dose",
        {"paper": ("Mn_rich_percent", 200, 30.0)},
        "holds",
    ),
    (
        "after 200 cycles more rich voxels than the null of that mean and dose",
        {"paper": ("Mn_null_rich_percent", 200, 30.0)},
        "is contradicted",
    ),
    ("more Co-rich than Mn-rich voxels after 200 cycles", {"paper": ("Co_rich_percent", 200, 20.0)}, "holds"),
    ("more Co-rich than Mn-rich voxels after 200 cycles", {"paper": ("Mn_rich_percent", 200, 20.0)}, "is contradicted"),
    ("metals vary less after 50 cycles than before", {"profile": ("Mn_at_percent_sd", 50, -0.9)}, "holds"),
    ("metals vary less after 50 cycles than before", {"profile": ("Mn_at_percent_sd", 50, 0.9)}, "is contradicted"),
    ("and more at 200 cycles than at 50", {"profile": ("Mn_at_percent_sd", 200, 3.0)}, "holds"),
    ("and more at 200 cycles than at 50", {}, "is not shown"),
    ("and the variation of Mn with it", {"profile": ("Mn_at_percent_sd", 100, 3.0)}, "holds"),
    ("and the variation of Mn with it", {"profile": ("Mn_at_percent_sd", 100, -0.9)}, "is contradicted"),
    ("after 100 cycles cobalt is flat within the particles", {}, "holds"),
    (
        "after 100 cycles cobalt is flat within the particles",
        {"profile": ("Co_at_percent_mean", 100, 1.0)},
        "is contradicted",
    ),
    ("disproportionation: less Mn among the metals", {"best": ("Mn_at_percent", 100, -3.0)}, "holds"),
    ("disproportionation: less Mn among the metals", {"best": ("Mn_at_percent", 100, 3.0)}, "is contradicted"),
]


@pytest.fixture(scope="module")
def quiet():
    """Particles in which nothing of this differs, and scatter is small."""
    of = study()
    columns = of.table["columns"].tolist()
    profiles = np.array(of.table["paper_profiles"])
    rng = np.random.default_rng(3)
    for name in ("O_at_percent_mean", "Co_at_percent_mean", "Mn_at_percent_sd"):
        flat = {"O_at_percent_mean": 66.0, "Co_at_percent_mean": 11.0, "Mn_at_percent_sd": 1.0}[name]
        profiles[:, columns.index(name)] = flat + 0.01 * rng.standard_normal(profiles[:, 0].shape)
    return twelve.Twelve({**of.table, "paper_profiles": profiles})


@pytest.mark.parametrize(("claim", "change", "verdict"), PLANTED)
def test_what_is_planted_turns_the_verdict_as_scipy_says(quiet, claim, change, verdict):
    of = planted(quiet, **change)
    assert every(of)[claim].verdict == AGAIN[claim](of) == verdict


def test_verdicts_of_the_committed_tables_are_those_of_scipy():
    of = twelve.load()
    rows = every(of)
    assert {claim: rows[claim].verdict for claim in AGAIN} == {claim: again(of) for claim, again in AGAIN.items()}


@pytest.mark.parametrize("claim", ["Co³⁺ grows inward before cycling", "Co³⁺ falls inward after 200 cycles"])
def test_trend_of_cobalt_is_judged_by_cobalt(claim):
    of = study()
    assert every(of)[claim].verdict == "holds"
    other = np.array(of.table["best_measured"])
    other[:, 1] *= -1
    assert every(twelve.Twelve({**of.table, "best_measured": other}))[claim].verdict == "is contradicted"


class TestSurface:
    """Both statements on the surface after 200 cycles are weighed against six homogeneous particles."""

    def judged(self, spread, claim):
        rows = statements.composition_statements(study(), spread, tables()[1])
        return next(row.verdict for row in rows if row.claim == claim)

    def again(self, measured, null):
        """Student's t of one more draw of the null."""
        t = (measured - null.mean()) / (null.std(ddof=1) * np.sqrt(1 + 1 / null.size))
        p = 2 * stats.t.sf(abs(t), null.size - 1)
        return "is not shown" if p > 0.05 else "holds" if t > 0 else "is contradicted"

    @pytest.mark.parametrize(("factor", "verdict"), [(1.0, None), (5.0, "holds"), (0.01, "is contradicted")])
    def test_rich_voxels(self, factor, verdict):
        spread = {name: np.array(values) for name, values in tables()[0].items()}
        spread["measured_rich"][1, 0, 0] *= factor
        n = np.nan_to_num(spread["n"][1])
        rich, null = np.nan_to_num(spread["measured_rich"][1, 0]), np.nan_to_num(spread["null_rich"][1, :, 0])
        ratio, of_null = rich[0] / (rich @ n / n.sum()), null[:, 0] / (null @ n / n.sum())
        found = self.judged(spread, "twice as many rich voxels at the surface as in the whole")
        assert found == self.again(ratio, of_null)
        assert verdict in (None, found)

    @pytest.mark.parametrize(("factor", "verdict"), [(1.0, None), (3.0, "holds"), (0.3, "is contradicted")])
    def test_spread(self, factor, verdict):
        spread = {name: np.array(values) for name, values in tables()[0].items()}
        spread["measured_sd"][1, 0, 0] *= factor
        measured, null = spread["measured_sd"][1, 0], spread["null_sd"][1, :, 0]
        found = self.judged(spread, "metals vary most at the surface and ever less inward")
        assert found == self.again(measured[0] / measured[INNER + 1], null[:, 0] / null[:, INNER + 1])
        assert verdict in (None, found)


def test_composition_is_blind_to_spinel():
    """By hand: LiMO2 has 2 oxygen for each metal, and so has LiM2O4."""
    row = every(study())["composition sees the step from layered to spinel"]
    assert float(row.evidence.split()[0]) == pytest.approx(100 * (4 / 6 - 2 / 3), abs=0.005)
    assert row.verdict == "is not shown"


@pytest.mark.parametrize(("change", "verdict"), [(-0.05, "holds"), (-0.01, "is not shown"), (0.05, "is contradicted")])
def test_damage_is_shown_where_the_maps_fall_by_more_than_two_standard_errors(change, verdict):
    exposures = {"change": np.full((2, 2), change), "standard_error": np.full((2, 2), 0.01)}
    assert {row.verdict for row in statements.damage_statements(exposures)} == {verdict}


def test_every_statement_is_recomputed_somewhere():
    """A statement that is added without a second computation is found here."""
    from tests.test_statements import CHANGES

    by_hand = {
        *("Mn⁴⁺ grows inward before cycling", "Mn⁴⁺ falls inward after 200 cycles"),
        *("Co³⁺ grows inward before cycling", "Co³⁺ falls inward after 200 cycles"),
        *("Mn²⁺ grows as rock salt does, by metal", "Co²⁺ grows as rock salt does, by metal"),
        "oxygen flat within 1 at% excludes vacancies: absorption bends it less",
        "twice as many rich voxels at the surface as in the whole",
        "metals vary most at the surface and ever less inward",
        "composition sees the step from layered to spinel",
    }
    assert set(every(study())) == {*CHANGES, *AGAIN, *by_hand}
