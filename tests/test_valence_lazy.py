"""Valence of spectra larger than memory: Dask and memory maps give what arrays do, with the memory of few tilts."""

import tracemalloc

import dask.array as da
import numpy as np
import pytest

from tritomo_helpers import phantoms, simulation, valence
from tritomo_helpers.alignment import Alignment
from tritomo_helpers.spectroscopy import references

TILTS = (-50.0, 30.0)


@pytest.fixture(scope="module")
def scan():
    settings = simulation.Acquisition.tiny(signals=("eels",), tilt_angles_deg=TILTS, repeats=False)
    got = simulation.acquire(phantoms.particle("pristine-1", shape=16), settings, rng=np.random.default_rng(1))
    return got.low_loss, got.core_loss, got.truth["thickness_over_mean_free_path"] > 0.2


def forward(low, core, mask):
    maps = valence.fit_spectra(core, low, references="crystal-field", calibrate=False)
    return {s: series.images for s, series in maps.amplitudes.items()}


def published(low, core, mask):
    still = Alignment(np.zeros((low.n_tilts, 2)), low.tilt_angles_deg)
    maps = valence.published_maps(
        low, core, alignment=still, masks=mask, method="nnls", reference_sets=[references.load("Mn")]
    )
    return {s: series.images for s, series in maps.weights.items()}


CHAINS = pytest.mark.parametrize("chain", [forward, published])


def mapped(series, folder, name):
    file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", series.counts.dtype, series.counts.shape)
    file[:] = series.counts
    file.flush()
    return series.replace(counts=np.load(folder / f"{name}.npy", mmap_mode="r"))


@CHAINS
def test_arrays_memory_maps_and_dask_give_the_same(chain, scan, tmp_path):
    *spectra, mask = scan
    expected = chain(*spectra, mask)
    lazy = [s.replace(counts=da.from_array(s.counts, chunks=(1, 8, -1, 512))) for s in spectra]
    on_disk = [mapped(s, tmp_path, name) for s, name in zip(spectra, ("low", "core"), strict=True)]
    for kind in (lazy, on_disk):
        found = chain(*kind, mask)
        for state, images in expected.items():
            np.testing.assert_allclose(found[state], images, rtol=1e-5, atol=1e-6 * np.abs(images).max())


@pytest.fixture(scope="module")
def one_tilt():
    settings = simulation.Acquisition(
        signals=("eels",), tilt_angles_deg=(0.0,), scan_shape=(32, 32), pixel_size_nm=9.26, repeats=False
    )
    got = simulation.acquire(phantoms.particle("pristine-1", shape=32), settings, rng=np.random.default_rng(1))
    return got.low_loss, got.core_loss, got.truth["thickness_over_mean_free_path"] > 0.2


@pytest.mark.acceptance
@CHAINS
def test_spectra_of_few_tilts_are_in_memory_at_a_time(chain, one_tilt):
    low_loss, core_loss, mask = one_tilt
    peaks = []
    for n in (1, 2, 6):  # the first fills caches, the second has two at a time
        many = [
            s.replace(
                counts=da.concatenate([da.from_array(s.counts, chunks=(1, 16, 32, -1))] * n),
                tilt_angles_deg=np.linspace(-60, 60, n),
            )
            for s in (low_loss, core_loss)
        ]
        tracemalloc.start()
        chain(*many, np.concatenate([mask] * n))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    added = 4 * (low_loss.counts.nbytes + core_loss.counts.nbytes)
    assert peaks[2] - peaks[1] < 0.25 * added, (peaks, added)
