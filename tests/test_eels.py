import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tritomo_helpers import eels, io

ENERGY = np.arange(600.0, 700.0, 0.3)


def peak(center, width=2.0, energy=ENERGY):
    return np.exp(-0.5 * ((energy - center) / width) ** 2)


@pytest.mark.parametrize("center", [640.0, 640.1, 640.22, 651.37])
def test_peak_is_found_to_a_small_part_of_a_channel(center):
    assert eels.find_peak(peak(center), ENERGY, window_ev=(630, 660)) == pytest.approx(center, abs=0.01)


def test_peaks_of_a_spectrum_image_keep_its_shape():
    centers = np.array([[640.0, 641.5, 643.0], [645.0, 646.0, 647.2]])
    found = eels.find_peak(peak(centers[..., None]), ENERGY, window_ev=(630, 660))
    np.testing.assert_allclose(found, centers, atol=0.01)


def test_a_peak_scatters_as_its_three_channels_do_and_above_the_bound():
    width, top, step = 2.0, 1e5, 1.0
    energy = np.arange(620.0, 660.0, step)
    expected = top * peak(640.0, width, energy)
    found = eels.find_peak(
        np.random.default_rng(7).poisson(expected, (4000, energy.size)), energy, window_ev=(630, 650)
    )
    beside = top * np.exp(-0.5 * (step / width) ** 2)
    of_parabola = step * np.sqrt(2 * beside) / (4 * (top - beside))
    assert found.std() == pytest.approx(of_parabola, rel=0.05)
    assert abs(found.mean() - 640) < 4 * of_parabola / np.sqrt(4000)
    slope = expected * (energy - 640) / width**2
    cramer_rao = 1 / np.sqrt(np.sum(slope**2 / expected))
    assert cramer_rao == pytest.approx(width / np.sqrt(expected.sum()), rel=1e-3)
    assert 3.0 < found.std() / cramer_rao < 3.4  # a fit of the whole peak would be that much better


def test_a_falling_background_alone_holds_no_peak():
    assert np.isnan(eels.find_peak(ENERGY**-3.0, ENERGY, window_ev=(630, 660)))


def test_peak_on_uneven_channels():
    energy = np.sort(np.concatenate([ENERGY, [640.05]]))
    assert eels.find_peak(peak(640.05, energy=energy), energy, window_ev=(630, 660)) == pytest.approx(640.05, abs=0.1)


def test_area_above_a_sloping_line_is_the_peak_alone():
    image = 1000 - ENERGY + np.array([[0.0], [1.0], [-2.0]]) * peak(640.0, 1.0)
    expected = np.array([0.0, 1.0, -2.0]) * np.sqrt(2 * np.pi) / 0.3
    np.testing.assert_allclose(eels.peak_area(image, ENERGY, center_ev=640, half_width_ev=4), expected, atol=0.02)


def test_area_where_there_is_no_peak_scatters_about_zero():
    rng = np.random.default_rng(3)
    spectra = rng.poisson(1000.0, size=(400, ENERGY.size))
    areas = eels.peak_area(spectra, ENERGY, center_ev=660)
    n_peak, n_flank = 27, 13
    expected = np.sqrt(1000 * (n_peak + n_peak**2 / (4 * n_flank) * 2))
    assert areas.std() == pytest.approx(expected, rel=0.15)
    assert abs(areas.mean()) < 4 * expected / 20


def test_offset_and_dispersion_come_back():
    stored = 440 + 0.3 * np.arange(2048)
    true = 11.3 + 1.027 * stored
    features = np.array([518.3, 630.5, 764.3, 834.5])
    axis, residuals = eels.calibrate_axis(stored, measured_ev=features, known_ev=11.3 + 1.027 * features)
    np.testing.assert_allclose(axis, true, rtol=1e-12)
    np.testing.assert_allclose(residuals, 0, atol=1e-9)


def test_residuals_show_a_feature_that_does_not_belong():
    features = np.array([518.3, 630.5, 764.3, 834.5])
    known = features + 12.0
    known[2] += 4.0
    _, residuals = eels.calibrate_axis([400.0, 900.0], measured_ev=features, known_ev=known)
    assert np.abs(residuals).argmax() == 2
    assert np.abs(residuals).max() > 2


@pytest.mark.parametrize("thickness", [0.1, 0.7, 1.5])
@pytest.mark.parametrize("offset_ev", [0.0, -3.2])
def test_thickness_of_a_poisson_number_of_losses(thickness, offset_ev):
    """Each electron has k losses of about 23 eV with Poisson probability: the log-ratio is exact."""
    energy = np.arange(-10.0, 250.0, 0.5)
    spectrum, weight = np.zeros(energy.size), np.exp(-thickness)
    for k in range(10):
        width = 0.6 if k == 0 else 3.0 * np.sqrt(k)
        spectrum += weight / width * peak(23 * k, width, energy)
        weight *= thickness / (k + 1)
    found = eels.relative_thickness([spectrum, 7 * spectrum], energy + offset_ev)
    np.testing.assert_allclose(found, thickness, rtol=1e-3)


