"""Velox files: streams of X-rays decoded, detectors, EELS ranges, images; small ones made here, real ones compared."""

import json
import pickle

import h5py
import numpy as np
import pytest

from tritomo_helpers import io
from tritomo_helpers.io import _velox

SHAPE, N_CHANNELS, N_FRAMES = (3, 4), 16, 2
STAGE_DEG = 12.5


def text(value):
    return np.array([json.dumps(value).encode()], dtype=h5py.string_dtype("ascii"))


def metadata(detector, **result):
    about = {
        "BinaryResult": {"Detector": detector, **result},
        "Stage": {"AlphaTilt": str(np.deg2rad(STAGE_DEG))},
        "Scan": {
            "ScanSize": {"width": "8", "height": "6"},
            "ScanArea": {"left": "0", "top": "0.5", "right": "0.5", "bottom": "1"},
        },
        "Detectors": {"D-0": {"DetectorName": "XG21", "Dispersion": "10", "OffsetEnergy": "-250"}}
        | {"D-1": {"DetectorName": "XG22", "Dispersion": "10", "OffsetEnergy": "-250"}},
    }
    return np.frombuffer(json.dumps(about).encode().ljust(900, b"\0"), np.uint8)[:, None]


def stream_of(counts):
    """Write counts (frame, pixel, channel) as the vendor does: channels of each pixel, then the mark of the next."""
    values = []
    for frame in counts:
        for pixel in frame:
            values += [*np.repeat(np.arange(N_CHANNELS), pixel), 65535]
    return np.array(values, dtype=np.uint16)


@pytest.fixture(scope="module")
def velox(tmp_path_factory):
    """Return the path of a small Velox file, and the counts (detector, frame, pixel, channel) in it."""
    path = tmp_path_factory.mktemp("velox") / "a.emd"
    counts = np.random.default_rng(3).poisson(0.3, (2, N_FRAMES, SHAPE[0] * SHAPE[1], N_CHANNELS))
    counts[:, :, :2] = 0  # pixels without any X-ray
    pixel = {"PixelSize": {"width": "2e-9", "height": "2e-9"}, "PixelUnitX": "m", "Offset": {"x": "0", "y": "0"}}
    with h5py.File(path, "w") as file:
        file["Version"] = text({"version": "11", "format": "Velox"})
        group = file.create_group("Data/SpectrumImage/si")
        group["Metadata"] = metadata("XG2", **pixel)
        for name, detector, of_detector in (("a", "XG21", counts[0]), ("b", "XG22", counts[1])):
            group = file.create_group(f"Data/SpectrumStream/{name}")
            stream = stream_of(of_detector)
            group["Data"] = (stream if name == "a" else stream[:-1])[:, None]  # the last mark may be missing
            group["AcquisitionSettings"] = text({"bincount": str(N_CHANNELS)})
            group["Metadata"] = metadata(detector, **pixel)
        for name, detector in (("i1", "HAADF"), ("i2", "XG2"), ("i3", "Zebra")):
            group = file.create_group(f"Data/Image/{name}")
            values = np.arange(12.0).reshape(*SHAPE, 1) + 100 * int(name[1])
            group.create_dataset("Data", data=values, chunks=values.shape)
            group["Metadata"] = metadata(detector, **(pixel if detector != "Zebra" else {}))
            shown = {"dataPath": f"/Data/Image/{name}"}
            file[f"SharedProperties/{name}"] = text(shown)
            title = "HAADF" if name == "i1" else "Mn"
            display = {"data": f"/SharedProperties/{name}", "title": title, "id": f"{title}-{detector}"}
            file[f"Displays/ImageDisplay/{name}"] = text(display)
        for name, offset_ev in (("low", -20), ("core", 500)):
            group = file.create_group(f"Data/EelsSpectrumImage/{name}")
            cube = np.arange(4 * 64 * 3, dtype=np.uint16).reshape(4, 64, 3)  # (x, energy, y)
            group.create_dataset("Data", data=cube, chunks=(4, 64, 1))
            group["Metadata"] = metadata("Zebra")
            scale = {"Data": {"offset": offset_ev, "dispersion": 0.5}}
            group["AcquisitionMetadata"] = np.frombuffer(json.dumps(scale).encode() + b"\0", np.uint8)[:, None]
    return path, counts


def test_a_stream_is_decoded_pixel_by_pixel_and_frames_and_detectors_are_summed(velox):
    path, counts = velox
    eds = io.load_spectra(path, signal="EDS", lazy=True)
    assert hasattr(eds.counts, "dask")
    assert eds.counts.shape == (1, *SHAPE, N_CHANNELS)
    assert np.array_equal(np.asarray(eds.counts[0]), counts.sum(axis=(0, 1)).reshape(*SHAPE, N_CHANNELS))
    assert eds.energy_ev[:2].tolist() == [-250, -240]
    assert eds.pixel_size_nm == pytest.approx(2.0)
    assert eds.tilt_angles_deg == pytest.approx([STAGE_DEG])
    for row in range(SHAPE[0]):  # whatever is sliced first
        assert np.array_equal(np.asarray(eds.counts[0, row]), counts.sum(axis=(0, 1)).reshape(*SHAPE, -1)[row])
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(eds.counts))), np.asarray(eds.counts))


def test_one_detector_can_be_chosen(velox):
    path, counts = velox
    for i, name in enumerate(("XG21", "XG22")):
        eds = io.load_spectra(path, signal="EDS", detector=name)
        assert np.array_equal(eds.counts[0], counts[i].sum(axis=0).reshape(*SHAPE, N_CHANNELS))
    with pytest.raises(ValueError, match=r"detector of a\.emd: expected one of XG21, XG22, got 'XG23'"):
        io.load_spectra(path, signal="EDS", detector="XG23")
    with pytest.raises(ValueError, match="detector: expected X-ray spectra, got EELS"):
        io.load_spectra(path, signal="EELS low-loss", detector="XG21")


