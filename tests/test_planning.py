"""Detectability against a hand calculation, against scaling laws, and against a matched filter on simulated counts."""

import numpy as np
import pytest
from scipy.stats import norm

from tritomo_helpers import planning
from tritomo_helpers.planning import clusters
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
    assert shares["Ni"] == pytest.approx(np.exp(-7062 * 4.77 * 100e-7), rel=0.04)
    assert shares["O"] > shares["Mn"] > shares["Ni"]
    assert planning.transmission(particle_nm=400.0)["Ni"] == pytest.approx(shares["Ni"] ** 2, rel=1e-9)


def test_without_absorption_more_is_seen():
    with_it, without = (planning.detectability(Acquisition(), **CASE, absorption=a).snr for a in (True, False))
    assert 1.05 < without / with_it < 1.3


def test_a_solve_without_noise_gives_the_predicted_score():
    """The matched filter on expected counts: what blur, place and mean take is predicted to a few percent."""
    from tritomo_helpers.products import planning_check

    class Expected(np.random.Generator):
        """Places are drawn, counts are not."""

        def poisson(self, expected):
            return expected

    for change in ({}, {"radius_nm": 10.0}):
        setting = {**planning_check._BASE, **change}
        scores = [
            planning_check._scores(Acquisition(), setting, n_clusters=5, rng=Expected(np.random.PCG64(seed)))[0]
            for seed in range(2)
        ]
        plan = planning.detectability(Acquisition(), absorption=False, n_clusters=5, **{k: setting[k] for k in CASE})
        assert plan.snr_anywhere == pytest.approx(np.mean(scores), rel=0.08)


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
