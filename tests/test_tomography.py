"""Reconstruction on small cases: truth recovered, each method's own identity, choices that never see the truth."""

import dataclasses
import json
from pathlib import Path
from typing import Optional, get_args

import numpy as np
import pytest
from scipy import fft

from tests.helper import relative_error
from tritomo_helpers import metrics, tomography
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.projection import Projector
from tritomo_helpers.tomography import options as methods
from tritomo_helpers.tomography import selection
from tritomo_helpers.tomography.genfire import extension_cutoffs
from tritomo_helpers.tomography.problem import check_problem
from tritomo_helpers.tomography.variation import fit_variation

ANGLES = np.arange(-70.0, 71.0, 10.0)


def blocks(shape=(24, 20, 24)):
    """Two off-center blocks of different density: nothing about them is symmetric."""
    volume = np.zeros(shape, dtype=np.float32)
    volume[6:15, 4:14, 8:18] = 1.0
    volume[12:18, 8:16, 5:12] = 0.6
    return volume


def series_of(volume, angles=ANGLES):
    projector = Projector(angles, (volume.shape[0], volume.shape[2]), n_pixels=volume.shape[2])
    return TiltSeries(projector.forward(volume), angles, 4.63, "ADF")


def noisy(series, peak_counts, seed=1):
    scale = peak_counts / series.images.max()
    counts = np.random.default_rng(seed).poisson(np.maximum(series.images, 0) * scale)
    return series.replace(images=(counts / scale).astype(np.float32)), scale


@pytest.fixture(scope="module")
def truth():
    return blocks()


@pytest.fixture(scope="module")
def series(truth):
    return series_of(truth)


# What each method must recover; a sign, a shift or an axis mixed up gives an error near 1.
LIMITS = {"wbp": 0.5, "sirt": 0.22, "sart": 0.22, "cgls": 0.26, "genfire": 0.3, "tv": 0.08}


@pytest.mark.parametrize("method", tomography.METHODS)
def test_every_method_recovers_the_blocks(method, truth, series):
    options = {} if method in ("wbp", "genfire", "tv") else {"n_iterations": 60}
    result = tomography.reconstruct(
        series, method=method, **(options | ({"weight": 1e-3, "supersampling": 2} if method == "tv" else {}))
    )
    assert metrics.nrmse(result.tomogram.values, truth) < LIMITS[method]
    assert result.tomogram.voxel_size_nm == 4.63
    assert result.tomogram.quantity == "ADF"
    assert result.tomogram.values.dtype == np.float32
    assert result.tomogram.values.min() >= 0
    error = metrics.nrmse(result.tomogram.values, truth)
    assert metrics.nrmse(result.tomogram.values[::-1], truth) > 1.4 * error


@pytest.mark.parametrize("method", tomography.METHODS)
@pytest.mark.parametrize("shape", [(17, 6, 21), (20, 7, 16)])
def test_odd_and_unequal_sizes_work(method, shape):
    volume = np.zeros(shape, dtype=np.float32)
    volume[6:12, 2:5, 5:11] = 1.0
    options = {"n_iterations": 30} if method not in ("wbp", "tv") else {}
    options |= {"weight": 1e-3, "supersampling": 1} if method == "tv" else {}
    result = tomography.reconstruct(series_of(volume), method=method, n_z=shape[0], **options)
    assert result.tomogram.values.shape == shape
    bright = result.tomogram.values * (result.tomogram.values > 0.5)  # without the streaks, which the box cuts unevenly
    center = [np.average(np.arange(n), weights=bright.sum(axis=tuple({0, 1, 2} - {a}))) for a, n in enumerate(shape)]
    np.testing.assert_allclose(center, [8.5, 3.0, 7.5], atol=0.4)


def test_support_keeps_the_outside_empty(truth, series):
    support = truth > 0
    for method in tomography.METHODS:
        options = {"n_iterations": 5} if method != "wbp" else {}
        options |= {"weight": 1e-3, "supersampling": 1} if method == "tv" else {}
        values = tomography.reconstruct(series, method=method, support=support, **options).tomogram.values
        assert not values[~support].any()
        assert values[support].any()


