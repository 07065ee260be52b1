"""Line fits against spectra built here, the smallest possible error, and what the twin knows."""

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.stats import norm

from tritomo_helpers import eds, phantoms
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries, Tomogram
from tritomo_helpers.eds import _counts
from tritomo_helpers.simulation import Acquisition, Eds, acquire
from tritomo_helpers.simulation import eds as simulated
from tritomo_helpers.spectroscopy import xray

ELEMENTS = ("O", "Mn", "Co", "Ni")
ENERGY = np.arange(256) * 10.0


def rng(seed=5):
    return np.random.default_rng(seed)


def family_share(element):
    """All lines of the fitted family over the main one, by cross-sections."""
    main = xray.main_line(element)
    family = [line for line in xray.lines([element]) if line.shell[0] == main.shell[0]]
    return sum(xray.emission_cross_section(line) for line in family) / xray.emission_cross_section(main)


def spectrum_of(photons, *, fwhm_mn_ka=130.0, offset_ev=0.0, gain=1.0, background=0.0):
    """Spectrum by normal distributions: photons of each family shared by cross-sections, then a 1/E background.

    FWHM² = FWHM(Mn Ka)² - 2.5 eV (5895 eV - E), for 3.65 eV per electron-hole pair and a Fano factor of 0.1235.
    """
    edges = offset_ev + gain * (np.append(ENERGY, ENERGY[-1] + 10) - 5)
    total = background * 600 / np.maximum(offset_ev + gain * ENERGY, 50.0)
    for element, number in photons.items():
        main = xray.main_line(element, window_ev=(350, 2500))
        family = [line for line in xray.lines([element]) if line.shell[0] == main.shell[0]]
        sigma = np.array([xray.emission_cross_section(line) for line in family])
        for line, share in zip(family, sigma / sigma.sum(), strict=True):
            width = np.sqrt(fwhm_mn_ka**2 - 8 * np.log(2) * 3.65 * 0.1235 * (5895 - line.energy_kev * 1e3)) / 2.35482
            total = total + number * share * np.diff(norm.cdf(edges, line.energy_kev * 1e3, width))
    return total


PHOTONS = {"O": 210.0, "Mn": 68.0, "Co": 86.0, "Ni": 95.0, "Cu": 8.0}
NOISE_FREE = spectrum_of(PHOTONS, background=0.5)


