"""X-ray lines and cross-sections, against counts worked out elsewhere, xraydb and the X-ray Data Booklet."""

import numpy as np
import pytest
import xraylib

from tritomo_helpers.constants import NCM111_FORMULA
from tritomo_helpers.spectroscopy import xray


@pytest.fixture(scope="module")
def elam():
    """Elam's tables by another package, which takes seconds to load."""
    import xraydb

    return xraydb


ELECTRONS = 0.3e-9 * 0.05 / 1.602176634e-19


@pytest.mark.parametrize(
    ("element", "per_nm3", "names", "counts"),
    [
        ("O", 59.56, ("Ka",), 203),
        # Tabulated without Coster-Kronig transitions from L2 to L3, times what they add: La is 76 to 79 % of the sum
        # and rises by 19, 21 and 22 %.
        ("Mn", 9.927, ("La", "Lb1"), 59 * 1.146),
        ("Co", 9.927, ("La", "Lb1"), 74 * 1.164),
        ("Ni", 9.927, ("La", "Lb1"), 81 * 1.174),
        ("Mn", 9.927, ("Ll", "Ln"), 7.8 * 1.15),
        ("Ni", 9.927, ("Ll", "Ln"), 5.9 * 1.17),
    ],
)
def test_counts_per_pixel(element, per_nm3, names, counts):
    barn = sum(xray.emission_cross_section(line) for line in xray.lines([element]) if line.name in names)
    found = ELECTRONS * per_nm3 * 150 * barn * 1e-10 * 0.7 / (4 * np.pi)
    assert found == pytest.approx(counts, rel=0.03)


@pytest.mark.parametrize(("element", "rise"), [("Mn", 1.19), ("Co", 1.21), ("Ni", 1.22)])
def test_vacancies_move_from_l2_to_l3(element, rise, elam):
    # xraylib has no entry for these metals; Elam's tables, which xraydb holds, do.
    assert elam.ck_probability(element, "L2", "L3") == pytest.approx(xray.F23[element])
    sigma = {shell: xray.ionization_cross_section(element, shell) for shell in ("L1", "L2", "L3")}
    # By hand, with xraylib's f12 and f13, and xraydb's f13 that holds both ways from L1.
    number = xraylib.SymbolToAtomicNumber(element)
    f12, f13 = (xraylib.CosKronTransProb(number, getattr(xraylib, f"F{way}_TRANS")) for way in ("L12", "L13"))
    without = sigma["L3"] + f13 * sigma["L1"]
    found = xray.vacancy_cross_section(element, "L3")
    assert found == pytest.approx(without + xray.F23[element] * (sigma["L2"] + f12 * sigma["L1"]))
    assert found / without == pytest.approx(rise, abs=0.01)
    both_ways = elam.ck_probability(element, "L1", "L3")
    assert f13 + f12 * xray.F23[element] == pytest.approx(both_ways, abs=0.01)


@pytest.mark.parametrize(
    ("element", "name", "energy_ev"),
    # X-ray Data Booklet (LBNL, 2009), table 1-2; weighted over the doublet for K alpha.
    [
        ("C", "Ka", 277.0), ("O", "Ka", 524.9), ("F", "Ka", 676.8), ("Mg", "Ka", 1253.6), ("Al", "Ka", 1486.6),
        ("Si", "Ka", 1739.8), ("Mn", "Ka", 5895.0), ("Mn", "La", 637.4), ("Fe", "La", 705.0), ("Co", "La", 776.2),
        ("Ni", "La", 851.5), ("Ni", "Lb1", 868.8), ("Cu", "La", 929.7), ("Ga", "La", 1097.9), ("Pt", "Ma", 2050.5),
        ("Pt", "La", 9433.0), ("Fe", "Kb", 7058.0), ("Mn", "Ll", 556.3),
    ],
)  # fmt: skip
def test_lines_of_any_element(element, name, energy_ev):
    found = {line.name: line for line in xray.lines([element])}[name]
    assert found.energy_kev * 1e3 == pytest.approx(energy_ev, abs=3)


