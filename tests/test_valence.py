"""Fixed references and the way from weights to shares of atoms."""

import numpy as np
import pytest
from scipy.optimize import nnls

from tritomo_helpers import valence
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.spectroscopy import ReferenceSet, continuum, references

ENERGY = 600 + 0.3 * np.arange(556)
MN = references.load("Mn")


def rows():
    return valence.atom_cross_sections(MN, ENERGY)


def no_continuum(edge, energy_ev, q2):
    return np.zeros(np.broadcast(energy_ev, q2).shape)


def mixed(shares, height=1.0, noise=0.0, seed=0):
    clean = height * np.tensordot(np.asarray(shares, float), np.stack(list(rows().values())), axes=1)
    return clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)


# --- rows ------------------------------------------------------------------------------------------------------------
def test_a_row_is_white_lines_plus_continuum():
    smooth = continuum("Mn L", ENERGY)
    for (state, row), holes in zip(rows().items(), (7, 6, 5), strict=True):
        area = np.trapezoid(row - smooth, ENERGY)
        assert area == pytest.approx(holes * references.white_line_cross_section("Mn"), rel=0.01), state
        np.testing.assert_allclose(row[ENERGY > 710], smooth[ENERGY > 710], rtol=0.02)


def test_your_own_references_may_have_any_unit():
    mine = ReferenceSet("mine", MN.states, MN.energy_ev, 1234.0 * MN.spectra)
    for state, row in valence.atom_cross_sections(mine, ENERGY).items():
        np.testing.assert_allclose(row, rows()[state], rtol=2e-3)


# --- fit -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["nmf", "nnls"])
def test_exact_data_give_the_truth_back(method):
    shares = np.array([[[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], [[0.3, 0.4, 0.3], [1 / 3, 1 / 3, 1 / 3]]])
    fit = valence.fit_edges(mixed(shares, 5.0), ENERGY, MN, method=method, n_iterations=20_000)
    found = np.stack([fit[s] for s in MN.states], axis=-1)
    np.testing.assert_allclose(found, 5 * shares, atol=0.02 if method == "nmf" else 1e-9)
    assert fit.distance.max() < 1e-3


def test_least_squares_equals_scipy_one_at_a_time():
    data = mixed(np.random.default_rng(1).dirichlet([0.3, 0.3, 0.3], 200), noise=20.0)
    fit = valence.fit_edges(data, ENERGY, MN, method="nnls")
    H = np.stack(list(rows().values()))
    expected = np.array([nnls(H.T, spectrum)[0] for spectrum in data])
    found = np.stack([fit[s] for s in MN.states], axis=-1)
    assert (expected == 0).any()  # the constraint is at work
    np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max())
    np.testing.assert_allclose(fit.distance, np.linalg.norm(data - expected @ H, axis=1) / np.linalg.norm(data, axis=1))


def test_updates_are_those_of_scikit_learn():
    """Numbers of scikit-learn 1.9.1, non_negative_factorization(solver="mu", tol=0, max_iter=200, update_H=False)."""
    H = {"Mn4": [4.0, 1.0, 0.5, 0.2], "Mn3": [1.0, 3.0, 1.0, 0.2], "Mn2": [0.2, 1.0, 3.0, 0.2]}
    V = np.array([[8.0, 6.0, 3.0, 1.0], [0.5, 2.0, 9.0, 1.0], [4.0, 4.0, 4.0, 0.0]])
    fit = valence.fit_edges(V, [1.0, 2.0, 3.0, 4.0], H, n_iterations=200, initial=dict.fromkeys(H, 1.0))
    found = np.stack([fit[s] for s in H], axis=1)
    theirs = [
        [1.648426193227, 1.362545526259, 0.2769813927442],
        [8.609620763709e-12, 8.272824322552e-14, 2.906746031743],
        [0.7587860307359, 0.7590254070318, 0.9453706465738],
    ]
    np.testing.assert_allclose(found, theirs, rtol=1e-6)


