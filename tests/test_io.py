"""Files and containers: round trips, orientation, number types, headers."""

import dataclasses

import dask.array as da
import h5py
import numpy as np
import pytest

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import io
from tritomo_helpers.containers import Alignment, SpectrumTiltSeries, TiltSeries, Tomogram


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("suffix", [".mrc", ".hspy"])
def test_a_tilt_series_comes_back_as_it_was(tmp_path, suffix, dtype):
    images = chiral_stack(dtype)
    series = TiltSeries(images, TILTS_DEG, 4.63, "ADF of particle 3")
    io.save(series, tmp_path / f"a{suffix}")
    back = io.load_tilt_series(tmp_path / f"a{suffix}")
    assert back.images.dtype == dtype
    assert np.array_equal(back.images, images)
    assert back.tilt_angles_deg == pytest.approx(TILTS_DEG, abs=1e-9)
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
    energy = (600 if signal == "EELS core-loss" else -3) + 0.15 * np.arange(32)
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


def test_arrays_of_every_type_and_order_in_memory_are_packed_exactly(tmp_path):
    cube = np.random.default_rng(0).integers(0, 90, (3, 40, 60))
    arrays = {dtype: cube.astype(dtype) for dtype in ("?", "u1", "<i2", ">i2", "<i4", "<f4", ">f8", "c8", "c16")}
    arrays |= {"turned": cube.T, "stepped": cube[::2, ::-1, ::3], "spectra": cube[..., None], "one": cube[:1]}
    arrays["mapped"] = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", np.int16, cube.shape)
    arrays["mapped"][:] = cube
    io.save(arrays, tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5") as file:  # by HDF5's own filters
        for name, array in arrays.items():
            assert file[name].chunks == (1, *array.shape[1:]), name
            assert file[name].dtype == array.dtype, name
            assert np.array_equal(file[name][()], array), name


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


def test_a_tilt_axis_along_x_is_swapped_to_y_and_nothing_is_flipped(tmp_path):
    images = chiral_stack()
    io.save(TiltSeries(images, TILTS_DEG, 2.0), tmp_path / "a.mrc")
    back = io.load_tilt_series(tmp_path / "a.mrc", tilt_axis="x")
    assert back.images.shape == (4, 6, 5)
    for t, y, x in np.ndindex(4, 5, 6):
        assert back.images[t, x, y] == images[t, y, x]
    spectra = SpectrumTiltSeries(np.repeat(images[..., None], 3, axis=3), TILTS_DEG, np.arange(3), 2.0, "EDS")
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


def test_an_alignment_comes_back_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(1)
    shifts = rng.normal(size=(4, 2))
    shifts[2] = np.nan
    saved = Alignment(
        shifts,
        np.sort(rng.normal(size=4)),
        axis_rotation_deg=-0.1 / 3,
        method="common-line",
        extended="along",
        why=("first, über alles", "second"),
        failures={0.1 + 0.2: "noise / 3 counts"},
        residuals=rng.random(4),
        pixel_size_nm=4.63,
        image_shape=(64, 48),
    )
    for obj in (saved, Alignment(np.zeros((1, 2)), np.array([5.0]))):
        io.save(obj, tmp_path / "a.h5")
        back = io.load_alignment(tmp_path / "a.h5")
        for field in dataclasses.fields(obj):
            assert np.array_equal(getattr(back, field.name), getattr(obj, field.name), equal_nan=field.name in EXACT)
    io.save({"shifts_px": shifts}, tmp_path / "b.h5")
    with pytest.raises(ValueError, match=r"expected an alignment, as io\.save writes it, got arrays shifts_px"):
        io.load_alignment(tmp_path / "b.h5")


EXACT = ("shifts_px", "residuals", "pixel_size_nm")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("V;mAh\n3,7;0,25\n4,4;1\n", [[3.7, 0.25], [4.4, 1]]),
        ("V;mAh\n3.7;0.25\n", [[3.7, 0.25]]),
        ("V\tmAh\n3,7\t1,5e-3\n", [[3.7, 1.5e-3]]),
        ("V,mAh\n3.7,0.25\n", [[3.7, 0.25]]),
        ("\ufeffV,mAh\n3.7,0.25\n", [[3.7, 0.25]]),
        ('"V, corrected",mAh\n3.7,0.25\n', [[3.7, 0.25]]),
        ("V,mAh\n3,7,0,25\n", None),
    ],
)
def test_tables_are_parsed_as_they_are_written(tmp_path, text, expected):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    if expected is None:
        with pytest.raises(ValueError, match=r"got 4 values in row 2 under 2 names \(decimal commas\?\)"):
            io.load_table(tmp_path / "a.csv")
        return
    table = io.load_table(tmp_path / "a.csv")
    assert table.to_numpy().tolist() == expected
    assert table.columns[1] == "mAh"
