"""What the analysis does not model, switched on one by one: it does what the table says, and nothing when it is off."""

import numpy as np
import pytest

from tritomo_helpers import phantoms
from tritomo_helpers.simulation import (
    MISMATCHES,
    Acquisition,
    Eds,
    Eels,
    acquire,
    detection_power,
    eds,
    eels,
    white_line_change,
)
from tritomo_helpers.simulation.rays import plan, species_maps
from tritomo_helpers.spectroscopy import references

IDEAL = Acquisition.ideal(scan_shape=(1, 1), repeats=False, eels=Eels.ideal(zero_loss_fwhm_ev=0.3))
NCM111 = {"Li": 29.78, "O": 59.56, "Mn4": 9.927, "Co3": 9.927, "Ni2": 9.927}


def rng(seed=7):
    return np.random.default_rng(seed)


def slab(thickness_nm=150.0):
    return {species: np.full((1, 1), n * thickness_nm) for species, n in NCM111.items()}


def spectra(acquisition, maps=None, angle=0.0):
    exposure = plan(acquisition.replace(tilt_angles_deg=(angle,)), rng=rng())[0]
    counts, _ = eels.detect(slab() if maps is None else maps, exposure, None, acquisition, rng=rng())
    return counts["low_loss"][0, 0].astype(float), counts["core_loss"][0, 0].astype(float)


def lines(acquisition, angle=0.0):
    exposure = plan(acquisition.replace(tilt_angles_deg=(angle,)), rng=rng())[0]
    expected = eds.expected_lines(slab(), exposure, None, acquisition)
    return {(line.element, line.name): n for line, n in zip(expected.lines, expected.counts[0, 0], strict=True)}


class TestTable:
    def test_everything_is_off_by_default_and_in_ideal(self):
        for settings in (Acquisition(), Acquisition.ideal(), Acquisition.tiny()):
            for mismatch in MISMATCHES.values():
                for owner, changes in (
                    (settings, mismatch.acquisition),
                    (settings.eds, mismatch.eds),
                    (settings.eels, mismatch.eels),
                ):
                    assert all(getattr(owner, name) != value for name, value in changes.items())
            assert settings.critical_dose_e_per_a2 == np.inf

    def test_each_changes_one_thing_and_they_add_up(self):
        paper = Acquisition()
        assert Acquisition.mismatched("exelfs").eds == paper.eds
        both = Acquisition.mismatched("nickel-line", base=Acquisition.mismatched("exelfs"), dwell_time_s=0.1)
        assert (both.eels.exelfs, both.eels.nickel_shift_ev, both.dwell_time_s) == (0.05, 0.8, 0.1)
        for name in MISMATCHES:
            assert Acquisition.mismatched(name) != paper

    def test_an_unknown_name(self):
        with pytest.raises(ValueError, match="mismatch: expected one of 'axis-offset'"):
            Acquisition.mismatched("rain")