class TestSignedFit:
    def test_a_spectrum_built_by_hand(self):
        maps = eds.fit_lines(NOISE_FREE, ENERGY, elements=ELEMENTS, calibrate=())
        for element in ELEMENTS:
            assert float(maps.intensities[element]) == pytest.approx(PHOTONS[element], rel=0.004)
        assert float(maps.other["Cu"]) == pytest.approx(8, rel=0.05)

    def test_the_fit_of_a_sum_is_the_sum_of_the_fits(self):
        counts = rng().poisson(NOISE_FREE, (6, 7, 256))
        maps = eds.fit_lines(counts, ENERGY, elements=ELEMENTS, calibrate=())
        whole = maps.projector @ counts[..., (ENERGY >= 350) & (ENERGY <= 1200)].sum(axis=(0, 1))
        for element, total in zip(ELEMENTS, whole, strict=True):
            assert maps.intensities[element].sum() == pytest.approx(total, rel=1e-5)

    def test_no_bias_where_a_pixel_holds_few_counts(self):
        scarce = NOISE_FREE / 40  # five O photons a pixel
        counts = rng().poisson(scarce, (100, 200, 256))
        maps = eds.fit_lines(counts, ENERGY, elements=ELEMENTS, calibrate=())
        for element in ELEMENTS:
            found, truth = maps.intensities[element], PHOTONS[element] / 40
            assert found.min() < 0
            assert found.mean() == pytest.approx(truth, abs=3.5 * found.std() / np.sqrt(found.size))

    def test_the_sum_of_a_particle_at_the_dose(self):
        """As many counts as all tilts of a particle hold; energy scale and resolution are found on their sum."""
        maps = eds.fit_lines(rng(9).poisson(NOISE_FREE, (100, 150, 256)), ENERGY, elements=ELEMENTS)
        for element in ELEMENTS:
            assert maps.intensities[element].mean(dtype=float) == pytest.approx(PHOTONS[element], rel=0.006), element

    def test_weights_from_single_pixels_lose_counts(self):
        """The trap: channels that happen to be low get a high weight."""
        counts = rng().poisson(NOISE_FREE, (2000, 256))
        maps = eds.fit_lines(counts, ENERGY, elements=ELEMENTS, calibrate=())
        columns = np.stack(list(maps.model.columns().values()), axis=1)
        inside = counts[..., (ENERGY >= 350) & (ENERGY <= 1200)]
        weight = 1 / np.maximum(inside, 1)
        normal = np.einsum("ci,pc,cj->pij", columns, weight, columns)
        alone = np.linalg.solve(normal, np.einsum("ci,pc,pc->pi", columns, weight, inside)[..., None])[..., 0]
        for i, element in enumerate(ELEMENTS):
            assert 0.7 < alone[:, i].mean() / PHOTONS[element] < (0.97 if element == "O" else 0.93)
            assert maps.intensities[element].mean() == pytest.approx(PHOTONS[element], rel=0.015)

    def test_standard_errors_are_the_scatter_and_the_smallest_possible(self):
        counts = rng().poisson(NOISE_FREE, (60, 60, 256))
        maps = eds.fit_lines(counts, ENERGY, elements=ELEMENTS, calibrate=())
        columns = np.stack(list(maps.model.columns().values()), axis=1)
        fisher = columns.T @ (columns / NOISE_FREE[(ENERGY >= 350) & (ENERGY <= 1200)][:, None])
        bound = np.sqrt(np.diag(np.linalg.inv(fisher)))
        for i, element in enumerate(ELEMENTS):
            scatter = maps.intensities[element].std()
            assert scatter < 1.05 * bound[i]
            assert maps.standard_errors[element].mean() == pytest.approx(scatter, rel=0.05)
        together = np.cov([maps.intensities[el].ravel() for el in ELEMENTS])
        np.testing.assert_allclose(maps.covariance.mean(axis=(0, 1)), together, atol=0.05 * together.max())
        assert -0.35 < together[2, 3] / np.sqrt(together[2, 2] * together[3, 3]) < -0.15  # Co and Ni overlap

    def test_energy_scale_and_resolution_come_from_the_sum(self):
        skewed = spectrum_of(PHOTONS, offset_ev=6.0, gain=0.994, fwhm_mn_ka=138.0, background=0.5)
        counts = rng().poisson(skewed, (40, 40, 256))
        maps = eds.fit_lines(counts, ENERGY, elements=ELEMENTS)
        scale = maps.choices["offset_ev"] + maps.choices["gain"] * 700
        assert scale == pytest.approx(6.0 + 0.994 * 700, abs=0.3)
        assert maps.choices["resolution_ev"] == pytest.approx(138, abs=1)
        trusting = eds.fit_lines(counts, ENERGY, elements=ELEMENTS, calibrate=())
        for element in ("Mn", "Co", "Ni"):
            assert maps.intensities[element].mean() == pytest.approx(PHOTONS[element], rel=0.015)
        assert abs(trusting.intensities["Mn"].mean() / PHOTONS["Mn"] - 1) > 0.02

    def test_few_counts_leave_the_scale_as_given(self):
        maps = eds.fit_lines(NOISE_FREE, ENERGY, elements=ELEMENTS)
        assert (maps.choices["calibrated"], maps.choices["gain"]) == ((), 1.0)

    def test_fluorine_hides_under_cobalt_unless_it_has_a_column(self):
        with_fluorine = spectrum_of({**PHOTONS, "F": 30.0}, background=0.5)
        blind = eds.fit_lines(with_fluorine, ENERGY, elements=ELEMENTS, calibrate=())
        seeing = eds.fit_lines(with_fluorine, ENERGY, elements=(*ELEMENTS, "F"), calibrate=())
        assert float(seeing.intensities["F"]) == pytest.approx(30, rel=0.02)
        assert float(seeing.intensities["Mn"]) == pytest.approx(PHOTONS["Mn"], rel=0.01)
        assert float(blind.intensities["Mn"]) > 1.1 * PHOTONS["Mn"]
        none = eds.fit_lines(NOISE_FREE, ENERGY, elements=(*ELEMENTS, "F"), calibrate=())
        assert abs(float(none.intensities["F"])) < 0.5

    def test_any_elements(self):
        rock = {"O": 90.0, "Mg": 60.0, "Si": 66.0, "Fe": 36.0, "Al": 5.0}
        counts = rng().poisson(spectrum_of(rock, background=0.2), (40, 50, 256))
        maps = eds.fit_lines(
            counts, ENERGY, elements=tuple(rock), other_elements=("Cu",), window_ev=(350, 2200), background_terms=2
        )
        for element, photons in rock.items():
            error = maps.intensities[element].std() / np.sqrt(2000)
            assert maps.intensities[element].mean() == pytest.approx(photons, rel=0.01, abs=4 * error)

    def test_an_element_that_is_wanted_is_no_other_one(self):
        copper = eds.fit_lines(spectrum_of({**PHOTONS, "Cu": 30.0}), ENERGY, elements=(*ELEMENTS, "Cu"), calibrate=())
        assert float(copper.intensities["Cu"]) == pytest.approx(30, rel=0.02)
        assert "Cu" not in copper.other

    def test_two_shells_of_one_element_are_two_columns(self):
        energy = np.arange(1000) * 10.0
        maps = eds.fit_lines(
            np.ones(1000), energy, elements=["Ni"], other_elements=(), window_ev=(350, 9000), calibrate=()
        )
        assert set(maps.other) >= {"Ni K"}


