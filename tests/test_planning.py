"""Detectability against a hand calculation, against scaling laws, and against a matched filter on simulated counts."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.integrate import quad
from scipy.stats import norm

from tritomo_helpers import planning, products
from tritomo_helpers.phantoms.clusters import edge_profile
from tritomo_helpers.planning import clusters, shells
from tritomo_helpers.products import planning_check
from tritomo_helpers.projection import Projector
from tritomo_helpers.simulation import Acquisition

CASE = {"particle_nm": 170.0, "radius_nm": 6.5, "contrast_at_percent": 9.0}


def test_recall_is_the_share_of_a_shifted_normal_above_the_threshold():
    plan = planning.detectability(Acquisition(), **CASE, false_positive_rate=[0.05, 0.01])
    assert plan.snr < plan.snr_anywhere < plan.snr_at_surface
    for rate, recall in zip(plan.false_positive_rate, plan.recall, strict=True):
        low, high = (norm.sf(norm.isf(rate) - snr) for snr in (plan.snr, plan.snr_at_surface))
        assert low < recall < high
        # Scores vary little over the particle, so that the recall of the mean score is nearly the mean recall.
        assert recall == pytest.approx(norm.sf(norm.isf(rate) - plan.snr_anywhere), abs=0.02)
    assert np.all(np.diff(planning.detectability(Acquisition(), **CASE).recall) > 0)
    assert np.all(np.diff(planning.detectability(Acquisition(), **CASE).precision) < 0)


def test_a_contrast_counts_all_visible_atoms():
    """Nine of a hundred visible atoms more are manganese: of the metals, a third of the atoms, 27 of a hundred more."""
    inside = planning.cluster_composition(contrast_at_percent=9.0)
    assert sum(inside.values()) == pytest.approx(1)
    assert inside["O"] == pytest.approx(2 / 3)
    assert inside["Mn"] == pytest.approx(1 / 9 + 0.09)
    assert inside["Mn"] / (1 - inside["O"]) == pytest.approx(1 / 3 + 0.27)
    assert inside["Co"] == inside["Ni"] == pytest.approx(1 / 9 - 0.045)
    # Where oxygen rises, it is the metals that give; the most abundant element gives where there is no other.
    assert planning.cluster_composition(contrast_at_percent=9.0, element="O")["Mn"] == pytest.approx(1 / 9 - 0.03)
    two = planning.cluster_composition(contrast_at_percent=9.0, fractions={"O": 0.7, "Mn": 0.3})
    assert two["O"] == pytest.approx(0.61)


def test_scores_are_averaged_over_the_volume():
    """Score times distance squared, integrated: in a small particle the surface counts and scores most."""
    case = {"particle_nm": 60.0, "radius_nm": 6.5, "contrast_at_percent": 9.0, "n_clusters": 1.0}
    plan = planning.detectability(Acquisition(), **case, false_positive_rate=[0.05])
    reach = 60.0 / 2 - 6.5
    off = (np.arange(300) + 0.5) / 300 * reach
    relative = np.sqrt([clusters._path_sum(60.0, 6.5, 4.63, place) for place in (0.0, *off)])
    snr = plan.snr * relative[1:] / relative[0]
    assert plan.snr_anywhere == pytest.approx(np.average(snr, weights=off**2), rel=0.004)
    assert plan.recall[0] == pytest.approx(np.average(norm.sf(norm.isf(0.05) - snr), weights=off**2), rel=0.004)


def test_snr_scales_with_dose_contrast_and_size():
    paper = planning.detectability(Acquisition(), **CASE)
    tenfold = planning.detectability(Acquisition(beam_current_na=3.0), **CASE)
    assert tenfold.snr == pytest.approx(np.sqrt(10) * paper.snr, rel=1e-6)
    faint = planning.detectability(Acquisition(), **(CASE | {"contrast_at_percent": 4.5}))
    assert faint.snr == pytest.approx(paper.snr / 2, rel=1e-6)
    # Far above the pixel the sum of squared chords grows as the fourth power of the radius.
    alone = CASE | {"n_clusters": 1e-9}
    large, larger = (planning.detectability(Acquisition(), **(alone | {"radius_nm": r})).snr for r in (20.0, 40.0))
    assert larger == pytest.approx(4 * large, rel=0.05)


def test_the_chord_sum_of_a_ball_in_the_middle():
    # Integral of (2 sqrt(R^2 - r^2))^2 over the disk = 2 pi R^4, over the diameter of the particle and the pixel.
    exact = 2 * np.pi * 20.0**4 / (0.1**2 * 500.0)
    assert clusters._path_sum(500.0, 20.0, 0.1, 0.0) == pytest.approx(exact, rel=0.01)


def test_information_is_that_of_poisson_counts_without_overlap():
    """Oxygen alone at its line: counts per fraction squared over counts, less what the bremsstrahlung takes."""
    acquisition = Acquisition()
    information = planning.information_per_nm(acquisition, {"O": 0.5, "Ni": 0.5}, particle_nm=100.0)
    assert np.linalg.eigvalsh(information).min() > 0
    # 203 counts of O K at 150 nm and 2/3 oxygen without absorption or shadow (conventions): 2.03 per nm and fraction.
    # Absorption over a quarter of 100 nm (x .97), shadow (x .7): Fisher information per nm about counts / fraction.
    assert information[0, 0] == pytest.approx(2.03 * 0.97 * 0.7 / 0.5, rel=0.25)


def test_the_chord_sum_agrees_with_projected_balls():
    """Another discretization: a particle and a cluster on voxels, projected at the paper's tilts."""
    voxel, n = 4.63, 40
    z, y, x = (np.indices((n, n, n)) - n // 2) * voxel
    particle = np.clip((85 - np.sqrt(x**2 + y**2 + z**2)) / voxel + 0.5, 0, 1).astype(np.float32)
    projector = Projector(np.arange(-70.0, 71.0, 10.0), (n, n))
    path = voxel * projector.forward(particle)
    for off in (0.0, 65.0):
        cluster = np.clip((13 - np.sqrt((x - off) ** 2 + y**2 + z**2)) / voxel + 0.5, 0, 1).astype(np.float32)
        squared = np.square(voxel * projector.forward(cluster))
        summed = np.sum(squared[path > 1] / path[path > 1]) / 15
        # At an offset along x the path through the particle depends on the tilt as averaged here over directions.
        assert clusters._path_sum(170.0, 13.0, voxel, off) == pytest.approx(summed, rel=0.1 if off == 0 else 0.25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"radius_nm": 90.0}, "radius_nm: expected a cluster smaller than the particle"),
        ({"particle_nm": -1.0}, "particle_nm"),
        ({"contrast_at_percent": 0.0}, "contrast_at_percent"),
        ({"contrast_at_percent": 23.0}, "contrast_at_percent: expected at most 22.2, where Co and Ni have nothing"),
        ({"element": "Fe"}, "element: expected one of"),
        ({"false_positive_rate": [0.0, 0.1]}, "false_positive_rate: expected between 0 and 1"),
    ],
)
def test_impossible_plans_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        planning.detectability(Acquisition(), **(CASE | change))


