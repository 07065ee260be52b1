"""The tables of the study of composition: what they measure, by hand, and their recipes on tiny draws."""

import numpy as np
import pytest

from tritomo_helpers import phantoms, products
from tritomo_helpers.containers import Tomogram
from tritomo_helpers.fusion import Detection
from tritomo_helpers.products import composition_null, composition_study, draws, map_detection, shell_calibration
from tritomo_helpers.products import shell_errors as errors_of_shells


def silent(fraction, text=""):
    assert 0 <= fraction <= 1


def test_errors_correlation_and_slope_by_hand():
    truth = np.array([[[[1.0, 2.0, 3.0, np.nan]]]], dtype=np.float32)
    half = 2 + 0.5 * (truth - 2)  # shrunken by half, otherwise right
    row = draws.compared(half, truth, np.ones(truth.shape[1:], bool))
    assert row["error"] == pytest.approx([0.5])
    assert row["correlation"] == pytest.approx([1])
    assert row["slope"] == pytest.approx([2])
    constant = draws.compared(np.full_like(truth, 2), truth, np.ones(truth.shape[1:], bool))
    assert constant["error"] == pytest.approx([1])
    assert np.isnan(constant["correlation"]).all()


def test_a_normal_error_is_covered_as_often_as_stated():
    error = np.random.default_rng(1).normal(0, 2, 20_000)
    assert draws.covered(error, np.full(20_000, 2.0), (0.68, 0.9, 0.95)) == pytest.approx([0.68, 0.9, 0.95], abs=0.01)
    assert draws.covered(error, np.full(20_000, 1.0), (0.68,))[0] < 0.45


def test_clusters_are_counted_where_they_are():
    size, centers, metal = 5.0, np.array([[20.0, 0, 0], [0, 20.0, 0], [0, 0, 20.0]]), np.arange(3)
    scores = np.random.default_rng(2).normal(size=(4, 16, 16, 16)).astype(np.float32)
    for number, (x, y, z) in enumerate((centers / size).astype(int)):
        scores[number + 1, z + 8, y + 8, x + 8] = 9.0
    null = np.random.default_rng(3).normal(size=(2, 4, 4096)).astype(np.float32)
    found = draws.detected(Detection(scores, null, 5.0, {5.0: 9.0}), centers, metal, radius_nm=5.0, voxel_size_nm=size)
    assert found["recall_at_rate"].min() == 1
    assert found["marked"][:, 0] == pytest.approx(0.05, abs=0.02)
    assert found["recall"].min() == 1
    np.testing.assert_allclose(found["n_false"], (1 / found["precision"] - 1).round())
    assert found["n_false"][:, 2].max() < found["n_false"][:, 0].min()
    elsewhere = draws.detected(
        Detection(scores, null, 5.0, {5.0: 9.0}), -centers, metal, radius_nm=5.0, voxel_size_nm=size
    )
    assert elsewhere["recall_at_rate"][:, 2].max() == 0


def test_inserted_clusters_keep_the_sum_and_their_distance():
    ball = phantoms.balls([[0, 0, 0]], [100], shape=32)
    mean = {"O": 2 / 3, "Mn": 1 / 9, "Co": 1 / 9, "Ni": 1 / 9}
    fractions, centers, metal = draws.inserted(
        Tomogram(ball.density, ball.voxel_size_nm), mean, n_clusters=4, radius_nm=12.0, contrast=0.09, seed=4
    )
    assert np.bincount(metal).tolist() == [4, 4, 4]
    np.testing.assert_allclose(sum(fractions.values()), 1, atol=1e-6)
    assert fractions["Mn"].max() == pytest.approx(1 / 9 + 0.09, abs=1e-3)
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2)[~np.eye(12, dtype=bool)]
    assert apart.min() > 25
    assert np.linalg.norm(centers, axis=1).max() < 100 - 12 + ball.voxel_size_nm
    x, y, z = np.rint(centers[0] / ball.voxel_size_nm).astype(int) + 16
    assert fractions["Mn"][z, y, x] > 0.15  # the first is of manganese, (x, y, z)


def counted_particle(rng, *, offset, hidden, stated, voxel_factor):
    """One element, 50 shells, 8 draws: errors that stay in every draw of a particle, beside the one of counting."""
    off = offset + rng.normal(0, hidden) + rng.normal(0, 0.1, (8, 1, 50))
    relative = np.abs(rng.normal(0, voxel_factor, 5000))
    bins = np.searchsorted(errors_of_shells.BINS[:-1], relative)
    misses = np.bincount(bins, minlength=len(errors_of_shells.BINS))[None]
    return {"off": off, "standard_error": np.full((1, 50), stated), "misses": misses}


@pytest.mark.acceptance
def test_an_error_that_no_count_knows_of_is_calibrated_on_other_particles():
    rng = np.random.default_rng(8)
    tables = [counted_particle(rng, offset=1.0, hidden=0.2, stated=0.1, voxel_factor=0.7) for _ in range(200)]
    judged = shell_calibration.judged_on_others(tables)
    assert judged["offset"] == pytest.approx(np.full((200, 1), 1.0), abs=0.05)
    assert judged["extra"] == pytest.approx(np.full((200, 1), 0.2), rel=0.15)
    assert judged["widening"] == pytest.approx(np.full((200, 1), 0.7), rel=0.05)
    stated, calibrated = judged["shells"][:, 0]
    assert stated[2] < 0.1
    assert calibrated == pytest.approx(shell_calibration.LEVELS, abs=0.05)
    stated, calibrated = judged["voxels"][:, 0]
    assert stated[0] > 0.8
    assert calibrated == pytest.approx(shell_calibration.LEVELS, abs=0.02)


