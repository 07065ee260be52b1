"""Files and containers: round trips, real files of every format, orientation, angles, and words for what goes wrong."""

import os
import pickle
import shutil
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest

from tritomo_helpers import datasets, io
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries, Tomogram
from tritomo_helpers.io import _formats, _tilt

ANGLES = [-70.0, -12.5, 0.0, 31.0]


def chiral_stack(dtype=np.float32):
    """A different number in every pixel, so that no flip, swap or shift goes unseen."""
    return np.arange(4 * 5 * 6, dtype=dtype).reshape(4, 5, 6) - 17


@pytest.fixture
def real(monkeypatch, tmp_path_factory):
    """Return a function like datasets.fetch; skips where neither mirror nor cache has the data."""
    if not os.environ.get("TRITOMO_DATA_DIR"):
        monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path_factory.getbasetemp() / "data"))

    def fetch(name):
        mirror = os.environ.get("TRITOMO_DATA_MIRROR")
        if not mirror and not all(datasets.present(name).values()):
            pytest.skip(f"needs {name}: set TRITOMO_DATA_MIRROR, or fetch it into TRITOMO_DATA_DIR")
        return datasets.fetch(name, progress=False)

    return fetch


# --- round trips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("suffix", [".mrc", ".hspy"])
def test_a_tilt_series_comes_back_as_it_was(tmp_path, suffix, dtype):
    images = chiral_stack(dtype)
    series = TiltSeries(images, ANGLES, 4.63, "ADF of particle 3")
    io.save(series, tmp_path / f"a{suffix}")
    back = io.load_tilt_series(tmp_path / f"a{suffix}")
    assert back.images.dtype == dtype
    assert np.array_equal(back.images, images)
    assert back.tilt_angles_deg == pytest.approx(ANGLES, abs=1e-9)
    assert back.pixel_size_nm == pytest.approx(4.63, rel=1e-6)
    assert back.label == "ADF of particle 3"