class TestReading:
    COUNTS = rng(1).poisson(NOISE_FREE, (3, 5, 6, 256)).astype(np.uint16)

    @pytest.fixture
    def series(self):
        return SpectrumTiltSeries(self.COUNTS, [-10, 0, 10], ENERGY, 4.63, "EDS")

    def test_numpy_memory_map_and_dask_agree_block_by_block(self, series, tmp_path, monkeypatch):
        expected = eds.fit_lines(series, elements=ELEMENTS)
        monkeypatch.setattr(_counts, "_KEPT_BYTES", 0)
        monkeypatch.setattr(_counts, "_BLOCK_BYTES", 4 * 86 * 6 * 2)  # two rows
        np.save(tmp_path / "counts.npy", self.COUNTS)
        for lazy in (
            np.load(tmp_path / "counts.npy", mmap_mode="r"),
            da.from_array(self.COUNTS, chunks=(1, 3, 4, 100)),
        ):
            sizes = []
            monkeypatch.setattr(_counts.Counts, "_check", lambda *args, sizes=sizes: sizes.append(args[1].nbytes))
            maps = eds.fit_lines(series.replace(counts=lazy), elements=ELEMENTS)
            assert max(sizes) == 4 * 86 * 6 * 2
            for element in ELEMENTS:
                np.testing.assert_allclose(
                    maps.intensities[element].images, expected.intensities[element].images, rtol=1e-4, atol=1e-3
                )

    def test_form_of_the_maps(self, series):
        maps = eds.fit_lines(series, elements=["O", "Mn", "Co", "Ni"])
        assert isinstance(maps.intensities["Mn"], TiltSeries)
        assert maps.intensities["Mn"].label == "Mn"
        assert maps.standard_errors["O"].images.shape == (3, 5, 6)
        assert maps.covariance.shape == (3, 5, 6, 4, 4)
        assert maps.intensities["O"].images.dtype == np.float32
        line = eds.fit_lines(self.COUNTS[0, 0], ENERGY, elements=["O", "Mn"])
        assert line.intensities["O"].shape == (6,)
        assert line.covariance.shape == (6, 2, 2)

    def test_input_stays(self, series):
        before = self.COUNTS.copy()
        eds.fit_lines(series, elements=ELEMENTS)
        np.testing.assert_array_equal(self.COUNTS, before)


