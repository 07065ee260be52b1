"""Elastic scattering against a table computed elsewhere, a Monte Carlo on the sphere, and other form factors."""

import itertools

import numpy as np
import pytest
from scipy.special import j1

from tritomo_helpers.spectroscopy import elastic
from tritomo_helpers.spectroscopy.elastic import NCM111_ATOMS_PER_NM3 as NCM111
from tritomo_helpers.spectroscopy.kinematics import electron_wave_number_per_nm, electron_wavelength_nm

WAVE_NUMBER = 3191.46  # 1/nm at 300 kV
NODES = np.polynomial.legendre.leggauss(600)
LORENTZ_FACTOR, BOHR_NM = 1.58708, 0.0529177


def slab(thickness_nm, material=NCM111):
    return {element: n * np.asarray(thickness_nm, dtype=float) for element, n in material.items()}


class TestKinematics:
    def test_wavelength_at_300_kv(self):
        # The textbook value, Williams and Carter, Transmission Electron Microscopy, table 1.2: 0.00197 nm.
        assert electron_wavelength_nm(300) == pytest.approx(0.0019687, rel=1e-4)
        assert electron_wave_number_per_nm(300) == pytest.approx(WAVE_NUMBER, rel=1e-5)

    def test_an_impossible_beam(self):
        with pytest.raises(ValueError, match="in keV"):
            electron_wavelength_nm(0)


class TestOneCollision:
    @pytest.mark.parametrize("element", ["Li", "O", "Mn", "Co", "Ni", "C"])
    def test_form_factors_of_another_table(self, element):
        import xraydb

        angles = np.array([20.0, 60.0, 100.0, 150.0, 200.0])
        q = 2 * WAVE_NUMBER * np.sin(angles * 0.5e-3)
        bare = xraydb.atomic_number(element) - xraydb.f0(element, q / (4 * np.pi) / 10)
        expected = (2 * LORENTZ_FACTOR / BOHR_NM * bare / q**2) ** 2
        np.testing.assert_allclose(elastic.cross_section_nm2_per_sr(element, angles), expected, rtol=0.02)

    def test_hard_collisions_see_the_bare_nucleus(self):
        q = 2 * WAVE_NUMBER * np.sin(0.5)
        rutherford = (2 * LORENTZ_FACTOR / BOHR_NM * 8 / q**2) ** 2
        assert elastic.cross_section_nm2_per_sr("O", 1000.0) == pytest.approx(rutherford, rel=0.005)

    def test_screening_on_the_ring(self):
        rutherford = 4 * np.pi * (LORENTZ_FACTOR * 25 / BOHR_NM) ** 2 / WAVE_NUMBER**4 * (0.1**-2 - 0.2**-2)
        ring = elastic.ring_cross_section_nm2("Mn")
        assert ring == pytest.approx(4.52e-6, rel=0.002)
        assert 1 - ring / rutherford == pytest.approx(0.115, abs=0.002)

    @pytest.mark.parametrize("cone_mrad", [0.0, 25.2])
    def test_z_contrast(self, cone_mrad):
        oxygen, manganese = (elastic.ring_cross_section_nm2(el, convergence_angle_mrad=cone_mrad) for el in ("O", "Mn"))
        assert oxygen / manganese == pytest.approx(0.109, abs=5e-4)
        assert 1.94 < np.log(manganese / oxygen) / np.log(25 / 8) < 1.95

    def test_rings_add_up_to_the_disc(self):
        edges = (0.0, 50.0, 100.0, 200.0)
        rings = [
            elastic.ring_cross_section_nm2("Co", angles_mrad=ring, convergence_angle_mrad=20.0)
            for ring in itertools.pairwise(edges)
        ]
        disc = elastic.ring_cross_section_nm2("Co", angles_mrad=(0, 200.0), convergence_angle_mrad=20.0)
        assert sum(rings) == pytest.approx(disc, rel=1e-12)

    def test_thin_foils_scatter_once(self):
        thin = elastic.share_on_ring({"Mn": 1.0}).item()
        assert thin == pytest.approx(elastic.ring_cross_section_nm2("Mn", convergence_angle_mrad=25.2), rel=1e-3)


