"""The twin: built on first use, found again, noticed when damaged, swept when a build was killed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helper import cached, finished, in_another_process
from tritomo_helpers import datasets, io
from tritomo_helpers.datasets import _twin

pytestmark = pytest.mark.usefixtures("surroundings")


TINY = datasets.dataset("twin/tiny")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A cache with the twin's ADF."""
    place = tmp_path_factory.mktemp("simulated")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITOMO_DATA_MIRROR", raising=False)
        patch.setenv("TRITOMO_DATA_DIR", str(place / "cache"))
        fetch_adf()
    return place / "cache"


@pytest.fixture
def copied(simulated, tmp_path):
    """The cache of this test, in which the twin's ADF has been simulated (mtimes are kept)."""
    return shutil.copytree(simulated, tmp_path / "cache")


def fetch_adf():
    return datasets.fetch("twin/tiny", parts=["adf", "repeats", "truth"], progress=False)


def test_the_twin_is_built_on_first_use_and_found_again():
    assert not any(datasets.present("twin/tiny").values())
    files = fetch_adf()
    assert list(files) == ["adf", "repeats", "truth"]
    stamps = {role: path.stat().st_mtime_ns for role, path in files.items()}
    assert fetch_adf() == files
    assert {role: path.stat().st_mtime_ns for role, path in files.items()} == stamps
    states = datasets.verify("twin/tiny")
    # No spectra are simulated for those who do not ask for them.
    assert {name: state for name, state in states.items() if state != "missing"} == dict.fromkeys(
        ("adf.hspy", "repeats.h5", "truth.h5"), "intact"
    )
    assert datasets.present("twin/tiny") == {name: state == "intact" for name, state in states.items()}


@pytest.mark.acceptance
def test_the_whole_twin_has_every_signal_and_the_adf_it_has_alone():
    alone = io.load_tilt_series(fetch_adf()["adf"])
    files = datasets.fetch("twin/tiny", progress=False)
    assert list(files) == ["adf", "eds", "low_loss", "core_loss", "repeats", "truth"]
    assert np.array_equal(io.load_tilt_series(files["adf"]).images, alone.images)
    for role, signal in (("eds", "EDS"), ("low_loss", "EELS low-loss"), ("core_loss", "EELS core-loss")):
        series = io.load_spectra(files[role], signal=signal, lazy=True)
        assert series.counts.shape[:3] == (5, 16, 16)
        assert series.counts.chunksize[0] == 1
        assert list(series.tilt_angles_deg) == list(alone.tilt_angles_deg)
        assert io.load_arrays(files["repeats"], names=[role])[role].shape[:3] == (3, 16, 16)
    # From now on the larger set serves those who ask for less.
    assert fetch_adf()["adf"] == files["adf"]


def test_the_twin_holds_a_series_and_its_truth(copied):
    files = fetch_adf()
    adf = io.load_tilt_series(files["adf"])
    truth = io.load_arrays(files["truth"])
    assert adf.images.shape == (5, 16, 16)
    assert adf.label == "ADF"
    assert truth["shifts_px"].shape == (5, 2)
    assert truth["density"].shape == (16, 16, 16)
    assert io.load_arrays(files["repeats"])["adf"].shape == (3, 16, 16)
    # Counted electrons scatter about the expectation as Poisson's law says: chi^2 per pixel is 1.
    expected = truth["adf_expected"]
    assert np.mean((adf.images - expected) ** 2 / expected) == pytest.approx(1.0, abs=0.15)