class TestNonNegative:
    def test_agrees_where_counts_are_many_and_runs_high_where_there_are_none(self):
        many = eds.fit_lines(100 * NOISE_FREE, ENERGY, elements=ELEMENTS, calibrate=(), method="non-negative")
        for element in ELEMENTS:
            assert float(many.intensities[element]) == pytest.approx(100 * PHOTONS[element], rel=0.02)
        without_nickel = spectrum_of({el: n for el, n in PHOTONS.items() if el != "Ni"}, background=0.5) / 10
        counts = rng().poisson(without_nickel, (30, 30, 256))
        found = {
            method: eds.fit_lines(counts, ENERGY, elements=ELEMENTS, calibrate=(), method=method).intensities["Ni"]
            for method in ("signed", "non-negative")
        }
        assert found["non-negative"].min() >= 0
        assert found["non-negative"].mean() > 0.5
        assert abs(found["signed"].mean()) < 4 * found["signed"].std() / 30

    def test_second_term_of_the_background_rises_with_energy(self):
        """A share of the bremsstrahlung that changes in proportion to energy leaves nothing in the line."""
        energy = ENERGY[35:121]
        one_term = eds.LineModel(energy, ELEMENTS).columns()["bremsstrahlung"]
        photons = 500 * xray.line_shape(energy, xray.main_line("O").energy_kev)
        for slope in (-0.3, 0.8):
            counts = photons + 300 * one_term * (1 + slope * energy / 1000)
            maps = eds.fit_lines(counts, energy, elements=("O",), background_terms=2, calibrate=(), other_elements=())
            assert float(maps.intensities["O"]) == pytest.approx(500, rel=1e-5)


class TestWindows:
    def test_integration_is_a_sum_with_shared_channels_at_the_ends(self):
        flat = np.full(256, 2.0)
        maps = eds.integrate_windows(flat, ENERGY, elements=["O"], half_width_fwhm=0.5)
        fwhm = float(xray.detector_fwhm_ev(0.5249))
        assert float(maps.intensities["O"]) == pytest.approx(2 * fwhm / 10, rel=1e-6)

    def test_net_removes_a_straight_background_and_no_line(self):
        slope = 30 - ENERGY / 100
        alone = spectrum_of({"O": 1000.0}) + slope
        gross, net = (
            float(eds.integrate_windows(alone, ENERGY, elements=["O"], mode=mode, half_width_fwhm=1.2).intensities["O"])
            for mode in ("integration", "net")
        )
        assert net == pytest.approx(1000, rel=0.01)
        assert gross > 1200

    def test_net_removes_a_flat_background_whole_where_channels_are_uneven(self):
        uneven = ENERGY + 4 * np.sin(ENERGY / 40)
        maps = eds.integrate_windows(np.full(256, 50.0), uneven, elements=["O"], mode="net", half_width_fwhm=1.2)
        assert abs(float(maps.intensities["O"])) < 1e-3  # of 670 in the window

    def test_overlaps_stay_in(self):
        """What windows say of equal amounts: every one holds its neighbors, and flanks lie on lines."""
        expected = {el: spectrum_of({el: PHOTONS[el]}) for el in ELEMENTS}
        for mode in ("integration", "net"):
            both = eds.integrate_windows(NOISE_FREE, ENERGY, elements=ELEMENTS, mode=mode)
            own = {
                el: eds.integrate_windows(expected[el], ENERGY, elements=[el], mode=mode).intensities[el]
                for el in ELEMENTS
            }
            error = {el: float(both.intensities[el] / own[el] - 1) for el in ELEMENTS}
            if mode == "integration":
                assert error["O"] > 0.02
                assert min(error["Mn"], error["Co"]) > 0.1
            else:
                assert min(error.values()) < -0.2


