"""The published background subtraction: every short cut against the long way."""

from itertools import combinations

import numpy as np
import pytest

from tritomo_helpers import eels
from tritomo_helpers.spectroscopy import continuum

STEP = 0.15
ENERGY = 600 + STEP * np.arange(2048)
LOW = -30 + STEP * np.arange(2048)
ZERO_LOSS = np.exp(-((LOW / 0.6) ** 2))
SETTINGS = eels.SweepSettings.for_edge("Mn L").replace(
    pre_windows_ev=((600, 622), (606, 632)),
    post_windows_ev=((711, 740), (722, 766.5)),
    weights=(0.5, 2.0),
    exponents=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
)


def scattered(thickness):
    """Low loss with one and two plasmons, as a mean of Gaussian peaks."""
    spectrum, weight = np.zeros(LOW.size), np.exp(-thickness)
    for k in range(8):
        width = np.hypot(0.6, 7 * np.sqrt(k))
        spectrum += weight / width * np.exp(-(((LOW - 23 * k) / width) ** 2))
        weight *= thickness / (k + 1)
    return spectrum


def spectrum_with(background, height=0.5):
    return background + height * continuum("Mn L", ENERGY)


def noisy(n=5, seed=0):
    clean = spectrum_with(3e4 * (ENERGY / 600) ** -3.3, height=20)
    return np.random.default_rng(seed).poisson(clean, size=(n, ENERGY.size))


# --- fits ------------------------------------------------------------------------------------------------------------
def long_way(spectrum, candidate, exponents, energy):
    """Least squares for every choice of exponents, and the background of the best."""
    x = energy / energy.mean()
    pre = (energy >= candidate.pre_window_ev[0] - 1e-6) & (energy <= candidate.pre_window_ev[1] + 1e-6)
    post = (energy >= candidate.post_window_ev[0] - 1e-6) & (energy <= candidate.post_window_ev[1] + 1e-6)
    best = (np.inf, None, None)
    for choice in combinations(exponents, candidate.function):
        columns = [x**-b for b in choice] + [np.ones_like(x)]
        fitted, weight = pre, np.ones_like(x)
        if candidate.function == 2:
            line = [np.where(post, x, 0), np.where(post, 1.0, 0)]
            fitted, weight = pre | post, np.where(post, candidate.weight, 1.0)
        else:
            line = []
        design = np.stack(columns + line, axis=1)
        root = np.sqrt(weight[fitted])
        found = np.linalg.lstsq(design[fitted] * root[:, None], spectrum[fitted] * root, rcond=1e-12)[0]
        left = np.sum((root * (spectrum[fitted] - design[fitted] @ found)) ** 2)
        if left < best[0]:
            best = (left, choice, np.stack(columns, axis=1) @ found[: len(columns)])
    return best


@pytest.mark.parametrize("number", [0, 3, 4, 9])
def test_each_candidate_is_the_least_squares_fit(number):
    spectrum = noisy(1)[0]
    step = eels.sweep_background(spectrum, ENERGY, ZERO_LOSS, LOW, edge="Mn L", settings=SETTINGS)[number]
    energy = ENERGY[:1112]
    _, choice, background = long_way(spectrum[:1112].astype(float), step.candidate, SETTINGS.exponents, energy)
    assert step.exponents == (choice[0], choice[-1])
    np.testing.assert_allclose(step.background, background, atol=0.2)


def test_slopes_and_score_are_those_of_the_spectrum_that_is_shown():
    low = scattered(0.7)
    steps = eels.sweep_background(noisy(1)[0], ENERGY, low, LOW, edge="Mn L", settings=SETTINGS)
    energy = ENERGY[:1112]
    assert sum(np.isfinite(s.spectrum).all() for s in steps) > 5
    for step in steps:
        if np.isnan(step.spectrum).any():  # nothing positive is left after the edge
            assert np.isnan(step.score)
            continue
        shown = {}
        for name, window in (("pre", step.candidate.pre_window_ev), ("post", step.candidate.post_window_ev)):
            inside = (energy >= window[0] - 1e-6) & (energy <= window[1] + 1e-6)
            shown[name] = np.polyfit(energy[inside], step.spectrum[inside], 1)[0]
        model = continuum("Mn L", energy[inside])
        assert step.spectrum[inside].sum() == pytest.approx(model.sum(), rel=1e-3)
        assert step.pre_slope == pytest.approx(shown["pre"], abs=2e-3)
        assert step.post_slope == pytest.approx(shown["post"], abs=2e-3)
        expected = abs(step.pre_slope) + 20 * abs(step.post_slope - np.polyfit(energy[inside], model, 1)[0])
        if abs(step.pre_slope) <= 0.15:
            assert step.score == pytest.approx(expected, rel=1e-3)
        else:
            assert np.isnan(step.score)


