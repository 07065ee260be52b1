"""Simulated spectra against counts worked out here from cross-sections, and truth against what can be recovered."""

import numpy as np
import pytest
import xraylib

from tritomo_helpers import constants, io, phantoms
from tritomo_helpers.simulation import Acquisition, Eds, Eels, acquire, eds, eels, losses
from tritomo_helpers.simulation.rays import plan
from tritomo_helpers.spectroscopy import CONTINUUM_MODELS, REFERENCE_SETS, references, xray

ELECTRONS = 0.3e-9 * 0.05 / 1.602176634e-19
UNITS = 29.78  # formula units per nm³
MEAN_FREE_PATH = 149.6


def rng(seed=5):
    return np.random.default_rng(seed)


def slab(thickness_nm, acquisition):
    """Atoms per nm² of a slab of NCM111, Mn4+ Co3+ Ni2+, at every pixel."""
    units = np.broadcast_to(UNITS * np.asarray(thickness_nm, dtype=float), acquisition.scan_shape)
    third = units / 3
    return {"O": 2 * units, "Li": units, "Mn4": third, "Co3": third, "Ni2": third}


def record(detector, thickness_nm, acquisition, phantom=None, seed=5, angle=0):
    exposure = plan(acquisition.replace(tilt_angles_deg=(angle,), repeats=False), rng=rng(seed))[0]
    return detector.detect(slab(thickness_nm, acquisition), exposure, phantom, acquisition, rng=rng(seed))


@pytest.fixture(scope="module")
def spectra():
    """Noise-free core-loss spectra of 100, 150 and 200 nm, every electron lost once at most."""
    acquisition = Acquisition.ideal(scan_shape=(1, 3), eels=Eels.ideal())
    counts, _ = record(eels, [[100, 150, 200]], acquisition)
    return acquisition.eels.core_loss_energy_ev, counts["core_loss"][0]