def test_resolution_by_hand():
    """Crowther's d = D dtheta; elongation of a wedge of 70 deg is 1.31, of 60 deg 1.55 (Radermacher's table)."""
    limits = planning.resolution(Acquisition(), particle_nm=170.0)
    assert limits.crowther_nm == pytest.approx(170 * np.pi / 18, rel=1e-9)
    assert limits.elongation == pytest.approx(1.31, abs=0.005)
    narrower = Acquisition(tilt_angles_deg=tuple(np.arange(-60.0, 60.1, 2.0).tolist()))
    finer = planning.resolution(narrower, particle_nm=100.0)
    assert finer.elongation == pytest.approx(1.55, abs=0.005)
    assert finer.across_nm == pytest.approx(9.26)  # two pixels, more than the 3.5 nm of the tilts
    assert finer.along_beam_nm == pytest.approx(1.55 * 9.26, rel=0.01)
    with pytest.raises(ValueError, match="particle_nm"):
        planning.resolution(Acquisition(), particle_nm=0.0)


def test_transmission_by_hand():
    """Ni La in NCM111: 7062 cm2/g and 4.77 g/cm3, so exp(-0.337) of it passes 100 nm."""
    shares = planning.transmission(particle_nm=200.0)
    assert set(shares) == {"O", "Mn", "Co", "Ni"}
    assert shares["Ni"] == pytest.approx(np.exp(-7062 * 4.77 * 100e-7), rel=0.04)
    assert shares["O"] > shares["Mn"] > shares["Ni"]
    assert planning.transmission(particle_nm=400.0)["Ni"] == pytest.approx(shares["Ni"] ** 2, rel=1e-9)


def test_without_absorption_more_is_seen():
    with_it, without = (planning.detectability(Acquisition(), **CASE, absorption=a).snr for a in (True, False))
    assert 1.05 < without / with_it < 1.3