def test_the_objective_never_rises_and_stays_above_least_squares():
    data = mixed(np.random.default_rng(2).dirichlet([1, 1, 1], 50), noise=20.0)
    data = np.maximum(data, 0)
    slow = valence.fit_edges(data, ENERGY, MN, n_iterations=300)
    best = valence.fit_edges(data, ENERGY, MN, method="nnls")
    assert slow.objective.shape == (301,)
    assert np.all(np.diff(slow.objective) <= 1e-12 * slow.objective[0])
    assert slow.objective[-1] >= best.objective[-1] * (1 - 1e-12)
    assert slow.objective[-1] == pytest.approx(best.objective[-1], rel=0.01)
    assert np.all(slow.distance >= best.distance - 1e-9)


def test_clipping_noise_makes_a_false_signal_that_least_squares_does_not():
    """Noise alone: the updates see only its upper half."""
    noise = 20 * np.random.default_rng(3).standard_normal((400, ENERGY.size))
    clipped = valence.fit_edges(noise, ENERGY, MN)
    signed = valence.fit_edges(noise, ENERGY, MN, method="nnls")
    assert clipped.clipped_share == pytest.approx(0.5, abs=0.01)
    assert signed.clipped_share == 0
    total = {name: np.mean(sum(fit[s] for s in MN.states)) for name, fit in (("nmf", clipped), ("nnls", signed))}
    assert total["nmf"] > 2 * total["nnls"]


def test_the_share_that_was_clipped_is_that_of_what_was_negative():
    data = mixed([[1.0, 0.5, 0.2]])
    data = np.where(np.arange(ENERGY.size) % 10 == 0, -data, data)
    expected = -data[data < 0].sum() / np.abs(data).sum()
    assert valence.fit_edges(data, ENERGY, MN, n_iterations=1).clipped_share == pytest.approx(expected, rel=1e-9)
    assert valence.fit_edges(data, ENERGY, MN, method="nnls").clipped_share == 0


def test_scaling_the_data_scales_the_weights():
    data = mixed([[0.2, 0.3, 0.5]])
    first, second = (valence.fit_edges(k * data, ENERGY, MN, n_iterations=30)["Mn3"] for k in (1, 7))
    np.testing.assert_allclose(second, 7 * first)


def test_nan_spectra_stay_nan_and_others_are_untouched():
    data = mixed(np.full((3, 3), 1 / 3))
    data[1, 5] = np.nan
    for method in ("nmf", "nnls"):
        fit = valence.fit_edges(data, ENERGY, MN, method=method)
        assert np.isnan(fit["Mn4"]).tolist() == [False, True, False]
        assert np.isfinite(fit.objective).all()


def test_nickel_beside_cobalt_is_told_apart():
    energy = 718.5 + 0.3 * np.arange(620)
    sets = [references.load("Co"), references.load("Ni")]
    H = valence.atom_cross_sections(sets, energy)
    data = 2 * H["Co3"] + H["Co2"] + 3 * H["Ni2"]
    fit = valence.fit_edges(data, energy, sets, method="nnls")
    assert [round(float(fit[s]), 6) for s in ("Co3", "Co2", "Ni2")] == [2, 1, 3]
    without = valence.fit_edges(data, energy, sets[0], method="nnls")
    assert abs(float(without["Co3"]) - 2) > 0.1


# --- white lines -----------------------------------------------------------------------------------------------------
def test_factors_of_lines_on_a_straight_continuum_are_exact():
    """Holes 7:6:5 on a linear continuum: the line takes it away, and all factors are one."""
    factors = valence.white_line_factors(MN, continuum=no_continuum)
    np.testing.assert_allclose(list(factors.values()), 1, atol=0.01)


