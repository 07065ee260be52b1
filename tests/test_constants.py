import pytest
import xraylib

from tritomo_helpers import constants


@pytest.mark.parametrize(("element", "shell"), list(constants.EDGE_ONSET_EV))
def test_onsets_are_within_a_few_ev_of_binding_energies(element, shell):
    binding = xraylib.EdgeEnergy(constants.ATOMIC_NUMBER[element], getattr(xraylib, f"{shell}_SHELL")) * 1e3
    assert constants.EDGE_ONSET_EV[element, shell] == pytest.approx(binding, abs=0.6)


def test_atoms_per_volume():
    units = constants.NCM111_FORMULA_UNITS_PER_NM3
    assert pytest.approx(96.46, abs=0.005) == constants.NCM111_MOLAR_MASS_G_PER_MOL
    assert units == pytest.approx(29.78, abs=0.005)
    assert units * constants.NCM111_FORMULA["Mn"] == pytest.approx(9.93, abs=0.005)
    assert units * constants.NCM111_FORMULA["O"] == pytest.approx(59.6, abs=0.05)


def test_holes_follow_from_electron_counts():
    # A neutral 3d metal has Z - 18 electrons outside the argon core; the ion has lost its valence of them.
    for species, holes in constants.D_HOLES.items():
        element, valence = constants.SPECIES_ELEMENT[species], int(species[-1])
        assert holes == 10 - (constants.ATOMIC_NUMBER[element] - 18 - valence)


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError, match="item assignment"):
        constants.EDGE_ONSET_EV["Mn", "L3"] = 0.0
