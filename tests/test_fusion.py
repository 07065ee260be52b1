"""Fused composition: truth recovered, the null kept constant, clusters found at the stated false-positive rate."""

import numpy as np
import pytest

from tritomo_helpers import fusion
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.fusion.density import rescaled
from tritomo_helpers.fusion.detection import ball_coverage
from tritomo_helpers.fusion.fractions import fractions_and_gains
from tritomo_helpers.fusion.published import less_variation
from tritomo_helpers.projection import Projector

ANGLES = np.arange(-70.0, 71.0, 10.0)
K_FACTORS = {"O": 0.02, "Mn": 0.03, "Ni": 0.01}
MEAN = {"O": 0.6, "Mn": 0.25, "Ni": 0.15}
VOXEL_NM = 5.0


def ball(shape=20, radius=8.0):
    z, y, x = np.indices((shape,) * 3) - shape // 2
    return np.clip(radius + 0.5 - np.sqrt(z**2 + y**2 + x**2), 0, 1).astype(np.float32)


def experiment(*, counts=40.0, enriched=None, seed=0):
    """ADF, noisy maps, density; nickel rises by 12 at% x `enriched` (z, y, x) at the cost of manganese."""
    density = ball()
    projector = Projector(ANGLES, (20, 20))
    rng = np.random.default_rng(seed)
    fractions = {element: np.full(density.shape, mean) for element, mean in MEAN.items()}
    if enriched is not None:
        fractions["Ni"] = fractions["Ni"] + 0.12 * enriched
        fractions["Mn"] = fractions["Mn"] - 0.12 * enriched
    gains = 1 + 0.2 * np.sin(np.arange(len(ANGLES)))[:, None, None]
    maps = {}
    for element, fraction in fractions.items():
        scale = counts / 16 * 0.02 / K_FACTORS[element]
        expected = scale * gains * projector.forward(density * fraction.astype(np.float32))
        maps[element] = TiltSeries(rng.poisson(np.maximum(expected, 0)).astype(np.float32), ANGLES, VOXEL_NM, element)
    adf = TiltSeries(1000 * projector.forward(density), ANGLES, VOXEL_NM, "ADF")
    return adf, maps, Tomogram(89 * density, VOXEL_NM), fractions


def fused(adf, maps, density, **options):
    options = {
        "k_factors": K_FACTORS,
        "density": density,
        "absorption": False,
        "n_draws": 4,
        "radii_nm": (8.0,),
        **({} if "method" in options else {"n_splits": 1}),
        **options,
    }
    return fusion.reconstruct(adf, maps, rng=np.random.default_rng(1), **options)


def test_sums_give_mean_fractions_and_gains():
    path = np.random.default_rng(2).uniform(1, 2, (3, 5))
    gains = np.array([1.0, 0.5, 2.0, 1.5, 1.0])
    mean, k = np.array([0.6, 0.25, 0.15]), np.array([0.02, 0.03, 0.01])
    measured = (mean / k)[:, None] * path * gains
    fractions, fitted = fractions_and_gains(measured, path, k, np.full(3, 1 / 3))
    assert fractions == pytest.approx(mean, abs=1e-6)
    assert fitted == pytest.approx(gains, rel=1e-6)


def test_a_homogeneous_particle_stays_homogeneous():
    adf, maps, density, _ = experiment()
    result = fused(adf, maps, density)
    assert result.choices["prior"].is_constant
    for element, mean in MEAN.items():
        values = result.fractions[element].values[result.mask]
        assert values.std() < 1e-4
        assert values.mean() == pytest.approx(mean, abs=0.01)


def test_a_variation_is_recovered_with_honest_errors():
    _, y, x = np.indices((20, 20, 20)) - 10
    enriched = 0.4 * np.sin(x / 3.0) * np.cos(y / 4.0)
    adf, maps, density, truth = experiment(enriched=enriched)
    result = fused(adf, maps, density)
    assert result.choices["gain"] > 20
    inside = result.mask
    error = result.fractions["Ni"].values[inside] - truth["Ni"][inside]
    assert np.std(error) < 0.7 * truth["Ni"][inside].std()
    assert np.corrcoef(result.fractions["Ni"].values[inside], truth["Ni"][inside])[0, 1] > 0.7
    assert 0.5 < np.mean(np.abs(error) < result.standard_errors["Ni"].values[inside]) < 0.85
    assert sum(result.fractions[el].values[inside] for el in MEAN) == pytest.approx(1.0, abs=1e-5)
    # The sign: a reversed tilt axis or a swapped element would put nickel on the other side.
    assert result.fractions["Ni"].values[10, 10, 15] > result.fractions["Ni"].values[10, 10, 5] + 0.01


