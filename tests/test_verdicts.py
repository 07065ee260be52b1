"""Verdicts: where a number lies against its null, and what that means for the claim."""

import numpy as np
import pytest
from scipy import stats

from tritomo_helpers import products, teaching
from tritomo_helpers.particles.verdicts import p_value


@pytest.mark.parametrize(
    ("measured", "effect", "verdict"),
    [
        (3.0, "above", "holds"),
        (1.5, "above", "is not shown"),
        (0.5, "above", "is contradicted"),
        (0.5, "below", "holds"),
        (3.0, "below", "is contradicted"),
        (1.5, "within", "holds"),
        (3.0, "within", "is contradicted"),
        (2.0, "above", "is not shown"),  # the end belongs to the null
    ],
)
def test_verdict_follows_from_the_place_against_the_null(measured, effect, verdict):
    assert teaching.weigh("a claim", measured, null=(1.0, 2.0), effect=effect).verdict == verdict


def test_without_a_null_nothing_is_said():
    weighed = teaching.weigh("a claim", 3.0, null=None, unit="at%", fmt=".1f")
    assert (weighed.evidence, weighed.null, weighed.verdict) == ("3.0 at%", "none", "is not tested")


@pytest.mark.parametrize(
    ("measured", "error", "verdict"),
    [(2.5, 0.4, "holds"), (2.5, 0.6, "is not shown"), (0.5, 0.4, "is contradicted"), (0.5, 0.6, "is not shown")],
)
def test_a_verdict_that_turns_within_the_error_of_the_number_is_none(measured, error, verdict):
    weighed = teaching.weigh("a claim", measured, null=(1.0, 2.0), error=error, unit="at%", fmt=".1f")
    assert weighed.verdict == verdict
    assert weighed.evidence == f"{measured} ± {error} at%"


def test_a_correction_upstream_changes_the_verdict():
    """From the committed table: what the chapter says of clusters turns if the null were quieter."""
    table = products.get("story/inhomogeneity")
    ratio = table["measured_sd"][1, 0, 0] / table["measured_sd"][1, 0, 9]
    null = table["null_sd"][1, :, 0, 0] / table["null_sd"][1, :, 0, 9]
    as_measured = teaching.weigh("decays", ratio, null=teaching.null_interval(null))
    assert as_measured.verdict == "is not shown"
    assert teaching.weigh("decays", ratio, null=(0.9, 1.1)).verdict == "holds"


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="null: expected"):
        teaching.weigh("a claim", 1.0, null=(2.0, 1.0))
    with pytest.raises(ValueError, match="measured"):
        teaching.weigh("a claim", np.nan, null=(0.0, 1.0))
    with pytest.raises(ValueError, match="effect"):
        teaching.weigh("a claim", 1.0, null=(0.0, 1.0), effect="beside")


def test_interval_of_a_null_holds_the_next_draw_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        *draws, following = rng.normal(3.0, 0.5, 7)
        low, high = teaching.null_interval(draws)
        inside += low < following < high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)
    with pytest.raises(ValueError, match="draws: expected two or more"):
        teaching.null_interval([1.0])


@pytest.mark.parametrize("kind", ["segregated", "depth trend"])
def test_the_pipeline_finds_in_nothing_what_the_level_allows(kind):
    """Of 200 particles 10 yeses are expected of each element: 14 allowed on average, and what chance does to one."""
    table = products.get("study/verdicts-null")
    of_kind = table["p_values"][:, [name.endswith(kind) for name in table["statements"]]]
    yeses = (of_kind <= 0.05).sum(axis=0)
    assert yeses.size == 4
    assert 6 <= yeses.mean() <= 14
    # One null serves all particles, which adds its own scatter; 1 % for the element that has most.
    assert yeses.max() <= stats.binom.isf(0.01 / 8, 200, 0.05)
    # Shares that are no more and no less than asked at every level, not at one.
    np.testing.assert_allclose(np.quantile(of_kind, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.1)


def test_p_of_one_of_twenty_like_draws_is_its_rank_and_ties_count_against_it():
    draws = np.random.default_rng(0).normal(size=20)
    p = [p_value(draws[i], np.delete(draws, i), tail="upper") for i in range(20)]
    assert sorted(p) == pytest.approx(np.arange(1, 21) / 20)  # never zero: the measured one is one of them
    assert p_value(2.0, np.array([2.0, 2.0, 1.0]), tail="upper") == pytest.approx(3 / 4)