def test_the_line_through_the_far_continuum_biases_and_less_from_the_onset_on():
    published = valence.white_line_factors(MN)
    assert published["Mn4"] > 1.02 > 1 > 0.98 > published["Mn2"]
    clipped = valence.white_line_factors(MN, from_onset=True)
    assert all(abs(clipped[s] - 1) < abs(published[s] - 1) for s in ("Mn4", "Mn2"))
    co = references.load("Co")
    near, far = (valence.white_line_factors(co, continuum_ev=w) for w in ((815, 850), None))
    assert abs(near["Co3"] - 1) < abs(far["Co3"] - 1)


def test_covalent_references_are_counted_with_their_own_holes():
    covalent = references.load("Mn", "charge-transfer")
    own = dict(zip(covalent.states, covalent.areas.tolist(), strict=True))
    flat = {"continuum": no_continuum}
    ionic, counted = (valence.white_line_factors(covalent, holes=h, **flat) for h in (None, own))
    assert ionic["Mn4"] < 0.96
    np.testing.assert_allclose(list(counted.values()), 1, atol=0.01)


def test_shares_sum_to_one_by_element_and_keep_their_container():
    weights = {"Mn4": 2.0, "Mn2": 1.0, "Co3": 3.0, "Co2": 1.0}
    maps = {s: TiltSeries(np.full((1, 2, 2), v), [0], 1.0) for s, v in weights.items()}
    found = valence.fractions(maps, white_line_factors={"Mn4": 0.5})
    assert found["Mn4"].images[0, 0, 0] == 0.5
    assert found["Co3"].images[0, 0, 0] == 0.75
    volumes = {s: Tomogram(np.full((2, 2, 2), v), 1.0) for s, v in weights.items()}
    assert valence.fractions(volumes)["Mn4"].quantity == "Mn4 share"
    assert np.isnan(valence.fractions({"Mn4": [0.0], "Mn2": [0.0]})["Mn4"][0])


def test_signed_weights_stay_signed():
    found = valence.fractions({"Mn4": [3.0], "Mn2": [-1.0]})
    assert (found["Mn4"][0], found["Mn2"][0]) == (1.5, -0.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: valence.fit_edges(mixed([[1, 0, 0]]), ENERGY[1:], MN), "one value per energy"),
        (lambda: valence.fit_edges(mixed([[1, 0, 0]]), ENERGY, MN, method="svd"), "method: expected one of 'nmf'"),
        (lambda: valence.fit_edges(mixed([[1, 0, 0]]), ENERGY, MN, n_iterations=0), "1 or more"),
        (lambda: valence.fit_edges(mixed([[1, 0, 0]]), ENERGY, MN, fit_window_ev=(10, 20)), "part of 600"),
        (lambda: valence.fit_edges(np.ones((1, 2)), [1, 2], {"Mn4": [1, 2, 3]}), "on the axis of the edges"),
        (lambda: valence.fit_edges(np.ones((1, 2)), [1, 2], {"Mn4": [-1, 2]}), "without negative values"),
        (lambda: valence.fit_edges(np.ones((1, 2)), [1, 2], {"Mn4": [1, 2], "Mn3": [2, 4]}), "spectra that differ"),
        (lambda: valence.fit_edges(np.ones((1, 2)), [1, 2], {"Mn4": [1, 2]}, initial={"Mn3": 1}), "one start per"),
        (
            lambda: valence.atom_cross_sections(ReferenceSet("mine", ("Mn4",), [640, 650], [[1, 1]]), ENERGY),
            "references mine: expected the white lines of Mn",
        ),
        (lambda: valence.atom_cross_sections([MN, MN], ENERGY), "each state once"),
        (lambda: valence.white_line_factors(references.load("Ni")), "expected one of 'Mn', 'Co'"),
        (lambda: valence.white_line_factors(MN, continuum_ev=(755, 705)), "from low to high"),
        (lambda: valence.white_line_factors(MN, holes={"Mn4": 0}), "holes of Mn4"),
        (lambda: valence.fractions({"Mn7": [1.0]}), "state: expected one of"),
        (lambda: valence.fractions({"Mn4": [1.0]}, white_line_factors={"Mn4": -1}), "factor of Mn4"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