class TestCoreLoss:
    # barn/eV per formula unit at 636 eV, tabulated apart: O K tail, Bethe ridge, dipole part of outer shells.
    BACKGROUND = 27.6 + 33.1 + 14.2

    def test_background_before_the_mn_edge(self, spectra):
        energy, counts = spectra
        # 634 to 636 eV: before the Lorentzian foot of the white line is felt.
        found = counts[:, (energy > 630) & (energy < 632)].mean(axis=1)
        scale = ELECTRONS * UNITS * 1e-10 * 0.15 * self.BACKGROUND * (636 / 631) ** 3
        np.testing.assert_allclose(found, scale * np.array([100, 150, 200]), rtol=0.05)
        assert scale * 150 == pytest.approx(470, rel=0.04)

    @pytest.mark.parametrize(
        ("species", "energy_ev", "barn", "counts_at_150_nm"),
        [("Mn4", 710.0, 29.22, 61), ("Co3", 849.0, 17.73, 37), ("Ni2", 895.0, 13.0, 27)],
    )
    def test_continua(self, species, energy_ev, barn, counts_at_150_nm):
        quiet = Eels.ideal(l1_step=False)
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=quiet)
        energy = quiet.core_loss_energy_ev
        maps = slab(150, acquisition)
        exposure = plan(acquisition.replace(tilt_angles_deg=(0,), repeats=False), rng=rng())[0]
        whole = eels.detect(maps, exposure, None, acquisition, rng=rng())[0]["core_loss"][0, 0]
        rest = eels.detect({**maps, species: 0 * maps["O"]}, exposure, None, acquisition, rng=rng())[0]["core_loss"][
            0, 0
        ]
        # What this metal adds, less the smooth losses of its M electrons: the ridge, which knocks out n of them as if
        # free, and the dipole part from their photo-absorption.
        number, n_outer = {"Mn4": (25, 15), "Co3": (27, 17), "Ni2": (28, 18)}[species]
        shells = [getattr(xraylib, f"M{i}_SHELL") for i in range(1, 6)]
        photo = 0.0
        for shell in shells:
            photo += xraylib.ElectronConfig(number, shell) * xraylib.CSb_Photo_Partial(number, shell, energy_ev / 1e3)
        ridge_mrad, characteristic_mrad = 40.6 * np.sqrt(energy_ev / 640), energy_ev / (2 * 154.1 * (1 + 300 / 511))
        # 4.227e5 barn eV is 4 pi a0² R² / T; 1.0976e8 barn eV the photo-absorption of a unit oscillator strength.
        log = np.log1p((ridge_mrad / characteristic_mrad) ** 2)
        smooth = 4.227e5 * (n_outer / energy_ev**2 + photo / 1.0976e8 / energy_ev * log)
        scale = ELECTRONS * 0.99 * UNITS / 3 * 150 * 1e-10 * 0.15
        at = np.argmin(np.abs(energy - energy_ev))
        found = (whole - rest)[at - 3 : at + 4].mean() - scale * smooth
        assert found == pytest.approx(scale * barn, rel=0.03)
        assert found == pytest.approx(counts_at_150_nm, rel=0.05)

    def test_white_lines_hold_the_counts_of_their_holes(self):
        base = Acquisition.ideal(scan_shape=(1, 1))
        energy = base.eels.core_loss_energy_ev
        exposure = plan(base.replace(tilt_angles_deg=(0,), repeats=False), rng=rng())[0]
        area = {}
        for species in ("Mn4", "Mn3", "Mn2"):
            maps = {species: np.full((1, 1), 1000.0)}
            area[species] = eels.detect(maps, exposure, None, base, rng=rng())[0]["core_loss"][0, 0]
        window = (energy > 610) & (energy < 760)
        per_hole = ELECTRONS * 1000 * 1e-10 * references.white_line_cross_section("Mn")
        for upper, lower in (("Mn4", "Mn3"), ("Mn3", "Mn2")):
            assert (area[upper] - area[lower])[window].sum() == pytest.approx(per_hole * 0.99, rel=0.005)

    def test_lines_are_where_the_references_put_them(self):
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(zero_loss_fwhm_ev=0.3))
        energy = acquisition.eels.core_loss_energy_ev
        exposure = plan(acquisition.replace(tilt_angles_deg=(0,), repeats=False), rng=rng())[0]
        for species, peak in {"Mn4": 643.6, "Mn2": 640.5, "Co3": 781.0, "Co2": 779.3, "Ni2": 854.8}.items():
            maps = {species: np.full((1, 1), 1000.0)}
            counts = eels.detect(maps, exposure, None, acquisition, rng=rng())[0]["core_loss"][0, 0]
            # The continuum begins on the flank of the line and moves the maximum up a little.
            assert energy[np.argmax(counts)] == pytest.approx(peak, abs=0.5)

    def test_l1_step_of_manganese_lies_before_the_cobalt_edge(self):
        counts = {}
        for on in (True, False):
            acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(l1_step=on))
            counts[on] = record(eels, 150, acquisition)[0]["core_loss"][0, 0]
        step = counts[True] - counts[False]
        energy = acquisition.eels.core_loss_energy_ev
        assert abs(step[energy < 765]).max() < 0.01
        barn = step[np.argmin(abs(energy - 775))] / (ELECTRONS * 0.99 * UNITS / 3 * 150 * 1e-10 * 0.15)
        assert barn == pytest.approx(9.9 * 3 - 24.4, abs=0.5)  # 9.9 with L1, 24.4 barn/eV per atom without

    def test_fluorine_sits_on_the_manganese_continuum(self):
        counts = {}
        for layer in (0.0, 200.0):
            acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(fluorine_per_nm2=layer))
            counts[layer] = record(eels, 150, acquisition)[0]["core_loss"][0, 0]
        energy = acquisition.eels.core_loss_energy_ev
        added = counts[200.0] - counts[0.0]
        scale = ELECTRONS * 0.99 * 200 * 1e-10 * 0.15
        jump = added[(energy > 690) & (energy < 692)].mean() - added[(energy > 678) & (energy < 680)].mean()
        assert jump / scale == pytest.approx(13.8, rel=0.1)  # F K at its onset, barn/eV

    def test_plural_scattering_moves_counts_upward(self):
        once = Acquisition.ideal(scan_shape=(1, 1))
        often = once.replace(eels=Eels.ideal(plural_scattering=True))
        energy = once.eels.core_loss_energy_ev
        single, plural = (record(eels, 150, a)[0]["core_loss"][0, 0] for a in (once, often))
        peak = np.argmax(single)
        assert plural[peak] < 0.8 * single[peak]
        after = (energy > energy[peak] + 20) & (energy < energy[peak] + 28)
        assert plural[after].mean() > 1.05 * single[after].mean()
        # A pixel's spectrum is that of its own thickness: t/lambda adds up as exp[(t/lambda)(P - 1)].
        half = record(eels, 75, often)[0]["core_loss"][0, 0] * 2
        assert half[peak] / single[peak] == pytest.approx(np.sqrt(plural[peak] / single[peak]), rel=0.05)

    def test_where_core_losses_begin_hardly_matters(self, monkeypatch):
        # The border between low-loss events and core losses is ours; moving it moves the counts by little.
        found = {}
        for border in (250.0, 200.0):
            for module in ("spectrometer_settings", "losses"):
                monkeypatch.setattr(f"tritomo_helpers.simulation.{module}.LOWEST_CORE_LOSS_EV", border)
            spectrometer = Eels.ideal(plural_scattering=True, gain=1 + border * 1e-12)  # not the cached transforms
            acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=spectrometer)
            found[border] = record(eels, 150, acquisition)[0]["core_loss"]
        np.testing.assert_allclose(found[200.0], found[250.0], rtol=0.02)


