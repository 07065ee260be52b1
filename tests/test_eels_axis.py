import numpy as np
import pytest

from tritomo_helpers import eels

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


@pytest.mark.parametrize(
    ("call", "words"),
    [
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