class TestParticle:
    """The twin: shadows, absorption, drift and bremsstrahlung in, and what was emitted known."""

    @pytest.fixture(scope="class")
    @staticmethod
    def quiet():
        settings = Acquisition.tiny(
            tilt_angles_deg=(-40, 0, 40), signals=("eds",), repeats=False, counting_noise=False, eds=Eds(n_channels=256)
        )
        return acquire(phantoms.particle("pristine-1", shape=16), settings, rng=rng())

    def test_sums_without_noise(self, quiet):
        maps = eds.fit_lines(quiet.eds, elements=ELEMENTS)
        for element in ELEMENTS:
            emitted = quiet.truth[f"eds_expected_{element}"].sum() * family_share(element)
            assert maps.intensities[element].images.sum() == pytest.approx(emitted, rel=0.004), element
        ignoring = eds.fit_lines(quiet.eds, elements=ELEMENTS, calibrate=("offset_ev", "gain", "resolution_ev"))
        emitted = quiet.truth["eds_expected_Mn"].sum() * family_share("Mn")
        assert abs(ignoring.intensities["Mn"].images.sum() / emitted - 1) > 0.005


NCM111 = {"Li": 1 / 3, "O": 2 / 3, "Mn": 1 / 9, "Co": 1 / 9, "Ni": 1 / 9}