class TestLowLoss:
    @pytest.mark.parametrize("tail", [0.0, 0.03])
    def test_log_ratio_gives_thickness_over_mean_free_path(self, tail):
        thickness = np.array([[100.0, 150.0, 200.0]])
        spectrometer = Eels.ideal(plural_scattering=True, zero_loss_tail=tail)
        acquisition = Acquisition.ideal(scan_shape=(1, 3), eels=spectrometer)
        counts, truth = record(eels, thickness, acquisition)
        low, energy = counts["low_loss"][0], spectrometer.low_loss_energy_ev
        ratio = np.log(low.sum(axis=1) / low[:, np.abs(energy) < 2.5].sum(axis=1))
        np.testing.assert_allclose(ratio, thickness[0] / MEAN_FREE_PATH, rtol=0.02)
        np.testing.assert_allclose(truth["thickness_over_mean_free_path"], thickness / MEAN_FREE_PATH, rtol=1e-3)

    def test_every_electron_arrives_once(self):
        acquisition = Acquisition.ideal(scan_shape=(1, 2), eels=Eels.ideal(plural_scattering=True))
        low = record(eels, [[0.0, 150.0]], acquisition)[0]["low_loss"][0]
        assert low[0].sum() == pytest.approx(0.01 * ELECTRONS, rel=1e-4)
        # Behind 150 nm a percent or two has lost more than the 277 eV that the axis holds.
        assert 0.97 < low[1].sum() / low[0].sum() < 1

    @pytest.mark.parametrize(("thickness_nm", "lost_percent"), [(100, 2.85), (150, 4.41), (200, 6.06), (300, 9.58)])
    def test_electrons_deflected_beyond_the_collection_angle_are_lost(self, thickness_nm, lost_percent):
        kept = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(plural_scattering=True))
        lossy = kept.replace(eels=kept.eels.replace(elastic_loss=True))
        (full, _), (less, truth) = (record(eels, thickness_nm, settings) for settings in (kept, lossy))
        for name in ("low_loss", "core_loss"):
            assert 100 * (1 - less[name].sum() / full[name].sum()) == pytest.approx(lost_percent, rel=0.02)
        assert 100 * (1 - truth["eels_collected_share"].item()) == pytest.approx(lost_percent, rel=0.02)

    def test_single_event_looks_like_that_of_a_real_nmc(self):
        # Shares of all events from 3 to 250 eV: Fourier-log deconvolution of NMC_EELS_linescan_Jia, mean of five pixels
        # inside the particle. Plasmon 23 to 24.6 eV there, with 0.8 eV for the axis.
        axis = np.arange(0.0, 300.0, 0.5)
        event = losses.single_event(axis, Acquisition())
        event /= event[(axis >= 3) & (axis < 250)].sum()
        shares = {(10, 18): 0.098, (18, 30): 0.281, (30, 45): 0.197, (45, 60): 0.112, (60, 100): 0.157}
        for (low, high), measured in shares.items():
            assert event[(axis >= low) & (axis < high)].sum() == pytest.approx(measured, rel=0.22)
        assert axis[np.argmax(event)] == pytest.approx(24.0, abs=1.0)
        # One event of all: the sum of 1 is not spent on what lies beyond the border of core losses.
        assert event[axis > 250].sum() == 0

    @pytest.mark.parametrize("peak_ev", [20.0, 25.0])
    def test_the_plasmon_is_where_it_is_asked_for(self, peak_ev):
        axis = np.arange(0.0, 300.0, 0.5)
        event = losses.single_event(axis, Acquisition(eels=Eels(plasmon_ev=peak_ev, plasmon_width_ev=10.0)))
        assert axis[np.argmax(event)] == pytest.approx(peak_ev, abs=0.5)

    def test_share_of_the_dwell(self):
        for share in (0.01, 0.1):
            acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(low_loss_share=share))
            counts = record(eels, 0.0, acquisition)[0]
            assert counts["low_loss"].sum() == pytest.approx(share * ELECTRONS, rel=1e-3)

    def test_zero_loss_is_at_zero_and_as_wide_as_asked_on_an_axis_that_misses_zero(self):
        spectrometer = Eels.ideal(zero_loss_fwhm_ev=1.2, low_loss_start_ev=-30.04)
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=spectrometer)
        low = record(eels, 0.0, acquisition)[0]["low_loss"][0, 0]
        energy = spectrometer.low_loss_energy_ev
        center = (low * energy).sum() / low.sum()
        assert center == pytest.approx(0, abs=2e-3)
        near = np.abs(energy) < 4
        width = np.sqrt((low * (energy - center) ** 2)[near].sum() / low.sum()) * 2.3548
        assert width == pytest.approx(1.2, rel=0.01)

    def test_drift_moves_both_ranges_and_is_in_the_truth(self):
        spectrometer = Eels.ideal(energy_drift_ev=0.6)
        acquisition = Acquisition.ideal(scan_shape=(6, 6), eels=spectrometer)
        counts, truth = record(eels, 150.0, acquisition)
        energy = spectrometer.low_loss_energy_ev
        center = (counts["low_loss"] * energy).sum(-1) / counts["low_loss"].sum(-1)
        np.testing.assert_allclose(center, truth["energy_drift_ev"], atol=2e-3)
        assert center.std() > 0.1
        core = counts["core_loss"].reshape(36, -1)
        still = record(eels, 150.0, acquisition.replace(eels=Eels.ideal()))[0]["core_loss"][0, 0]
        at = spectrometer.core_loss_energy_ev
        inside = slice(40, -40)
        for drift, spectrum in zip(truth["energy_drift_ev"].ravel()[::7], core[::7], strict=True):
            moved = np.interp(at, at + drift, still)
            assert np.linalg.norm((spectrum - moved)[inside]) < 0.02 * np.linalg.norm(still)

    def test_film_and_tilt_thicken_the_path(self):
        acquisition = Acquisition.ideal(scan_shape=(1, 1), film_thickness_nm=10.0)
        flat, steep = (record(eels, 0.0, acquisition, angle=a)[1] for a in (0, 60))
        name = "thickness_over_mean_free_path"
        assert flat[name].item() == pytest.approx(10 * 2.0 / 4.77 / MEAN_FREE_PATH, rel=1e-3)
        assert steep[name].item() == pytest.approx(2 * flat[name].item(), rel=1e-3)