@pytest.mark.parametrize("suffix", [".mrc", ".hspy", ".vti"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1)])
def test_a_volume_comes_back_as_it_was(tmp_path, suffix, shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    values.flat[1] = np.nan
    io.save(Tomogram(values, 4.63, "density (1/nm³)"), tmp_path / f"v{suffix}")
    back = io.load_tomogram(tmp_path / f"v{suffix}")
    assert np.array_equal(back.values, values, equal_nan=True)
    assert back.voxel_size_nm == pytest.approx(4.63, rel=1e-6)
    assert back.quantity == "density (1/nm³)"


@pytest.mark.parametrize("signal", ["EDS", "EELS low-loss", "EELS core-loss"])
@pytest.mark.parametrize("lazy", [False, True])
def test_spectra_come_back_as_they_were(tmp_path, signal, lazy):
    counts = np.arange(3 * 2 * 4 * 32, dtype=np.uint16).reshape(3, 2, 4, 32)
    energy = -30 + 0.15 * np.arange(32)
    stored = da.from_array(counts, chunks=(1, 2, 4, 32)) if lazy else counts
    io.save(SpectrumTiltSeries(stored, [-10, 0, 25], energy, 4.63, signal), tmp_path / "s.hspy")
    back = io.load_spectra(tmp_path / "s.hspy", signal=signal)
    assert back.counts.dtype == np.uint16
    assert np.array_equal(back.counts, counts)
    assert back.energy_ev == pytest.approx(energy, abs=1e-9)
    assert back.tilt_angles_deg == pytest.approx([-10, 0, 25])
    assert back.pixel_size_nm == pytest.approx(4.63)
    assert back.label == signal


@pytest.mark.parametrize("shape", [(1, 2, 3, 8), (2, 1, 3, 8), (2, 3, 1, 8), (1, 1, 1, 8)])
def test_spectra_with_axes_of_length_one_keep_them(tmp_path, shape):
    counts = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    io.save(SpectrumTiltSeries(counts, np.arange(shape[0]) + 5.0, np.arange(8.0), 2.0, "EELS"), tmp_path / "s.hspy")
    back = io.load_spectra(tmp_path / "s.hspy", signal="EELS")
    assert np.array_equal(back.counts, counts)
    assert back.tilt_angles_deg == pytest.approx(np.arange(shape[0]) + 5.0)


def test_an_uneven_energy_axis_survives(tmp_path):
    energy = np.array([1.0, 2.0, 4.0, 8.0])
    io.save(SpectrumTiltSeries(np.ones((1, 1, 2, 4)), [0], energy, 2.0, "EELS"), tmp_path / "s.hspy")
    assert np.array_equal(io.load_spectra(tmp_path / "s.hspy", signal="EELS").energy_ev, energy)


def test_lazy_spectra_read_one_tilt_at_a_time(tmp_path):
    counts = np.ones((5, 4, 4, 64), np.uint16)
    io.save(SpectrumTiltSeries(counts, np.arange(5), np.arange(64), 2.0, "EDS"), tmp_path / "s.hspy")
    series = io.load_spectra(tmp_path / "s.hspy", signal="EDS", lazy=True)
    assert hasattr(series.counts, "dask")
    assert series.counts.chunks[0] == (1,) * 5
    with h5py.File(tmp_path / "s.hspy") as file:
        stored = file["Experiments/EDS/data"]
        assert stored.chunks == (1, 4, 4, 64)
        assert stored.compression == "gzip"


def test_named_arrays_come_back(tmp_path):
    truth = {
        "shifts_px": np.arange(6.0).reshape(3, 2),
        "mask": np.eye(40) > 0,
        "dose": 9.36e7,
        "name": "pristine-1",
        "elements": ["O", "Mn"],
        "nothing": None,
        "inner": {"n": 3, "volume": np.ones((3, 20, 20), np.float32)},
    }
    io.save(truth, tmp_path / "t.h5")
    back = io.load_arrays(tmp_path / "t.h5")
    assert np.array_equal(back["shifts_px"], truth["shifts_px"])
    assert back["mask"].dtype == bool
    assert np.array_equal(back["mask"], truth["mask"])
    assert (back["dose"], back["name"], back["elements"]) == (9.36e7, "pristine-1", ["O", "Mn"])
    assert "nothing" not in back
    assert back["inner"]["n"] == 3
    assert back["inner"]["volume"].dtype == np.float32
    assert list(io.load_arrays(tmp_path / "t.h5", group="inner")) == ["n", "volume"]
    assert list(io.load_arrays(tmp_path / "t.h5", names=["dose"])) == ["dose"]


# --- orientation, number types, headers ----------------------------------------------------------------------------


def test_a_tilt_axis_along_x_is_swapped_to_y_and_nothing_is_flipped(tmp_path):
    images = chiral_stack()
    io.save(TiltSeries(images, ANGLES, 2.0), tmp_path / "a.mrc")
    back = io.load_tilt_series(tmp_path / "a.mrc", tilt_axis="x")
    assert back.images.shape == (4, 6, 5)
    for t, y, x in np.ndindex(4, 5, 6):
        assert back.images[t, x, y] == images[t, y, x]
    spectra = SpectrumTiltSeries(np.repeat(images[..., None], 3, axis=3), ANGLES, np.arange(3), 2.0, "EDS")
    io.save(spectra, tmp_path / "s.hspy")
    assert np.array_equal(io.load_spectra(tmp_path / "s.hspy", signal="EDS", tilt_axis="x").counts[..., 0], back.images)


def test_the_mrc_is_what_the_format_says(tmp_path):
    values = chiral_stack()
    io.save(Tomogram(values, 0.5, "Mn (at%)"), tmp_path / "v.mrc")
    raw = (tmp_path / "v.mrc").read_bytes()
    words = np.frombuffer(raw[:1024], "<i4")
    assert words[:4].tolist() == [6, 5, 4, 2]  # columns (x), rows (y), sections (z), float32
    assert raw[208:212] == b"MAP "
    assert raw[212:214] == b"\x44\x44"
    assert np.frombuffer(raw[40:52], "<f4").tolist() == [30.0, 25.0, 20.0]  # cell in Å
    assert np.frombuffer(raw[196:208], "<f4").tolist() == [-15.0, -10.0, -10.0]  # origin: index N // 2 at 0
    assert np.frombuffer(raw[76:88], "<f4").tolist() == [values.min(), values.max(), values.mean()]
    assert len(raw) == 1024 + values.nbytes
    assert np.array_equal(np.frombuffer(raw[1024:], "<f4"), values.ravel())


def test_the_vti_puts_index_n_half_at_zero_and_x_first(tmp_path):
    io.save(Tomogram(chiral_stack(), 0.5, 'a "quoted" < b'), tmp_path / "v.vti")
    text = (tmp_path / "v.vti").read_text(encoding="utf-8")
    assert 'WholeExtent="0 5 0 4 0 3" Origin="-1.5 -1.0 -1.0" Spacing="0.5 0.5 0.5"' in text
    assert io.load_tomogram(tmp_path / "v.vti").quantity == 'a "quoted" < b'


@pytest.mark.parametrize(
    ("dtype", "low", "stored"),
    [
        (np.bool_, 0, np.int16),
        (np.uint8, 0, np.int16),
        (np.int8, -5, np.int16),
        (np.int64, 0, np.int16),
        (np.int64, 40_000, np.uint16),
        (np.int64, 70_000, np.float32),
        (np.float64, 0, np.float32),
        (">i2", 0, np.int16),
    ],
)
def test_number_types_that_mrc_lacks_become_the_next_that_holds_them(tmp_path, dtype, low, stored):
    values = (np.arange(8) % 2 + low).astype(dtype).reshape(2, 2, 2)
    io.save(Tomogram(values, 1.0), tmp_path / "v.mrc")
    back = io.load_tomogram(tmp_path / "v.mrc").values
    assert back.dtype == stored
    assert np.array_equal(back, values)


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path):
    for value in (1.0, 2.0):
        io.save(TiltSeries(np.full((2, 3, 3), value), [0, 1], 1.0), tmp_path / "a.mrc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mrc", "a.rawtlt"]
    assert io.load_tilt_series(tmp_path / "a.mrc").images.max() == 2.0
    with pytest.raises(ValueError, match="real numbers"):
        io.save(TiltSeries(np.ones((2, 3, 3), complex), [0, 1], 1.0), tmp_path / "b.mrc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mrc", "a.rawtlt"]


