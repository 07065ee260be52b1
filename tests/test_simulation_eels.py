"""Simulated energy losses against counts worked out here, and truth against what can be recovered."""

import numpy as np
import pytest
import xraylib

from tests.slab import ELECTRONS, MEAN_FREE_PATH, UNITS, record, rng, slab
from tritomo_helpers.simulation import Acquisition, Eels, eels, losses
from tritomo_helpers.simulation.rays import plan
from tritomo_helpers.spectroscopy import CONTINUUM_MODELS, REFERENCE_SETS, references


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

    def test_drift_is_a_slow_walk_and_a_tenth_of_jitter(self):
        drift = eels.energy_drift((400, 400), Eels(energy_drift_ev=0.5), rng=np.random.default_rng(5)).ravel()
        assert drift.std() == pytest.approx(0.5 * np.hypot(1, 0.1), rel=0.05)
        # Neighbors differ by what the walk forgets in one step, 1 - exp(-1/100), and by the jitter of both.
        squared = np.mean(np.diff(drift) ** 2)
        assert squared == pytest.approx(0.25 * 2 * ((1 - np.exp(-0.01)) + 0.01), rel=0.03)

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