class TestDetector:
    def test_counts_are_poisson_numbers(self):
        spectrometer = Eels(readout_noise=0, energy_drift_ev=0)
        acquisition = Acquisition(scan_shape=(20, 20), film_thickness_nm=0, eels=spectrometer)
        noisy = record(eels, 150.0, acquisition)[0]
        quiet = record(eels, 150.0, acquisition.replace(eels=spectrometer.replace(counting_noise=False)))[0]
        for name in ("low_loss", "core_loss"):
            counts, mean = noisy[name].reshape(400, -1).astype(float), quiet[name].reshape(400, -1)[0]
            seen = mean > 1
            chi2 = ((counts - mean) ** 2 / mean)[:, seen].mean()
            # Mean of n squared deviations: standard error sqrt(2 / n), a little more for small means.
            assert chi2 == pytest.approx(1, abs=6 * np.sqrt(3 / counts[:, seen].size)), name
            assert counts.sum() == pytest.approx(400 * mean.sum(), rel=5e-4)

    def test_gain_and_readout(self):
        spectrometer = Eels(gain=3.0, readout_noise=5.0, energy_drift_ev=0, efficiency=0.5, elastic_loss=False)
        acquisition = Acquisition(scan_shape=(20, 20), film_thickness_nm=0, eels=spectrometer)
        counts = record(eels, 150.0, acquisition)[0]["core_loss"].reshape(400, -1).astype(float)
        electrons = record(
            eels, 150.0, acquisition.replace(eels=Eels.ideal(plural_scattering=True, zero_loss_tail=0.03))
        )
        mean = 0.5 * electrons[0]["core_loss"].reshape(400, -1)[0]
        np.testing.assert_allclose(counts.mean(), 3 * mean.mean(), rtol=2e-3)
        # Poisson counts times gain, readout, and rounding to whole counts.
        expected = 9 * mean + 25 + 1 / 12
        assert (counts.var(axis=0, ddof=1) / expected).mean() == pytest.approx(1, abs=0.01)

    def test_empty_pixels_go_below_zero(self):
        acquisition = Acquisition(scan_shape=(4, 4), film_thickness_nm=0)
        assert record(eels, 0.0, acquisition)[0]["core_loss"].min() < 0

    def test_a_bright_beam_is_counted_in_wider_integers(self):
        dim = Acquisition(scan_shape=(1, 2))
        assert record(eels, 150.0, dim)[0]["core_loss"].dtype == np.int16
        bright = dim.replace(dwell_time_s=50.0)
        counts = record(eels, 150.0, bright)[0]["core_loss"]
        assert counts.dtype == np.int32
        assert counts.max() > 40_000


class TestEveryCombination:
    @pytest.mark.parametrize("continuum", CONTINUUM_MODELS)
    @pytest.mark.parametrize("reference", REFERENCE_SETS)
    def test_by_name(self, continuum, reference, spectra):
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(continuum=continuum, references=reference))
        counts = record(eels, 150, acquisition)[0]["core_loss"][0, 0]
        default = spectra[1][1]
        change = np.linalg.norm(counts - default) / np.linalg.norm(default)
        if (continuum, reference) == ("hydrogenic", "crystal-field"):
            assert change < 1e-6
        else:
            assert 0.01 < change < 0.5

    def test_references_of_your_own(self):
        shifted = references.load("Mn").changed(shift_ev=1.0)
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(references=(shifted,)))
        energy = acquisition.eels.core_loss_energy_ev
        counts = record(eels, 150, acquisition)[0]["core_loss"][0, 0]
        assert energy[np.argmax(counts)] == pytest.approx(644.6, abs=0.3)

    def test_a_state_without_reference(self):
        mn = references.load("Mn")
        two = references.ReferenceSet("mine", mn.states[:2], mn.energy_ev, mn.spectra[:2])
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eels=Eels.ideal(references=(two,)))
        with pytest.raises(ValueError, match="none for Mn2"):
            record(eels, 150, acquisition)