def test_a_spectrum_without_counts_has_no_thickness():
    energy = np.arange(-10.0, 40.0)
    found = eels.relative_thickness([np.zeros(50), peak(0, energy=energy)], energy)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(0, abs=0.02)


def test_thickness_of_the_line_scan_of_exspy():
    """Seventeen simulated spectra with t / lambda from .3 to 1.9: test data of another package."""
    folder = Path(find_spec("exspy").origin).parent / "tests/signals/data"
    scan = io.load_spectra(
        folder / "EELS_LL_linescan_simulated_thickness_variation.hspy", signal="EELS", pixel_size_nm=1.0
    )
    found = eels.relative_thickness(scan.counts, scan.energy_ev).ravel()
    np.testing.assert_allclose(found, np.arange(0.3, 2.0, 0.1), rtol=3e-3)


LOW_ENERGY = np.arange(-20.0, 120.0, 0.2)


def low_loss(thickness, energy=LOW_ENERGY, width=0.5):
    """Zero loss of unit width and plasmons at 23 eV with Poisson probability."""
    spectrum, weight = np.zeros(energy.size), np.exp(-thickness)
    for k in range(12):
        spread = np.hypot(width, 5 * np.sqrt(k))
        spectrum += weight / spread * peak(23 * k, spread, energy)
        weight *= thickness / (k + 1)
    return 1e5 * spectrum


def test_thickness_where_plasmons_stand_above_the_zero_loss():
    """eXSpy's own scan, whose answer is the ratio to its zero-loss peaks."""
    import h5py

    folder = Path(find_spec("exspy").origin).parent / "tests" / "signals" / "data"  # importing it takes seconds
    total = []
    for kind in ("LL", "ZLP"):
        name = f"EELS_{kind}_linescan_simulated_thickness_variation.hspy"
        with h5py.File(folder / name) as file:
            experiment = next(iter(file["Experiments"].values()))
            counts, axis = experiment["data"][...], dict(experiment["axis-1"].attrs)
        total.append(counts.sum(axis=-1))
        if kind == "LL":
            energy = axis["offset"] + axis["scale"] * np.arange(counts.shape[-1])
            found = eels.relative_thickness(counts, energy)
            plasmon_wins = energy[counts.argmax(axis=-1)] > 10
    assert plasmon_wins.sum() == 3
    np.testing.assert_allclose(found, np.log(total[0] / total[1]), atol=2.5e-3)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda y: y, ""),
        (lambda y: np.where(LOW_ENERGY > 100, np.nan, y), "NaN channels"),
        (lambda y: 0 * y, "no counts"),
        (lambda y: y + 1e6 * (np.arange(y.size) == 400), "spiked channel"),
        (lambda y: y + 1e6 * (np.arange(y.size) == 30), "spiked channel"),
        (lambda y: y + 1e6 * (np.arange(y.size) == 0), "spiked channel"),
    ],
)
def test_thickness_or_the_reason_why_not(spoil, reason):
    spectrum = spoil(low_loss(0.8))
    found = eels.relative_thickness([spectrum, low_loss(0.8)], LOW_ENERGY)
    assert eels.thickness_faults([spectrum, low_loss(0.8)], LOW_ENERGY).tolist() == [reason, ""]
    assert np.isnan(found[0]) == bool(reason)
    assert found[1] == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize(("first_ev", "reason"), [(0.4, "zero loss off the axis"), (6.0, "no sharp zero loss")])
def test_thickness_without_the_zero_loss(first_ev, reason):
    energy = np.arange(first_ev, 120, 0.2)
    spectrum = low_loss(0.8, energy)
    assert np.isnan(eels.relative_thickness(spectrum, energy))
    assert eels.thickness_faults(spectrum, energy) == reason


def test_thickness_where_the_axis_ends_within_the_zero_loss():
    energy = np.arange(-20, 3, 0.2)
    assert eels.thickness_faults(low_loss(0.8, energy), energy) == "zero loss off the axis"


