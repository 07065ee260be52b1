import os

import numpy as np
import pytest
import xraylib
from scipy.integrate import quad

from tritomo_helpers.constants import EDGE_ONSET_EV, NCM111_FORMULA
from tritomo_helpers.spectroscopy import CONTINUUM_MODELS, continuum, outer_shell_background, references
from tritomo_helpers.spectroscopy.continuum import (
    Edge,
    collected_share,
    hydrogenic,
    optical_strength,
    parse_edge,
)
from tritomo_helpers.spectroscopy.continuum import _bare_hydrogenic as bare
from tritomo_helpers.spectroscopy.kinematics import bethe_ridge_angle_mrad

STEPS = np.array([10.0, 40.0, 70.0, 100.0, 128.0])


# --- continuum -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("edge", "onset", "values"),
    [
        ("Mn L", 640.0, [28.86, 30.91, 29.22, 26.92, 24.73]),
        ("Co L", 779.0, [15.69, 17.98, 17.73, 16.89, 15.94]),
    ],
)
def test_hydrogenic_continuum_equals_an_independent_quadrature(edge, onset, values):
    # Computed elsewhere by adaptive quadrature converged to 1e-7, at 300 kV and 25.2 / 100 mrad.
    np.testing.assert_allclose(continuum(edge, onset + STEPS), values, rtol=0.002)


def test_hydrogenic_continuum_is_that_of_exspy():
    """Its hydrogenic generalized oscillator strength, version 0.3.2, at 300 kV and 100 mrad: barn/eV."""
    ours = continuum("Mn L", [660.0, 690.0, 740.0], convergence_angle_mrad=0.001, collection_angle_mrad=100.0)
    np.testing.assert_allclose(ours, [30.58, 30.48, 26.92], rtol=0.002)


@pytest.mark.parametrize(("edge", "onset", "integral"), [("Mn L", 640.0, 1440.6), ("Co L", 779.0, 877.9)])
def test_continuum_integrals(edge, onset, integral):
    energy = np.linspace(onset + 50, onset + 100, 501)
    assert np.trapezoid(continuum(edge, energy), energy) == pytest.approx(integral, rel=0.002)


def test_the_two_models_fall_at_different_rates():
    change = {m: np.diff(continuum("Co L", [849.0, 879.0], model=m))[0] for m in CONTINUUM_MODELS}
    start = {m: continuum("Co L", [849.0], model=m)[0] for m in CONTINUUM_MODELS}
    assert change["hydrogenic"] / start["hydrogenic"] == pytest.approx(-0.047, abs=0.001)
    assert change["dirac-hartree-slater"] / start["dirac-hartree-slater"] == pytest.approx(-0.092, abs=0.001)


@pytest.mark.parametrize(
    ("edge", "electrons"),
    [(Edge("O", "K", 532.0), 2), (Edge("Mn", "L2,3", 640.0), 6), (Edge("Mn", "L1", 769.0), 2)],
)
def test_bethe_sum_rule(edge, electrons):
    # A hard knock (large q) ionizes whatever it hits: the strength over all losses counts the electrons.
    q2 = 4000.0
    ridge = q2 * 13.6057
    total = quad(lambda e: float(bare(edge, np.array(e), np.array(q2))), 300, 4 * ridge, points=[ridge], limit=500)[0]
    assert total == pytest.approx(electrons, rel=0.02)


def test_dirac_hartree_slater_has_the_optical_limit_of_all_electrons_of_the_shell():
    energy = 720.0
    per_electron = [
        xraylib.CSb_Photo_Partial(25, shell, energy / 1e3) for shell in (xraylib.L2_SHELL, xraylib.L3_SHELL)
    ]
    barn = 2 * per_electron[0] + 4 * per_electron[1]
    # 4 pi^2 alpha a0^2 Ry, barn eV
    unit = 4 * np.pi**2 / 137.036 * 0.529177**2 * 1e8 * 13.6057
    assert optical_strength("Mn", ("L2", "L3"), [energy])[0] == pytest.approx(barn / unit, rel=1e-3)
    found = CONTINUUM_MODELS["dirac-hartree-slater"](parse_edge("Mn L"), np.array([energy]), np.array([1e-6]))
    assert found[0] == pytest.approx(barn / unit, rel=1e-3)


def test_background_per_formula_unit():
    energy = np.array([636.0, 775.0, 850.0])
    outer = sum(n * outer_shell_background(el, energy) for el, n in NCM111_FORMULA.items())
    np.testing.assert_allclose(outer, [33.1 + 14.2, 22.3 + 7.2, 18.5 + 5.2], rtol=0.005)
    np.testing.assert_allclose(2 * continuum("O K", energy), [27.6, 14.7, 11.0], rtol=0.005)
    np.testing.assert_allclose(continuum("Mn L", energy[1:], l1_step=True) / 3, [9.9, 7.9], rtol=0.01)