class TestEds:
    @pytest.mark.parametrize(
        ("element", "names", "expected"),
        [
            ("O", ("Ka",), 203),
            ("Mn", ("La", "Lb1"), 59 * 1.146),
            ("Co", ("La", "Lb1"), 74 * 1.164),
            ("Ni", ("La", "Lb1"), 81 * 1.174),
        ],
    )
    def test_counts_of_150_nm(self, element, names, expected):
        acquisition = Acquisition.ideal(scan_shape=(1, 1))
        exposure = plan(acquisition.replace(tilt_angles_deg=(0,), repeats=False), rng=rng())[0]
        found = eds.expected_lines(slab(150, acquisition), exposure, None, acquisition)
        mine = [i for i, line in enumerate(found.lines) if line.element == element and line.name in names]
        assert found.counts[0, 0, mine].sum() == pytest.approx(expected, rel=0.03)

    def test_spectrum_sums_to_its_lines_and_peaks_where_they_are(self):
        acquisition = Acquisition.ideal(scan_shape=(1, 1))
        counts = record(eds, 150, acquisition)[0]["eds"][0, 0]
        energy = acquisition.eds.energy_ev
        window = (energy > 470) & (energy < 590)
        # O Kα, and the Mn Ll + Ln that hide under it.
        assert counts[window].sum() == pytest.approx(203 + 7.8, rel=0.04)
        for low, high, at in ((450, 600, 525), (5700, 6200, 5895), (6700, 7200, 6925), (7300, 7700, 7472)):
            part = (energy >= low) & (energy <= high)
            assert energy[part][np.argmax(counts[part])] == pytest.approx(at, abs=10)

    def test_manganese_k_alpha_is_as_wide_as_specified(self):
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eds=Eds.ideal(resolution_ev=140.0))
        counts = record(eds, 150, acquisition)[0]["eds"][0, 0]
        energy = acquisition.eds.energy_ev
        part = (energy > 5700) & (energy < 6090)
        above = energy[part][counts[part] >= counts[part].max() / 2]
        assert above[-1] - above[0] == pytest.approx(140, abs=12)

    @pytest.mark.parametrize("diameter", [100.0, 200.0])
    @pytest.mark.parametrize("angle", [0.0, 35.0])
    def test_transmission_out_of_a_sphere(self, diameter, angle):
        ball = phantoms.balls([[0, 0, 0]], [diameter / 2], shape=16)
        energy = np.array([0.525, 0.637, 0.776, 0.851])
        found, axis = eds.transmission(ball, angle, energy, Eds(), n_grid=48)
        u, y = np.meshgrid(axis, axis)
        chord = 2 * np.sqrt(np.maximum(diameter**2 / 4 - u**2 - y**2, 0))
        mean = (found * chord).sum(axis=(2, 3)) / chord.sum()
        mu = sum(
            n
            * constants.ATOMIC_WEIGHT_G_PER_MOL[el]
            * np.array([xraylib.CS_Total(constants.ATOMIC_NUMBER[el], e) for e in energy])
            for el, n in constants.NCM111_FORMULA.items()
        )
        x = mu / 96.46 * 4.77 * diameter * 1e-7
        exact = 3 / x * (0.5 - (1 - (1 + x) * np.exp(-x)) / x**2)
        np.testing.assert_allclose(mean, np.broadcast_to(exact, mean.shape), atol=0.006)
        # From the side that faces a detector, X-rays come out more easily.
        assert found[0, 0, 24, axis > 20].mean() > found[0, 0, 24, axis < -20].mean()

    @pytest.mark.parametrize("tilt", [40.0, -40.0])
    def test_rim_that_is_lifted_towards_the_source_is_brighter(self, tilt):
        """The page of conventions: what lies where the beam enters, at negative z, moves to +u at positive tilt.

        So the face that looks at the source turns towards the detectors at +u, and those at -u look at it from below.
        X-rays made at +u have the shorter way out.
        """
        radius, mu_per_nm = 90.0, 2945 * 4.77e-7
        # Every way out by hand: points in a ball, and their distances to its surface towards the detectors that see it.
        generator = rng()
        points = generator.normal(size=(200_000, 3))
        points *= radius * generator.uniform(size=(200_000, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1)[:, None]
        u_of_detectors = np.sign(tilt) * np.cos(np.deg2rad(18)) * np.sqrt(0.5)
        towards = np.array([u_of_detectors, abs(u_of_detectors), -np.sin(np.deg2rad(18))])
        along = points @ towards
        way_out = -along + np.sqrt(along**2 + radius**2 - (points**2).sum(axis=1))
        leaving = np.exp(-mu_per_nm * way_out)
        expected = leaving[points[:, 0] > 0].mean() / leaving[points[:, 0] < 0].mean()
        assert (expected > 1.05) == (tilt > 0)

        ball = phantoms.balls([[0, 0, 0]], [radius], shape=16)
        through, axis = eds.transmission(ball, tilt, np.array([0.5249]), Eds())
        mean = np.tensordot(Eds().detectors.shadow(tilt), through, axes=1)[0]  # (y, u)
        chord = np.sqrt(np.maximum(radius**2 - axis[:, None] ** 2 - axis**2, 0))
        plus, minus = ((mean * chord)[:, np.sign(axis) == sign].sum() for sign in (1, -1))
        assert plus / minus == pytest.approx(expected, abs=0.008)

    def test_published_transmissions(self):
        x = np.array([2945, 6268, 6311, 7062]) * 4.77 * 150 * 1e-7
        exact = 3 / x * (0.5 - (1 - (1 + x) * np.exp(-x)) / x**2)
        np.testing.assert_allclose(exact, [0.925, 0.850, 0.849, 0.833], atol=0.001)

    def test_shadow_is_recovered_from_the_counts(self):
        ball = phantoms.balls([[0, 0, 0]], [90], shape=16)
        acquisition = Acquisition.tiny(
            signals=("eds",),
            misalignment_px=0,
            tilt_error_deg=0,
            repeats=False,
            eds=Eds(absorption=False, stray_copper_per_nm2=0, bremsstrahlung=False),
            film_thickness_nm=0,
            drift_nm=0,
            axis_rotation_deg=0,
        )
        got = acquire(ball, acquisition, rng=rng())
        totals = got.eds.counts.sum(axis=(1, 2, 3), dtype=float)
        shares = got.truth["eds_shadow"].sum(axis=1)
        np.testing.assert_allclose(totals / totals[2], shares / shares[2], rtol=0.02)
        assert shares[0] < 2.1
        assert shares[2] == pytest.approx(4)

    def test_bremsstrahlung_lies_between_the_lines(self):
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eds=Eds.ideal(bremsstrahlung=True))
        counts = record(eds, 150, acquisition)[0]["eds"][0, 0]
        energy = acquisition.eds.energy_ev
        between = counts[(energy > 2000) & (energy < 2100)].mean()
        expected = 0.0
        for element, atoms in (("O", 59.56), ("Mn", 9.927), ("Co", 9.927), ("Ni", 9.927), ("Li", 29.78)):
            barn = xray.bremsstrahlung_cross_section(element, 2.05)
            expected += atoms * 150 * barn * 1e-10 * 0.01 * ELECTRONS * 0.7 / (4 * np.pi)
        assert between == pytest.approx(expected, rel=0.05)
        peak = counts[(energy > 500) & (energy < 550)].mean()
        assert 3 < peak / between < 300

    def test_film_and_grid(self):
        acquisition = Acquisition.ideal(
            scan_shape=(1, 1), film_thickness_nm=10.0, eds=Eds.ideal(stray_copper_per_nm2=100.0)
        )
        counts = record(eds, 0.0, acquisition)[0]["eds"][0, 0]
        energy = acquisition.eds.energy_ev
        barn = xray.emission_cross_section(xray.lines(["C"])[0])
        carbon = ELECTRONS * 10 * 100.3 * barn * 1e-10 * 0.7 / (4 * np.pi)
        assert counts[energy < 450].sum() == pytest.approx(carbon, rel=0.02)
        assert counts[(energy > 7700) & (energy < 8400)].sum() == pytest.approx(4.6, rel=0.15)  # Cu Kα

    def test_counts_are_poisson_numbers(self):
        acquisition = Acquisition(scan_shape=(30, 30), film_thickness_nm=0, eds=Eds(absorption=False))
        counts = record(eds, 150, acquisition)[0]["eds"].reshape(900, -1).astype(float)
        mean = record(eds, 150, acquisition.replace(counting_noise=False))[0]["eds"].reshape(900, -1)[0]
        busy = mean > 1
        assert counts[:, busy].var(axis=0, ddof=1).sum() / mean[busy].sum() == pytest.approx(1, abs=0.02)
        assert counts.sum() == pytest.approx(900 * mean.sum(), rel=0.005)

    def test_efficiency_scales(self):
        one, half = (
            record(eds, 150, Acquisition.ideal(scan_shape=(1, 1), eds=Eds.ideal(efficiency=e)))[0]["eds"].sum()
            for e in (1.0, 0.5)
        )
        assert half == pytest.approx(one / 2, rel=1e-6)


