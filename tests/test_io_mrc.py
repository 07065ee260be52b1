"""MRC as others write it, and what we write as others check it."""

import io as streams
import itertools
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import io
from tritomo_helpers.containers import TiltSeries, Tomogram

SIGNED = np.array([-128, -1, 0, 127], dtype=np.int8).reshape(1, 2, 2)


def mrc(path, data, **header):
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.voxel_size = 20.0
        for name, value in header.items():
            file.header[name] = value
    return path


def imod(flags):
    """Return the rest of a header with IMOD's stamp at byte 152 and flags at 156; 1 is signed."""
    return np.void(b"\0" * 40 + np.array([1146047817, flags], dtype="<i4").tobytes() + b"\0" * 36)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [(np.void(b"\0" * 84), [-128, -1, 0, 127]), (imod(1), [-128, -1, 0, 127]), (imod(0), [128, 255, 0, 127])],
)
def test_bytes_are_signed_unless_imod_says_otherwise(tmp_path, extra, expected):
    path = mrc(tmp_path / "a.mrc", SIGNED, extra2=extra)
    assert io.load_image(path).images.ravel().tolist() == expected


@pytest.mark.parametrize("kind", ["i1", "i2", "u2", "f4", "f2"])
def test_big_endian_is_read_as_what_it_is(tmp_path, kind):
    data = (np.arange(24) - (0 if kind == "u2" else 7)).astype(">" + kind).reshape(2, 3, 4)
    path = mrc(tmp_path / "a.mrc", data)
    assert path.read_bytes()[212:214] in (b"\x11\x11", b"\x44\x44")
    back = io.load_tomogram(path)
    assert np.array_equal(back.values, data)
    assert back.voxel_size_nm == pytest.approx(2.0)
    assert io.load_tilt_series(path, tilt_angles_deg=[0, 1]).images.dtype.newbyteorder("=") == np.dtype(kind)


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_columns_rows_and_sections_lie_where_the_header_says(tmp_path, order):
    """MAPC, MAPR and MAPS name the axis (1 x, 2 y, 3 z) of columns, rows and sections."""
    columns, rows, sections = order
    stored = chiral_stack().transpose([3 - axis for axis in (sections, rows, columns)])
    path = mrc(tmp_path / "a.mrc", np.ascontiguousarray(stored), mapc=columns, mapr=rows, maps=sections)
    with mrcfile.open(path, "r+") as file:
        file.header.mx, file.header.my, file.header.mz = chiral_stack().shape[::-1]
        file.header.cella = tuple(20.0 * n for n in chiral_stack().shape[::-1])
    back = io.load_tomogram(path)
    assert np.array_equal(back.values, chiral_stack())
    assert back.voxel_size_nm == pytest.approx(2.0)


def test_a_stack_of_volumes_and_complex_numbers_are_refused(tmp_path):
    path = mrc(tmp_path / "a.mrc", chiral_stack(), ispg=401)
    with pytest.raises(ValueError, match=r"got a stack of volumes \(ISPG 401\).*separate files"):
        io.load_tomogram(path)
    path = mrc(tmp_path / "c.mrc", chiral_stack(np.complex64))
    with pytest.raises(ValueError, match="expected one number per pixel, got numbers of type complex64"):
        io.load_tomogram(path)


@pytest.mark.filterwarnings("ignore:a.mrc. the label is cut")  # which another test is about
@pytest.mark.parametrize("kind", ["bool", "i1", "u1", "i2", "u2", "i4", "f2", "f4", "f8", ">i2", ">u2", ">f4", "i8"])
@pytest.mark.parametrize("volume", [True, False])
def test_what_is_saved_validates(tmp_path, kind, volume):
    values = (chiral_stack() > 0).astype(kind)
    obj = Tomogram(values, 0.37, "Mn (at%)") if volume else TiltSeries(values, TILTS_DEG, 0.37, "Ä" * 90)
    io.save(obj, tmp_path / "a.mrc")
    report = streams.StringIO()
    assert mrcfile.validate(tmp_path / "a.mrc", print_file=report), report.getvalue()
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.is_volume() == volume
        assert file.voxel_size.x == pytest.approx(3.7)
        assert np.array_equal(file.data, values)


def test_a_label_that_is_too_long_is_cut_between_letters_and_not_in_silence(tmp_path):
    named = Tomogram(chiral_stack().astype(np.float32), 2.0, "é" * 60)
    with pytest.warns(UserWarning, match="the label is cut after 80 bytes"):
        io.save(named, tmp_path / "a.mrc")
    assert io.load_tomogram(tmp_path / "a.mrc").quantity == "é" * 35


def test_saving_the_same_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.mrc", "b.mrc"):
        io.save(Tomogram(chiral_stack(), 2.0), tmp_path / name)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


def test_a_save_that_is_stopped_leaves_no_stack_with_angles_of_another(tmp_path, monkeypatch):
    old, new = (TiltSeries(np.full((3, 4, 4), float(k)), np.array([-10.0, 0, 10]) * k, 1.0, "ADF") for k in (1, 6))
    io.save(old, tmp_path / "a.mrc")

    def stop(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        io.save(new, tmp_path / "a.mrc")
    monkeypatch.undo()
    assert not (tmp_path / "a.rawtlt").exists(), "angles of the old series beside the images of the new one"
    with pytest.raises(ValueError, match="tilt_angles_deg"):
        io.load_tilt_series(tmp_path / "a.mrc")