class TestAbsorption:
    def test_a_ball_by_its_formula(self):
        ball = phantoms.balls([[0, 0, 0]], [75], shape=64)
        density = ball.tomogram()
        weights = eds.absorption_weights(
            density, composition=NCM111, elements=ELEMENTS, tilt_angles_deg=[0, 20], shadow=np.ones((2, 4))
        )
        # Transmission out of a ball of 150 nm, any direction: 3/x [1/2 - (1 - (1 + x) exp(-x)) / x²], x = mu rho d.
        for element, mu in zip(ELEMENTS, (2945, 6268, 6311, 7062), strict=True):
            x = mu * 4.77 * 150e-7
            expected = 3 / x * (0.5 - (1 - (1 + x) * np.exp(-x)) / x**2)
            mean = (weights[element] * density.values).sum(axis=(1, 2, 3)) / density.values.sum()
            np.testing.assert_allclose(mean, expected, atol=0.004)

    def test_agrees_with_the_rays_of_the_simulation(self):
        """Two grids, two frames, one geometry: a reversed sign in either would show at the rims."""
        particle = phantoms.particle("pristine-2", shape=48)
        density, tilt = particle.tomogram(), 40.0
        weights = eds.absorption_weights(density, composition=NCM111, elements=["O"], tilt_angles_deg=[tilt])["O"][0]
        through, axis = simulated.transmission(particle, tilt, np.array([xray.main_line("O").energy_kev]), Eds())
        mean = np.tensordot(Eds().detectors.shadow(tilt), through, axes=1)[0] / 4  # (y, u)
        z, y, x = np.meshgrid(*[(np.arange(48) - 24) * density.voxel_size_nm] * 3, indexing="ij")
        u = x * np.cos(np.deg2rad(tilt)) - z * np.sin(np.deg2rad(tilt))
        made = np.asarray(density.values)
        for side in (u > 40, u < -40, y > 40, y < -40):
            mine = (weights * made)[side].sum() / made[side].sum()
            at = np.stack([np.interp(v[side], axis, np.arange(axis.size)) for v in (y, u)])
            theirs = (map_coordinates(mean, at, order=1) * made[side]).sum() / made[side].sum()
            assert mine == pytest.approx(theirs, rel=0.006)
        right, left = ((weights * made)[s].sum() / made[s].sum() for s in (u > 40, u < -40))
        assert right > 1.05 * left

    def test_shadow_of_your_own_and_lithium(self):
        cube = Tomogram(np.full((6, 6, 6), 80.0), 10.0)
        options = {"elements": ["Mn"], "tilt_angles_deg": [0.0, 30.0]}
        one = eds.absorption_weights(cube, composition={"O": 1.0}, shadow=[[1, 0, 0, 0], [0, 0, 1, 0]], **options)["Mn"]
        assert np.all(one <= 0.25)
        assert one[0].argmax() != one[1].argmax()
        per_atom = eds.mass_absorption_per_atom({"O": 1.0}, ["Mn"])["Mn"]
        with_li = eds.mass_absorption_per_atom({"O": 1.0, "Li": 0.5}, ["Mn"])["Mn"]
        lithium = float(xray.mass_absorption("Li", xray.main_line("Mn").energy_kev)) * 6.94 / 6.02214076e23 * 1e14
        assert with_li - per_atom == pytest.approx(0.5 * lithium, rel=1e-6)


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"elements": ["Si"]}, "elements with a line between 350 and 1200 eV, got Si .* To fix: leave Si out"),
            ({"elements": []}, "one element or more, got none"),
            ({"elements": ["O", "O"]}, "each element once, got O twice"),
            ({"elements": ["O", "Qq"]}, "a chemical symbol such as 'Mn', got 'Qq'"),
            ({"window_ev": (500, 540)}, "window_ev: expected at least .* To fix: widen the window"),
            ({"method": "magic"}, "method: expected one of 'signed'"),
            ({"energy_ev": None}, "energy_ev: expected the energy of every channel"),
            ({"energy_ev": ENERGY[:-1]}, "counts: expected shape .* To fix: give one count per energy"),
            ({"eds": -np.ones((2, 2, 256))}, "X-ray counts, zero or above, got -1.* To fix: give raw counts"),
            ({"eds": np.full((2, 2, 256), np.nan)}, "zero or above, got NaN"),
            ({"eds": np.zeros((2, 2, 256))}, "at least one count, got none"),
        ],
    )
    def test_lines(self, change, words):
        arguments = {"eds": np.ones((2, 2, 256)), "energy_ev": ENERGY, "elements": ["O"], **change}
        spectra = arguments.pop("eds")
        with pytest.raises(ValueError, match=words):
            eds.fit_lines(spectra, arguments.pop("energy_ev"), **arguments)

    def test_a_tilt_without_counts_is_named(self):
        counts = np.ones((3, 2, 2, 256))
        counts[1] = 0
        series = SpectrumTiltSeries(counts, [-10, 5, 10], ENERGY, 4.63)
        with pytest.raises(ValueError, match=r"none at 5 degrees\. To fix: leave these tilts out"):
            eds.fit_lines(series, elements=["O"])
        counts[1] = -1
        with pytest.raises(ValueError, match="got -1 at 5 degrees"):
            eds.fit_lines(SpectrumTiltSeries(counts, [-10, 5, 10], ENERGY, 4.63), elements=["O"])
        with pytest.raises(ValueError, match="none beside a SpectrumTiltSeries"):
            eds.fit_lines(series, ENERGY, elements=["O"])

    def test_lines_that_look_the_same(self):
        with pytest.raises(ValueError, match=r"elements whose lines can be told apart, got .* To fix: leave one out"):
            eds.LineModel(ENERGY[70:180], ("Xe", "Eu")).projector(np.ones(110))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"mode": "magic"}, "mode: expected one of 'integration', 'net'"),
            ({"half_width_fwhm": 40.0}, "windows inside 0 to 2550 eV, got"),
            ({"half_width_fwhm": 0.0}, "in units of the line's width"),
        ],
    )
    def test_windows(self, change, words):
        with pytest.raises(ValueError, match=words):
            eds.integrate_windows(np.ones(256), ENERGY, elements=["O"], **change)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"density": Tomogram(-np.ones((2, 2, 2)), 1.0)}, "density: expected atoms per nm³, zero or above"),
            ({"density": Tomogram(np.full((2, 2, 2), np.nan), 1.0)}, "put 0 where nothing is"),
            ({"composition": {}}, "composition: expected one element or more"),
            ({"composition": {"O": -1.0}}, "composition of O: expected a finite number, zero or above"),
            ({"elements": ["Si"]}, "elements with a line between"),
            ({"tilt_angles_deg": [10, 0]}, "tilt_angles_deg: expected increasing"),
            ({"shadow": np.ones((1, 3))}, "shadow: expected shape \\(1, 4\\)"),
            ({"shadow": np.zeros((1, 4))}, "none at 0 degrees. To fix: leave these tilts out"),
        ],
    )
    def test_absorption(self, change, words):
        arguments = {
            "density": Tomogram(np.ones((2, 2, 2)), 1.0),
            "composition": {"O": 1.0},
            "elements": ["O"],
            "tilt_angles_deg": [0.0],
            **change,
        }
        density = arguments.pop("density")
        with pytest.raises(ValueError, match=words):
            eds.absorption_weights(density, **arguments)
