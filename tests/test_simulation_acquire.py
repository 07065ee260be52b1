"""Whole acquisitions: all signals together, in memory and in files, and what is refused before."""

import numpy as np
import pytest

from tests.slab import record, rng
from tritomo_helpers import io, phantoms
from tritomo_helpers.simulation import Acquisition, Eds, Eels, acquire, eds

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