def test_the_lowest_score_wins_and_its_spectrum_is_kept():
    counts, low = noisy(6), np.tile(scattered(0.7), (6, 1))
    result = eels.subtract_background(counts, ENERGY, low, LOW, edge="Mn L", settings=SETTINGS)
    for i in range(6):
        steps = eels.sweep_background(counts[i], ENERGY, low[i], LOW, edge="Mn L", settings=SETTINGS)
        best = int(np.nanargmin([s.score for s in steps]))
        assert result.candidate[i] == best
        assert result.score[i] == pytest.approx(steps[best].score, rel=1e-3)
        np.testing.assert_allclose(result.spectra[i] * result.scale[i], steps[best].spectrum, atol=0.02)


def test_the_whole_way_equals_deconvolving_what_is_left():
    counts, low = noisy(1), scattered(0.7)[None]
    result = eels.subtract_background(counts, ENERGY, low, LOW, edge="Mn L", settings=SETTINGS)
    steps = eels.sweep_background(counts[0], ENERGY, low[0], LOW, edge="Mn L", settings=SETTINGS)
    without = counts[0, :1112] - steps[result.candidate[0]].background
    expected = eels.fourier_ratio(without, low[0], dispersion_ev=STEP, cutoff_per_ev=0.36, zero_channel=200)
    np.testing.assert_allclose(result.spectra[0], expected, atol=0.05)


# --- what comes out ---------------------------------------------------------------------------------------------------
def test_continuum_comes_back_from_a_background_of_either_form():
    energy = ENERGY[:1112]
    inside = (energy > 705) & (energy < 755)
    for background in (3e3 * (ENERGY / 600) ** -3, 2e3 * (ENERGY / 600) ** -2 + 1e3 * (ENERGY / 600) ** -4 + 40):
        found = eels.subtract_background(spectrum_with(background), ENERGY, ZERO_LOSS, LOW, edge="Mn L")
        np.testing.assert_allclose(found.spectra[inside], 0.5 * continuum("Mn L", energy[inside]), rtol=0.03)
        # Counts times scale are barn/eV/atom.
        assert found.scale == pytest.approx(2, rel=0.03)


def test_the_literal_linear_term_forces_the_continuum_up():
    spectra = np.tile(spectrum_with(3e3 * (ENERGY / 600) ** -3), (2, 1))
    low = np.tile(ZERO_LOSS, (2, 1))
    area = {}
    for intercept in (True, False):
        settings = SETTINGS.replace(intercept=intercept)
        steps = eels.sweep_background(spectra[0], ENERGY, low[0], LOW, edge="Mn L", settings=settings)
        energy = ENERGY[:1112]
        inside = (energy > 705) & (energy < 755)
        truth = continuum("Mn L", energy[inside]).sum() / 2
        background = [s.background[inside] for s in steps if s.candidate.function == 2]
        area[intercept] = np.mean([(spectra[0, :1112][inside] - b).sum() / truth for b in background])
    assert area[True] == pytest.approx(1, abs=0.05)
    assert area[False] > 1.2


def test_a_tight_gate_rejects_counts_and_leaves_nan():
    counts, low = noisy(20), np.tile(ZERO_LOSS, (20, 1))
    settings = SETTINGS.replace(max_pre_slope=2e-3)
    loose, tight = (
        eels.subtract_background(counts, ENERGY, low, LOW, edge="Mn L", settings=s) for s in (SETTINGS, settings)
    )
    assert loose.rejected_share() < 0.1 < tight.rejected_share() < 1
    assert np.isnan(tight.spectra[tight.rejected]).all()
    assert np.isfinite(tight.spectra[~tight.rejected]).all()
    np.testing.assert_array_equal(tight.candidate < 0, tight.rejected)
    assert np.asarray(tight) is not None
    assert np.asarray(tight).shape == (20, 1112)
    mask = np.arange(20) < 5
    assert tight.rejected_share(mask) == tight.rejected[:5].mean()


def test_the_ends_of_the_exponent_grid_are_counted():
    low = np.tile(ZERO_LOSS, (20, 1))
    shares = []
    for exponents in ((2.0, 4.0), (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0)):
        settings = SETTINGS.replace(exponents=exponents)
        found = eels.subtract_background(noisy(20), ENERGY, low, LOW, edge="Mn L", settings=settings)
        shares.append(found.exponent_at_end_share())
    assert shares[0] == 1
    assert shares[1] < 1