# --- tilt angles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "angle"),
    [("-40.bcf", -40), ("0.bcf", 0), ("map_+12.5.dm4", 12.5), ("L2083-K-4_tilt_-7deg.dm3", -7), ("map.dm3", None)],
)
def test_the_angle_is_the_last_number_of_the_name(name, angle):
    assert _tilt.angle_in_name(Path(name)) == angle


def test_a_date_in_the_name_is_not_an_angle():
    assert _tilt.angle_in_name(Path("scan_20240312.dm3")) is None


def test_angles_in_any_order_are_sorted_with_their_images(tmp_path):
    images = chiral_stack()
    io.save(TiltSeries(images, [1, 2, 3, 4], 2.0), tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").write_text(" 0\n 10\n-10\n 20\n")
    back = io.load_tilt_series(tmp_path / "a.mrc")
    assert back.tilt_angles_deg.tolist() == [-10, 0, 10, 20]
    assert np.array_equal(back.images, images[[2, 0, 1, 3]])


def test_given_angles_win_over_the_side_file(tmp_path):
    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0), tmp_path / "a.mrc")
    assert io.load_tilt_series(tmp_path / "a.mrc", tilt_angles_deg=[0, 1, 2, 3]).tilt_angles_deg.tolist() == [
        0,
        1,
        2,
        3,
    ]


def one_file_per_tilt(folder, angles):
    paths = []
    for angle in angles:
        series = TiltSeries(np.full((1, 3, 4), float(angle)), [0], 2.0, "HAADF")
        io.save(series, folder / f"map_{angle:+d}.hspy")
        paths.append(folder / f"map_{angle:+d}.hspy")
    return paths


