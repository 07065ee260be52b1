"""What reconstruction must reach, on a case file (TRITOMO_BENCH_CASE) with published figures and on new particles."""

import os
import tracemalloc

import numpy as np
import pytest

from benchmarks import cases, peers
from tritomo_helpers import metrics, tilt_series, tomography

pytestmark = pytest.mark.acceptance

CASE = os.environ.get("TRITOMO_BENCH_CASE", "")
needs_case = pytest.mark.skipif(not CASE, reason="set TRITOMO_BENCH_CASE to the case file with published figures")


@pytest.fixture(scope="module")
def case():
    return cases.load(CASE)


def error(result, case):
    return metrics.nrmse(result.tomogram.values, case.truth, mask=case.support)


@needs_case
@pytest.mark.parametrize(
    ("oversampling", "n_iterations", "published"),
    [
        (2, 200, {"clean": 0.1070, "ADF": 0.1281, "EDS": 0.455}),
        (3, 1000, {"clean": 0.0827, "ADF": 0.1198, "EDS": 0.543}),
    ],
)
def test_genfire_gives_the_published_figures(case, oversampling, n_iterations, published):
    for name, value in published.items():
        result = tomography.reconstruct(
            case.series[name],
            method="genfire",
            support=case.support,
            oversampling=oversampling,
            n_iterations=n_iterations,
        )
        assert error(result, case) == pytest.approx(value, rel=0.01), name


@needs_case
@pytest.mark.parametrize(("name", "limit"), [("clean", 0.044), ("ADF", 0.079), ("EDS", 0.161)])
def test_best_method_without_the_truth_beats_the_figures_to_reach(case, name, limit):
    given = tomography.reconstruct(case.series[name], method="tv", support=case.support)
    assert error(given, case) < limit
    adf = case.series["ADF"]
    support = tomography.support_from_masks(adf.replace(images=tilt_series.otsu_masks(adf)))
    otsu = tomography.reconstruct(case.series[name], method="tv", support=support)
    assert error(otsu, case) < 1.15 * error(given, case)


def test_beats_truth_stopped_astra_on_new_particles_with_gradients():
    pytest.importorskip("astra")
    seeds = np.random.SeedSequence().generate_state(5)
    for seed, gradient in zip(seeds.tolist(), (0.0, 0.3, 0.6, 0.9, 1.2), strict=True):
        case = cases.generate(seed, size=40, gradient=gradient)
        for name, ts in case.series.items():
            ours = error(tomography.reconstruct(ts, method="tv", support=case.support), case)

            def score(volume, case=case):
                return metrics.nrmse(volume, case.truth, mask=case.support)

            steps = {"SIRT": (40, 10), "SART": (30, 1)} if name == "clean" else {"SIRT": (60, 1), "SART": (15, 1)}
            for algorithm, (n_steps, every) in steps.items():
                volumes = peers.astra_iterations(ts, case.support, algorithm=algorithm, n_steps=n_steps, every=every)
                theirs, _ = peers.best_stop(volumes, score, patience=6)
                assert ours < theirs, f"seed {seed}, gradient {gradient}, {name}, {algorithm}"


def test_genfire_needs_little_memory():
    case = cases.generate(3, size=64, n_grains=6, angles_deg=np.linspace(-70, 70, 15))
    tracemalloc.start()
    tomography.reconstruct(case.series["ADF"], method="genfire", support=case.support, oversampling=3, n_iterations=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
