"""Simulated tilt series: what was promised of dose, geometry, contrast and noise, checked against independent sums."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helper import relative_error
from tritomo_helpers import phantoms
from tritomo_helpers.simulation import Acquisition, Eds, acquire
from tritomo_helpers.simulation.rays import check_inside, plan
from tritomo_helpers.spectroscopy.elastic import ring_cross_section_nm2
from tritomo_helpers.tilt_series import apply_shifts


@pytest.fixture(scope="module")
def small():
    return phantoms.particle("pristine-4", shape=16)


def rng(seed=3):
    return np.random.default_rng(seed)


class TestDose:
    def test_of_the_published_experiment(self):
        paper = Acquisition()
        assert paper.electrons_per_pixel == pytest.approx(9.36e7, rel=1e-3)
        assert paper.dose_per_image_e_per_a2 == pytest.approx(4.37e4, rel=1e-3)
        assert paper.n_tilts == 15
        assert paper.dose_e_per_a2 == pytest.approx(6.55e5, rel=1e-3)
        assert paper.n_exposures == 17
        assert paper.dose_with_repeats_e_per_a2 == pytest.approx(7.4e5, rel=5e-3)

    def test_follows_current_time_area_and_tilts(self):
        one = Acquisition()
        assert one.replace(beam_current_na=0.6).dose_e_per_a2 == pytest.approx(2 * one.dose_e_per_a2)
        assert one.replace(dwell_time_s=0.1).dose_e_per_a2 == pytest.approx(2 * one.dose_e_per_a2)
        assert one.replace(pixel_size_nm=2 * 4.63).dose_e_per_a2 == pytest.approx(one.dose_e_per_a2 / 4)
        assert one.replace(repeats=False).n_exposures == 15
        assert one.replace(tilt_angles_deg=(-5, 5)).n_exposures == 5  # no zero tilt among them: three more images


class TestGeometry:
    def test_chiral_object_comes_out_the_right_way_round(self):
        got = acquire(phantoms.chiral(shape=16), Acquisition.ideal(tilt_angles_deg=(-50, 0, 30)), rng=rng())
        axis = (np.arange(64) - 32) * 4.63
        volumes = np.array([40, 28, 22, 17]) ** 3
        x, y, z = np.array([[0, 75, 0, 0], [0, 0, 95, 0], [0, 0, 0, 110]])
        for image, angle in zip(got.adf.images, got.adf.tilt_angles_deg, strict=True):
            t = np.deg2rad(angle)
            u = x * np.cos(t) - z * np.sin(t)
            assert image.sum(axis=0) @ axis / image.sum() == pytest.approx(volumes @ u / volumes.sum(), abs=0.1)
            assert image.sum(axis=1) @ axis / image.sum() == pytest.approx(volumes @ y / volumes.sum(), abs=0.1)
            if angle == -50:  # the small ball at +z is alone on the right, and its mirror place is empty
                column = round(float(u[3]) / 4.63)
                assert image[32, 32 + column] > 0
                assert image[32, 32 - column] == 0

    def test_mass_is_conserved_over_tilt(self, small):
        got = acquire(small, Acquisition.ideal(repeats=False), rng=rng())
        sums = got.adf.images.sum(axis=(1, 2), dtype=float)
        assert np.ptp(sums) / sums.mean() < 1e-3

    def test_equals_an_independent_ray_sum(self):
        phantom = phantoms.particle("cycled-200-2", shape=16)
        setting = Acquisition.ideal(tilt_angles_deg=(40,), scan_shape=(12, 12), pixel_size_nm=24.0, repeats=False)
        got = acquire(phantom, setting, rng=rng()).adf.images[0]
        t = np.deg2rad(40)
        along, axis = np.arange(-150, 150, 0.4), (np.arange(12) - 6) * 24.0
        element = {name: name.rstrip("234") for name in ("O", "Mn4", "Mn3", "Mn2", "Co3", "Co2", "Ni2", "Li")}
        weight = {el: ring_cross_section_nm2(el, convergence_angle_mrad=25.2) for el in set(element.values())}
        expected = np.zeros((12, 12))
        for row, y in enumerate(axis):
            for column, u in enumerate(axis):
                x, z = u * np.cos(t) + along * np.sin(t), -u * np.sin(t) + along * np.cos(t)
                found = phantom.at(np.stack([x, np.full_like(x, y), z], axis=1))
                total = sum(weight[element[name]] * density.sum() * 0.4 for name, density in found.items())
                expected[row, column] = total
        expected *= 9.3623e7 * 0.5
        assert relative_error(got, expected) < 1e-3

    def test_shifts_of_the_truth_bring_the_images_back(self, small):
        setting = Acquisition.ideal(misalignment_px=2.0, tilt_angles_deg=(-40, 0, 40), repeats=False)
        moved = acquire(small, setting, rng=rng())
        still = acquire(small, setting.replace(misalignment_px=0.0), rng=rng())
        assert np.abs(moved.truth["shifts_px"]).max() > 0.5
        back = apply_shifts(moved.adf, moved.truth["shifts_px"])
        assert relative_error(back.images, still.adf.images) < 0.02  # Fourier shifts ring a little at edges
        assert relative_error(moved.adf.images, still.adf.images) > 0.1

    def test_axis_rotation_turns_the_image(self):
        ball = phantoms.balls([[0, 100, 0]], [30], shape=16)
        got = acquire(ball, Acquisition.ideal(tilt_angles_deg=(0,), axis_rotation_deg=10, repeats=False), rng=rng())
        image, axis = got.adf.images[0], (np.arange(64) - 32) * 4.63
        phi = np.deg2rad(10)
        assert image.sum(axis=0) @ axis / image.sum() == pytest.approx(-100 * np.sin(phi), abs=0.05)
        assert image.sum(axis=1) @ axis / image.sum() == pytest.approx(100 * np.cos(phi), abs=0.05)
        assert got.truth["axis_rotation_deg"] == 10

    def test_tilt_errors_are_in_the_truth(self):
        ball = phantoms.balls([[100, 0, 0]], [30], shape=16)
        setting = Acquisition.ideal(tilt_angles_deg=(-60, 50), tilt_error_deg=2.0, repeats=False)
        got, axis = acquire(ball, setting, rng=rng()), (np.arange(64) - 32) * 4.63
        true = got.truth["tilt_angles_deg"]
        assert np.abs(true - [-60, 50]).max() > 0.2
        assert np.array_equal(got.truth["nominal_tilt_angles_deg"], [-60, 50])
        for image, angle in zip(got.adf.images, true, strict=True):
            center = image.sum(axis=0) @ axis / image.sum()
            assert center == pytest.approx(100 * np.cos(np.deg2rad(angle)), abs=0.05)

    def test_drift_shears_the_image_and_is_in_the_truth(self):
        # Two balls, recorded early and late in the scan, move apart by the drift between their rows.
        pair = phantoms.balls([[0, -90, 0], [0, 90, 0]], [40, 40], shape=16)
        setting = Acquisition.ideal(tilt_angles_deg=(0,), drift_nm=12.0, repeats=False)
        got, axis = acquire(pair, setting, rng=rng()), (np.arange(64) - 32) * 4.63
        image, (dy, dx) = got.adf.images[0], got.truth["drift_px"][0] * 4.63
        assert np.hypot(dy, dx) == pytest.approx(12)
        centers = [(part.sum(axis=0) @ axis) / part.sum() for part in (image[:32], image[32:])]
        rows = 180 / 4.63 / 64  # share of the scan between them
        assert centers[1] - centers[0] == pytest.approx(dx * rows, rel=0.05)


class TestContrast:
    def test_film_adds_the_same_everywhere_and_more_at_tilt(self, small):
        bare = Acquisition.ideal(tilt_angles_deg=(0, 60), repeats=False)
        film = acquire(small, bare.replace(film_thickness_nm=4.0), rng=rng()).adf.images.astype(float)
        film -= acquire(small, bare, rng=rng()).adf.images
        assert film[1].mean() / film[0].mean() == pytest.approx(2, rel=1e-3)
        assert np.ptp(film[0]) / film[0].mean() < 1e-3
        per_electron = film[0].mean() / (0.5 * bare.electrons_per_pixel)
        carbon_nm2 = ring_cross_section_nm2("C", convergence_angle_mrad=25.2)
        assert per_electron == pytest.approx(4 * 100.3 * carbon_nm2, rel=2e-3)

    @pytest.mark.parametrize(("thickness_nm", "percent_of_the_beam"), [(80, 1.691), (150, 3.351), (200, 4.625)])
    def test_signal_of_known_thickness_with_plural_scattering(self, thickness_nm, percent_of_the_beam):
        # Exact plural scattering of NCM111, computed elsewhere; single scattering has 1.98 % per 100 nm.
        ball = phantoms.balls([[0, 0, 0]], [thickness_nm / 2], shape=16)
        linear = Acquisition.ideal(tilt_angles_deg=(0,), scan_shape=(3, 3), pixel_size_nm=100, repeats=False)
        once, often = (
            acquire(ball, linear.replace(plural_elastic=on), rng=rng()).adf.images[0, 1, 1] / 4.6812e7
            for on in (False, True)
        )
        assert 100 * often == pytest.approx(percent_of_the_beam, rel=0.01)
        assert 100 * once == pytest.approx(0.0198 * thickness_nm, rel=0.01)

    def test_probe_blurs_by_its_width(self):
        ball = phantoms.balls([[0, 0, 0]], [40], shape=16)
        fine = Acquisition.ideal(tilt_angles_deg=(0,), scan_shape=(100, 100), pixel_size_nm=1.0, repeats=False)
        axis = np.arange(100) - 50.0

        def variance(image):
            profile = image.sum(axis=0)
            return profile @ axis**2 / profile.sum()

        sharp, wide = (
            acquire(ball, fine.replace(probe_fwhm_nm=width), rng=rng()).adf.images[0].astype(float) for width in (0, 6)
        )
        assert variance(wide) - variance(sharp) == pytest.approx((6 / 2.3548) ** 2, rel=0.01)
        assert wide.sum() == pytest.approx(sharp.sum(), rel=1e-3)


class TestBroadening:
    FINE = Acquisition.ideal(tilt_angles_deg=(0,), scan_shape=(64, 64), repeats=False)

    def test_slices_add_up_to_the_whole_in_the_order_of_the_beam(self):
        pair = phantoms.balls([[0, 0, -60], [40, 0, 60]], [20, 20], shape=16)
        u, y = np.meshgrid(np.arange(-80, 81, 4.0), np.arange(-40, 41, 4.0))
        whole = pair.areal_densities(0.0, u, y)["O"]
        first, last = pair.areal_densities(0.0, u, y, borders_nm=[0.0])["O"]
        np.testing.assert_allclose(first + last, whole, rtol=1e-12)
        # The beam travels along +n, which is +z at zero tilt: it meets the ball at -60 first.
        assert (first * u).sum() / first.sum() == pytest.approx(0, abs=0.5)
        assert (last * u).sum() / last.sum() == pytest.approx(40, abs=0.5)

    def test_what_lies_below_is_blurred_and_what_lies_above_is_not(self):
        from tritomo_helpers.simulation.broadening import broadened

        speck, nothing = np.zeros((64, 64)), np.zeros((64, 64))
        speck[32, 32] = 1.0
        matter = {name: np.full((2, 64, 64), n * 100) for name, n in {"O": 59.6, "Co3": 14.9, "Ni2": 14.9}.items()}
        above, below = ({"Mn4": np.stack(pair), **matter} for pair in ((speck, nothing), (nothing, speck)))
        sharp, blurred = (broadened(which, self.FINE)["Mn4"] for which in (above, below))
        assert sharp[32, 32] > 0.9 > blurred[32, 32] > 0.5
        # The speck is matter, too: it blurs itself by a millionth.
        assert sharp.sum() == pytest.approx(1, rel=1e-4)
        assert blurred.sum() == pytest.approx(1, rel=1e-4)

    def test_it_keeps_the_matter_and_lowers_the_edge(self, small):
        settings = Acquisition.ideal(tilt_angles_deg=(0,), repeats=False)
        sharp, wide = (
            acquire(small, settings.replace(beam_broadening=on), rng=rng()).adf.images[0].astype(float)
            for on in (False, True)
        )
        # Electrons leave the thick middle for the thinner rim more than the other way around.
        assert 0.995 < wide.sum() / sharp.sum() < 1
        assert 0.001 < relative_error(wide, sharp) < 0.03


class TestNoise:
    def test_is_poisson(self, small):
        setting = Acquisition.ideal(counting_noise=True, tilt_angles_deg=(-20, 0, 20), film_thickness_nm=4.0)
        got = acquire(small, setting, rng=rng())
        expected = got.truth["adf_expected"].astype(float)
        assert ((got.adf.images - expected) ** 2 / expected).mean() == pytest.approx(1, abs=0.05)
        assert (got.adf.images - expected).mean() == pytest.approx(0, abs=4 * np.sqrt(expected.mean() / expected.size))

    def test_vanishes_when_switched_off(self, small):
        got = acquire(small, Acquisition.tiny(counting_noise=False), rng=rng())
        assert np.array_equal(got.adf.images, got.truth["adf_expected"])

    def test_each_effect_has_its_own_stream(self):
        base = plan(Acquisition(), rng=rng())
        for change in ({"drift_nm": 0.0}, {"tilt_error_deg": 0.0}, {"counting_noise": False}):
            other = plan(Acquisition(**change), rng=rng())
            for a, b in zip(base, other, strict=True):
                assert np.array_equal(a.displacement_px, b.displacement_px)
        assert np.abs([e.displacement_px for e in base]).max() <= Acquisition().misalignment_px


class TestRepeats:
    def test_are_three_zero_tilts_apart_from_the_series(self, small):
        got = acquire(small, Acquisition.tiny(), rng=rng())
        assert got.repeats["adf"].shape == (3, 16, 16)
        assert np.array_equal(got.repeats["adf"][1], got.adf.images[2])
        assert not np.array_equal(got.repeats["adf"][0], got.repeats["adf"][1])
        assert np.array_equal(got.truth["repeats_nominal_tilt_angles_deg"], [0, 0, 0])
        assert got.truth["repeats_shifts_px"].shape == (3, 2)

    def test_without_a_zero_tilt_in_the_series(self, small):
        got = acquire(small, Acquisition.tiny(tilt_angles_deg=(-20, 20)), rng=rng())
        assert got.adf.n_tilts == 2
        assert got.repeats["adf"].shape == (3, 16, 16)

    def test_can_be_left_out(self, small):
        assert acquire(small, Acquisition.tiny(repeats=False), rng=rng()).repeats == {}


def test_truth_holds_the_phantom(small):
    got = acquire(small, Acquisition.tiny(), rng=rng())
    for name in ("mask", "density", "O", "Mn", "Co", "Ni", "Mn4", "Mn3", "Mn2", "Co3", "Co2", "rock_salt", "lithium"):
        assert got.truth[name].shape == (16, 16, 16)


def test_progress_is_reported(small):
    seen = []
    acquire(small, Acquisition.tiny(), rng=rng(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 7) for i in range(1, 8)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tilt_angles_deg": ()}, "non-empty.*give one value per step"),
        ({"tilt_angles_deg": (0, 10, 10)}, r"repeated \[10.0\].*average or drop"),
        ({"tilt_angles_deg": (10, 0)}, "sort the data"),
        ({"tilt_angles_deg": (0, 90)}, "seen edge-on"),
        ({"tilt_angles_deg": (0, 89.999)}, r"from -85 to 85 degrees, got 89.999"),
        ({"tilt_angles_deg": ("-10", "10")}, "tilt_angles_deg: expected numbers"),
        ({"tilt_angles_deg": (0, np.nan)}, "tilt_angles_deg: expected finite"),
        ({"beam_current_na": -0.3}, "a dose cannot be negative"),
        ({"dwell_time_s": 0}, "a dose cannot be negative"),
        ({"drift_nm": -1}, "give zero to switch it off"),
        ({"adf_angles_mrad": (200, 100)}, "inner angle first"),
        ({"adf_efficiency": 1.5}, "counted over arriving"),
        ({"scan_shape": (0, 4)}, "two positive integers"),
        ({"scan_shape": (np.nan, 4)}, "scan_shape: expected a whole number"),
        ({"scan_shape": 64}, "pixels along y and x"),
        ({"pixel_size_nm": "4.63"}, "pixel_size_nm: expected a finite number"),
        ({"beam_energy_kev": "300"}, "beam_energy_kev: expected a finite number"),
        ({"beam_energy_kev": 60}, "raise the beam energy"),
        ({"convergence_angle_mrad": "25"}, "convergence_angle_mrad: expected a finite number"),
        ({"convergence_angle_mrad": 120}, "fits into both apertures, up to 100 mrad, got 120"),
        ({"collection_angle_mrad": 0}, "collection_angle_mrad"),
        ({"adf_angles_mrad": (100,)}, "an inner and an outer angle"),
        ({"adf_angles_mrad": (100, "200")}, "adf_angles_mrad: expected a finite number"),
        ({"axis_rotation_deg": np.nan}, "axis_rotation_deg: expected a number from -45 to 45"),
        ({"axis_rotation_deg": "0"}, "degrees from the y axis"),
        ({"adf_efficiency": "0.5"}, "adf_efficiency: expected a share"),
        ({"plural_elastic": "no"}, "plural_elastic: expected True or False"),
        ({"counting_noise": 1}, "counting_noise: expected True or False"),
        ({"critical_dose_e_per_a2": 0}, "a dose cannot be negative or nothing"),
        ({"zone_tilts_deg": (30, 10)}, "zone_tilts_deg: expected increasing"),
        ({"channeling_gain": np.inf}, "channeling_gain: expected a number from"),
        ({"signals": "adf"}, r"a sequence of names, got 'adf'"),
        ({"signals": ()}, "at least one signal"),
        ({"signals": ("cl",)}, "signals: expected one of 'adf'"),
        ({"eds": {"efficiency": 0.5}}, "settings of class Eds"),
        ({"eels": None}, "build them with simulation.Eels"),
        ({"eds": Eds(horizon_deg=80.0)}, "none at -70 degrees. To fix: lower horizon_deg"),
    ],
)
def test_impossible_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Acquisition(**changes)


def test_specimen_outside_the_field_of_view_is_refused(small):
    ball = phantoms.balls([[140, 0, 0]], [30], shape=16)
    with pytest.raises(ValueError, match=r"2\d\.\d nm of it outside at a tilt of 0 degrees.*more or larger"):
        acquire(ball, Acquisition.ideal(tilt_angles_deg=(0,), repeats=False), rng=rng())
    # It is inside at a high tilt, and refused if it leaves at any one tilt.
    acquire(ball, Acquisition.tiny(tilt_angles_deg=(60,), repeats=False), rng=rng())
    with pytest.raises(ValueError, match="reduce misalignment_px"):
        acquire(ball, Acquisition.tiny(tilt_angles_deg=(0, 60), repeats=False), rng=rng())


@pytest.mark.parametrize("axis", [0, 1])
def test_drift_within_a_scan_needs_room_of_its_own(axis):
    ball = phantoms.balls([[0, 0, 0]], [28.0], shape=16)  # 6.7 nm from the edge of 16 pixels of 4.63 nm
    setting = Acquisition.ideal(tilt_angles_deg=(0,), scan_shape=(16, 16), repeats=False)
    (exposure,) = plan(setting, rng=rng())
    little, much = (replace(exposure, drift_px=drift * np.eye(2)[axis]) for drift in (2.0, 4.0))  # half to either side
    check_inside(ball, setting, [little])
    with pytest.raises(ValueError, match=r"2\.5 nm of it outside.*reduce misalignment_px and drift_nm"):
        check_inside(ball, setting, [much])


@pytest.mark.acceptance
def test_every_particle_fits_the_published_scan():
    worst = Acquisition()
    for name in phantoms.names():
        phantom = phantoms.particle(name, shape=8)
        for seed in range(3):
            check_inside(phantom, worst, plan(worst, rng=rng(seed)))