def test_clusters_are_found_where_they_are_and_not_elsewhere():
    centers = np.array([[-3, -2, -3], [3, 3, 1]])  # z, y, x in voxels from the center
    z, y, x = np.indices((20, 20, 20)) - 10
    enriched = np.zeros((20, 20, 20), bool)
    for center in centers:
        enriched |= (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < 6.5
    adf, maps, density, _ = experiment(counts=1000.0, enriched=enriched)
    checked = fusion.element_maps(maps, adf)
    data = fusion.fraction_data(checked, density, density.values > 40, k_factors=K_FACTORS, absorption=False)
    detection = fusion.matched_filter(data, rng=np.random.default_rng(3), radii_nm=(6.5, 11.0), n_draws=8)
    for rate in (0.001, 0.01, 0.1):  # what noise alone exceeds
        assert np.mean(detection.null > detection.threshold(rate)) == pytest.approx(rate, rel=0.05)
    places, _ = fusion.find_clusters(
        detection.z[2], threshold=detection.threshold(0.001), radius_nm=11.0, voxel_size_nm=VOXEL_NM
    )
    score = fusion.score_clusters(places[:2], VOXEL_NM * centers[:, ::-1], within_nm=8.0)
    assert score.recall == 1.0
    # Without clusters, the share of voxels above a threshold is the one asked for.
    adf, maps, density, _ = experiment(counts=1000.0, seed=4)
    checked = fusion.element_maps(maps, adf)
    data = fusion.fraction_data(checked, density, density.values > 40, k_factors=K_FACTORS, absorption=False)
    null = fusion.matched_filter(data, rng=np.random.default_rng(5), radii_nm=(11.0,), n_draws=8)
    marked = np.mean(null.z[np.isfinite(null.z)] > null.threshold(0.05))
    assert 0.01 < marked < 0.12


def test_radii_that_noise_cannot_tell_apart_are_a_range():
    scores = np.zeros((2, 2, 2, 2), np.float32)
    excess = {4.0: 0.5, 6.5: 9.0, 8.0: 8.0, 10.0: 6.5, 13.0: 1.0}
    assert fusion.Detection(scores, scores.reshape(1, 2, 8), 8.0, excess).radius_range_nm == (6.5, 10.0)


def test_density_read_as_another_material_is_rescaled():
    """By hand: Rutherford's Z squared, with its 1.95 on this ring, for half oxygen and half nickel read as oxygen."""
    given = Tomogram(np.full((2, 2, 2), 90.0), VOXEL_NM)
    mixed = {"O": 0.5, "Ni": 0.5}
    result = rescaled(given, read_as={"O": 50.0, "Ni": 0.0}, fractions=mixed, extra_atoms={})
    assert result.values == pytest.approx(90 / (0.5 + 0.5 * (28 / 8) ** 1.95), rel=0.03)
    with_vacancies = rescaled(given, read_as={"O": 50.0, "Ni": 50.0}, fractions=mixed, extra_atoms={"Li": 0.0})
    assert with_vacancies.values == pytest.approx(90.0, rel=1e-5)


def test_density_follows_the_composition_found():
    adf, maps, density, _ = experiment()
    result = fused(adf, maps, density, read_as={"O": 50.0, "Mn": 25.0, "Ni": 25.0}, adf_contrast=True)
    mean = result.choices["mean_fractions"]
    expected = rescaled(density, read_as={"O": 0.5, "Mn": 0.25, "Ni": 0.25}, fractions=mean, extra_atoms={})
    assert result.density.values == pytest.approx(expected.values, rel=1e-3)
    assert result.data.contrast.argmax() == list(MEAN).index("Ni")


def test_a_ball_has_its_volume_and_is_symmetric():
    covered = ball_coverage(2.3, (16, 16, 16))
    assert covered.sum() == pytest.approx(4 / 3 * np.pi * 2.3**3, rel=0.04)
    assert covered[1, 0, 0] == covered[-1, 0, 0] == covered[0, 0, 1]


def test_precision_counts_what_is_false():
    score = fusion.score_clusters([[0, 0, 0], [1, 0, 0], [99, 0, 0]], [[0, 0, 1]], within_nm=5.0)
    assert (score.recall, score.n_false) == (1.0, 2)
    assert score.precision == pytest.approx(1 / 3)
    assert np.isnan(fusion.score_clusters([], [], within_nm=5.0).recall)


def test_the_published_cost_recovers_a_strong_contrast():
    enriched = np.zeros((20, 20, 20), bool)
    enriched[:, :, 11:] = True
    adf, maps, density, truth = experiment(counts=4000.0, enriched=enriched)
    result = fused(adf, maps, density, method="published", n_poisson=20, n_rounds=10)
    inside = result.mask
    assert np.corrcoef(result.fractions["Ni"].values[inside], truth["Ni"][inside])[0, 1] > 0.8
    for element, mean in MEAN.items():
        assert np.mean(result.fractions[element].values[inside]) == pytest.approx(
            np.mean(truth[element][inside]), abs=0.03
        ), (element, mean)
    assert not result.detection


def test_the_published_cost_aligns_by_projection_matching_first_if_asked_to():
    """A drift that ADF and maps share: aligned by itself, the ball is as compact as without any drift."""
    adf, maps, density, _ = experiment(counts=4000.0)
    drift = np.where(np.arange(len(ANGLES)) % 2, 2, -2)  # along x, from tilt to tilt

    def framed(series, steps):
        pairs = zip(series.images, steps, strict=True)
        return series.replace(images=np.stack([np.roll(np.pad(image, 4), step, axis=1) for image, step in pairs]))

    def stray(steps, **options):
        """Share of the atoms that lie outside the ball."""
        moved = {element: framed(series, steps) for element, series in maps.items()}
        everywhere = np.ones((28, 28, 28), bool)
        volume = fusion.published_fusion(
            framed(adf, steps), moved, support=everywhere, n_poisson=10, n_rounds=5, **options
        )["O"]
        return volume[np.pad(density.values, 4) == 0].sum() / volume.sum()

    still, wrong, refined = stray(0 * drift), stray(drift), stray(drift, refine_alignment=True)
    assert wrong > 5 * still
    assert abs(refined - still) < 0.1 * wrong


def test_progress_is_shown_if_asked_for(capsys):
    adf, maps, density, _ = experiment()
    fused(adf, maps, density, n_draws=2)
    assert capsys.readouterr().err == ""
    fused(adf, maps, density, n_draws=2, progress=True)
    assert "4/4" in capsys.readouterr().err
    fused(adf, maps, density, method="published", n_poisson=2, n_rounds=2, progress=True)
    assert "100%" in capsys.readouterr().err


def test_variation_goes_down_and_the_mean_stays():
    noisy = np.random.default_rng(6).standard_normal((9, 8, 7)).astype(np.float32)
    smooth = less_variation(noisy, 0.3, n_steps=30)
    variation = [sum(np.abs(np.diff(v, axis=a)).sum() for a in range(3)) for v in (noisy, smooth)]
    assert variation[1] < 0.7 * variation[0]
    assert smooth.mean() == pytest.approx(noisy.mean(), abs=1e-6)


def test_bad_input_is_refused_before_any_work():
    adf, maps, density, _ = experiment()
    short = maps["Mn"].replace(images=maps["Mn"].images[1:], tilt_angles_deg=ANGLES[1:])
    coarse = maps["Mn"].replace(pixel_size_nm=6.0)
    blank = maps["Mn"].replace(images=maps["Mn"].images * (np.arange(15) != 3)[:, None, None])
    for wrong, words in [
        ({"Mn": short}, "map of Mn: expected shape"),
        ({"Mn": coarse}, "pixel size of the map of Mn: expected 5 nm"),
        ({"Mn": blank}, "map of Mn: expected counts at every tilt, got none at -40 deg"),
        ({"Mn": maps["Mn"].replace(tilt_angles_deg=ANGLES + 1)}, "tilt angles of the map of Mn"),
    ]:
        with pytest.raises(ValueError, match=words):
            fused(adf, maps | wrong, density)
    with pytest.raises(ValueError, match="k_factors: expected one for each of"):
        fused(adf, maps, density, k_factors={"O": 1.0, "Mn": 1.0})
    with pytest.raises(ValueError, match="k-factor of Mn"):
        fused(adf, maps, density, k_factors=K_FACTORS | {"Mn": -1.0})
    with pytest.raises(ValueError, match="it must cover the maps"):
        fused(adf, maps, density, mask=np.ones((20, 20, 10), bool))
    half = (density.values > 0) & (np.arange(20)[:, None] < 10)
    for method in fusion.METHODS:
        with pytest.raises(ValueError, match=r"a particle that covers the maps, got 5\d% .* To fix: align"):
            fused(adf, maps, density, method=method, mask=half)
    with pytest.raises(ValueError, match="two or more elements"):
        fused(adf, {"O": maps["O"]}, density)
    with pytest.raises(ValueError, match="method: expected one of"):
        fused(adf, maps, density, method="magic")


def test_two_peaks_are_two_clusters_from_the_sum_of_their_radii_on():
    z = np.zeros((1, 1, 40))
    z[0, 0, [5, 8, 20, 25]] = 9.0, 8.0, 7.0, 6.0  # 3 and 5 voxels apart
    places, scores = fusion.find_clusters(z, threshold=1.0, radius_nm=2.0, voxel_size_nm=1.0)
    assert places[:, 0].tolist() == [-15.0, 0.0, 5.0]
    assert scores.tolist() == [9.0, 7.0, 6.0]
