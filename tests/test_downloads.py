"""What hostile, damaged and unlucky sources can do to the cache: nothing, and it is said in words that help."""

import errno
import zipfile
from pathlib import Path

import pytest

from tests.test_datasets import BYTES, NAME, cached, zip_of
from tritomo_helpers import __main__, datasets
from tritomo_helpers.datasets import _download, _manifest
from tritomo_helpers.store import files

pytestmark = pytest.mark.usefixtures("surroundings")


def test_a_server_that_does_not_stop_is_stopped_at_the_size_of_the_manifest(server, world, tmp_path):
    server.files["/f"] = BYTES * 20
    server.hides_length = True
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="more than the 300000 bytes of the manifest"):
        datasets.fetch("toy")
    assert cached(tmp_path) == []
    assert len(server.requests) == 1


def test_a_member_that_unpacks_to_more_is_stopped_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(50_000_000))
    with pytest.raises(_download._NotThere, match="more than the 1000 bytes of the manifest"):
        _download.extract_member(tmp_path / "bomb.zip", "data", tmp_path / "out", limit=1000)
    assert (tmp_path / "out").stat().st_size <= 1000


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_damaged_archive_makes_the_next_source_be_tried(server, world, tmp_path, kind):
    whole = zip_of(tmp_path / "z.zip", data=BYTES).read_bytes()
    damaged = bytearray(whole if kind == "zip" else b"\x1f\x8b\x08\x00" + whole)
    damaged[5000:5100] = bytes(100)
    server.files |= {"/bad": bytes(damaged), "/good": BYTES}
    world(data=(NAME, [{"archive": f"{server.url}/bad", "member": "data"}, f"{server.url}/good"], BYTES))
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert cached(tmp_path) == [NAME]


def test_wrong_bytes_of_the_right_size_are_fetched_once(server, world, tmp_path):
    server.files["/f"] = BYTES[::-1]
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match="the checksum does not match"):
        datasets.fetch("toy")
    assert len(server.requests) == 1
    assert cached(tmp_path) == []


def test_a_beginning_of_another_version_is_started_again(server, world, tmp_path):
    server.files["/f"] = BYTES
    world(data=(NAME, f"{server.url}/f", BYTES))
    part = tmp_path / "cache" / "toy" / f".{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 1000)
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("ending", [".part", ".archive.part"])
def test_a_link_in_the_place_of_a_download_is_not_written_through(server, world, tmp_path, ending):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    source = f"{server.url}/f"
    server.files["/f"] = BYTES
    if ending == ".archive.part":
        server.files["/f"] = zip_of(tmp_path / "z.zip", data=BYTES).read_bytes()
        source = {"archive": source, "member": "data"}
    world(data=(NAME, source, BYTES))
    part = tmp_path / "cache" / "toy" / f".{NAME}{ending}"
    part.parent.mkdir(parents=True)
    part.symlink_to(precious)
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("toy:", "../../x:"),
        (f"file: {NAME}", "file: ../evil"),
        ("sha256:", "md5:"),
        ("http://127.0.0.1", "file:///etc"),
        ("size_bytes: 300000", "size_bytes: many"),
    ],
)
def test_the_schema_holds_when_data_are_fetched(server, world, monkeypatch, tmp_path, old, new):
    path = world(data=(NAME, f"{server.url}/f", BYTES))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    _manifest._cached.cache_clear()
    with pytest.raises(ValueError, match=r"data_manifest\.yaml.*correct the entry"):
        datasets.fetch("../../x" if "x:" in new else "toy")
    assert not (tmp_path / "x").exists()
    assert server.requests == []


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        ("a file", "the mirror is a file; set TRITOMO_DATA_MIRROR"),
        ("unreadable", r"the mirror cannot be read \(Permission"),
    ],
)
def test_a_mirror_that_cannot_be_used_is_said_so_and_the_source_is_tried(
    server, world, monkeypatch, tmp_path, mirror, words
):  # fmt: skip
    place = tmp_path / "mirror"
    if mirror == "a file":
        place.write_text("no folder")
    else:

        def refuse(path, *args, **kwargs):
            if path.is_relative_to(place):
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(path, *args, **kwargs)

        opened = Path.open
        monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", str(place))
    world(data=(NAME, f"{server.url}/f", BYTES))
    with pytest.raises(datasets.DatasetUnavailable, match=words):
        datasets.fetch("toy")
    server.files["/f"] = BYTES
    assert datasets.fetch("toy")["data"].read_bytes() == BYTES


def test_a_full_disk_is_said_with_what_to_do(server, world, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    server.files["/f"] = BYTES
    world(data=(NAME, f"{server.url}/f", BYTES))
    monkeypatch.setattr(_download._Downloader, "_get", full)
    with pytest.raises(
        OSError, match=r"expected room for 0\.3 MB in .*got .*No space left.*set TRITOMO_DATA_DIR to a larg"
    ):
        datasets.fetch("toy")


def test_clean_removes_what_killed_runs_left_and_not_what_is_being_written(
    world, server, monkeypatch, tmp_path, capsys
):
    world(data=(NAME, f"{server.url}/f", BYTES))
    cache = tmp_path / "cache"
    (cache / "twin" / "a" / "key" / ".writing-dead" / "raw").mkdir(parents=True)
    (cache / "products" / ".writing-dead").mkdir(parents=True)
    (cache / "toy").mkdir()
    for name in (f".{NAME}.part", "tmpabcd1234"):
        (cache / "toy" / name).write_bytes(b"half")
    monkeypatch.setattr(__main__.products, "stale_files", list)
    with files.locked(cache / "toy" / f".{NAME}.lock"), files.atomic_folder(cache / "products" / "b"):
        left = {path.name for path in datasets.remove_leftovers()}
        assert left == {".writing-dead"}
        assert len(list((cache / "products").glob(".writing-*"))) == 1
    assert __main__.main(["data", "clean"]) == 0
    assert "2 unfinished files or folders removed" in capsys.readouterr().out
    assert cached(tmp_path) == []
    assert not list(cache.rglob(".writing*"))
    assert [path.name for path in (cache / "toy").iterdir()] == [f".{NAME}.lock"]