def test_one_file_per_tilt_takes_the_angles_from_the_names(tmp_path):
    back = io.load_tilt_series(one_file_per_tilt(tmp_path, [20, -10, 0]))
    assert back.tilt_angles_deg.tolist() == [-10, 0, 20]
    assert back.images[:, 0, 0].tolist() == [-10, 0, 20]
    assert back.label == "HAADF"


def test_spectra_one_file_per_tilt(tmp_path):
    paths = []
    for angle in (30, -5):
        series = SpectrumTiltSeries(np.full((1, 2, 2, 4), angle + 100), [0], np.arange(4), 2.0, "EDS")
        io.save(series, tmp_path / f"{angle}.hspy")
        paths.append(tmp_path / f"{angle}.hspy")
    back = io.load_spectra(paths, signal="EDS")
    assert back.tilt_angles_deg.tolist() == [-5, 30]
    assert back.counts[:, 0, 0, 0].tolist() == [95, 130]


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_unknown_extension_missing_file_and_folder(tmp_path):
    (tmp_path / "a.xyz").touch()
    (tmp_path / "folder.mrc").mkdir()
    with pytest.raises(ValueError, match=r"expected an extension among .*\.dm3.*, got '.xyz'"):
        io.load_image(tmp_path / "a.xyz")
    with pytest.raises(FileNotFoundError, match="nothing there"):
        io.load_image(tmp_path / "a.dm3")
    with pytest.raises(FileNotFoundError, match="a folder"):
        io.load_image(tmp_path / "folder.mrc")


@pytest.mark.parametrize("suffix", [".mrc", ".dm3", ".hspy", ".bcf", ".emd"])
def test_a_file_of_rubbish_is_said_to_be_unreadable(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"rubbish " * 300)
    with pytest.raises(ValueError, match=f"expected a readable {suffix} file.*download or copy is complete"):
        io.load_image(path)


