"""The command line for data."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tritomo_helpers import datasets
from tritomo_helpers.__main__ import main
from tritomo_helpers.datasets import _manifest, _twin
from tritomo_helpers.products import registry

_PATH = Path("adf.hspy")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """An empty cache, a mirror with one dataset of two files, and a manifest of it and a simulated one."""
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRITOMO_DATA_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("TRITOMO_OFFLINE", "1")
    mirror = tmp_path / "mirror" / "toy"
    mirror.mkdir(parents=True)
    (mirror / "one.txt").write_text("1")
    (mirror / "two.txt").write_text("2")
    common = {
        "description": "d",
        "source": "https://example.org",
        "technique": ["Other"],
        "license": "MIT",
        "citation": "c",
        "chapters": ["none"],
        "read": "r",
    }

    def file(role, checksum):
        return {
            "role": role,
            "file": f"{role}.txt",
            "url": f"https://example.org/{role}.txt",
            "checksum": f"sha256:{checksum}",
            "size_bytes": 1,
        }

    one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of the text "1"
    two = "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"  # of the text "2"
    document = {
        "toy": {**common, "title": "A toy", "files": [file("one", one), file("two", two)]},
        "twin/tiny": {
            **common,
            "title": "A twin",
            "generated": {"particle": "pristine-1", "seed": 7, "preset": "tiny", "controls": ["null"]},
        },
    }
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    monkeypatch.setattr(_manifest, "manifest_path", lambda: path)
    monkeypatch.setattr(registry, "_REGISTRY", {})  # their datasets are in the real manifest
    return document


def test_list_shows_sizes_and_what_is_here(capsys, tmp_path):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:4] for line in out.splitlines()[1:3]] == [
        ["toy", "2", "B", "no"],
        ["twin/tiny", "simulated", "no", "A"],
    ]
    assert str(tmp_path / "cache") in out
    datasets.fetch("toy", parts=["one"])
    main(["data", "list"])
    assert " part " in capsys.readouterr().out
    datasets.fetch("toy")
    main(["data", "list"])
    assert " yes " in capsys.readouterr().out


def test_fetch_by_name_and_all_leaves_the_twins_out(capsys, tmp_path):
    assert main(["data", "fetch", "toy"]) == 0
    assert capsys.readouterr().out == f"toy: 2 files in {tmp_path / 'cache' / 'toy'}\n"
    assert main(["data", "fetch", "--all"]) == 0
    assert "twin" not in capsys.readouterr().out
    assert not (tmp_path / "cache" / "twin").exists()


def test_fetch_goes_on_after_a_failure_and_reports_it(capsys, tmp_path):
    assert main(["data", "fetch", "tyo", "toy"]) == 1
    captured = capsys.readouterr()
    assert "did you mean toy" in captured.err
    assert "toy: 2 files" in captured.out
    (tmp_path / "mirror" / "toy" / "two.txt").write_text("3")
    (tmp_path / "cache" / "toy" / "two.txt").unlink()
    assert main(["data", "fetch", "--all"]) == 1
    assert "the checksum does not match" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["data"], ["data", "fetch"], ["data", "fetch", "toy", "--all"], ["data", "no"]])
def test_what_is_not_understood_exits_with_2_and_the_usage(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: python -m tritomo_helpers" in capsys.readouterr().err


def test_verify_finds_a_tampered_file(capsys, tmp_path):
    assert main(["data", "verify"]) == 0
    assert capsys.readouterr().out.startswith("0 files intact")
    datasets.fetch("toy")
    assert main(["data", "verify"]) == 0
    assert capsys.readouterr().out.startswith("2 files intact")
    (tmp_path / "cache" / "toy" / "two.txt").write_text("3")
    assert main(["data", "verify"]) == 1
    assert "toy/two.txt: damaged" in capsys.readouterr().err


def test_verify_of_a_named_dataset_counts_what_is_missing(capsys):
    assert main(["data", "verify", "toy"]) == 1
    assert "toy/one.txt: missing" in capsys.readouterr().err


def test_clean_removes_what_older_code_made(monkeypatch, capsys):
    old = datasets.fetch("twin/tiny", parts=["adf"], progress=False)["adf"]
    assert main(["data", "clean"]) == 0
    assert capsys.readouterr().out.startswith("0 outdated folders")
    assert old.exists()
    monkeypatch.setattr(_twin, "_code", lambda: {"simulation": "newer"})
    assert main(["data", "clean"]) == 0
    assert capsys.readouterr().out.startswith("1 outdated folder removed")
    assert not old.exists()


def test_verify_and_fetch_mend_a_twin_that_was_cut_off(capsys):
    path = datasets.fetch("twin/tiny", parts=["adf"], progress=False)["adf"]
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert main(["data", "verify"]) == 1
    said = capsys.readouterr().err
    assert "twin/tiny/adf.hspy: damaged" in said
    assert "`data fetch` replaces them" in said
    with pytest.warns(UserWarning, match=r"adf\.hspy in .* is not what was written and is simulated again"):
        mended = datasets.fetch("twin/tiny", parts=["adf"], progress=False)["adf"]
    assert mended.stat().st_size == len(whole)
    assert main(["data", "verify"]) == 0


def test_fetch_compares_every_byte_of_what_it_names(monkeypatch):
    asked = {}
    monkeypatch.setattr(datasets, "fetch", lambda name, **options: asked.update({name: options}) or {"adf": _PATH})
    assert main(["data", "fetch", "twin/tiny"]) == 0
    assert asked == {"twin/tiny": {"thorough": True}}


def test_verify_and_fetch_mend_a_product(capsys):
    registry.product("count", n=3)(lambda *_, n: {"values": np.arange(n)})
    assert main(["data", "fetch", "count"]) == 0
    assert main(["data", "verify"]) == 0
    assert "1 files intact" in capsys.readouterr().out
    path = registry.cache_path(registry.products()["count"])
    path.write_bytes(path.read_bytes()[:100])
    assert main(["data", "verify", "count"]) == 1
    assert "count (cache): damaged" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="it is computed again"):
        assert main(["data", "fetch", "count"]) == 0
    assert main(["data", "verify"]) == 0
    assert main(["data", "clean"]) == 0
    assert "1 outdated product removed" in capsys.readouterr().out


def test_clean_removes_runs_of_the_study_whose_table_is_there(capsys):
    for method in ("best", "paper"):
        registry.product(f"study/{method}/grain", particle="grain", method=method)(lambda *_, **__: {"n": np.ones(1)})
    study = datasets.data_dir() / "study"
    for run in ("grain-best", "grain-paper", "of-no-table"):
        (study / run / "stages").mkdir(parents=True)
    registry.get("study/best/grain")
    assert main(["data", "clean"]) == 0
    assert "2 outdated products removed" in capsys.readouterr().out
    assert [run.name for run in study.iterdir()] == ["grain-paper"], "this one goes on where it was killed"


def test_an_interrupt_says_how_to_go_on_instead_of_where_it_was(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tritomo_helpers.pipeline.process", interrupted)
    assert main(["process", "twin/tiny", "--out", "anywhere"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