@pytest.mark.parametrize("element", ["O", "F", "Mn", "Fe", "Co", "Ni", "Cu", "Ga", "Pt"])
def test_radiative_rates_agree_with_another_table(element, elam):
    """Elam's tables normalize each subshell, as xraylib does."""
    names = {"Ka": ("Ka1", "Ka2", "Ka3"), "Kb": ("Kb1", "Kb2", "Kb3"), "La": ("La1", "La2"), "Lb1": ("Lb1",)}
    theirs = elam.xray_lines(element)
    for line in xray.lines([element]):
        if line.name in names:
            expected = sum(theirs[name].intensity for name in names[line.name] if name in theirs)
            assert line.radiative_rate == pytest.approx(expected, abs=0.05), line.name


def test_the_main_line_is_the_strongest_in_the_window():
    assert [xray.main_line(el).name for el in ("O", "F", "Mn", "Ni", "Cu")] == ["Ka", "Ka", "La", "La", "La"]
    assert xray.main_line("Pt", window_ev=(1000, 3000)).name == "Ma"
    assert xray.main_line("Mn", window_ev=(640, 660)).name == "Lb1"


def test_absorption_in_the_oxide():
    found = xray.mass_absorption_of(NCM111_FORMULA, [0.525, 0.637, 0.776, 0.851])
    np.testing.assert_allclose(found, [2945, 6268, 6311, 7062], rtol=0.003)


def test_detector_widths_and_specification():
    np.testing.assert_allclose(xray.detector_fwhm_ev([0.525, 0.637, 0.776, 0.851]), [59, 61, 64, 65], atol=0.6)
    assert xray.detector_fwhm_ev(5.895) == pytest.approx(130)
    with pytest.raises(ValueError, match="at least 121 eV"):
        xray.detector_fwhm_ev(1.0, resolution_ev=100)


def test_line_shape_keeps_counts_position_and_width():
    for channel in (10.0, 20.0):
        energy = np.arange(0.0, 3000.0, channel)
        shape = xray.line_shape(energy, 0.7757)
        center = (shape * energy).sum()
        assert shape.sum() == pytest.approx(1)
        assert center == pytest.approx(775.7, abs=0.01)
        # The channel's own width adds to the detector's.
        sigma = float(xray.detector_fwhm_ev(0.7757)) / 2.3548
        assert (shape * (energy - center) ** 2).sum() == pytest.approx(sigma**2 + channel**2 / 12, rel=1e-3)


def test_overlaps_that_mislead_windows():
    table = xray.lines(["O", "F", "Mn", "Co", "Ni"])
    by_name = {(line.element, line.name): line.energy_kev * 1e3 for line in table}
    for first, second in ((("Mn", "Ll"), ("O", "Ka")), (("Ni", "Ln"), ("Co", "La")), (("Co", "Ll"), ("F", "Ka"))):
        distance = abs(by_name[first] - by_name[second])
        assert distance < xray.detector_fwhm_ev(by_name[second] / 1e3)


def test_bremsstrahlung_grows_with_the_square_of_z_and_falls_with_energy():
    manganese, oxygen = (xray.bremsstrahlung_cross_section(el, [1.0, 2.0]) for el in ("Mn", "O"))
    np.testing.assert_allclose(manganese / oxygen, (25 / 8) ** 2)
    assert 1.9 < manganese[0] / manganese[1] < 2.4
    assert xray.bremsstrahlung_cross_section("Mn", 300.0) == 0
    below = xray.bremsstrahlung_cross_section("Mn", 1.0, elevation_deg=-18)
    assert below > 2 * manganese[0]  # along the beam, where fast electrons radiate


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: xray.ionization_cross_section("Li", "K"), "a subshell of Be or a heavier element, got Li K"),
        (lambda: xray.ionization_cross_section("O", "L3"), "one of O K, got O L3"),
        (lambda: xray.ionization_cross_section("Mn", "K", beam_energy_kev=60), "at least 104.2 for Mn K"),
        (lambda: xray.lines(["Li"]), "elements with an X-ray line above 0.1 keV: boron and heavier, got 'Li'"),
        (lambda: xray.lines(["Xx"]), "a chemical symbol such as 'Mn', got 'Xx'"),
        (lambda: xray.main_line("Si"), "Si with lines at Ka 1740"),
    ],
)
def test_bad_xray_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()
