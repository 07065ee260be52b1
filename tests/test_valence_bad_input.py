"""What cannot be evaluated is refused by both chains, with what was expected, what was got, and what to do."""

import numpy as np
import pytest

from tritomo_helpers import eels, phantoms, simulation, valence
from tritomo_helpers.alignment import Alignment
from tritomo_helpers.spectroscopy import references


@pytest.fixture(scope="module")
def scan():
    settings = simulation.Acquisition.tiny(signals=("eels",), tilt_angles_deg=(0.0, 30.0), repeats=False)
    got = simulation.acquire(phantoms.particle("pristine-1", shape=16), settings, rng=np.random.default_rng(1))
    return got.low_loss, got.core_loss, got.truth["thickness_over_mean_free_path"] > 0.2


def forward(low, core, mask, *, sets=None, window_ev=(602.0, 905.0)):
    return valence.fit_spectra(core, low, references=sets or "crystal-field", fit_window_ev=window_ev)


def published(low, core, mask, *, sets=None, window_ev=None):
    still = Alignment(np.zeros((2, 2)), np.array([0.0, 30.0]))
    chosen = {} if window_ev is None else {"settings": {"Mn L": sweep_from(window_ev)}}
    given = list(sets.values()) if sets else [references.load("Mn")]
    return valence.published_maps(low, core, alignment=still, masks=mask, reference_sets=given, **chosen)


def sweep_from(window_ev):
    settings = eels.SweepSettings.for_edge("Mn L")
    by = window_ev[0] - settings.range_ev[0]
    moved = {
        name: tuple((a + by, b + by) for a, b in getattr(settings, name))
        for name in ("pre_windows_ev", "post_windows_ev")
    }
    return settings.replace(range_ev=tuple(e + by for e in settings.range_ev), **moved)


def channels(series, value, *, at=slice(300, 310)):
    counts = np.array(series.counts, dtype=np.float32)
    counts[..., at] = value
    return series.replace(counts=counts)


def cut_references():
    whole = references.load("Mn")
    kept = whole.energy_ev < 648
    return references.ReferenceSet("Mn", whole.states, whole.energy_ev[kept], whole.spectra[:, kept])


def moved(series, ev):
    return series.replace(energy_ev=series.energy_ev + ev)


def from_channel(series, first):
    return series.replace(counts=series.counts[..., first:], energy_ev=series.energy_ev[first:])


CASES = {
    "windows off the axis": lambda low, core: ({"low": low, "core": core}, {"window_ev": (300.0, 905.0)}),
    "edges out of range": lambda low, core: ({"low": low, "core": moved(core, 250)}, {}),
    "no low loss": lambda _, core: ({"low": None, "core": core}, {}),
    "other shape": lambda low, core: ({"low": low.replace(counts=low.counts[:, :8]), "core": core}, {}),
    "other dispersion": lambda low, core: ({"low": low.replace(energy_ev=low.energy_ev * 1.5), "core": core}, {}),
    "saturated channels": lambda low, core: ({"low": low, "core": channels(core, 32767)}, {}),
    "dead channels": lambda low, core: ({"low": low, "core": channels(core, 0)}, {}),
    "references that end before L2": lambda low, core: ({"low": low, "core": core}, {"sets": {"Mn": cut_references()}}),
    "zero loss off the axis": lambda low, core: ({"low": from_channel(low, 300), "core": core}, {}),
}


@pytest.mark.parametrize("chain", [forward, published])
@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_evaluated_is_refused_in_three_parts(scan, chain, case):
    low, core, mask = scan
    spectra, options = CASES[case](low, core)
    with pytest.raises((ValueError, TypeError)) as error:
        chain(spectra["low"], spectra["core"], mask, **options)
    message = str(error.value)
    assert all(part in message for part in (": expected ", ", got ", "To fix"))
