"""The Cramér-Rao bound of a pixel's valence, held against fits of drawn spectra."""

import numpy as np
import pytest

from tritomo_helpers.constants import NCM111_FORMULA_UNITS_PER_NM3
from tritomo_helpers.simulation import Acquisition, Eels, eels, valence_bound

METAL = NCM111_FORMULA_UNITS_PER_NM3 / 3 * 150
SHARES = {"Mn4": 0.845, "Mn3": 0.04, "Mn2": 0.115, "Co3": 0.8, "Co2": 0.2}


def spectrum(setting, **atoms):
    whole = {"O": 6 * METAL, "Li": 3 * METAL, "Ni2": METAL} | {state: METAL * share for state, share in SHARES.items()}
    arrays = {name: np.array([value]) for name, value in whole.items()}
    path = eels.mass_thickness(arrays, setting, angle_deg=0.0)
    areal = {name: np.array([value]) for name, value in (atoms or whole).items()}
    return eels.expected_spectra(areal, path, np.zeros(1), setting, core=True)[0].astype(float)


def test_fits_of_drawn_spectra_scatter_as_much():
    quiet = Eels(efficiency=1.0, readout_noise=0.0, elastic_loss=False)
    setting = Acquisition(film_thickness_nm=0.0, eels=quiet)
    names = [*SHARES, "Ni2"]
    axis = setting.eels.core_loss_energy_ev
    rest = spectrum(setting, O=6 * METAL, Li=3 * METAL)
    model = np.stack([*(spectrum(setting, **{name: METAL}) for name in names), rest, rest * axis])
    expected = spectrum(setting)
    drawn = np.random.default_rng(3).poisson(expected, (1500, expected.size))
    amounts = np.linalg.solve((model / expected) @ model.T, (model / expected) @ drawn.T)
    bound = valence_bound(setting)
    for states in (("Mn4", "Mn3", "Mn2"), ("Co3", "Co2")):
        of_element = amounts[[names.index(state) for state in states]]
        scatter = 100 * (of_element / of_element.sum(axis=0)).std(axis=1)
        assert scatter == pytest.approx([bound[state] for state in states], rel=0.08)


def test_four_times_the_electrons_halve_it_unless_readout_noise_counts():
    quiet, loud = (
        [valence_bound(Acquisition(eels=Eels(efficiency=e, readout_noise=noise)))["Mn4"] for e in (0.1, 0.4)]
        for noise in (0.0, 30.0)
    )
    assert quiet[0] == pytest.approx(2 * quiet[1], rel=1e-6)
    assert loud[0] > 3.5 * loud[1]


def test_shares_that_are_none():
    with pytest.raises(ValueError, match=r"shares of Mn: expected shares that sum to 1.*divide by their sum"):
        valence_bound(shares={"Mn": {"Mn4": 0.5, "Mn3": 0.2}})
    with pytest.raises(ValueError, match="thickness_nm: expected a finite number above zero"):
        valence_bound(thickness_nm=0)