class TestEels:
    def test_the_core_axis_is_off_and_the_low_loss_axis_is_right(self):
        mismatched = Acquisition.mismatched("axis-offset", base=IDEAL)
        (low, core), (low_off, core_off) = spectra(IDEAL), spectra(mismatched)
        energy = IDEAL.eels.core_loss_energy_ev
        shifted = np.interp(energy - 0.5, energy, core)
        assert np.linalg.norm((core_off - shifted)[20:-20]) < 0.01 * np.linalg.norm(core)
        np.testing.assert_allclose(low_off, low, atol=1e-4 * low.max())

    @pytest.mark.parametrize("error", [0.003, -0.004])
    def test_wider_channels_crowd_the_features(self, error):
        # A line of known energy shows where true channels of 0.15 (1 + error) eV put it.
        maps = {"Mn2": np.full((1, 1), 1e4), "Ni2": np.full((1, 1), 1e4)}
        _, core = spectra(IDEAL, maps)
        _, crowded = spectra(IDEAL.replace(eels=IDEAL.eels.replace(dispersion_error=error)), maps)
        energy = IDEAL.eels.core_loss_energy_ev
        for window in ((635, 650), (850, 862)):
            near = (energy > window[0]) & (energy < window[1])
            true, shown = (energy[near][np.argmax(counts[near])] for counts in (core, crowded))
            assert shown == pytest.approx(600 + (true - 600) / (1 + error), abs=0.16)

    def test_zero_loss_stays_at_zero_where_channels_are_wider(self):
        spectrometer = Eels.ideal(zero_loss_fwhm_ev=1.2, low_loss_start_ev=-30.04, dispersion_error=0.02)
        low, _ = spectra(IDEAL.replace(eels=spectrometer), slab(0.0))
        energy = spectrometer.low_loss_energy_ev
        assert (low * energy).sum() / low.sum() == pytest.approx(0, abs=2e-3)

    def test_the_references_have_other_shapes(self):
        _, core = spectra(Acquisition.mismatched("reference-shape", base=IDEAL), {"Mn4": np.full((1, 1), 1000.0)})
        _, same = spectra(
            IDEAL.replace(eels=IDEAL.eels.replace(references=(references.load("Mn", "charge-transfer"),))),
            {"Mn4": np.full((1, 1), 1000.0)},
        )
        np.testing.assert_allclose(core, same, rtol=1e-5, atol=1e-3)
        _, usual = spectra(IDEAL, {"Mn4": np.full((1, 1), 1000.0)})
        assert np.linalg.norm(core - usual) > 0.02 * np.linalg.norm(usual)

    def test_fine_structure_of_five_percent(self):
        maps = {"Co2": np.full((1, 1), 1000.0)}
        _, plain = spectra(IDEAL, maps)
        _, wavy = spectra(Acquisition.mismatched("exelfs", base=IDEAL), maps)
        energy = IDEAL.eels.core_loss_energy_ev
        near = (energy > 830) & (energy < 900)
        # Half of what lies there is outer-shell background, which does not wiggle.
        relative = (wavy / plain - 1)[near]
        assert 0.02 < relative.max() < 0.05
        assert -0.05 < relative.min() < -0.02
        assert wavy[energy < 770] == pytest.approx(plain[energy < 770], rel=1e-5)

    def test_nickel_moves_and_nothing_else(self):
        for species, shift in (("Ni2", 0.8), ("Mn3", 0.0)):
            maps = {species: np.full((1, 1), 1e4)}
            peaks = [
                IDEAL.eels.core_loss_energy_ev[np.argmax(spectra(settings, maps)[1])]
                for settings in (IDEAL, Acquisition.mismatched("nickel-line", base=IDEAL))
            ]
            assert peaks[1] - peaks[0] == pytest.approx(shift, abs=0.16)

    def test_white_lines_follow_their_setting(self):
        tall = IDEAL.replace(eels=IDEAL.eels.replace(white_line_ev_per_hole=1.5 * 5.5))
        maps = {"Mn4": np.full((1, 1), 1000.0)}
        none = IDEAL.replace(eels=IDEAL.eels.replace(white_line_ev_per_hole=1e-9))
        flat, usual, taller = (spectra(settings, maps)[1] for settings in (none, IDEAL, tall))
        assert (taller - flat).sum() / (usual - flat).sum() == pytest.approx(1.5, rel=1e-3)


class TestChanneling:
    def test_brightens_adf_on_the_zone_and_not_beside_it(self):
        small = phantoms.balls([[0, 0, 0]], [60], shape=16)
        plain = Acquisition.tiny(
            tilt_angles_deg=(-20, 0, 40), counting_noise=False, tilt_error_deg=0, misalignment_px=0, repeats=False
        )
        channeled = Acquisition.mismatched("channeling", base=plain)
        before, after = (acquire(small, settings, rng=rng()).adf for settings in (plain, channeled))
        gain = after.images.sum(axis=(1, 2)) / before.images.sum(axis=(1, 2))
        np.testing.assert_allclose(gain, [1.33, 1, 1.33], rtol=1e-5)
        assert 1.26 < gain[0] < 1.39
        np.testing.assert_allclose(acquire(small, channeled, rng=rng()).truth["adf_gain"], gain, rtol=1e-5)

    def test_takes_three_percent_from_oxygen_only(self):
        channeled = Acquisition.mismatched("channeling", base=IDEAL)
        on, off, usual = lines(channeled, -20.0), lines(channeled, 0.0), lines(IDEAL)
        assert on["O", "Ka"] / usual["O", "Ka"] == pytest.approx(0.97)
        assert on["Mn", "La"] == pytest.approx(usual["Mn", "La"])
        assert off == pytest.approx(usual)


def test_every_line_has_its_own_efficiency():
    usual = lines(IDEAL)
    changed = lines(Acquisition.mismatched("line-efficiency", base=IDEAL))
    assert changed["O", "Ka"] / usual["O", "Ka"] == pytest.approx(0.9)
    assert changed["Mn", "La"] / usual["Mn", "La"] == pytest.approx(0.94)
    assert changed["Mn", "Ka"] == pytest.approx(usual["Mn", "Ka"])
    named = IDEAL.replace(eds=Eds.ideal(line_efficiency={"Co La": 0.5}))
    assert lines(named)["Co", "La"] / usual["Co", "La"] == pytest.approx(0.5)