@pytest.mark.acceptance
def test_two_processes_build_once_and_every_process_builds_the_same(tmp_path):
    code = (
        "import tritomo_helpers.datasets as d, tritomo_helpers.io as io\n"
        "f = d.fetch('twin/tiny', parts=['adf'], progress=False)\n"
        "print(io.load_tilt_series(f['adf']).images.tobytes().hex()[:4000], f['adf'])"
    )
    shared = str(tmp_path / "shared")
    both = [in_another_process(code, TRITOMO_DATA_DIR=shared) for _ in range(2)]
    answers = [finished(process) for process in both]
    assert answers[0] == answers[1]
    assert len(list((tmp_path / "shared").rglob("adf.hspy"))) == 1
    assert not list((tmp_path / "shared").rglob(".writing*"))
    here = io.load_tilt_series(datasets.fetch("twin/tiny", parts=["adf"], progress=False)["adf"])
    assert answers[0].startswith(here.images.tobytes().hex()[:4000])


def test_a_build_that_fails_leaves_nothing_behind(monkeypatch, tmp_path):
    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr(_twin, "_write_about", full)
    with pytest.raises(OSError, match="no space left"):
        fetch_adf()
    assert cached(tmp_path) == []
    monkeypatch.undo()
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path / "cache"))
    assert fetch_adf()["adf"].is_file()


def test_the_key_follows_seed_parameters_and_code(monkeypatch):
    from dataclasses import replace

    key = _twin.key(TINY)
    assert _twin.key(replace(TINY, description="other words")) == key
    assert _twin.key(replace(TINY, generated={**TINY.generated, "seed": 8})) != key
    assert _twin.key(replace(TINY, generated={**TINY.generated, "control": "null"})) != key
    monkeypatch.setattr(_twin, "_code", lambda: {"simulation": "other"})
    assert _twin.key(TINY) != key


def test_a_control_differs_from_its_particle_as_named():
    from dataclasses import replace

    def truth(control):
        entry = replace(TINY, generated={**TINY.generated, "particle": "cycled-200-1", "control": control})
        return io.load_arrays(_twin.fetch_twin(entry, ["truth"], progress=False)["truth"])

    plain, null = truth("none"), truth("null")
    assert np.array_equal(plain["mask"], null["mask"])
    assert np.nanstd(plain["Co"]) > 1e-3
    assert np.nanstd(null["Co"]) < 1e-9
    assert np.array_equal(plain["shifts_px"], null["shifts_px"])


def damage_of_one_byte(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def cut_off(path):
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("adf.hspy", damage_of_one_byte),
        ("adf.hspy", cut_off),
        ("adf.hspy", Path.unlink),
        ("truth.h5", cut_off),
        ("about.json", cut_off),
    ],
)
def test_a_damaged_twin_is_noticed_and_simulated_again(copied, name, damage):
    intact = fetch_adf()
    images = io.load_tilt_series(intact["adf"]).images
    damage(intact["adf"].with_name(name))
    wrong = ["adf.hspy", "repeats.h5", "truth.h5"] if name == "about.json" else [name]
    states = datasets.verify("twin/tiny")
    assert [file for file, state in states.items() if state == "damaged"] == wrong
    with pytest.warns(UserWarning, match=f"{wrong[0]}.* is not what was written and is simulated again"):
        mended = fetch_adf()
    assert np.array_equal(io.load_tilt_series(mended["adf"]).images, images)
    assert "damaged" not in datasets.verify("twin/tiny").values()


def test_a_byte_that_changed_behind_the_back_of_the_clock_is_found_when_asked_to(copied):
    path = fetch_adf()["adf"]
    before = path.stat()
    damage_of_one_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch_adf()["adf"] == path
    with pytest.warns(UserWarning, match="simulated again"):
        datasets.fetch("twin/tiny", parts=["adf"], progress=False, thorough=True)


def test_what_a_killed_build_left_is_swept_by_the_next(tmp_path):
    place = _twin._place(TINY)
    (place / ".writing-of-a-killed-run" / "adf" / "raw").mkdir(parents=True)
    fetch_adf()
    assert not list(place.glob(".writing*"))


def test_what_older_code_made_is_found_for_removal(copied, monkeypatch):
    old = fetch_adf()["adf"].parents[1]
    assert datasets.stale_folders() == []
    monkeypatch.setattr(_twin, "_code", lambda: {"simulation": "newer"})
    assert datasets.stale_folders() == [old]
