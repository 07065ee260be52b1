"""Damaged, missing and hostile files: one message of ours, and nothing is ever executed."""

import pickle
import shutil
import struct
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
from tritomo_helpers.io import _bruker, _formats


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


def bruker_counts(*, lines=1, x=1, packing=1, n_pulses=5, n_bytes=12, runs=b""):
    """The counts of a map of 3 x 2 pixels, of which one was hit."""
    pixel = struct.pack("<IHH4xHHHI", x, 0, 0, packing, 0, n_pulses, n_bytes) + (runs or bytes(n_bytes))
    return struct.pack("<II", lines, 3).ljust(0x1A0, b"\0") + struct.pack("<I", 1) + pixel


RUNS = bytes([0, 200, 1, 3, 7, 0x21, 0x03, 2, 2, 0, 1, 5, 6]) + bytes(4)  # none in 200, three of 4 bits, two of 8 bits


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"packing": 0, "n_pulses": 6},
        {"packing": 2, "n_pulses": 0, "n_bytes": len(RUNS), "runs": RUNS},
        {"packing": 2, "n_pulses": 2, "n_bytes": len(RUNS), "runs": RUNS + bytes(4)},
    ],
)
def test_counts_of_a_bruker_map_that_fit_together_pass(fine):
    _bruker.check_counts(bruker_counts(**fine), shape=(2, 3), block_bytes=4096)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": 3},
        {"lines": 2},
        {"x": 3},
        {"n_pulses": 9},
        {"packing": 0, "n_pulses": 7},
        {"n_bytes": 5000},
        {"n_bytes": 13, "runs": bytes(12)},
        {"packing": 2, "n_pulses": 3, "n_bytes": len(RUNS), "runs": RUNS + bytes(4)},
        {"packing": 2, "n_pulses": 0, "n_bytes": len(RUNS), "runs": bytes([0, 200, 3]) + RUNS[3:]},
        {"packing": 2, "n_pulses": 0, "n_bytes": len(RUNS), "runs": RUNS[:8] + bytes([9]) + RUNS[9:]},
    ],
)
def test_counts_of_a_bruker_map_that_would_end_the_process_are_refused(wrong):
    """RosettaSciIO's compiled parser trusts every length in them."""
    with pytest.raises((ValueError, struct.error)):
        _bruker.check_counts(bruker_counts(**wrong), shape=(2, 3), block_bytes=4096)


# --- sweeps --------------------------------------------------------------------------------------------------------


def damaged(whole, n, rng):
    """Yield a file emptied, cut off, and with bytes flipped."""
    yield b""
    for length in np.linspace(1, len(whole) - 1, n).astype(int):
        yield whole[:length]
    for _ in range(n):
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
    for content in damaged(whole, n, rng):
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
    assert [error for path, reads in samples(tmp_path) for error in foreign_errors(path, reads, 1, rng)] == []


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
