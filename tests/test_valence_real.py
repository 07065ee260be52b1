"""Valence of real line scans: what may be said without references from the same microscope, and what may not."""

import numpy as np
import pytest

from tritomo_helpers import eels, io, valence
from tritomo_helpers.spectroscopy import references

L3_EV = 642.0


def both_ranges(files):
    return (
        io.load_spectra(files[role], signal=f"EELS {label}", tilt_angles_deg=[0.0])
        for role, label in (("core_loss", "core-loss"), ("low_loss", "low-loss"))
    )


@pytest.mark.acceptance
def test_percentages_of_a_cathode_are_withheld_or_have_an_interval_of_the_references(real):
    core, low = both_ranges(real("NMC_EELS_linescan_Jia"))
    zero_ev = np.nanmedian(eels.zero_loss_center(low.counts, low.energy_ev))
    # Its axis is stretched: three edges tell by how much.
    axis_ev, _ = eels.calibrate_axis(
        core.energy_ev - zero_ev,
        measured_ev=np.array([630.5, 764.0, 835.0]) - zero_ev,
        known_ev=[641.5, 779.5, 854.5],
    )
    stretch = np.ptp(axis_ev) / np.ptp(core.energy_ev)
    low = low.replace(energy_ev=(low.energy_ev - zero_ev) * stretch)
    maps = valence.fit_spectra(core.replace(energy_ev=axis_ev), low)
    # Computed references are not these oxides, and that is seen.
    assert maps.chi2 > 1.5
    percent = maps.particle_percentages()
    for element in ("Mn", "Co"):
        states = maps.states_of(element)
        if maps.reportable[element]:
            assert all(np.ptp(maps.systematic[state]) > 0 for state in states)
        else:
            assert np.isnan([percent[state][0] for state in states]).all()
            assert any(text.startswith(f"{element}: percentages withheld") for text in maps.warnings)
    assert not all(maps.reportable[element] for element in ("Mn", "Co"))


def test_l3_over_l2_of_manganese_falls_from_the_surface_of_a_cathode_to_its_bulk(real):
    core, low = both_ranges(real("NMC_EELS_linescan_Jia"))
    low, core, _ = eels.align_zero_loss(low, core)
    peak_ev = eels.find_peak(core.counts, core.energy_ev, window_ev=(622, 650))
    energy = core.energy_ev + L3_EV - np.nanmedian(peak_ev[0, :, 8:])

    def ratio(at):
        mean = [scan.counts[0, :, at].mean(axis=(0, 1)) for scan in (core, low)]
        edge = eels.subtract_background(mean[0], energy, mean[1], low.energy_ev, edge="Mn L")
        e = edge.energy_ev
        step = np.interp(e, [L3_EV, L3_EV + 10], [0.0, 1.0])
        lines = edge.spectra - step * eels.continuum("Mn L", e) / edge.scale
        l3, l2 = (lines[(e > a) & (e < a + 12)].sum() for a in (636, 648))
        return l3 / l2

    surface, behind, bulk = (ratio(slice(*ends)) for ends in ((3, 6), (6, 9), (15, 21)))
    assert surface > behind + 0.5
    assert behind > bulk
    assert 1.2 < bulk < 2.2


def test_both_reference_sets_find_the_reduced_zone_of_a_manganite_film(real):
    core, low = both_ranges(real("LSMO_linescan_dualEELS"))
    low, core, _ = eels.align_zero_loss(low, core)
    line = core.counts[0, 0]
    energy = core.energy_ev + L3_EV - np.nanmedian(eels.find_peak(line, core.energy_ev, window_ev=(622, 645)))
    settings = eels.SweepSettings.for_edge("Mn L").replace(
        range_ev=(580, 716),
        pre_windows_ev=((582, 625), (590, 630), (582, 632)),
        post_windows_ev=((680, 714), (685, 714), (690, 714)),
    )
    optics = {"beam_energy_kev": 80, "convergence_angle_mrad": 27.42, "collection_angle_mrad": 33.19}
    film = eels.subtract_background(
        line, energy, low.counts[0, 0], low.energy_ev, edge="Mn L", settings=settings, **optics
    )
    mean_valence = []
    for name in references.SETS:
        fit = valence.fit_edges(
            film.spectra, film.energy_ev, references.load("Mn", name), method="nnls", cutoff_per_ev=0.36
        )
        parts = valence.fractions(fit)
        mean_valence.append(sum(int(state[2]) * parts[state] for state in ("Mn4", "Mn3", "Mn2")))
    first, second = mean_valence
    position_nm = core.pixel_size_nm * np.arange(first.size)
    for values in mean_valence:
        # The beam stood there: lower than the beginning of the line by a quarter at least.
        assert 50 < position_nm[values.argmin()] < 75
        assert values[:12].mean() - values.min() > 0.25
    assert np.corrcoef(first, second)[0, 1] > 0.98
    # The level of neither is that of the film, 3.3: only the pattern may be told.
    assert max(values[:12].mean() for values in mean_valence) < 3.2
    assert np.abs(first - second).max() == pytest.approx(0, abs=0.15)