def test_the_error_of_the_next_particle_is_larger_than_the_spread_of_few():
    """Three particles to calibrate with, many times: intervals of the fourth hold about as often as they say."""
    rng = np.random.default_rng(10)
    options = {"offset": 0.0, "hidden": 0.2, "stated": 0.1, "voxel_factor": 1.0}
    shares = []
    for _ in range(300):
        *known, other = (counted_particle(rng, **options) for _ in range(4))
        shares.append(shell_calibration.held(other, *shell_calibration.calibrated(known))[0])
    assert np.mean(shares, axis=0)[0] == pytest.approx(0.68, abs=0.08)
    assert np.mean(shares, axis=0)[2] > 0.8


def test_large_enough_standard_errors_are_left_alone():
    options = {"offset": 0.0, "hidden": 0.0, "stated": 0.2, "voxel_factor": 1.0}
    tables = [counted_particle(np.random.default_rng(9), **options)] * 2
    assert shell_calibration.calibrated(tables)[1] == pytest.approx([0.0])
    assert shell_calibration.held(tables[0])[0, 0] > 0.9


def test_recall_of_a_map_is_that_of_the_places_of_its_own_metal():
    rng = np.random.default_rng(11)
    centers, metal = np.array([[20.0, 0, 0], [0, 20.0, 0], [0, 0, 20.0], [-20.0, 0, 0]]), np.array([0, 1, 2, 2])
    volumes = rng.normal(size=(4, 16, 16, 16)).astype(np.float32)
    for place, number in zip((centers / 5).astype(int), metal, strict=True):
        x, y, z = place + 8
        volumes[number + 1, z, y, x] = -9.0 if x < 8 else 9.0  # one of nickel is poor instead
    where = {"radius_nm": 5.0, "voxel_size_nm": 5.0}
    assert map_detection.recall_of_values(volumes, centers, metal, **where) == pytest.approx([0.75] * 3)
    assert map_detection.recall_of_values(volumes, centers, (metal + 1) % 3, **where)[2] == 0


@pytest.fixture(scope="module")
def tiny():
    return draws.scene("cycled-200-1", pixels=16, tilt_step_deg=35.0)


@pytest.mark.acceptance
def test_draws_have_the_covariance_that_raw_counts_have(tiny):
    square, mean = draws.noise_of_raw_counts(tiny, rng=np.random.default_rng(5))
    assert square == pytest.approx(np.ones(4), abs=0.15)
    assert mean == pytest.approx(np.zeros(4), abs=0.15)
    drawn = tiny.draw(np.random.default_rng(6), counts=4.0)
    sums = [drawn.intensities[el].images.sum() / tiny.maps.intensities[el].images.sum() for el in draws.ELEMENTS]
    assert sums == pytest.approx([4.0] * 4, rel=0.02)
    departure = drawn.intensities["O"].images - 4 * tiny.maps.intensities["O"].images
    assert departure.std() == pytest.approx(np.sqrt(4 * np.asarray(tiny.maps.covariance)[..., 0, 0].mean()), rel=0.1)


@pytest.mark.acceptance
def test_recipes_run_on_tiny_draws():
    drawn = composition_study._drawn(
        silent, {}, particle="cycled-200-1", counts=(1.0, 10.0), pixels=16, tilt_step_deg=35.0, seed=1,
        n_interval_draws=3, genfire={"oversampling": 2, "n_iterations": 20}, published={"n_poisson": 5, "n_rounds": 2},
    )  # fmt: skip
    assert drawn["error"].shape == (2, 3, 4)
    assert np.isfinite(drawn["error"][0]).all()
    assert np.isnan(drawn["error"][1, 1:]).all()
    assert drawn["coverage"].shape == (2, 4, 3)
    assert drawn["recall"].shape == (2, 3, 3)
    assert drawn["shell_coverage"].shape[0] == 4
    assert np.all((drawn["shell_coverage"] >= 0) & (drawn["shell_coverage"] <= 1))
    of_shells = errors_of_shells.shell_errors(
        silent, {}, particle="cycled-200-1", pixels=16, tilt_step_deg=35.0, seed=1, n_draws=2
    )
    assert of_shells["bias"].shape[:2] == (6, 4)
    assert of_shells["off"].shape[1:] == of_shells["standard_error"].shape
    # With density and mean right, nothing but the lines and the smoothing is left of the error of oxygen.
    assert np.abs(of_shells["bias"][5, 0]).max() < np.abs(of_shells["bias"][0, 0]).max()
    null = composition_null.composition_null(
        silent, {}, particle="pristine-2", pixels=16, tilt_step_deg=35.0, seed=1, counts=(1.0,),
        inserted={"n_clusters": 1, "radius_nm": 20.0, "contrast": 0.09, "counts": 4.0},
    )  # fmt: skip
    assert null["rich_percent"].max() == 0
    means = composition_null.composition_means(silent, {}, particles=("pristine-1", "cycled-200-1"), pixels=16, seed=1)
    known, *wrong = np.abs(means["off_at_percent"][1])
    assert known.max() < 0.2
    assert wrong[-1].max() > known.max()


def test_tables_of_the_study_are_registered():
    names = set(products.products())
    assert {"study/composition/pristine-2", "study/composition/cycled-200-1", "study/composition-null"} <= names
    assert {"study/composition-means", "study/false-rich", "study/interval-oracles"} <= names
    assert {f"study/shell-errors/{particle}" for particle in errors_of_shells.PARTICLES} <= names
