"""Damaged, missing and hostile files: one message of ours, and nothing is ever executed."""

import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import datasets, io
from tritomo_helpers.containers import Alignment, SpectrumTiltSeries, TiltSeries, Tomogram
from tritomo_helpers.io import _formats


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
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "a.mrc")
    whole = (tmp_path / "a.mrc").read_bytes()
    (tmp_path / "a.mrc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="download or copy is complete"):
        io.load_tilt_series(tmp_path / "a.mrc")


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
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0, "ADF"), tmp_path / "a.hspy")
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


# --- sweeps --------------------------------------------------------------------------------------------------------


def damaged(whole, n, rng, *, flips=True):
    """Yield a file emptied, cut off, and with bytes flipped."""
    yield b""
    for length in np.linspace(1, len(whole) - 1, n).astype(int):
        yield whole[:length]
    for _ in range(n if flips else 0):
        flipped = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 5)):
            flipped[place] ^= int(rng.integers(1, 256))
        yield bytes(flipped)


def samples(folder):
    """Write one small file of each kind; return the path and the functions that read it."""
    series, volume = TiltSeries(chiral_stack(), TILTS_DEG, 2.0, "ADF"), Tomogram(chiral_stack(), 2.0)
    spectra = SpectrumTiltSeries(chiral_stack()[..., None] + np.arange(3), TILTS_DEG, [-1, 0, 1], 2.0, "EELS")
    for obj, name in ((series, "a.mrc"), (series, "a.hspy"), (volume, "v.mrc"), (volume, "v.vti"), (spectra, "s.hspy")):
        io.save(obj, folder / name)
    io.save({"shifts_px": np.ones((40, 40)), "why": ["a", "b"], "inner": {"name": "x"}}, folder / "t.h5")
    io.save(Alignment(np.ones((4, 2)), TILTS_DEG), folder / "al.h5")
    (folder / "c.csv").write_text("V;mAh\n3,7;0,25\n4,4;1\n")
    tifffile.imwrite(folder / "i.tif", chiral_stack().astype(np.uint16), photometric="minisblack")
    return [
        (folder / "a.mrc", [io.load_tilt_series, io.describe]),
        (folder / "a.rawtlt", [lambda path: io.load_tilt_series(path.with_suffix(".mrc"))]),
        (folder / "a.hspy", [io.load_tilt_series, io.load_arrays]),
        (folder / "v.mrc", [io.load_tomogram]),
        (folder / "v.vti", [io.load_tomogram]),
        (folder / "s.hspy", [lambda path: np.asarray(io.load_spectra(path, signal="EELS", lazy=True).counts)]),
        (folder / "t.h5", [io.load_arrays]),
        (folder / "al.h5", [io.load_alignment]),
        (folder / "c.csv", [io.load_table, lambda path: io.load_table(path, header_rows=2)]),
        (folder / "i.tif", [lambda path: io.load_tilt_series(path, tilt_angles_deg=TILTS_DEG, pixel_size_nm=1)]),
    ]


def foreign_errors(path, functions, n, rng):
    """Return what damaged copies of a file raise that is no message of ours."""
    whole, foreign = path.read_bytes(), []
    # Flipped counts of a Bruker file end the process in RosettaSciIO's compiled parser, beyond the reach of any reader.
    for content in damaged(whole, n, rng, flips=path.suffix != ".bcf"):
        path.write_bytes(content)
        for function in functions:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    function(path)
                except Exception as error:
                    if not isinstance(error, ValueError) or "To fix:" not in str(error):
                        foreign.append(f"{path.name}: {type(error).__name__}: {error}")
    path.write_bytes(whole)
    return foreign


def test_no_damage_raises_a_foreign_error(tmp_path):
    rng = np.random.default_rng(16)
    assert [error for path, reads in samples(tmp_path) for error in foreign_errors(path, reads, 2, rng)] == []


@pytest.mark.acceptance
def test_no_damage_of_any_kind_raises_a_foreign_error(tmp_path):
    rng = np.random.default_rng(7)
    kinds = samples(tmp_path)
    vendor = datasets.fetch("vendor_files", progress=False)
    for role, read in (
        ("bruker", lambda path: (io.load_image(path), io.load_spectra(path, signal="EDS").counts.sum())),
        ("eels", lambda path: io.load_spectra(path, signal="EELS core-loss")),
        ("tilt_1", io.load_image),
    ):
        kinds.append((Path(shutil.copy(vendor[role], tmp_path)), [read, io.describe]))
    with zipfile.ZipFile(vendor["velox_version11"]) as archive:
        velox = Path(archive.extract(archive.namelist()[0], tmp_path))
    kinds.append(
        (velox, [lambda path: np.asarray(io.load_spectra(path, signal="EDS", lazy=True).counts), io.load_image])
    )
    assert [error for path, reads in kinds for error in foreign_errors(path, reads, 30, rng)] == []
