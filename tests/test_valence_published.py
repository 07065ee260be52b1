"""The published chain on a small noise-free scan whose truth is known."""

import numpy as np
import pytest

from tritomo_helpers import eels, phantoms, simulation, valence
from tritomo_helpers.alignment import Alignment
from tritomo_helpers.constants import NCM111_FORMULA_UNITS_PER_NM3 as UNITS
from tritomo_helpers.containers import SpectrumTiltSeries
from tritomo_helpers.simulation import eels as spectrometer
from tritomo_helpers.spectroscopy import references

SHARES = {"Mn4": 0.6, "Mn3": 0.1, "Mn2": 0.3, "Co3": 0.7, "Co2": 0.3}
N = 9
INSIDE = np.hypot(*np.mgrid[-4:5, -4:5]) < 3.5
TILT_DIMMING = (1.0, 0.8)


@pytest.fixture(scope="module")
def scan():
    """A disc, 60 to 150 nm thick, at two tilts of which the second is dimmer; one more row of vacuum below."""
    acquisition = simulation.Acquisition(counting_noise=False)
    thickness_nm = np.where(INSIDE, 60 + 90 * (1 - np.hypot(*np.mgrid[-4:5, -4:5]) / 3.5), 0).ravel()
    n = UNITS * np.maximum(thickness_nm, 0)
    maps = {"Li": n, "O": 2 * n, "Ni2": n / 3, "C": np.full(N * N, 350.0)}
    maps |= {state: share * n / 3 for state, share in SHARES.items()}
    over_path = thickness_nm / acquisition.eels.mean_free_path_nm
    found = []
    for core in (False, True):
        counts = spectrometer.expected_spectra(maps, over_path, np.zeros(N * N), acquisition, core=core)
        series = np.stack([dim * counts.reshape(N, N, -1) for dim in TILT_DIMMING])
        axis = spectrometer.axes(acquisition)["core_loss" if core else "low_loss"]
        found.append(SpectrumTiltSeries(series, [0.0, 10.0], axis, 4.63))
    return found


def chain(scan, **options):
    low, core = scan
    options = {
        "alignment": Alignment(np.zeros((2, 2)), np.array([0.0, 10.0])),
        "masks": np.stack([INSIDE] * 2),
    } | options
    return valence.published_maps(low, core, **options)


def test_shares_of_a_noise_free_scan_are_right_within_the_reach_of_the_method(scan):
    maps = chain(scan, method="nnls")
    total = {s: ts.images.sum() for s, ts in maps.weights.items()}
    found = valence.fractions(total)
    for state in ("Mn4", "Mn3", "Mn2"):
        assert found[state] == pytest.approx(SHARES[state], abs=0.03)
    # Co has Mn L1 before it and Ni behind it: the method does worse.
    assert found["Co3"] == pytest.approx(SHARES["Co3"], abs=0.15)
    assert np.abs(maps.drift_ev).max() < 0.01
    assert set(maps.rejected_share) == {"Mn L", "Co L"}


def test_l1_of_manganese_before_the_edge_lowers_cobalt(scan):
    low, core = (s.replace(counts=s.counts[:1], tilt_angles_deg=s.tilt_angles_deg[:1]) for s in scan)
    alignment, masks = Alignment(np.zeros((1, 2)), np.zeros(1)), INSIDE[None]
    co3 = {}
    for removed in (False, True):
        maps = chain((low, core), method="nnls", alignment=alignment, masks=masks, remove_l1=removed)
        co3[removed] = valence.fractions({s: t.images.sum() for s, t in maps.weights.items()})["Co3"]
    # Taken out by its own cross-section and the low loss of each pixel, most of the error goes.
    assert co3[False] < SHARES["Co3"] - 0.06
    assert co3[True] == pytest.approx(SHARES["Co3"], abs=0.02)


def test_each_tilt_is_normalized_by_the_sums_of_its_edges(scan):
    maps = chain(scan, method="nnls", reference_sets=[references.load("Mn")])
    assert maps.factors[1] / maps.factors[0] == pytest.approx(1 / TILT_DIMMING[1], rel=0.01)
    sums = [ts.images.sum(axis=(1, 2)) for ts in maps.weights.values()]
    assert sum(sums)[0] == pytest.approx(sum(sums)[1], rel=0.01)