class TestDamage:
    @pytest.fixture(scope="class")
    @staticmethod
    def taken():
        small = phantoms.particle("pristine-4", shape=16)
        settings = Acquisition.tiny(
            counting_noise=False, tilt_error_deg=0, misalignment_px=0, drift_nm=0, critical_dose_e_per_a2=5e5
        )
        return small, settings, plan(settings, rng=rng())

    def test_reduces_metals_and_takes_half_an_oxygen_per_charge(self, taken):
        small, settings, exposures = taken
        intact = species_maps(small, settings.replace(critical_dose_e_per_a2=np.inf), exposures[-1])
        hurt = species_maps(small, settings, exposures[-1])
        change = {name: (hurt[name] - intact[name]).sum() for name in intact}
        assert change["Mn4"] < 0 < change["Mn2"]
        assert change["Co3"] < 0 < change["Co2"]
        # Metals are conserved, and so is charge.
        assert change["Mn4"] + change["Mn3"] + change["Mn2"] == pytest.approx(0, abs=1e-6 * intact["Mn4"].sum())
        charge = 4 * change["Mn4"] + 3 * change["Mn3"] + 2 * change["Mn2"] + 3 * change["Co3"] + 2 * change["Co2"]
        assert 2 * change["O"] == pytest.approx(charge, rel=1e-6)
        assert change["Ni2"] == change["Li"] == 0

    def test_reaches_ten_nanometers_and_follows_the_dose(self):
        ball = phantoms.balls([[0, 0, 0]], [80], shape=16)
        radius, depth = 80.0, 10.0
        settings = Acquisition.tiny(critical_dose_e_per_a2=1e6, tilt_angles_deg=(0,), repeats=False, probe_fwhm_nm=0)
        fine = settings.replace(scan_shape=(48, 48), pixel_size_nm=4.0, misalignment_px=0.0)
        exposure = plan(fine, rng=rng())[0]
        intact = species_maps(ball, fine.replace(critical_dose_e_per_a2=np.inf), exposure)["Mn4"].sum()
        lost = 1 - species_maps(ball, fine, exposure)["Mn4"].sum() / intact
        # Mean of exp(-d / 10 nm) over a ball, worked out by hand: 3/R^3 times the integral of r^2 exp(-(R - r) / h).
        x = radius / depth
        weight = 3 / x**3 * (x**2 - 2 * x + 2 - 2 * np.exp(-x))
        dose = 0.5 * fine.dose_per_image_e_per_a2
        assert lost == pytest.approx((1 - np.exp(-dose / 1e6)) * weight, rel=0.01)

    def test_zero_tilts_differ_by_the_dose_between_them(self, taken):
        small, settings, _ = taken
        got = acquire(small, settings, rng=rng())
        doses = got.truth["repeats_dose_e_per_a2"]
        np.testing.assert_allclose(doses / settings.dose_per_image_e_per_a2, [0.5, 3.5, 6.5])
        first, middle, last = got.repeats["adf"].sum(axis=(1, 2))
        assert first > middle > last  # oxygen leaves
        still = acquire(small, settings.replace(critical_dose_e_per_a2=np.inf), rng=rng()).repeats["adf"]
        np.testing.assert_allclose(still[0], still[2], rtol=1e-6)

    def test_power_against_counting_draws(self):
        draws = rng().standard_normal(200_000)
        for change, error in ((0.0, 1.0), (1.0, 1.0), (3.0, 1.2)):
            seen = (np.abs(change + error * draws) > 1.959964 * error).mean()
            assert detection_power(change, error) == pytest.approx(seen, abs=0.004)

    def test_white_lines_fall_with_the_dose_constant(self, taken):
        small, settings, _ = taken
        changes = [
            white_line_change(small, settings, critical_dose_e_per_a2=dose, spacing_nm=16) for dose in (1e5, 1e6, 1e7)
        ]
        for element in ("Mn", "Co"):
            values = np.array([change[element] for change in changes])
            assert np.all(np.diff(values) > 0)
            assert values[-1] / values[-2] == pytest.approx(0.1, rel=0.2)  # linear where the dose is small

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: detection_power(1.0, 0.0), "standard_error: expected numbers above zero"),
            (lambda: detection_power(1.0, 1.0, significance=5), "a probability between 0 and 1"),
            (
                lambda: white_line_change(
                    phantoms.balls([[0, 0, 0]], [30], shape=8), Acquisition(), critical_dose_e_per_a2=-1
                ),
                "critical_dose_e_per_a2: expected a finite number above zero",
            ),
        ],
    )
    def test_bad_input(self, call, words):
        with pytest.raises(ValueError, match=words):
            call()