def test_ridge_outside_the_aperture_is_not_counted():
    assert bethe_ridge_angle_mrad(640.0) == pytest.approx(40.6, abs=0.05)
    wide, narrow = (outer_shell_background("O", [640.0], collection_angle_mrad=a)[0] for a in (100.0, 30.0))
    assert wide - narrow > 6 * 1.0


def test_small_aperture_small_angles():
    # Far inside the ridge the dipole formula holds: d(sigma) ~ ln(1 + (beta/theta_E)^2).
    narrow = [continuum("Mn L", [710.0], convergence_angle_mrad=0, collection_angle_mrad=b)[0] for b in (2.0, 4.0)]
    theta_e = 1e3 * 710 / (2 * 154.1e3 * (1 + 300 / 511))
    expected = np.log1p((4 / theta_e) ** 2) / np.log1p((2 / theta_e) ** 2)
    assert narrow[1] / narrow[0] == pytest.approx(expected, rel=0.02)


def test_collected_share_equals_counting_directions():
    rng = np.random.default_rng(0)
    radius, angle = 25.2 * np.sqrt(rng.random(200_000)), rng.uniform(0, 2 * np.pi, 200_000)
    for theta in (80.0, 100.0, 115.0):
        inside = np.hypot(radius * np.cos(angle) + theta, radius * np.sin(angle)) < 100
        share = collected_share(theta, convergence_angle_mrad=25.2, collection_angle_mrad=100)
        assert share == pytest.approx(inside.mean(), abs=0.004)


def test_convergence_costs_signal_when_the_aperture_is_small():
    parallel = continuum("Mn L", [710.0], convergence_angle_mrad=0, collection_angle_mrad=20)
    cone = continuum("Mn L", [710.0], convergence_angle_mrad=25.2, collection_angle_mrad=20)
    assert 0.3 < (cone / parallel)[0] < 0.9


def test_nothing_below_the_onset_and_any_shape():
    energy = np.array([[630.0, 639.9], [640.0, 700.0]])
    found = continuum("Mn L", energy)
    assert found.shape == (2, 2)
    assert np.all(found[0] == 0)
    assert np.all(found[1] > 0)


def test_a_model_of_your_own():
    doubled = continuum("Mn L", [700.0], model=lambda edge, e, q2: 2 * hydrogenic(edge, e, q2))
    assert doubled[0] == pytest.approx(2 * continuum("Mn L", [700.0])[0])


@pytest.mark.parametrize(("text", "onset"), [("Mn", 640), ("Mn L2,3", 640), ("Co L1", 926), ("O", 532), ("F_K", 685)])
def test_edges_are_read(text, onset):
    assert parse_edge(text).onset_ev == onset


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"edge": "Xx L"}, "edge: expected one of C K"),
        ({"model": "magic"}, "model: expected one of 'hydrogenic'"),
        ({"energy_ev": [-5.0]}, "losses above zero"),
        ({"energy_ev": [np.nan]}, "energy_ev: expected finite"),
        ({"collection_angle_mrad": 0}, "collection_angle_mrad: expected a finite number above zero"),
    ],
)
def test_bad_continuum_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        continuum(**{"edge": "Mn L", "energy_ev": [700.0], **arguments})


# --- references ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("element", "holes"), [("Mn", [7, 6, 5]), ("Co", [4, 3]), ("Ni", [2])])
def test_white_lines_count_holes_exactly_without_charge_transfer(element, holes):
    found = references.load(element)
    np.testing.assert_allclose(found.areas, holes, rtol=1e-3)
    np.testing.assert_array_equal(found.holes, holes)
    # The sum rule behind it: a third per hole and polarization, computed from the wave functions, noted in the file.
    noted = [float(note.split("intensity ")[1].split(" per")[0]) for note in found.notes if "intensity" in note]
    np.testing.assert_allclose(noted, np.array(holes) / 3, rtol=1e-5)


def test_charge_transfer_lends_electrons_to_high_valences_most():
    lent = {}
    for element in ("Mn", "Co", "Ni"):
        found = references.load(element, "charge-transfer")
        lent |= dict(zip(found.states, found.holes - found.areas, strict=True))
    assert all(amount > 0 for amount in lent.values())
    assert lent["Mn4"] > lent["Mn3"] > lent["Mn2"]
    assert lent["Co3"] > lent["Co2"]
    areas = references.load("Mn", "charge-transfer").areas
    np.testing.assert_allclose(areas / areas[-1], np.array([6.19, 5.52, 4.92]) / 4.92, atol=0.03)