class TestManyCollisions:
    def test_ring_against_the_table(self):
        thickness = [10, 50, 80, 100, 150, 200, 250, 300]
        percent = [0.198, 1.029, 1.691, 2.149, 3.351, 4.625, 5.959, 7.341]
        np.testing.assert_allclose(100 * elastic.share_on_ring(slab(thickness)), percent, rtol=0.01)

    def test_losses_against_the_table(self):
        lost = 100 * (1 - elastic.share_inside(slab([100, 150, 200, 300]), 100.0))
        np.testing.assert_allclose(lost, [2.85, 4.41, 6.06, 9.58], rtol=0.02)

    def test_against_a_monte_carlo_on_the_sphere(self):
        """Directions are turned in three dimensions, collision by collision, with form factors of another package."""
        import xraydb

        rng = np.random.default_rng(4)
        theta = np.geomspace(1e-4, 1.2, 4000)
        q = 2 * WAVE_NUMBER * np.sin(theta / 2)
        per_angle = np.zeros_like(theta)
        for element, n in NCM111.items():
            bare = xraydb.atomic_number(element) - xraydb.f0(element, q / (4 * np.pi) / 10)
            per_angle += n * 2 * np.pi * np.sin(theta) * (2 * LORENTZ_FACTOR / BOHR_NM * bare / q**2) ** 2
        steps = np.diff(theta) * (per_angle[1:] + per_angle[:-1]) / 2
        cumulative = np.append(0.0, np.cumsum(steps))
        thickness = 150.0
        collisions = rng.poisson(thickness * cumulative[-1], 600_000)
        # 600,000 electrons evenly inside the cone; their directions as unit vectors.
        tilt, around = 0.0252 * np.sqrt(rng.random(collisions.size)), rng.uniform(0, 2 * np.pi, collisions.size)
        direction = np.stack([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), np.cos(tilt)])
        for done in range(collisions.max()):
            left = np.flatnonzero(collisions > done)
            angle = np.interp(rng.random(left.size) * cumulative[-1], cumulative, theta)
            around = rng.uniform(0, 2 * np.pi, left.size)
            old = direction[:, left]
            side = np.cross(old, [1.0, 0.0, 0.0], axis=0)
            side /= np.linalg.norm(side, axis=0)
            other = np.cross(old, side, axis=0)
            aside = np.cos(around) * side + np.sin(around) * other
            direction[:, left] = np.cos(angle) * old + np.sin(angle) * aside
        final = np.arccos(np.clip(direction[2], -1, 1))
        on_ring, inside = ((final > 0.1) & (final < 0.2)).mean(), (final < 0.1).mean()
        assert elastic.share_on_ring(slab(thickness)) == pytest.approx(on_ring, rel=0.02)
        assert 1 - elastic.share_inside(slab(thickness), 100.0) == pytest.approx(1 - inside, rel=0.02)

    def test_signal_grows_faster_than_the_thickness(self):
        per_nm = elastic.share_on_ring(slab([10, 100, 200, 300])) / [10, 100, 200, 300]
        np.testing.assert_allclose(per_nm / per_nm[0], [1, 1.085, 1.167, 1.235], rtol=0.008)

    def test_a_mixture_scatters_like_its_elements_one_by_one(self):
        # Exponents add: doubling one element is the same as entering it twice.
        whole = elastic.share_on_ring({"Mn": 2000.0, "O": 3000.0})
        parts = elastic.share_on_ring({"O": 3000.0, "Mn": np.full((2, 3), 2000.0)})
        assert parts.shape == (2, 3)
        np.testing.assert_allclose(parts, whole, rtol=1e-12)

    def test_nothing_scatters_nothing_and_nan_stays_nan(self):
        assert elastic.share_inside({"Mn": 0.0}, 100.0) == pytest.approx(1, abs=1e-12)
        assert elastic.share_on_ring({"Mn": 0.0}) == pytest.approx(0, abs=1e-12)
        assert np.array_equal(np.isnan(elastic.share_on_ring({"Mn": [np.nan, 1.0]})), [True, False])

    def test_wider_apertures_lose_less(self):
        lost = [1 - elastic.share_inside(slab(150.0), angle).item() for angle in (30, 60, 100, 200, 600, 1150)]
        assert np.all(np.diff(lost) < 0)
        assert lost[-1] < 1e-3


