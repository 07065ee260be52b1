"""Fetching against a server on the loopback, with every accident made to happen; and the twin built on first use."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from tritomo_helpers import datasets, io
from tritomo_helpers.datasets import _download, _manifest, _twin

BYTES = np.random.default_rng(5).bytes(300_000)
NAME = "a name + more.dm3"

pytestmark = pytest.mark.usefixtures("surroundings")


def cached(tmp_path):
    """Names of everything but locks below the cache."""
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file() and not p.name.endswith(".lock"))


# --- downloads ---------------------------------------------------------------------------------------------------


def test_a_normal_download_is_kept_under_the_real_name_and_not_repeated(server, world, tmp_path):
    server.files["/x/" + NAME] = BYTES
    world(data=(NAME, f"{server.url}/x/{quote(NAME)}", BYTES))
    files = datasets.fetch("toy")
    assert files == {"data": tmp_path / "cache" / "toy" / NAME}
    assert files["data"].read_bytes() == BYTES
    assert datasets.fetch("toy") == files
    assert len(server.requests) == 1
    assert cached(tmp_path) == [NAME]


def test_a_cut_connection_resumes_where_it_stopped(server, world, tmp_path):
    server.files["/f"] = BYTES
    server.accidents["/f"] = [81_920, 122_880]  # two cuts, after so many bytes
    world(data=(NAME, f"{server.url}/f", BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert [wanted for _, wanted in server.requests] == [None, "bytes=81920-", "bytes=204800-"]
    assert server.sent == len(BYTES)  # no byte twice
    assert cached(tmp_path) == [NAME]


def test_a_download_given_up_is_resumed_by_the_next_call(server, world, tmp_path):
    server.files["/f"] = BYTES
    server.accidents["/f"] = [49_152, *[0] * _download.RETRIES]
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="could not be fetched"):
        datasets.fetch("toy")
    assert not (tmp_path / "cache" / "toy" / NAME).exists()
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert server.requests[-1][1] == "bytes=49152-"


def test_a_server_without_ranges_starts_again_and_still_gives_the_right_file(server, world):
    server.files["/f"], server.ignores_ranges = BYTES, True
    server.accidents["/f"] = [81_920]
    world(data=(NAME, f"{server.url}/f", BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert server.requests[1][1] == "bytes=81920-"


def test_a_server_error_is_tried_again(server, world):
    server.files["/f"] = BYTES
    server.accidents["/f"] = ["503", "429"]
    world(data=(NAME, f"{server.url}/f", BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert len(server.requests) == 3


def test_a_wrong_checksum_is_said_and_nothing_is_kept(server, world, tmp_path):
    server.files["/f"] = BYTES[:-1] + b"?"
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="checksum does not match, so the file was not kept"):
        datasets.fetch("toy")
    assert cached(tmp_path) == []


def test_a_short_file_is_not_kept_and_the_next_source_is_tried(server, world, tmp_path):
    server.files |= {"/notice": b"<html>moved</html>", "/f": BYTES}
    world(data=(NAME, f"{server.url}/notice", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="18 bytes instead of 300000, so the file was not kept"):
        datasets.fetch("toy")
    assert cached(tmp_path) == []
    world(data=(NAME, [f"{server.url}/notice", f"{server.url}/f"], BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES


def test_a_file_that_is_too_long_is_not_kept(server, world, tmp_path):
    server.files["/f"] = BYTES + b"more"
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="300004 bytes instead of 300000, so the file was not kept"):
        datasets.fetch("toy")
    assert cached(tmp_path) == []
    assert len(server.requests) == 1


def test_a_404_goes_on_to_the_next_source_without_a_second_try(server, world):
    server.files["/there"] = BYTES
    world(data=(NAME, [f"{server.url}/gone", f"{server.url}/there"], BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert [path for path, _ in server.requests] == ["/gone", "/there"]


def test_a_source_with_wrong_bytes_goes_on_to_the_next(server, world):
    server.files |= {"/wrong": BYTES[::-1], "/right": BYTES}
    world(data=(NAME, [f"{server.url}/wrong", f"{server.url}/right"], BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES


def test_when_every_source_fails_each_is_named_with_its_reason(server, world):
    server.files["/wrong"] = BYTES[::-1]
    world(data=(NAME, [f"{server.url}/gone", f"{server.url}/wrong"], BYTES))
    with pytest.raises(datasets.DatasetUnavailable) as caught:
        datasets.fetch("toy")
    words = str(caught.value)
    assert re.search(r"/gone: HTTP 404", words)
    assert re.search(r"/wrong: the checksum does not match", words)


def test_only_the_parts_asked_for_are_fetched(server, world):
    server.files |= {"/a": b"aa", "/b": b"bb"}
    world(first=("a.txt", f"{server.url}/a", b"aa"), second=("b.txt", f"{server.url}/b", b"bb"))
    assert list(datasets.fetch("toy", parts=["second"])) == ["second"]
    assert [path for path, _ in server.requests] == ["/b"]
    with pytest.raises(ValueError, match=r"expected some of first, second, got \['third'\]"):
        datasets.fetch("toy", parts=["third"])


# --- the mirror, and doing without a network ----------------------------------------------------------------------


def test_a_mirror_folder_is_tried_first(server, world, monkeypatch, tmp_path):
    mirror = tmp_path / "mirror with space" / "toy"
    mirror.mkdir(parents=True)
    (mirror / NAME).write_bytes(BYTES)
    world(data=(NAME, f"{server.url}/f", BYTES))
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", str(mirror.parent))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert server.requests == []


def test_an_http_mirror_is_tried_first_with_the_name_quoted(server, world, monkeypatch):
    server.files[f"/mirror/toy/{NAME}"] = BYTES
    world(data=(NAME, f"{server.url}/f", BYTES))
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", f"{server.url}/mirror/")
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert [path for path, _ in server.requests] == ["/mirror/toy/a%20name%20%2B%20more.dm3"]


@pytest.mark.parametrize("damage", ["absent", "tampered"])
def test_a_mirror_without_the_right_bytes_gives_way_to_the_source(server, world, monkeypatch, tmp_path, damage):
    (tmp_path / "mirror" / "toy").mkdir(parents=True)
    if damage == "tampered":
        (tmp_path / "mirror" / "toy" / NAME).write_bytes(b"!" + BYTES[1:])
    server.files["/f"] = BYTES
    world(data=(NAME, f"{server.url}/f", BYTES))
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", str(tmp_path / "mirror"))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert len(server.requests) == 1


def test_offline_never_asks_the_network_and_says_what_to_do(server, world, monkeypatch, tmp_path):
    server.files |= {"/f": BYTES, f"/toy/{NAME}": BYTES}
    world(data=(NAME, f"{server.url}/f", BYTES))
    monkeypatch.setenv("TRITOMO_OFFLINE", "1")
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", server.url)
    with pytest.raises(datasets.DatasetUnavailable) as caught:
        datasets.fetch("toy")
    assert server.requests == []
    words = str(caught.value)
    for part in ("toy", "0.3 MB", "https://example.org/toy", "go online", "TRITOMO_DATA_MIRROR", f"toy/{NAME}"):
        assert part in words
    # A folder is not the network, and what is in the cache needs neither.
    (tmp_path / "mirror" / "toy").mkdir(parents=True)
    (tmp_path / "mirror" / "toy" / NAME).write_bytes(BYTES)
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", str(tmp_path / "mirror"))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    monkeypatch.delenv("TRITOMO_DATA_MIRROR")
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert server.requests == []


def test_nobody_listening_is_unavailable_with_the_two_ways_out(server, world):
    server.close()
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match=r"Two ways out: go online .* or set TRITOMO_DATA_MIRROR"):
        datasets.fetch("toy")


# --- the cache ----------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_noticed_reported_and_replaced(server, world):
    server.files["/f"] = BYTES
    world(data=(NAME, f"{server.url}/f", BYTES))
    assert datasets.verify("toy") == {NAME: "missing"}
    path = datasets.fetch("toy")["data"]
    assert datasets.verify("toy") == {NAME: "intact"}
    path.write_bytes(b"!" + BYTES[1:])
    assert datasets.verify("toy") == {NAME: "damaged"}
    assert datasets.present("toy") == {NAME: True}
    with pytest.warns(UserWarning, match=r"not what the manifest says \(checksum\) and is fetched again"):
        datasets.fetch("toy")
    assert path.read_bytes() == BYTES


@contextmanager
def as_ordinary_user():
    """Give up the administrator's right to write anywhere, for the block."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_folder():
    """A folder that an ordinary user can reach, which pytest's own is not when the administrator runs it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def test_a_read_only_cache_works_when_the_files_are_there_and_says_so_when_not(
    server, world, monkeypatch, public_folder
):
    server.files |= {"/a": b"aa", "/b": b"bb"}
    manifest = world(first=("a.txt", f"{server.url}/a", b"aa"), second=("b.txt", f"{server.url}/b", b"bb"))
    readable = public_folder / "manifest.yaml"
    shutil.copy(manifest, readable)
    monkeypatch.setattr(_manifest, "manifest_path", lambda: readable)
    cache = public_folder / "cache"
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(cache))
    datasets.fetch("toy", parts=["first"])
    for path in (cache / "toy", cache):
        path.chmod(0o555)
    with as_ordinary_user():
        assert datasets.fetch("toy", parts=["first"])["first"].read_bytes() == b"aa"
        with pytest.raises(PermissionError, match=r"b\.txt.*set TRITOMO_DATA_DIR to a folder of yours"):
            datasets.fetch("toy")
        monkeypatch.setenv("TRITOMO_DATA_DIR", str(cache / "new"))
        with pytest.raises(PermissionError, match="set TRITOMO_DATA_DIR"):
            datasets.fetch("toy")
        with pytest.raises(PermissionError, match="set TRITOMO_DATA_DIR"):
            _twin.fetch_twin(TINY, ["adf"], progress=False)


def in_another_process(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_two_processes_at_once_download_once(server, world, tmp_path):
    server.files["/f"], server.delay_s = BYTES, 0.5
    manifest = world(data=(NAME, f"{server.url}/f", BYTES))
    code = (
        "import pathlib, tritomo_helpers.datasets as d, tritomo_helpers.datasets._manifest as m\n"
        f"m.manifest_path = lambda: pathlib.Path({str(manifest)!r})\n"
        "print(len(d.fetch('toy')['data'].read_bytes()))"
    )
    both = [in_another_process(code), in_another_process(code)]
    assert [int(finished(process)) for process in both] == [len(BYTES)] * 2
    assert len(server.requests) == 1
    assert cached(tmp_path) == [NAME]


# --- archives -----------------------------------------------------------------------------------------------------


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def test_a_member_of_a_zip_on_the_server_becomes_the_file(server, world, tmp_path):
    server.files["/z.zip"] = zip_of(tmp_path / "z.zip", deep__data=BYTES, other=b"").read_bytes()
    world(data=(NAME, {"archive": f"{server.url}/z.zip", "member": "deep/data"}, BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert cached(tmp_path) == [NAME]


def test_a_member_with_other_bytes_is_not_kept(server, world, tmp_path):
    server.files["/z.zip"] = zip_of(tmp_path / "z.zip", data=BYTES[::-1]).read_bytes()
    world(data=(NAME, {"archive": f"{server.url}/z.zip", "member": "data"}, BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="checksum"):
        datasets.fetch("toy")
    assert cached(tmp_path) == []


def test_a_tar_gives_its_regular_members(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"inside")
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in.txt", "deep/in.txt")
    _download.extract_member(tmp_path / "t.tar.gz", "deep/in.txt", tmp_path / "out.txt", limit=6)
    assert (tmp_path / "out.txt").read_bytes() == b"inside"


@pytest.mark.parametrize("member", ["../evil", "/etc/evil", "deep/../../evil", "deep\\..\\evil"])
def test_a_member_cannot_leave_its_folder(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(member, b"evil")
    folder = tmp_path / "folder"
    folder.mkdir()
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="expected a path inside the archive"):
        _download.extract_member(tmp_path / "z.zip", member, folder / "out", limit=9)
    assert set(tmp_path.rglob("*")) == before


def test_a_link_inside_a_tar_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        link = tarfile.TarInfo("innocent")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    with pytest.raises(ValueError, match="expected a regular file"):
        _download.extract_member(tmp_path / "t.tar", "innocent", tmp_path / "out", limit=9)
    assert not (tmp_path / "out").exists()


def test_an_archive_that_is_none_or_lacks_the_member_is_refused(tmp_path):
    (tmp_path / "junk.zip").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="expected a zip or tar archive with data"):
        _download.extract_member(tmp_path / "junk.zip", "data", tmp_path / "out", limit=9)
    with pytest.raises(ValueError, match="expected a zip or tar archive with data"):
        _download.extract_member(zip_of(tmp_path / "z.zip", other=b""), "data", tmp_path / "out", limit=9)


# --- the twin -----------------------------------------------------------------------------------------------------

TINY = datasets.dataset("twin/tiny")


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


def test_the_twin_holds_a_series_and_its_truth():
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
def test_a_damaged_twin_is_noticed_and_simulated_again(name, damage):
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


def test_a_byte_that_changed_behind_the_back_of_the_clock_is_found_when_asked_to(monkeypatch):
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


def test_what_older_code_made_is_found_for_removal(monkeypatch):
    old = fetch_adf()["adf"].parents[1]
    assert datasets.stale_folders() == []
    monkeypatch.setattr(_twin, "_code", lambda: {"simulation": "newer"})
    assert datasets.stale_folders() == [old]