@pytest.mark.parametrize("method", ["sirt", "sart"])
def test_three_times_ten_iterations_equal_thirty(method, series):
    whole = tomography.reconstruct(series, method=method, n_iterations=30)
    part = None
    for _ in range(3):
        part = tomography.reconstruct(series, method=method, n_iterations=10, start=part and part.tomogram)
    np.testing.assert_allclose(part.tomogram.values, whole.tomogram.values, atol=1e-5)
    assert part.r_factor[-1] == pytest.approx(whole.r_factor[-1], rel=1e-4)


def test_sirt_lowers_the_misfit_at_every_iteration(series):
    r = tomography.reconstruct(series, method="sirt", n_iterations=40).r_factor
    assert r.shape == (40,)
    assert np.all(np.diff(r) < 1e-6)


def test_cgls_fits_faster_than_sirt(series):
    r = {
        m: tomography.reconstruct(series, method=m, n_iterations=15, positivity=False).r_factor[-1]
        for m in ("sirt", "cgls")
    }
    assert r["cgls"] < 0.6 * r["sirt"]


def test_a_few_channels_share_the_set_up_and_equal_single_calls(series):
    other = series.replace(images=series.images * 2, label="Mn K")
    together = tomography.reconstruct({"ADF": series, "Mn": other}, method="sirt", n_iterations=5)
    alone = tomography.reconstruct(other, method="sirt", n_iterations=5)
    assert {name: r.tomogram.quantity for name, r in together.items()} == {"ADF": "ADF", "Mn": "Mn K"}
    np.testing.assert_array_equal(together["Mn"].tomogram.values, alone.tomogram.values)
    seen = tomography.project({name: r.tomogram for name, r in together.items()}, ANGLES)
    np.testing.assert_array_equal(seen["Mn"].images, tomography.project(alone.tomogram, ANGLES).images)
    with pytest.raises(ValueError, match=r"ts\['b'\]: expected the same angles"):
        tomography.reconstruct({"a": series, "b": series_of(blocks(), ANGLES + 1)}, method="wbp")
    with pytest.raises(ValueError, match="at least one element"):
        tomography.reconstruct({})


def plain_genfire(series, support, *, n_iterations, oversampling, radius_px):
    """Compute the published algorithm on the whole three-dimensional Fourier grid, with nothing left out."""
    n = series.images.shape[1]
    size = oversampling * n
    k = fft.fftfreq(size, 1 / size)
    kz, ky, kx = np.meshgrid(k, k, k, indexing="ij")
    radius = np.sqrt(kx**2 + ky**2 + kz**2) / (size / 2)
    place = np.arange(n) - n // 2
    total, weights = np.zeros((size,) * 3, complex), np.zeros((size,) * 3)
    for angle, image in zip(np.deg2rad(series.tilt_angles_deg), series.images, strict=True):
        distance = np.abs(np.sin(angle) * kx + np.cos(angle) * kz)
        near = (distance < radius_px) & (radius <= 1)
        u = (np.cos(angle) * kx - np.sin(angle) * kz)[near]
        x_part = np.exp(-2j * np.pi / size * np.outer(u, place))
        y_part = np.exp(-2j * np.pi / size * np.outer(ky[near], place))
        weight = 1 / np.maximum(distance[near], 1e-5)
        total[near] += weight * np.einsum("pu,yu,py->p", x_part, image.astype(float), y_part, optimize=True)
        weights[near] += weight
    measured = weights > 0
    values = np.divide(total, weights, out=np.zeros_like(total), where=measured)
    corner = size // 2 - n // 2
    inner = (slice(corner, corner + n),) * 3
    volume, mask = np.zeros((size,) * 3), np.zeros((size,) * 3)
    mask[inner] = support
    schedule, r = extension_cutoffs(n_iterations), []
    half = measured & (kz >= 0)
    for iteration in range(1, n_iterations + 1):
        if iteration in schedule:
            enforced = measured & (1 - radius > schedule[iteration])
        volume = np.maximum(volume, 0) * mask
        spectrum = fft.fftn(fft.ifftshift(volume))
        r.append(np.abs(np.abs(spectrum) - np.abs(values))[half].sum() / np.abs(values[half]).sum())
        result = volume[inner]
        spectrum[enforced] = values[enforced]
        volume = fft.fftshift(fft.ifftn(spectrum).real)
    return result, np.array(r)