@pytest.mark.parametrize("name", references.SETS)
@pytest.mark.parametrize(("element", "low", "high"), [("Mn", 600, 770), ("Co", 720, 910), ("Ni", 720, 910)])
def test_reference_axes_and_positivity(name, element, low, high):
    found = references.load(element, name)
    assert found.name == name
    assert found.energy_ev[0] == low
    assert found.energy_ev[-1] == high
    assert found.spectra.min() >= 0
    assert found.spectra[:, [0, -1]].max() < 1e-3 * found.spectra.max()


@pytest.mark.parametrize("name", references.SETS)
def test_calibration_against_the_literature(name):
    peak, ratio = {}, {}
    for element in ("Mn", "Co", "Ni"):
        found = references.load(element, name)
        at = found.energy_ev[np.argmax(found.spectra, axis=1)]
        peak |= dict(zip(found.states, at, strict=True))
        ratio |= dict(zip(found.states, found.l3_l2_ratios(), strict=True))
    assert peak["Mn4"] - peak["Mn3"] == pytest.approx(1.5, abs=0.3)
    assert peak["Mn3"] - peak["Mn2"] == pytest.approx(1.5, abs=0.3)
    assert peak["Co3"] - peak["Co2"] == pytest.approx(1.7, abs=0.3)
    for state, (low, high) in {
        "Mn2": (4, 5),
        "Mn3": (2.6, 2.85),
        "Mn4": (2.0, 2.25),
        "Co2": (4.4, 4.8),
        "Co3": (2.4, 3),
    }.items():
        assert low <= ratio[state] <= high, state


@pytest.mark.parametrize(("element", "least"), [("Mn", 0.1), ("Co", 0.15), ("Ni", 0.05)])
def test_the_two_sets_differ_in_shape(element, least):
    first, second = (references.load(element, name).spectra for name in references.SETS)
    differences = np.abs(first / first.sum(1, keepdims=True) - second / second.sum(1, keepdims=True)).sum(1) / 2
    assert differences.max() > least
    assert differences.min() > 0.03


def test_references_go_wrong_as_asked():
    mn = references.load("Mn")
    moved = mn.changed(shift_ev=0.5)
    np.testing.assert_allclose(
        moved.energy_ev[np.argmax(moved.spectra, 1)] - mn.energy_ev[np.argmax(mn.spectra, 1)], 0.5
    )
    np.testing.assert_allclose(mn.changed(l3_l2_factor=1.1).l3_l2_ratios() / mn.l3_l2_ratios(), 1.1, rtol=0.01)
    broad = mn.changed(fwhm_ev=2.0)
    assert np.all(broad.spectra.max(1) < mn.spectra.max(1))
    for changed in (moved, broad, mn.changed(l3_l2_factor=1.1)):
        np.testing.assert_allclose(changed.areas, mn.areas, rtol=1e-3)
    np.testing.assert_allclose(mn.areas, [7, 6, 5], rtol=1e-3)  # the original is untouched


def test_your_own_file_round_trips(tmp_path):
    references.write(references.load("Co"), tmp_path / "mine.csv")
    mine = references.read(tmp_path / "mine.csv")
    assert mine.name == "mine"
    assert mine.notes == references.load("Co").notes
    np.testing.assert_allclose(mine.spectra, references.load("Co").spectra)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a header such as energy_ev,Mn4,Mn3,Mn2, got an empty file"),
        ("energy,Mn4\n1,2\n", "a header such as"),
        ("energy_ev,Mn4\n1,2,3\n2,3,4\n", "2 columns"),
        ("energy_ev,Mn4\n1;2\n", "2 numbers in every row"),
        ("energy_ev,Mn4,Co3\n1,2,3\n2,3,4\n", "valence states of one element"),
        ("energy_ev,Mn7\n1,2\n2,3\n", "state: expected one of"),
        ("energy_ev,Mn4\n2,2\n1,3\n", "increasing values"),
        ("energy_ev,Mn4\n1,nan\n2,3\n", "spectra: expected finite"),
    ],
)
def test_bad_reference_files(tmp_path, text, words):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        references.read(tmp_path / "bad.csv")


def test_unknown_set():
    with pytest.raises(ValueError, match="name: expected one of 'crystal-field', 'charge-transfer'"):
        references.load("Mn", "guesswork")


def test_white_lines_scale_with_their_only_constant():
    base = references.white_line_cross_section("Mn")
    assert references.white_line_cross_section(
        "Mn", ev_per_hole=2 * references.WHITE_LINE_EV_PER_HOLE
    ) == pytest.approx(2 * base)
    # Seven holes against the continuum 50 to 100 eV on: white lines and continuum are of one size.
    assert 0.5 < 7 * base / 1440.6 < 2