def test_low_and_core_loss_are_told_by_their_axes_and_oriented(velox):
    path, _ = velox
    cube = np.arange(4 * 64 * 3).reshape(4, 64, 3)
    for signal, offset_ev in (("EELS low-loss", -20), ("EELS core-loss", 500)):
        eels = io.load_spectra(path, signal=signal)
        assert eels.energy_ev[0] == offset_ev
        assert eels.pixel_size_nm == pytest.approx(2.0)  # of the scan
        assert np.array_equal(eels.counts[0], cube.transpose(2, 0, 1))


@pytest.mark.parametrize(("factor", "offset", "dark"), [(0.08, -8.0, 100), (2.0, 0.0, 0), (1.0, -3.0, 3)])
def test_counts_of_eels_mean_what_the_file_states(velox, tmp_path, factor, offset, dark):
    path = tmp_path / "scaled.emd"
    path.write_bytes(velox[0].read_bytes())
    stated = {"offset": 500, "dispersion": 0.5, "intensityScale": factor, "intensityOffset": offset}
    with h5py.File(path, "a") as file:
        group = file["Data/EelsSpectrumImage/core"]
        del group["AcquisitionMetadata"]
        group["AcquisitionMetadata"] = np.frombuffer(json.dumps({"Data": stated}).encode() + b"\0", np.uint8)[:, None]
    recorded = io.load_spectra(velox[0], signal="EELS core-loss").counts.astype(float)
    lazy = io.load_spectra(path, signal="EELS core-loss", lazy=True).counts
    assert hasattr(lazy, "dask")
    assert np.asarray(lazy) == pytest.approx((recorded - dark) * factor, abs=1e-4)


def test_an_intensity_that_no_count_has_is_damage(velox, tmp_path):
    path = tmp_path / "zero.emd"
    path.write_bytes(velox[0].read_bytes())
    stated = {"offset": 500, "dispersion": 0.5, "intensityScale": 0, "intensityOffset": 0}
    with h5py.File(path, "a") as file:
        group = file["Data/EelsSpectrumImage/core"]
        del group["AcquisitionMetadata"]
        group["AcquisitionMetadata"] = np.frombuffer(json.dumps({"Data": stated}).encode() + b"\0", np.uint8)[:, None]
    with pytest.raises(ValueError, match="counts times 0"):
        io.load_spectra(path, signal="EELS core-loss")


def test_images_have_the_titles_of_the_screen(velox):
    path, _ = velox
    assert io.load_tilt_series(path).label == "HAADF"
    assert io.load_image(path, title="Mn-XG2").images[0, 0, 0] == 200  # two elements called Mn: their identifiers
    assert io.load_image(path, title="Mn-Zebra").pixel_size_nm == pytest.approx(2.0)
    assert {content.role for content in io.describe(path)} == {"adf", "eds", "low_loss", "core_loss"}


def test_a_pruned_file_says_so(velox, tmp_path):
    path = tmp_path / "pruned.emd"
    path.write_bytes(velox[0].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["Data/SpectrumStream"]
    with pytest.raises(ValueError, match=r"got a pruned file.*save it from Velox again without pruning"):
        io.load_spectra(path, signal="EDS")
    assert io.load_spectra(path, signal="EELS low-loss").counts.shape == (1, 3, 4, 64)


def test_a_channel_beyond_the_last_is_damage(velox, tmp_path):
    path = tmp_path / "damaged.emd"
    path.write_bytes(velox[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["Data/SpectrumStream/a/Data"][5, 0] = N_CHANNELS
    eds = io.load_spectra(path, signal="EDS", lazy=True)
    with pytest.raises(ValueError, match=r"damaged\.emd: expected a readable \.emd file, got ValueError: channel 16"):
        eds.counts.compute()


def test_a_stack_of_frames_has_the_angles_of_the_stage(tmp_path):
    path = tmp_path / "t.emd"
    tilts = [20.0, -20.0, 0.0]
    with h5py.File(path, "w") as file:
        file["Version"] = text({"version": "11", "format": "Velox"})
        group = file.create_group("Data/Image/i")
        group["Data"] = np.arange(36.0).reshape(*SHAPE, 3)
        pixel = {"PixelSize": {"width": "2e-9", "height": "2e-9"}, "PixelUnitX": "m"}
        frames = [metadata("HAADF", **pixel).tobytes().replace(str(np.deg2rad(STAGE_DEG)).encode(), b"%.9f" % a)
                  for a in np.deg2rad(tilts)]  # fmt: skip
        group["Metadata"] = np.stack([np.frombuffer(f.ljust(999, b"\0"), np.uint8) for f in frames], axis=1)
    series = io.load_tilt_series(path)
    assert series.tilt_angles_deg == pytest.approx([-20, 0, 20], abs=1e-6)
    assert np.array_equal(series.images, np.arange(36.0).reshape(*SHAPE, 3).transpose(2, 0, 1)[[1, 2, 0]])


def test_a_long_stream_needs_six_bytes_for_each_count():
    stream = np.random.default_rng(0).integers(0, 4096, 200_000).astype(np.uint16)
    stream[::7] = 65535
    channels, starts = _velox.decode(stream, n_pixels=1000, n_channels=4096)
    assert channels.nbytes == 2 * np.count_nonzero(stream != 65535)
    assert starts[-1] == channels.size