class Expected(np.random.Generator):
    """Places are drawn, counts are not."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))

    def poisson(self, expected):
        return expected


def test_a_solve_without_noise_gives_the_predicted_score():
    """The matched filter on expected counts: what blur, place and mean take is predicted to a few percent."""
    for change in ({}, {"radius_nm": 10.0}):
        setting = {**planning_check._BASE, **change}
        draws = [planning_check._drawn(Acquisition(), setting, n_clusters=5, rng=Expected(seed)) for seed in range(2)]
        plan = planning.detectability(Acquisition(), absorption=False, n_clusters=5, **{k: setting[k] for k in CASE})
        assert plan.snr_anywhere == pytest.approx(np.mean([draw.at_clusters for draw in draws]), rel=0.08)
        assert np.abs([draw.null for draw in draws]).max() < 0.05 * plan.snr_anywhere  # the mean leaves nothing


def test_noise_alone_scores_as_its_covariance_promises():
    """All voxels of a draw: the scatter at the five places of clusters is uncertain by a tenth after twenty draws."""
    setting = {**planning_check._BASE, "particle_nm": 60.0}
    null = [
        planning_check._drawn(Acquisition(), setting, n_clusters=1, rng=np.random.default_rng([15, seed])).null
        for seed in range(4)
    ]
    assert np.size(null) > 2000
    assert np.std(null) == pytest.approx(1, abs=0.15)
    assert abs(np.mean(null)) < 0.2


def test_the_score_of_a_place_is_that_of_its_own_projection():
    """Moving one template in the images, against projecting a cluster at each place."""
    rng = np.random.default_rng(0)
    angles, n, voxel = Acquisition().tilt_angles_deg, 24, 4.63
    z, y, x = (np.indices((n, n, n)) - n // 2) * voxel

    def cluster(place):
        ball = edge_profile(np.sqrt((x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2), 8.0)
        return Projector(angles, (n, n)).forward(ball.astype(np.float32))

    filtered, power = rng.normal(size=(15, n, n)), rng.uniform(1, 2, (15, n, n))
    places = np.array([[2.0, -1.0, 3.0], [-4.0, 2.0, -1.0]]) * voxel
    scores = planning_check._scored(filtered, power, cluster((0, 0, 0)), places, scan=Acquisition())
    for score, place in zip(scores, places, strict=True):
        path = cluster(place)
        exact = np.sum(path * filtered) / np.sqrt(np.sum(path**2 * power))
        assert score == pytest.approx(exact, abs=0.1)  # the scatter of scores is about 1


def test_spots_are_local_maxima_a_diameter_apart():
    places = np.array([[0.0, 0, 0], [5.0, 0, 0], [20.0, 0, 0], [40.0, 0, 0]])
    kept = planning_check._spots(places, np.array([3.0, 4.0, 2.5, 1.0]), 2.0, apart_nm=10.0)
    np.testing.assert_array_equal(kept, places[[1, 2]])
    assert planning_check._spots(places, np.zeros(4), 2.0, apart_nm=10.0).shape == (0, 3)


def test_false_spots_are_the_maxima_of_a_smooth_field():
    """White noise smoothed with a Gaussian of the same mean slope, on the same voxels, counted one by one."""
    rates = np.array([0.01])
    scan = Acquisition()
    predicted = planning.detectability(scan, **CASE, false_positive_rate=rates).false_spots[0]
    _, power, q2 = clusters._spectrum_of_ball(6.5, 4.63)
    angles = np.deg2rad(scan.tilt_angles_deg)
    slopes = (
        np.sum(q2 * power)
        / np.sum(power)
        / 2
        * np.array([np.mean(np.sin(angles) ** 2), 1, np.mean(np.cos(angles) ** 2)])
    )
    # A Gaussian of width s makes a field whose slope has the variance 1 / (2 s^2).
    rng, n = np.random.default_rng(3), 44
    counted = []
    for _ in range(6):
        field = ndimage.gaussian_filter(
            rng.normal(size=(n, n, n)), np.sqrt(0.5 / slopes) / 4.63, mode="wrap", truncate=6
        )
        field /= field.std()
        highest = field == ndimage.maximum_filter(field, 3, mode="wrap")
        ball = 4 / 3 * np.pi * (78.5 / 4.63) ** 3  # voxels of the places in the particle
        counted.append(np.count_nonzero(highest & (field > norm.isf(0.01))) * ball / n**3)
    assert predicted == pytest.approx(np.mean(counted), rel=0.25)  # with the surface, which the cube does not have


def test_the_forecast_holds_at_six_settings():
    """The table that chapter 17 shows: clusters looked for in simulated counts, each setting against its own noise."""
    table = products.get("study/planning-check")
    assert len(table["names"]) == 6
    assert table["n_clusters"].min() >= 100
    np.testing.assert_allclose(table["null_sd"], 1, atol=0.1)
    np.testing.assert_allclose(table["measured"], table["predicted"], rtol=0.15)
    np.testing.assert_allclose(*table["recall"].T, atol=0.1)
    np.testing.assert_allclose(*table["precision"].T, rtol=0.15)


def test_shell_errors_against_one_shell_by_hand():
    """A particle of one shell and its core: the mean of all pixels, each with the bound of its path."""
    plan = planning.shell_errors(Acquisition(), particle_nm=150.0, shell_nm=25.0)
    assert plan.error.shape == plan.depth_nm.shape == (3,)
    # 15 tilts of some 825 pixels with about 15 to 20 points each.
    assert plan.particle == pytest.approx(17 / np.sqrt(15 * np.pi * 75**2 / 4.63**2), rel=0.3)
    assert np.all(plan.error > plan.particle)
    fourfold = planning.shell_errors(Acquisition(beam_current_na=1.2), particle_nm=150.0, shell_nm=25.0)
    np.testing.assert_allclose(fourfold.error, plan.error / 2, rtol=0.1)  # readout noise matters less
    thinner = planning.shell_errors(Acquisition(), particle_nm=150.0, shell_nm=12.5)
    assert thinner.error[0] > 1.2 * plan.error[0]
    with pytest.raises(ValueError, match="shell_nm: expected less than the radius"):
        planning.shell_errors(Acquisition(), particle_nm=20.0, shell_nm=12.0)


def test_errors_of_two_shells_by_hand(monkeypatch):
    """A shell and the core, every pixel equally uncertain: integrals over the disk and the inverse of two by two.

    With the core known, the shell would be known better: its error is that beside a free neighbor.
    """
    sigma, radius, core = 20.0, 75.0, 45.0
    constant = (np.array([1.0, 200.0]), np.full((2, 5), sigma))
    monkeypatch.setattr(shells, "_bounds", lambda *_: constant)
    plan = planning.shell_errors(Acquisition(), particle_nm=2 * radius, shell_nm=radius - core)
    # Share of the path in the core: sqrt((b^2 - r^2) / (a^2 - r^2)) within r < b; u = r^2 below.
    a, b = radius**2, core**2
    squared = np.pi * (b - (a - b) * np.log(a / (a - b)))
    once = np.pi * quad(lambda u: np.sqrt((b - u) / (a - u)), 0, b)[0]
    disk = np.pi * a
    information = 15 / (4.63**2 * sigma**2) * np.array([[disk - 2 * once + squared, once - squared], [0, squared]])
    determinant = information[0, 0] * information[1, 1] - information[0, 1] ** 2
    by_hand = np.sqrt([information[1, 1] / determinant, information[0, 0] / determinant])
    np.testing.assert_allclose(plan.error, by_hand, rtol=0.01)
    np.testing.assert_allclose(plan.depth_nm, [15.0, 52.5])
    assert plan.error[0] > 1.05 / np.sqrt(information[0, 0])  # with the core known


def test_a_forecast_is_what_its_parts_say():
    scan = Acquisition(beam_current_na=0.6)
    of_all = planning.forecast(scan, **CASE, false_positive_rate=0.02, state="Co3")
    clusters_alone = planning.detectability(scan, **CASE, false_positive_rate=[0.02])
    assert of_all.clusters.recall == clusters_alone.recall
    assert of_all.clusters.precision == clusters_alone.precision
    np.testing.assert_array_equal(
        of_all.shells.error, planning.shell_errors(scan, particle_nm=170.0, state="Co3").error
    )
    assert of_all.rows()["recall at 2 % of the places"] == f"{100 * clusters_alone.recall[0]:.0f} %"
    assert of_all.rows()["resolution across, along the beam"] == "29.7, 38.8 nm"
    assert len(str(of_all).splitlines()) == len(of_all.rows())
    with pytest.raises(ValueError, match="false_positive_rate: expected between 0 and 1"):
        planning.forecast(scan, **CASE, false_positive_rate=1.0)


def test_a_forecast_of_another_material_is_of_its_clusters_and_its_x_rays():
    scan, ncm622 = Acquisition(), {"O": 2 / 3, "Mn": 0.2 / 3, "Co": 0.2 / 3, "Ni": 0.6 / 3}
    of_all = planning.forecast(scan, **CASE, fractions=ncm622)
    alone = planning.detectability(scan, **CASE, fractions=ncm622, false_positive_rate=[0.01])
    assert of_all.clusters.snr == alone.snr != planning.forecast(scan, **CASE).clusters.snr
    assert of_all.transmission == planning.transmission(particle_nm=170.0, fractions=ncm622)