def test_a_truncated_file_is_said_to_be_unreadable(tmp_path):
    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0), tmp_path / "a.mrc")
    whole = (tmp_path / "a.mrc").read_bytes()
    (tmp_path / "a.mrc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="download or copy is complete"):
        io.load_tilt_series(tmp_path / "a.mrc")


def test_angles_that_do_not_fit(tmp_path):
    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0), tmp_path / "a.mrc")
    with pytest.raises(ValueError, match=r"expected 4 angles, one per image of a\.mrc, got 3"):
        io.load_tilt_series(tmp_path / "a.mrc", tilt_angles_deg=[0, 1, 2])
    (tmp_path / "a.rawtlt").write_text("0\n1\n1\n2\n")
    with pytest.raises(ValueError, match=r"repeated \[1\.0\]"):
        io.load_tilt_series(tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").write_text("0\n1\nnan\n2\n")
    with pytest.raises(ValueError, match="NaN"):
        io.load_tilt_series(tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").write_text("zero\n")
    with pytest.raises(ValueError, match=r"a\.rawtlt: expected one angle per line"):
        io.load_tilt_series(tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").unlink()
    with pytest.raises(ValueError, match="pass tilt_angles_deg, one per image"):
        io.load_tilt_series(tmp_path / "a.mrc")
    paths = one_file_per_tilt(tmp_path, [0, 10])
    with pytest.raises(ValueError, match="expected 2 angles, one per file, got 1"):
        io.load_tilt_series(paths, tilt_angles_deg=[0])
    nameless = shutil.copy(paths[0], tmp_path / "nameless.hspy")
    with pytest.raises(ValueError, match=r"end of every file name.*got nameless\.hspy"):
        io.load_tilt_series([paths[0], nameless])
    with pytest.raises(ValueError, match="expected at least one file"):
        io.load_tilt_series([])


def test_images_where_spectra_are_wanted_and_the_reverse(tmp_path):
    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0, "ADF"), tmp_path / "a.hspy")
    with pytest.raises(ValueError, match=r"expected an array with an energy axis.*no energy axis in ADF \(4, 5, 6\)"):
        io.load_spectra(tmp_path / "a.hspy", signal="EDS")
    io.save(SpectrumTiltSeries(np.ones((1, 2, 2, 4)), [0], np.arange(4), 2.0, "EDS"), tmp_path / "s.hspy")
    with pytest.raises(ValueError, match="expected one image or stack, got no image"):
        io.load_image(tmp_path / "s.hspy")
    with pytest.raises(ValueError, match="expected one EELS array, got 'EDS'"):
        io.load_spectra(tmp_path / "s.hspy", signal="EELS")
    with pytest.raises(ValueError, match="signal: expected one of 'EDS'"):
        io.load_spectra(tmp_path / "s.hspy", signal="XRD")
    with pytest.raises(ValueError, match=r"expected 1 angles.*got 2|expected 4 angles"):
        io.load_spectra(tmp_path / "s.hspy", signal="EDS", tilt_angles_deg=[0, 1])
    with pytest.raises(ValueError, match="tilt_axis: expected one of 'y', 'x'"):
        io.load_tilt_series(tmp_path / "a.hspy", tilt_axis="z")


def test_energy_axes_of_several_files_must_agree(tmp_path):
    for angle, offset in ((0, 0.0), (10, 5.0)):
        series = SpectrumTiltSeries(np.ones((1, 2, 2, 4)), [0], np.arange(4) + offset, 2.0, "EDS")
        io.save(series, tmp_path / f"{angle}.hspy")
    with pytest.raises(ValueError, match=r"expected the energy axis of 0\.hspy \(0 to 3 eV\), got 5 to 8 eV"):
        io.load_spectra([tmp_path / "0.hspy", tmp_path / "10.hspy"], signal="EDS")


def test_what_cannot_be_saved_so_is_refused(tmp_path):
    volume = Tomogram(np.ones((2, 2, 2)), 1.0)
    with pytest.raises(ValueError, match=r"expected \.hspy or \.mrc or \.vti for a Tomogram, got '\.png'"):
        io.save(volume, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"expected \.hspy for a SpectrumTiltSeries, got '\.mrc'"):
        io.save(SpectrumTiltSeries(np.ones((1, 2, 2, 4)), [0], np.arange(4), 2.0), tmp_path / "a.mrc")
    with pytest.raises(TypeError, match="ndarray"):
        io.save(np.ones(3), tmp_path / "a.mrc")
    with pytest.raises(FileNotFoundError, match="create it first"):
        io.save(volume, tmp_path / "nowhere" / "a.mrc")
    with pytest.raises(ValueError, match=r"t\.h5 / bad: expected numbers"):
        io.save({"bad": object()}, tmp_path / "t.h5")
    assert list(tmp_path.iterdir()) == []


def test_no_scale_and_uneven_pixels_are_refused_until_one_is_given(tmp_path):
    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0), tmp_path / "a.hspy")
    with h5py.File(tmp_path / "a.hspy", "r+") as file:
        (group,) = file["Experiments"].values()
        group["axis-1"].attrs["scale"] = 3.0
    with pytest.raises(ValueError, match="expected square pixels, got 3 x 2 nm"):
        io.load_tilt_series(tmp_path / "a.hspy")
    with h5py.File(tmp_path / "a.hspy", "r+") as file:
        (group,) = file["Experiments"].values()
        group["axis-1"].attrs["units"] = "<undefined>"
    with pytest.raises(ValueError, match=r"expected image axes in nm.*pass pixel_size_nm"):
        io.load_tilt_series(tmp_path / "a.hspy")
    assert io.load_tilt_series(tmp_path / "a.hspy", pixel_size_nm=2.5).pixel_size_nm == 2.5