@pytest.mark.parametrize(("n", "oversampling", "n_iterations"), [(16, 2, 60), (13, 3, 25)])
def test_genfire_equals_the_plain_three_dimensional_algorithm(n, oversampling, n_iterations):
    rng = np.random.default_rng(3)
    volume = np.zeros((n, n, n), dtype=np.float32)
    volume[4:10, 3:11, 5:11] = rng.random((6, 8, 6)) + 0.5
    support = np.zeros(volume.shape, dtype=bool)
    support[3:11, 2:12, 3:12] = True
    angles = np.array([-62.0, -40.0, -21.0, 0.0, 13.0, 37.0, 66.0])
    series, _ = noisy(series_of(volume, angles), 500)
    plain, plain_r = plain_genfire(series, support, n_iterations=n_iterations, oversampling=oversampling, radius_px=0.2)
    options = {"oversampling": oversampling, "n_iterations": n_iterations, "interpolation_radius_px": 0.2}
    ours = tomography.reconstruct(series, method="genfire", support=support, **options)
    assert relative_error(ours.tomogram.values, plain) < 1e-4
    np.testing.assert_allclose(ours.r_factor, plain_r, rtol=2e-3)
    off = tomography.reconstruct(series, method="genfire", support=support, extension=False, **options)
    assert relative_error(off.tomogram.values, plain) > 1e-3  # so the comparison can tell


def test_extension_enforces_all_points_only_in_the_middle():
    schedule = extension_cutoffs(1000)
    assert len(schedule) == 19
    assert [i for i, cutoff in schedule.items() if cutoff < 0] == [390, 445, 500]
    assert max(schedule) == 1000


def test_r_free_is_off_by_default_seeded_and_above_r(truth):
    series, _ = noisy(series_of(truth), 100)
    assert tomography.reconstruct(series, n_iterations=20).r_free.size == 0
    runs = [
        tomography.reconstruct(series, n_iterations=60, r_free_rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0].r_free, runs[1].r_free)
    assert np.any(runs[0].r_free != runs[2].r_free)
    assert runs[0].r_free[30] > runs[0].r_factor[30]


def test_more_iterations_fit_noise(truth):
    series, _ = noisy(series_of(truth), 30)
    error = [
        metrics.nrmse(tomography.reconstruct(series, method="sirt", n_iterations=n).tomogram.values, truth)
        for n in (10, 200)
    ]
    assert error[1] > 1.2 * error[0]


@pytest.mark.parametrize("method", ["sirt", "cgls"])
def test_a_stop_chosen_without_the_truth_is_close_to_the_best(method, truth):
    series, _ = noisy(series_of(truth), 40)
    result = tomography.reconstruct(series, method=method)
    choice = result.choices["n_iterations"]
    assert result.r_factor.size == choice.value == result.settings.n_iterations
    assert choice.tried[choice.errors.argmin()] == choice.value
    assert "tilts set aside" in choice.why
    errors = [
        metrics.nrmse(tomography.reconstruct(series, method=method, n_iterations=n).tomogram.values, truth)
        for n in (1, 2, 4, 8, 16, 32, 64)
    ]
    assert metrics.nrmse(result.tomogram.values, truth) < 1.15 * min(errors)


@pytest.mark.parametrize("hold_out", ["tilts", "counts"])
def test_a_weight_chosen_without_the_truth_is_close_to_the_best(hold_out, truth):
    series, scale = noisy(series_of(truth), 60)
    options = {"supersampling": 1, "n_iterations": 30, "noise": "poisson"}
    aside = {"hold_out": hold_out, "counts_per_unit": scale, "rng": np.random.default_rng(1)}
    result = tomography.reconstruct(series, method="tv", **options, **aside)
    errors = [
        metrics.nrmse(tomography.reconstruct(series, method="tv", weight=w, **options).tomogram.values, truth)
        for w in (0.002, 0.008, 0.03, 0.12)
    ]
    assert metrics.nrmse(result.tomogram.values, truth) < 1.2 * min(errors)
    assert result.choices["weight"].value > 0.004