@pytest.mark.parametrize(("element", "hydrogenic_ev"), [("Mn", 7.0), ("Co", 7.0), ("Ni", 7.6)])
def test_one_white_line_setting_in_units_of_either_step(element, hydrogenic_ev):
    step = {m: continuum(f"{element} L", [EDGE_ONSET_EV[element, "L3"] + 30], model=m)[0] for m in CONTINUUM_MODELS}
    barn_per_hole = references.white_line_cross_section(element)
    assert barn_per_hole / step["dirac-hartree-slater"] == pytest.approx(5.5)
    assert barn_per_hole / step["hydrogenic"] == pytest.approx(hydrogenic_ev, abs=0.06)


@pytest.mark.acceptance
@pytest.mark.parametrize("state", ["Ni2", "Co3", "Mn4"])
def test_the_shipped_spectra_are_what_the_script_computes(state):
    import importlib.util
    from pathlib import Path

    pytest.importorskip("edrixs", reason="the reference script needs edrixs")
    path = Path(__file__).parents[1] / "tools" / "make_reference_spectra.py"
    spec = importlib.util.spec_from_file_location("make_reference_spectra", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    ion = script.IONS[state]
    spectrum, total = script.crystal_field(ion)
    computed = script.calibrate(ion, spectrum, total)
    shipped = references.load(ion.element)
    mine = shipped.spectra[shipped.states.index(state)]
    assert np.linalg.norm(computed - mine) < 2e-3 * np.linalg.norm(mine)


@pytest.mark.acceptance
@pytest.mark.parametrize(("model", "low", "high"), [("hydrogenic", 4.0, 4.7), ("dirac-hartree-slater", 4.8, 5.5)])
def test_white_lines_of_a_real_manganite_are_as_tall_as_assumed(model, low, high):
    """Forward fit of a real dual-EELS line scan; only the height of the white lines, as an axis without calibration and
    a valence cannot both be found."""
    from scipy.optimize import nnls

    from tritomo_helpers import datasets, io

    name = "LSMO_linescan_dualEELS"
    if not os.environ.get("TRITOMO_DATA_MIRROR") and not all(datasets.present(name).values()):
        pytest.skip(f"needs {name}: set TRITOMO_DATA_MIRROR, or fetch it into TRITOMO_DATA_DIR")
    files = datasets.fetch(name, progress=False)
    core = io.load_spectra(files["core_loss"], signal="EELS core-loss")
    low_loss = io.load_spectra(files["low_loss"], signal="EELS low-loss")
    # A stretch of the film away from its reduced zone.
    film = slice(3, 15)
    counts = np.asarray(core.counts)[0, 0, film].sum(axis=0)
    losses = np.asarray(low_loss.counts)[0, 0, film].sum(axis=0)
    mn = references.load("Mn")
    peak = core.energy_ev[np.argmax(np.where(core.energy_ev > 630, counts, 0))]
    # Everything is convolved with the measured low loss: 1024 channels of half an eV, zero loss rolled to the origin.
    grid = 300 + 0.5 * np.arange(losses.size)
    response = np.fft.rfft(np.roll(losses, -int(np.argmax(losses))))
    edge = [continuum("Mn L", grid, model=model), *mn.on(grid)]
    smooth = [grid**-2.0, grid**-4.0, np.where(grid > 532, grid, np.inf) ** -3.0]
    seen = [np.fft.irfft(np.fft.rfft(part) * response, grid.size) for part in (*edge, *smooth)]

    def fit(l3_ev):
        """Amplitudes and misfit when the tallest channel is put at this energy; the file's axis is not calibrated."""
        energy = core.energy_ev - peak + l3_ev
        used = (energy > 605) & (energy < 715)
        parts = np.array([np.interp(energy, grid, part) for part in seen] + [energy**-3.0])[:, used]
        scale = np.sqrt(counts[used]) * parts.max(axis=1, keepdims=True)
        amplitudes, misfit = nnls((parts / scale).T, np.sqrt(counts[used]))
        return misfit, amplitudes / parts.max(axis=1)

    _, found = min((fit(l3_ev) for l3_ev in np.arange(641.0, 644.6, 0.1)), key=lambda result: result[0])
    barn_per_hole = found[1:4].sum() / found[0]
    ev_per_hole = barn_per_hole / references.white_line_cross_section("Mn", ev_per_hole=1.0)
    assert low < ev_per_hole < high  # of the Dirac-Hartree-Slater step, whatever continuum is fitted beside it
    assert 1 / references.WHITE_LINE_UNCERTAINTY < ev_per_hole / references.WHITE_LINE_EV_PER_HOLE < 1