def test_dask_and_memory_maps_give_the_same(tmp_path):
    import dask.array as da

    counts, low = noisy(6).reshape(2, 3, 1, -1).astype(np.int16), np.tile(scattered(0.5), (2, 3, 1, 1))
    expected = eels.subtract_background(counts, ENERGY, low, LOW, edge="Mn L", settings=SETTINGS)
    file = np.lib.format.open_memmap(tmp_path / "core.npy", "w+", counts.dtype, counts.shape)
    file[...] = counts
    for core in (da.from_array(counts, chunks=(1, 2, 1, 700)), file):
        found = eels.subtract_background(core, ENERGY, low, LOW, edge="Mn L", settings=SETTINGS)
        np.testing.assert_array_equal(found.candidate, expected.candidate)
        np.testing.assert_allclose(found.spectra, expected.spectra, atol=1e-3)


def test_a_pixel_without_low_loss_is_rejected():
    low = np.stack([ZERO_LOSS, 0 * ZERO_LOSS, np.where(np.arange(LOW.size) == 7, np.nan, ZERO_LOSS)])
    found = eels.subtract_background(noisy(3), ENERGY, low, LOW, edge="Mn L", settings=SETTINGS)
    assert found.rejected.tolist() == [False, True, True]


def test_what_drift_is_left_is_taken_out():
    drift = 0.07
    moved = np.exp(-(((LOW - drift) / 0.6) ** 2))
    kinds = []
    for shift, low in ((0.0, ZERO_LOSS), (drift, moved)):
        edge = 0.5 * continuum("Mn L", ENERGY - shift) + 40 * np.exp(-(((ENERGY - shift - 645) / 2) ** 2))
        spectrum = 3e3 * (ENERGY / 600) ** -3 + edge
        kinds.append(eels.subtract_background(spectrum, ENERGY, low, LOW, edge="Mn L", settings=SETTINGS).spectra)
    # Without that the line would differ by 1.7 counts on its flanks.
    assert np.abs(kinds[0] - kinds[1])[290:350].max() < 0.2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edge": "Xx L"}, "edge: expected one of"),
        ({"edge": "Ni L"}, "edge: expected one of 'Mn', 'Co'"),
        ({"edge": "Co L", "energy_ev": ENERGY - 200}, "a window on the axis"),
        ({"settings": SETTINGS.replace(pre_windows_ev=((650, 690),))}, "pre-edge windows below"),
        ({"low_loss": None}, "low_loss: expected real numbers, got None"),
        ({"low_loss": np.ones((3, LOW.size))}, "both ranges from one scan"),
        ({"low_loss_ev": LOW * 2}, "the same for low loss and core loss"),
        ({"energy_ev": ENERGY[1:]}, "one count per energy"),
        ({"counts": np.where(np.arange(2048) == 500, 0, noisy(2))}, "dead channels at 675 eV"),
        ({"counts": np.where(np.arange(2048) == 500, 32767, noisy(2)).astype(np.int16)}, "saturated channels at 675"),
        ({"counts": np.minimum(noisy(2) * [[1.0], [0.3]], 0.6 * noisy(2).max())}, "saturated channels at"),
        ({"counts": np.where(np.arange(2048) == 500, np.nan, noisy(2))}, "NaN or infinite values at 675"),
        ({"continuum": "magic"}, "model: expected one of"),
    ],
)
def test_bad_input_says_what_to_do(changes, words):
    arguments = {
        "counts": noisy(2),
        "energy_ev": ENERGY,
        "low_loss": np.tile(ZERO_LOSS, (2, 1)),
        "low_loss_ev": LOW,
        "edge": "Mn L",
        "settings": None if changes.get("edge") else SETTINGS,
        **changes,
    }
    call = [arguments.pop(name) for name in ("counts", "energy_ev", "low_loss", "low_loss_ev")]
    with pytest.raises(ValueError, match=words):
        eels.subtract_background(*call, **arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pre_windows_ev": ((620, 600),)}, "swap the two energies"),
        ({"exponents": (2.0,)}, "two or more"),
        ({"exponents": (3.0, 2.0)}, "increasing"),
        ({"weights": (0.0,)}, "weights: expected a finite number above zero"),
        ({"cutoff_per_ev": -1}, "cutoff_per_ev"),
    ],
)
def test_bad_settings_say_what_to_do(changes, words):
    with pytest.raises(ValueError, match=words):
        SETTINGS.replace(**changes)