def test_less_noise_gets_a_smaller_weight(truth):
    options = {"method": "tv", "supersampling": 1, "n_iterations": 20}
    bright, dim = (noisy(series_of(truth), peak)[0] for peak in (3000, 30))
    weights = [tomography.reconstruct(series, **options).settings.weight for series in (bright, dim)]
    assert weights[0] < 0.5 * weights[1]


def test_thinned_splits_share_no_noise(truth):
    series, scale = noisy(series_of(truth), 50)
    problem = check_problem(series, support=None)
    (split,) = selection.split_counts(problem, 1, counts_per_unit=scale, rng=np.random.default_rng(2))
    exact = series_of(truth).images
    first, second = (half.images * problem.unit - exact for half in (split.train, split.judge))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02
    assert abs(np.mean(first)) < 0.05 * exact.mean()


def test_held_out_tilts_are_inner_and_never_trained_on(series):
    problem = check_problem(series, support=None)
    splits = selection.split_tilts(problem, 4)
    held = np.concatenate([s.judge.angles_deg for s in splits])
    np.testing.assert_array_equal(np.sort(held), ANGLES[1:-1])
    assert all(not set(s.judge.angles_deg) & set(s.train.angles_deg) for s in splits)


def test_held_out_error_ranks_methods_as_the_truth_does(series):
    thin = series.replace(images=series.images[:, 6:12])
    error = {m: tomography.held_out_error(thin, method=m, n_folds=2) for m in ("wbp", "sirt")}
    error["tv"] = tomography.held_out_error(thin, method="tv", n_folds=2, supersampling=1, n_iterations=30)
    assert error["tv"] < error["sirt"] < error["wbp"]


def test_total_variation_reaches_the_minimum_it_states():
    # one slice, one tilt straight down: b = sums over z; the flat solution is known
    images = np.full((1, 6, 6), 6.0, dtype=np.float32)
    problem = check_problem(TiltSeries(images, [0.0], 1.0), support=None)
    *_, (cells, _) = fit_variation(problem.slices(), weight=1e-3, noise="gaussian", n_iterations=200)
    np.testing.assert_allclose(cells * problem.unit, 1.0, atol=2e-3)


def test_project_and_support_from_masks(truth, series):
    np.testing.assert_array_equal(tomography.project(Tomogram(truth, 4.63), ANGLES).images, series.images)
    hull = tomography.support_from_masks(series.replace(images=(series.images > 0).astype(float)), margin_px=0)
    assert np.all(hull[truth > 0])
    assert metrics.dice(hull, truth > 0) > 0.75


