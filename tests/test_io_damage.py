"""Damaged, missing and hostile files: one message of ours, and nothing is ever executed."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import io
from tritomo_helpers.containers import TiltSeries
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