def test_fluorine_of_a_specimen_reaches_both_spectrometers():
    setting = Acquisition.ideal(
        scan_shape=(12, 12), pixel_size_nm=24.7, tilt_angles_deg=(0,), signals=("eds", "eels"), repeats=False
    )
    spectra = {}
    for control in ("none", "surface-fluoride"):
        phantom = phantoms.particle("pristine-4", shape=16, control=control)
        spectra[control] = acquire(phantom, setting, rng=rng(0))
    energy_ev = spectra["none"].eds.energy_ev
    line = np.abs(energy_ev - 677) < 30
    plain, with_f = (spectra[c].eds.counts.sum(axis=(0, 1, 2))[line].sum() for c in ("none", "surface-fluoride"))
    assert with_f > 1.4 * plain  # Co Ll lies there, too
    truth = spectra["surface-fluoride"].truth
    assert truth["eds_expected_F"].sum() > 100
    assert "eds_expected_F" not in spectra["none"].truth
    # The K edge at 685 eV: a step on the continuum of Mn.
    loss_ev = spectra["none"].core_loss.energy_ev
    above, below = (np.abs(loss_ev - center) < 6 for center in (695, 677))
    steps = []
    for got in spectra.values():
        total = got.core_loss.counts.sum(axis=(0, 1, 2))
        steps.append(total[above].mean() / total[below].mean())
    assert steps[1] > steps[0] + 0.03