def test_nothing_lies_outside_the_mask_and_shifts_are_applied(scan):
    shifts = np.array([[0.0, 0.0], [0.0, 1.0]])
    maps = chain(
        scan,
        alignment=Alignment(shifts, np.array([0.0, 10.0])),
        reference_sets=[references.load("Mn")],
        method="nnls",
    )
    mn4 = maps.weights["Mn4"].images
    assert np.abs(mn4[0][~INSIDE]).max() == 0
    np.testing.assert_allclose(mn4[1][:, 1:], mn4[0][:, :-1] * (mn4[1].sum() / mn4[0].sum()), atol=0.02 * mn4.max())


def test_excluded_tilts_are_left_out(scan):
    maps = chain(
        scan,
        alignment=Alignment(np.array([[0, 0], [np.nan, np.nan]]), np.array([0.0, 10.0])),
        reference_sets=[references.load("Mn")],
    )
    assert maps.weights["Mn4"].tilt_angles_deg.tolist() == [0.0]


def test_rejected_pixels_take_the_mean_of_accepted_neighbors():
    values = np.arange(25.0).reshape(5, 5)
    mask = np.ones((5, 5), bool)
    mask[0] = False
    holed = values.copy()
    holed[2, 2] = np.nan
    filled = valence.fill_rejected(holed, mask)
    around = [values[y, x] for y in (1, 2, 3) for x in (1, 2, 3) if (y, x) != (2, 2)]
    assert filled[2, 2] == pytest.approx(np.mean(around))
    assert np.all(filled[0] == 0)
    # A hole three wide: its middle has accepted neighbors only in the second round.
    holed[1:4, 1:4] = np.nan
    assert np.isfinite(valence.fill_rejected(holed, mask)).all()
    spectra = np.where(np.isnan(holed)[..., None], np.nan, np.ones(7))
    np.testing.assert_allclose(valence.fill_rejected(spectra, mask)[mask], 1)


def test_volumes_are_reconstructed_and_normalized():
    specimen = phantoms.particle("pristine-1", shape=16)
    acquisition = simulation.Acquisition.ideal(scan_shape=(16, 16), pixel_size_nm=specimen.voxel_size_nm, repeats=False)
    adf = simulation.acquire(specimen, acquisition, rng=np.random.default_rng(0)).adf
    support = np.asarray(specimen.mask)
    amounts = {"Mn4": 0.7, "Mn2": 0.3}
    weights = {s: adf.replace(images=v * np.asarray(adf.images), label=s) for s, v in amounts.items()}
    maps = valence.PublishedMaps(weights, np.zeros(1), adf, {}, {}, {}, np.ones(1), {}, {})
    found = valence.published_volumes(
        maps, support=support, white_line_factors_by_state={"Mn4": 1.0, "Mn2": 1.0}, n_iterations=20
    )
    np.testing.assert_allclose(np.nanmedian(found.fractions["Mn4"].values), 0.7, atol=1e-3)
    assert np.isnan(found.fractions["Mn4"].values[~support]).all()
    default = valence.published_volumes(maps, support=support, n_iterations=2)
    assert default.factors["Mn4"] > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": np.ones((2, 3, 3))}, "one mask per tilt"),
        ({"method": "svd"}, "method: expected one of"),
        ({"alignment": Alignment(np.zeros((2, 2)), np.array([0.0, 20.0]))}, "the ADF series of the same scan"),
        ({"reference_sets": [references.load("Ni")]}, "a set for Mn or Co"),
        (
            {"settings": {"Mn L": eels.SweepSettings.for_edge("Mn L").replace(max_pre_slope=1e-9)}},
            "an accepted spectrum inside the mask",
        ),
    ],
)
def test_bad_input_says_what_to_do(scan, options, words):
    with pytest.raises(ValueError, match=words):
        chain(scan, **options)
