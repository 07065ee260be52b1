"""Fetching against a server on the loopback, with every accident made to happen; and the twin built on first use."""

import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from tests.helper import cached, finished, in_another_process
from tritomo_helpers import datasets
from tritomo_helpers.datasets import _download, _manifest, _twin

BYTES = np.random.default_rng(5).bytes(300_000)
NAME = "a name + more.dm3"
TINY = datasets.dataset("twin/tiny")  # before the manifest of the tests takes the place of ours

pytestmark = pytest.mark.usefixtures("surroundings")


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