SCAN = (8, 9)


class TestWholeAcquisition:
    @staticmethod
    def run(signals=("adf", "eds", "eels"), **options):
        settings = Acquisition.tiny(
            tilt_angles_deg=(-40, 0, 40), signals=signals, scan_shape=SCAN, pixel_size_nm=296 / SCAN[0]
        )
        return acquire(phantoms.particle("cycled-200-1", shape=16), settings, rng=rng(1), **options)

    @pytest.fixture(scope="class")
    @staticmethod
    def got():
        return TestWholeAcquisition.run()

    def test_leaving_signals_out_does_not_change_those_that_stay(self, got):
        other = self.run(signals=("eels",))
        assert np.array_equal(got.core_loss.counts, other.core_loss.counts)
        assert other.eds is None

    def test_shapes_axes_and_repeats(self, got):
        assert got.eds.counts.shape == (3, *SCAN, 4096)
        assert got.low_loss.energy_ev[0] == -30
        assert got.core_loss.energy_ev[-1] == pytest.approx(907.05, abs=1e-6)
        assert got.repeats["eds"].shape == (3, *SCAN, 4096)
        assert np.array_equal(got.repeats["core_loss"][1], got.core_loss.counts[1])
        assert not np.array_equal(got.repeats["core_loss"][0], got.core_loss.counts[1])

    def test_truth_goes_along(self, got):
        truth = got.truth
        assert truth["energy_drift_ev"].shape == (3, *SCAN)
        assert truth["eds_shadow"].shape == (3, 4)
        assert truth["repeats_energy_drift_ev"].shape == (3, *SCAN)
        inside = truth["thickness_over_mean_free_path"] > 0.5
        assert np.all(truth["eds_transmission_Mn"][inside] < 1)
        assert np.all(truth["eds_transmission_O"][inside] > truth["eds_transmission_Ni"][inside] - 0.02)

    @pytest.mark.parametrize(
        ("name", "label"), [("eds", "EDS"), ("low_loss", "EELS low-loss"), ("core_loss", "EELS core-loss")]
    )
    def test_files_read_back_like_your_own(self, got, name, label, tmp_path):
        series = getattr(got, name)
        assert series.label == label
        io.save(series, tmp_path / f"{name}.hspy")
        back = io.load_spectra(tmp_path / f"{name}.hspy", signal=label)
        assert np.array_equal(np.asarray(back.counts), series.counts)
        np.testing.assert_allclose(back.energy_ev, series.energy_ev, atol=1e-6)
        np.testing.assert_allclose(back.tilt_angles_deg, series.tilt_angles_deg)
        assert back.pixel_size_nm == pytest.approx(series.pixel_size_nm)

    def test_same_seed_same_arrays_in_memory_and_on_disk(self, got, tmp_path):
        there = self.run(out=tmp_path)
        for name in ("eds", "low_loss", "core_loss"):
            assert np.array_equal(getattr(there, name).counts, getattr(got, name).counts)
        assert (tmp_path / "core_loss.npy").exists()


class TestFailsAtOnce:
    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: Eels(core_loss_start_ev=645), "from 10 eV below the Mn L3 edge"),
            (lambda: Eels(core_loss_start_ev=700), "start earlier"),
            (lambda: Eels(n_channels=512), "to 10 eV above the Co L2 edge"),
            (lambda: Eels(core_loss_start_ev=350, n_channels=4096), "start the core-loss axis later"),
            (lambda: Eels(low_loss_start_ev=5), "an axis that holds the zero-loss peak"),
            (lambda: Eels(dispersion_ev=0), "zero dispersion makes no axis"),
            (lambda: Eels(efficiency=0), "efficiency: expected a share above 0"),
            (lambda: Eels(low_loss_share=1.5), "low_loss_share: expected a share"),
            (lambda: Eels(continuum="magic"), "continuum: expected one of 'hydrogenic'"),
            (lambda: Eels(references="magic"), "references: expected one of 'crystal-field'"),
            (lambda: Eels(zero_loss_tail=1.0), "zero_loss_tail: expected a share"),
            (lambda: Eds(elevation_deg=-18), "a detector behind the specimen"),
            (lambda: Eds(channel_ev=0), "zero dispersion makes no axis"),
            (lambda: Eds(azimuths_deg=()), "at least one detector"),
            (lambda: Eds(n_channels=1), "n_channels: expected at least two"),
            (lambda: Eds(n_channels=np.nan), "n_channels: expected a whole number above zero, got nan"),
            (lambda: Eds(elevation_deg="18"), "elevation_deg: expected detectors on the side"),
            (lambda: Eds(resolution_ev=-130), "resolution_ev: expected a finite number above zero"),
            (lambda: Eds(resolution_ev=90), "at least 121 eV"),
            (lambda: Eds(horizon_deg=np.nan), "horizon_deg: expected a number from -90 to 90"),
            (lambda: Eds(efficiency="1"), "efficiency: expected a share"),
            (lambda: Eds(absorption=0), "absorption: expected True or False"),
            (lambda: Eds(line_efficiency=(("O Kz", 0.9),)), "line of O: expected one of 'Ka'"),
            (lambda: Eds(line_efficiency=(("O Ka", 0.0),)), "line_efficiency of O Ka"),
            (lambda: Eels(n_channels=2048.5), "n_channels: expected a whole number"),
            (lambda: Eels(core_loss_start_ev=np.nan), "core_loss_start_ev: expected a number"),
            (lambda: Eels(low_loss_start_ev="-30"), "low_loss_start_ev: expected a number"),
            (lambda: Eels(zero_loss_fwhm_ev=-1), "zero_loss_fwhm_ev"),
            (lambda: Eels(zero_loss_tail=np.nan), "zero_loss_tail"),
            (lambda: Eels(plural_scattering="off"), "plural_scattering: expected True or False"),
            (lambda: Eels(references=("crystal-field",)), "ReferenceSet objects, got 'crystal-field'"),
            (lambda: Eels(exelfs=-0.05), "exelfs: expected a number from 0 to 0.5"),
            (lambda: Eels(dispersion_error=1.0), "dispersion_error: expected a number"),
            (lambda: Eds(solid_angle_sr=-1), "solid_angle_sr: expected a finite number above zero"),
        ],
    )
    def test_with_the_remedy(self, make, words):
        with pytest.raises(ValueError, match=words):
            make()

    def test_every_detector_in_the_shadow(self):
        # Unlike Acquisition(eds=...), an acquisition of ADF alone is not asked whether detectors see anything.
        acquisition = Acquisition.ideal(scan_shape=(1, 1), eds=Eds(horizon_deg=80.0))
        with pytest.raises(ValueError, match=r"none at 0 degrees\. To fix: lower horizon_deg"):
            record(eds, 150, acquisition)