class TestSpread:
    """How far electrons land aside, from the transfer of spatial frequencies."""

    @staticmethod
    def share_beyond(radius_nm, thickness_nm):
        """Return the mean over thicknesses of the share that leaves a circle."""
        nodes, weights = NODES
        k = 3.0 * (nodes + 1)
        passed = elastic.lateral_transfer(k / (2 * np.pi), np.atleast_1d(thickness_nm))
        # Electrons that never scatter pass every frequency, and stay inside.
        straight = elastic.lateral_transfer([1e3], np.atleast_1d(thickness_nm))
        scattered = radius_nm * (3.0 * weights * j1(k * radius_nm) * (passed - straight)).sum(axis=1)
        return (1 - straight[:, 0] - scattered).mean()

    @pytest.mark.acceptance
    def test_against_walks_of_single_electrons(self):
        import xraydb

        rng = np.random.default_rng(2)
        theta = np.geomspace(1e-4, 1.2, 4000)
        q = 2 * WAVE_NUMBER * np.sin(theta / 2)
        per_angle = np.zeros_like(theta)
        for element, n in NCM111.items():
            bare = xraydb.atomic_number(element) - xraydb.f0(element, q / (4 * np.pi) / 10)
            per_angle += n * 2 * np.pi * np.sin(theta) * (2 * LORENTZ_FACTOR / BOHR_NM * bare / q**2) ** 2
        cumulative = np.append(0.0, np.cumsum(np.diff(theta) * (per_angle[1:] + per_angle[:-1]) / 2))
        aside = np.zeros((2, 100_000))
        collisions = rng.poisson(200 * cumulative[-1], aside.shape[1])
        for done in range(collisions.max()):
            left = np.flatnonzero(collisions > done)
            angle = np.interp(rng.random(left.size) * cumulative[-1], cumulative, theta)
            lever, around = rng.uniform(0, 200, left.size), rng.uniform(0, 2 * np.pi, left.size)
            aside[:, left] += angle * lever * np.stack([np.cos(around), np.sin(around)])
        for radius in (2.315, 4.63):
            walked = (np.hypot(*aside) > radius).mean()
            assert self.share_beyond(radius, 200.0) == pytest.approx(walked, rel=0.03)

    def test_seven_percent_beyond_a_pixel_on_average_over_200_nm(self):
        assert self.share_beyond(4.63, np.linspace(4, 196, 25)) == pytest.approx(0.07, abs=0.012)


class TestInverse:
    def test_thickness_from_the_table(self):
        found = elastic.thickness_from_adf([0.01029, 0.03351, 0.07341])
        np.testing.assert_allclose(found, [50, 150, 300], rtol=0.01)

    def test_round_trip_and_noise_below_zero(self):
        thickness = np.array([0.0, 3.0, 77.0, 410.0, 900.0])
        np.testing.assert_allclose(
            elastic.thickness_from_adf(elastic.share_on_ring(slab(thickness))), thickness, atol=1e-3
        )
        small = elastic.thickness_from_adf([-1e-4, 1e-4])
        assert small[0] == pytest.approx(-small[1], rel=1e-3)

    def test_what_no_thickness_explains_is_not_measured(self):
        assert np.array_equal(np.isnan(elastic.thickness_from_adf([0.9, np.nan, 0.1])), [True, True, False])

    def test_what_a_linear_inversion_costs_in_the_core_of_a_ball(self):
        radius = 82.0
        across = radius * np.sin(np.linspace(1e-4, np.pi / 2 - 1e-4, 4001))
        signal = elastic.share_on_ring(slab(2 * np.sqrt(radius**2 - across**2)))

        def core(values):
            """Density in the center by Abel's formula, -1/pi times the integral of the slope over the distance."""
            return -np.trapezoid(np.gradient(values, across) / across, across) / np.pi

        rim = elastic.share_on_ring(slab(1.0)).item()
        assert core(signal) / rim == pytest.approx(1.17, abs=0.01)
        assert core(elastic.thickness_from_adf(signal)) == pytest.approx(1.0, abs=0.003)

    def test_beam_from_a_thickness_known_otherwise(self):
        rng = np.random.default_rng(0)
        thickness = rng.uniform(0, 200, (20, 20))
        counts = rng.poisson(4.7e7 * elastic.share_on_ring(slab(thickness))).astype(float)
        counts[0, 0] = np.nan
        assert elastic.beam_counts(counts, thickness) == pytest.approx(4.7e7, rel=5e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: elastic.cross_section_nm2_per_sr("Xx", 1.0), "a chemical symbol, got 'Xx'"),
        (lambda: elastic.cross_section_nm2_per_sr("Mn", np.nan), "angle_mrad: expected finite"),
        (lambda: elastic.share_inside({}, 100.0), "at least one element"),
        (lambda: elastic.share_inside({"Mn": 1.0}, 20.0), "the whole cone of 25.2 mrad, got 20 mrad"),
        (lambda: elastic.share_on_ring({"Mn": 1.0}, angles_mrad=(200, 100)), "inner angle first"),
        (lambda: elastic.thickness_from_adf(0.1, atoms_per_nm3={}), "at least one element"),
        (lambda: elastic.beam_counts([1.0], [0.0]), "a thickness above zero, got none"),
        (lambda: elastic.beam_counts([1.0], [[1.0]]), "thickness of every pixel"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