def test_bad_input_stops_before_any_computing(truth, series, monkeypatch):
    def compute(*args, **kwargs):
        raise AssertionError("computed something")

    for method in tomography.METHODS.values():
        monkeypatch.setattr(method, "solve", compute)
    infinite, blank = series.images.copy(), series.images.copy()
    infinite[3, 2, 1] = np.inf
    blank[4] = 0
    cases = [
        (series.replace(images=infinite), {}, "images: expected no infinite value"),
        (series.replace(images=series.images * 1j), {}, "images: expected real numbers, got dtype complex"),
        (series.replace(images=np.full(series.images.shape, np.nan)), {}, "at least one measured pixel"),
        (series, {"weights": np.ones(3)}, "weights: expected shape"),
        (series, {"weights": -np.ones(series.images.shape)}, "weights: expected values of zero or above"),
        (series, {"weights": np.full(series.images.shape, np.nan)}, "weights: expected finite"),
        (series, {"weights": {"Mn": 1}}, "weights: expected those of one series: an array, got Mn"),
        (series, {"positivity": "no"}, "positivity: expected True or False, got 'no'"),
        (series, {"n_z": "deep"}, "n_z: expected a whole number"),
        (series, {"progress": 1}, "progress: expected True or False"),
        (series.replace(images=blank), {}, "only zeros at -30 deg"),
        (series, {"support": np.zeros(truth.shape)}, "support: expected at least one voxel, got an empty mask"),
        (series, {"support": np.ones((24, 20, 23))}, "support: expected shape"),
        (series, {"support": np.ones((24, 24))}, "support: expected 3 axes"),
        (series, {"start": np.ones((3, 3, 3))}, "start: expected shape"),
        (series, {"interpolation_radius_px": 0}, "interpolation_radius_px: expected a finite number above zero"),
        (series, {"oversampling": 0}, "oversampling: expected a whole number"),
        (series, {"n_iterations": 2.5}, "n_iterations: expected a whole number"),
        (series, {"method": "fbp"}, "method: expected one of 'wbp'"),
        (series, {"weight": 1.0}, "option: expected one of oversampling"),
        (series, {"method": "tv", "weight": -1}, "weight: expected a number from 0 to 1"),
        (series, {"method": "tv", "weight": 1e9}, "weight: expected a number from 0 to 1"),
        (series, {"method": "tv", "weight": True}, "weight: expected a number from 0 to 1"),
        (series, {"method": "tv", "n_folds": 5}, "n_folds: expected a whole number from 1 to 4"),
        (series, {"method": "sirt", "n_folds": 0}, "n_folds: expected a whole number from 1 to 4"),
        (series, {"method": "sirt", "n_iterations": 3.0}, "n_iterations: expected a whole number above zero, got 3.0"),
        (series, {"method": "sirt", "n_iterations": True}, "n_iterations: expected a whole number"),
        (series, {"method": "sirt", "relaxation": 2}, "relaxation: expected a number below 2"),
        (series, {"method": "sart", "relaxation": np.nan}, "relaxation: expected a finite number"),
        (series, {"method": tomography.Sirt(), "n_iterations": 3}, "options: expected none beside Sirt"),
        (series, {"method": "sirt", "hold_out": "counts"}, "rng: expected a Generator"),
    ]
    for ts, options, words in cases:
        with pytest.raises(ValueError, match=words):
            tomography.reconstruct(ts, **options)
    for angles, words in (
        (ANGLES[::-1], "a step down"),
        (np.zeros(15), "repeated"),
        (ANGLES[:-1], "expected 14 values|15 values"),
    ):
        with pytest.raises(ValueError, match=words):
            TiltSeries(series.images, angles, 1.0)
    for wrong in ([series.images], [], series.images, None):
        with pytest.raises((TypeError, ValueError), match="expected a TiltSeries"):
            tomography.reconstruct(wrong)
    for n_folds, words in ((0, "from 1 to 4"), (5, "from 1 to 4"), (2.0, "got 2.0")):
        with pytest.raises(ValueError, match=f"n_folds: expected a whole number.* {words}"):
            tomography.held_out_error(series, method="wbp", n_folds=n_folds)
    for margin in (-1, 1.5, None):
        with pytest.raises(ValueError, match="margin_px: expected a whole number"):
            tomography.support_from_masks(series, margin_px=margin)


def test_what_the_type_checker_must_reject_is_listed():
    lines = Path(__file__).with_name("typing_rejected.py").read_text().splitlines()
    assert sum("# type: ignore[" in line for line in lines) >= 30  # `make lint` fails where one is accepted


def test_names_classes_and_options_of_the_methods_agree():
    assert get_args(methods.MethodName) == tuple(tomography.METHODS)
    known = {f.name: f.type for method in tomography.METHODS.values() for f in dataclasses.fields(method)}
    assert set(known) == set(methods.Options.__annotations__)
    for name, kind in methods.Options.__annotations__.items():
        assert known[name] in (kind, Optional[kind]) or kind == Optional[known[name]], name  # noqa: UP045