@pytest.mark.acceptance
def test_rich_regions_that_tomography_finds_in_a_homogeneous_particle():
    """The default efficiency of the X-ray detectors, judged by the null: negligible with few iterations, not with many.

    The paper finds 0.1 % after 100 cycles and 0.2 to 0.5 % after 200 with the longer run.
    """
    from scipy.ndimage import binary_dilation, gaussian_filter

    from tritomo_helpers import tomography
    from tritomo_helpers.containers import TiltSeries

    null = phantoms.particle("pristine-1", control="null")
    settings = Acquisition.ideal(
        signals=("eds",), counting_noise=True, repeats=False, film_thickness_nm=4.0, eds=Eds(n_channels=256)
    )
    got = acquire(null, settings, rng=rng(0))
    energy = got.eds.energy_ev
    used = (energy > 200) & (energy < 1300)
    templates = []
    for element in ("O", "Mn", "Co", "Ni", "C", "Cu"):
        shape = sum(
            xray.emission_cross_section(line) * xray.line_shape(energy, line.energy_kev)
            for line in xray.lines([element])
        )
        templates.append(shape / shape.sum())
    templates += [1 / np.maximum(energy, 100), 1e2 / np.maximum(energy, 100) ** 2]
    model, counts = np.array(templates)[:, used], got.eds.counts[..., used].astype(float)
    weights = 1 / counts.mean(axis=(0, 1, 2))
    maps = counts @ np.linalg.solve((model * weights) @ model.T, model * weights).T[:, :4]
    totals = maps.sum(axis=(1, 2))
    maps /= (totals / totals.mean(axis=0)).mean(axis=1)[:, None, None, None]
    series = {
        element: TiltSeries(gaussian_filter(maps[..., i], (0, 1.2, 1.2)).clip(0), settings.tilt_angles_deg, 4.63)
        for i, element in enumerate(("O", "Mn", "Co", "Ni"))
    }
    errors, rich, rich_below_surface = [], [], []
    for options in (
        {"oversampling": 2, "n_iterations": 200},
        {"oversampling": 3, "n_iterations": 1000},
        {"method": "sirt"},
    ):
        found = tomography.reconstruct(series, support=binary_dilation(null.mask), **options)
        volumes = np.stack([np.asarray(result.tomogram.values) for result in found.values()])
        inside = null.mask & (volumes.sum(axis=0) > 0)
        volumes *= (np.array([6, 1, 1, 1]) / 9 / volumes[:, inside].sum(axis=1))[:, None, None, None]
        metals = 100 * volumes[1:, inside] / volumes[:, inside].sum(axis=0)
        errors.append(metals.std(axis=1))
        rich.append(100 * (metals > 16.7).mean(axis=1))
        rich_below_surface.append(100 * (metals[:, null.depth_nm[inside] > 5] > 16.7).mean(axis=1))
    assert np.all(errors[0] < 1.75)
    assert np.all(rich[0] < 0.25)
    assert np.all(rich_below_surface[0] < 0.05)
    assert np.all((errors[1] > errors[0] * 1.2) & (errors[1] < 2.3))
    assert np.all((rich[1] > 0.3) & (rich[1] < 1.0))
    assert np.all(errors[2] < 0.9)
    assert np.all(rich[2] < 0.01)