def test_noise_on_the_flank_is_not_the_zero_loss():
    spectra = np.random.default_rng(0).poisson(low_loss(1.6, width=1.5) / 60, size=(300, LOW_ENERGY.size))
    found = eels.relative_thickness(spectra, LOW_ENERGY)
    assert np.isfinite(found).all()
    expected = np.sqrt((np.exp(1.6) - 1) / spectra.sum(axis=1).mean())
    assert found.std() == pytest.approx(expected, rel=0.15)
    assert found.mean() == pytest.approx(1.6, abs=0.01)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda y: y + 5.0 * (np.arange(y.size) == 120), "spiked channel"),
        (lambda y: np.where(np.arange(y.size) == 120, np.nan, y), "NaN channels"),
        (lambda y: 0 * y + ENERGY**-3.0, "highest at an end of the window"),
    ],
)
def test_no_peak_and_the_reason(spoil, reason):
    noisy = 0.1 + peak(640) + 0.01 * np.random.default_rng(1).standard_normal(ENERGY.size)
    image = np.stack([noisy, spoil(noisy)])
    assert np.isnan(eels.find_peak(image, ENERGY, window_ev=(630, 660))).tolist() == [False, True]
    assert eels.peak_faults(image, ENERGY, window_ev=(630, 660)).tolist() == ["", reason]


def test_spike_is_told_from_a_peak_in_a_noisy_spectrum():
    noisy = 0.1 + peak(640) + 0.03 * np.random.default_rng(1).standard_normal(ENERGY.size)
    spiked = noisy + 1.4 * (np.arange(ENERGY.size) == np.searchsorted(ENERGY, 655))
    assert eels.peak_faults(np.stack([noisy, spiked]), ENERGY, window_ev=(630, 660)).tolist() == ["", "spiked channel"]


def lazy_and_mapped(counts, folder):
    """The same spectra as a Dask array (in odd chunks) and as a memory map."""
    import dask.array as da

    mapped = np.lib.format.open_memmap(folder / "counts.npy", "w+", counts.dtype, counts.shape)
    mapped[...] = counts
    return da.from_array(counts, chunks=(2, 3, 2, 100)), mapped


@pytest.mark.parametrize(
    "function",
    [
        lambda x: eels.relative_thickness(x, LOW_ENERGY),
        lambda x: eels.find_peak(x, LOW_ENERGY, window_ev=(-5, 5)),
        lambda x: eels.peak_area(x, LOW_ENERGY, center_ev=23),
    ],
)
def test_dask_and_memory_maps_give_the_same_maps(function, tmp_path):
    counts = np.random.default_rng(2).poisson(low_loss(0.5), size=(3, 4, 5, LOW_ENERGY.size)).astype(np.int32)
    expected = function(counts)
    assert expected.shape == (3, 4, 5)
    for other in lazy_and_mapped(counts, tmp_path):
        np.testing.assert_array_equal(function(other), expected)


def test_thickness_of_a_lazy_series_needs_a_small_part_of_its_memory():
    import dask.array as da

    spectrum = low_loss(0.5, np.arange(-30, 277.2, 0.15)).astype(np.int32)
    tilt = da.map_blocks(
        lambda: np.tile(spectrum, (1, 32, 32, 1)), chunks=((1,), (32,), (32,), (spectrum.size,)), dtype=np.int32
    )
    series = da.concatenate([tilt] * 12)
    tracemalloc.start()
    try:
        eels.relative_thickness(series, np.arange(-30, 277.2, 0.15))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 0.9 * series.nbytes


def test_over_spectra_passes_several_arrays_and_returns_several_maps():
    first, second = np.arange(24.0).reshape(2, 3, 4), np.ones((2, 3, 7))
    sums, rows = eels.over_spectra(first, lambda a, b: (a.sum(axis=1) + b.sum(axis=1), a[:, :2]), second)
    np.testing.assert_array_equal(sums, first.sum(axis=-1) + 7)
    np.testing.assert_array_equal(rows, first[..., :2])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: eels.over_spectra(np.zeros((2, 3, 4)), len, np.zeros((3, 2, 4))), "from one scan"),
        (lambda: eels.find_peak(peak(640), ENERGY, window_ev=(10, 20)), "move or widen"),
        (lambda: eels.find_peak(peak(640)[1:], ENERGY, window_ev=(630, 650)), "energy last"),
        (lambda: eels.peak_area(peak(640), ENERGY, center_ev=601), "another peak"),
        (lambda: eels.calibrate_axis(ENERGY, measured_ev=[640], known_ev=[642]), "two different features"),
        (lambda: eels.calibrate_axis(ENERGY, measured_ev=[640, np.nan], known_ev=[642, 650]), "finite"),
        (lambda: eels.calibrate_axis(ENERGY, measured_ev=[640, 650], known_ev=[650, 640]), "same order"),
        (lambda: eels.calibrate_axis(ENERGY, measured_ev=[640, 650], known_ev=[650]), "one known energy"),
        (lambda: eels.relative_thickness(peak(640), ENERGY, zero_loss_end_ev=0), "above the zero-loss peak"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