class Exploding:
    """Unpickling this leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_nothing_is_ever_unpickled(tmp_path):
    trace = tmp_path / "exploded"
    payload = pickle.dumps(Exploding(trace))
    pickle.loads(payload)
    assert trace.exists(), "the trap itself must work"
    trace.unlink()
    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0, "ADF"), tmp_path / "a.hspy")
    io.save({"good": np.ones(3)}, tmp_path / "t.h5")
    for name in ("a.hspy", "t.h5"):
        with h5py.File(tmp_path / name, "r+") as file:
            file.attrs["trap"] = np.void(payload)
            for where in [file, *(item for item in file.values() if isinstance(item, h5py.Group))]:
                where.create_dataset("trap", data=np.void(payload))
                where.create_dataset("_datapickle_trap", data=np.frombuffer(payload, np.uint8))
    with h5py.File(tmp_path / "a.hspy", "r+") as file:
        file["Experiments/ADF/metadata/General"].attrs["notes"] = np.void(payload)
        file["Experiments/ADF/metadata"].create_dataset("trap", data=np.bytes_(payload))
        del file["Experiments/trap"], file["Experiments/_datapickle_trap"]
    assert io.load_tilt_series(tmp_path / "a.hspy").n_tilts == 4
    assert np.array_equal(io.load_arrays(tmp_path / "t.h5")["good"], np.ones(3))
    assert not trace.exists()
    assert ".npy" not in _formats.READERS
    assert ".zspy" not in _formats.READERS


# --- HyperSpy -----------------------------------------------------------------------------------------------------


def test_a_signal_has_the_axes_of_the_container():
    counts = da.zeros((3, 4, 5, 16), chunks=(1, 4, 5, 16), dtype=np.uint16)
    signal = io.to_hyperspy(
        SpectrumTiltSeries(counts, [-10, 0, 25], 600 + 0.15 * np.arange(16), 4.63, "EELS core-loss")
    )
    assert type(signal).__name__ == "LazyEELSSpectrum"
    assert [axis.name for axis in signal.axes_manager._axes] == ["tilt", "y", "x", "Energy loss"]
    energy = signal.axes_manager.signal_axes[0]
    assert (energy.units, energy.offset) == ("eV", 600)
    assert energy.scale == pytest.approx(0.15)
    assert signal.axes_manager["x"].axis[5 // 2] == 0
    assert list(signal.axes_manager["tilt"].axis) == [-10, 0, 25]
    eds = io.to_hyperspy(SpectrumTiltSeries(np.zeros((1, 2, 2, 8)), [0], 10.0 * np.arange(8), 4.63, "EDS"))
    assert type(eds).__name__ == "EDSTEMSpectrum"
    assert eds.axes_manager.signal_axes[0].units == "keV"
    assert eds.axes_manager.signal_axes[0].axis[-1] == pytest.approx(0.07)
    # eXSpy would fill in a detector at 35 degrees; nothing is better than something wrong.
    assert not eds.metadata.has_item("Acquisition_instrument")
    images = io.to_hyperspy(TiltSeries(np.zeros((2, 4, 5)), [0, 10], 4.63, "ADF"))
    assert (type(images).__name__, images.metadata.General.title) == ("Signal2D", "ADF")
    with pytest.raises(TypeError, match="expected a TiltSeries, SpectrumTiltSeries or Tomogram, got ndarray"):
        io.to_hyperspy(np.zeros(3))


@pytest.mark.parametrize("signal", ["EDS", "EELS low-loss"])
def test_spectra_go_to_hyperspy_and_back(signal):
    counts = np.arange(3 * 2 * 4 * 8).reshape(3, 2, 4, 8)
    series = SpectrumTiltSeries(counts, [-10, 0, 25], 100.0 + 10 * np.arange(8), 4.63, signal)
    back = io.from_hyperspy(io.to_hyperspy(series))
    assert np.array_equal(back.counts, counts)
    assert back.energy_ev == pytest.approx(series.energy_ev)
    assert back.tilt_angles_deg.tolist() == [-10, 0, 25]
    assert (back.pixel_size_nm, back.label) == (pytest.approx(4.63), signal)


def test_images_go_to_hyperspy_and_back():
    signal = io.to_hyperspy(TiltSeries(chiral_stack(), ANGLES, 4.63, "ADF"))
    back = io.from_hyperspy(signal, label="HAADF")
    assert np.array_equal(back.images, chiral_stack())
    assert (back.tilt_angles_deg.tolist(), back.label) == (ANGLES, "HAADF")
    signal.axes_manager["x"].units = signal.axes_manager["y"].units = "furlong"
    with pytest.raises(ValueError, match="pass pixel_size_nm"):
        io.from_hyperspy(signal)


def test_hyperspy_opens_what_was_saved(tmp_path):
    import hyperspy.api as hs

    io.save(TiltSeries(chiral_stack(), ANGLES, 2.0, "ADF"), tmp_path / "a.hspy")
    signal = hs.load(tmp_path / "a.hspy")
    assert np.array_equal(signal.data, chiral_stack())
    assert list(signal.axes_manager.navigation_axes[0].axis) == ANGLES
    # And what HyperSpy saves again still reads here.
    signal.save(tmp_path / "b.hspy")
    back = io.load_tilt_series(tmp_path / "b.hspy")
    assert np.array_equal(back.images, chiral_stack())
    assert back.tilt_angles_deg.tolist() == ANGLES


# --- real files, one of every format in the manifest ---------------------------------------------------------------


def test_real_needle(real):
    path = real("etspy_needle_haadf_raw")["tilt_series"]
    needle = io.load_tilt_series(path, tilt_axis="x")
    assert needle.images.shape == (77, 256, 256)
    assert needle.images.dtype == np.int16
    assert needle.images.min() < 0  # the offset of the detector stays
    assert needle.tilt_angles_deg.tolist() == list(range(-76, 77, 2))
    assert needle.pixel_size_nm == pytest.approx(3.36, rel=1e-6)
    # A needle lies along the tilt axis: it leaves the frame at one end of y, and nowhere along x.
    mean = (needle.images.astype(float) - needle.images.min()).mean(axis=0)
    along_y, along_x = mean.sum(axis=1), mean.sum(axis=0)
    assert max(along_y[0], along_y[-1]) > 0.2 * along_y.max()
    assert max(along_x[0], along_x[-1]) < 0.02 * along_x.max()


def test_real_needle_without_the_side_file_uses_the_header(real, tmp_path):
    path = Path(shutil.copy(real("etspy_needle_haadf_raw")["tilt_series"], tmp_path / "alone.mrc"))
    assert io.load_tilt_series(path).tilt_angles_deg.tolist() == list(range(-76, 77, 2))


def test_real_aligned_needle_and_its_shifts(real):
    path = real("etspy_needle_haadf_aligned")["tilt_series"]
    aligned = io.load_tilt_series(path, tilt_axis="x")
    assert aligned.images.shape == (77, 256, 256)
    assert aligned.tilt_angles_deg.tolist() == list(range(-76, 77, 2))
    shifts = io.load_arrays(path, group="Experiments/__unnamed__/metadata/Tomography/_sig_shifts")["data"]
    assert shifts.shape == (77, 2)


def test_real_dust_eds_is_lazy_and_its_tilts_come_from_the_names(real):
    files = real("openNCEM_L2083_eds_tilt_10deg")
    paths = [files[role] for role in files if role.startswith("tilt_")]
    spectra = io.load_spectra(paths, signal="EDS")
    assert spectra.counts.shape == (8, 256, 256, 2048)
    assert hasattr(spectra.counts, "dask")
    assert spectra.tilt_angles_deg.tolist() == list(range(-40, 31, 10))
    assert spectra.pixel_size_nm == pytest.approx(13.08, abs=0.01)
    assert spectra.dispersion_ev == pytest.approx(10.003, abs=1e-3)
    total = np.asarray(spectra.counts[4].sum(axis=(0, 1)))
    assert total.sum() / 256**2 == pytest.approx(13.5, abs=0.1)
    # The strongest line below 2 keV is that of a silicate: O K, 525 eV, Mg K, 1254 eV or Si K, 1740 eV.
    low = (spectra.energy_ev > 400) & (spectra.energy_ev < 2000)
    peak = spectra.energy_ev[low][np.argmax(total[low])]
    assert min(abs(peak - line) for line in (525, 1254, 1740)) < 20
    images = io.load_tilt_series(paths)
    assert images.images.shape == (8, 256, 256)
    assert images.tilt_angles_deg.tolist() == spectra.tilt_angles_deg.tolist()
    assert images.label == "HAADF"


def test_real_nmc_line_scan(real):
    files = real("NMC_EELS_linescan_Jia")
    core = io.load_spectra(files["core_loss"], signal="EELS core-loss")
    low = io.load_spectra(files["low_loss"], signal="EELS low-loss")
    for spectra in (core, low):
        assert spectra.counts.shape == (1, 2, 21, 2048)
        assert spectra.pixel_size_nm == pytest.approx(2.046, abs=1e-3)
        assert spectra.dispersion_ev == pytest.approx(0.3, abs=1e-6)
    assert core.energy_ev[0] == pytest.approx(440, abs=1e-3)
    peak = low.energy_ev[np.argmax(low.counts.sum(axis=(0, 1, 2)))]
    assert -3.6 < peak < -2.7  # the zero-loss peak, as the file's own axis has it
    vacuum, bulk = low.counts[0, :, 0].sum(), core.counts[0, :, -1].sum() / core.counts[0, :, 0].sum()
    assert vacuum > 0
    assert bulk > 5  # x = 0 is vacuum
    assert io.load_image(files["survey"]).images.shape == (1, 512, 512)
    assert io.load_image(files["survey"]).pixel_size_nm == pytest.approx(0.324, abs=1e-3)
    assert io.load_image(files["adf"]).images.shape == (1, 2, 21)


def test_real_lsmo_line_scan_gets_a_y_axis_of_length_one(real):
    files = real("LSMO_linescan_dualEELS")
    core = io.load_spectra(files["core_loss"], signal="EELS core-loss")
    assert core.counts.shape == (1, 1, 40, 586)
    assert core.energy_ev[[0, -1]] == pytest.approx([428.5, 721.0])
    assert core.pixel_size_nm == pytest.approx(3.219, abs=1e-3)
    low = io.load_spectra(files["low_loss"], signal="EELS low-loss")
    assert low.energy_ev[np.argmax(low.counts.sum(axis=(0, 1, 2)))] == pytest.approx(3.0, abs=0.6)


def test_real_maps_and_tables(real):
    maps = io.load_arrays(real("Co3O4_Mn3O4_fusion_2D")["maps"])
    assert {name: array.shape for name, array in maps.items()} == dict.fromkeys(("HAADF", "Co", "Mn", "O"), (400, 400))
    assert 0.92 < np.mean(maps["Co"] == 0) < 0.96
    table = io.load_table(real("NMC_charge_discharge_Jia")["cycles"], header_rows=2)
    assert table["1C"]["Capacity (mAh/g)"].max() == pytest.approx(247, abs=0.5)
    assert table["1D"]["Capacity (mAh/g)"].max() == pytest.approx(221, abs=0.5)
    slow = io.load_table(real("NMC111_graphite_discharge_AboutEnergy")["discharge_c20"])
    assert list(slow.columns) == ["Time [s]", "I[A]", "U[V]"]
    charge_ah = -np.trapezoid(slow["I[A]"], slow["Time [s]"]) / 3600
    assert charge_ah == pytest.approx(13.10, abs=0.02)


def test_tables_that_are_none(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ValueError, match=r"a\.csv: expected comma-separated columns"):
        io.load_table(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="expected 1 or 2, got 3"):
        io.load_table(tmp_path / "a.csv", header_rows=3)
    io.save({"a": np.ones(2)}, tmp_path / "t.h5")
    with pytest.raises(ValueError, match="expected some of a, got"):
        io.load_arrays(tmp_path / "t.h5", names=["b"])
    with pytest.raises(ValueError, match="expected a group, got a"):
        io.load_arrays(tmp_path / "t.h5", group="b")