def test_settings_are_one_object_checked_when_made(series):
    assert tomography.Sirt(n_iterations=np.int64(3)).n_iterations == 3
    with pytest.raises(ValueError, match="relaxation: expected a number below 2"):
        tomography.Sirt(relaxation=2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        tomography.Sirt().relaxation = 1.5
    settings = tomography.Sirt(n_iterations=5, relaxation=0.7)
    one = tomography.reconstruct(series, method=settings)
    other = tomography.reconstruct(series, method="sirt", n_iterations=5, relaxation=0.7)
    np.testing.assert_array_equal(one.tomogram.values, other.tomogram.values)
    assert one.settings == other.settings == settings


def test_a_reconstruction_becomes_json(series):
    rng = np.random.default_rng(1)
    counts, scale = noisy(series, 50)
    aside = {"hold_out": "counts", "rng": rng, "n_folds": 1, "counts_per_unit": scale}
    chosen = tomography.reconstruct(counts, method="sirt", **aside)
    read = json.loads(chosen.to_json())
    assert read["settings"]["n_iterations"] == read["choices"]["n_iterations"]["value"] == len(read["r_factor"])
    assert read["settings"]["method"] == "sirt"
    assert len(read["choices"]["n_iterations"]["tried"]) == len(read["choices"]["n_iterations"]["errors"])
    assert read["shape"] == [24, 20, 24]
    free = tomography.reconstruct(series, n_iterations=3, oversampling=2, r_free_rng=rng)
    assert len(json.loads(free.to_json())["r_free"]) == 3


def test_inputs_stay_as_they_were(series, truth):
    before, start = series.images.copy(), truth.copy()
    for method in tomography.METHODS:
        tomography.reconstruct(
            series,
            method=method,
            start=start,
            **({} if method == "wbp" else {"n_iterations": 2}),
            **({"weight": 0.01, "supersampling": 2} if method == "tv" else {}),
        )
    np.testing.assert_array_equal(series.images, before)
    np.testing.assert_array_equal(start, truth)


def test_shell_correlation_sees_noise_and_missing_tilts(truth):
    low, scale = noisy(series_of(truth), 10)
    high, high_scale = noisy(series_of(truth), 5000)
    options = {"method": "sirt", "n_iterations": 30, "split": "counts"}
    rng = np.random.default_rng(1)
    bad = tomography.shell_correlation(low, counts_per_unit=scale, rng=rng, **options)
    good = tomography.shell_correlation(high, counts_per_unit=high_scale, rng=rng, **options)
    tilts = tomography.shell_correlation(high, method="sirt", n_iterations=30)
    assert np.mean(bad.correlation) < np.mean(good.correlation) - 0.2
    assert np.mean(tilts.correlation) < np.mean(good.correlation) - 0.1
    with pytest.raises(ValueError, match="rng: expected a Generator"):
        tomography.shell_correlation(low, method="sirt", split="counts")


@pytest.mark.parametrize("weight", [0.1, 0.4])
def test_a_large_weight_settles_on_split_voxels_too(weight, truth):
    series, _ = noisy(series_of(truth[:, 6:14]), 60)
    fits = [
        tomography.reconstruct(series, method="tv", weight=weight, supersampling=parts, n_iterations=60).tomogram.values
        for parts in (1, 2)
    ]
    assert relative_error(fits[1], fits[0]) < 0.12  # unsettled, they were apart by more than half


def test_parts_of_voxels_are_chosen_where_they_predict_better(truth):
    fine = np.zeros((48, 3, 48), dtype=np.float32)
    fine[13:32, 1:, 17:36] = 1.0  # faces in the middle of voxels
    images = Projector(ANGLES, (24, 24), supersampling=2).forward(fine)
    sharp = TiltSeries(images, ANGLES, 4.63)
    choice = tomography.reconstruct(sharp, method="tv", weight=1e-3).choices["supersampling"]
    assert choice.value == 2
    assert choice.errors[1] < 0.8 * choice.errors[0]
    assert choice.tried.tolist() == [1, 2]
    few = tomography.reconstruct(series_of(truth, np.array([-50.0, 0.0, 50.0])), method="tv", weight=1e-3)
    assert few.settings.supersampling == 1
    assert "too few tilts" in few.choices["supersampling"].why
