"""Products are computed once, found under a key of code, data and parameters, and stored whole or not at all."""

import json
import sys
import textwrap

import numpy as np
import pytest

from tritomo_helpers import datasets, products
from tritomo_helpers.products import __main__ as command
from tritomo_helpers.products import registry

CALLS = []


def make(report, files, *, n=3):
    """Count the calls."""
    report(0.5, "half")
    CALLS.append(n)
    return {"values": np.arange(n, dtype=np.float32), "sorted_files": np.array(sorted(files), dtype=str)}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "COMMITTED", tmp_path / "committed")
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path / "data"))
    CALLS.clear()


def test_computed_once_then_read_from_the_cache():
    registry.product("count", n=4)(make)
    first, second = products.get("count"), products.get("count")
    assert CALLS == [4]
    np.testing.assert_array_equal(first["values"], [0, 1, 2, 3])
    assert {k: (v.dtype, v.tolist()) for k, v in first.items()} == {k: (v.dtype, v.tolist()) for k, v in second.items()}


def test_provenance_says_what_it_is_made_of():
    registry.product("count", n=4)(make)
    source = products.provenance("count")
    assert source["parameters"] == {"n": 4}
    assert source["key"] == products.products()["count"].key
    assert source["command"].endswith("tritomo_helpers.products count")
    assert {"code", "data", "version", "numpy", "seconds"} <= source.keys()


def test_key_changes_with_parameters_data_and_code(monkeypatch):
    base = registry.Product("count", make, (), {"n": 3})
    assert base.key == registry.Product("count", make, (), {"n": 3}).key
    real = ("NMC_EELS_linescan_Jia",)
    others = [
        registry.Product("count", make, (), {"n": 4}),
        registry.Product("count", lambda *_, **__: {}, (), {"n": 3}),
        registry.Product("count", make, real, {"n": 3}),
    ]
    assert len({base.key, *(p.key for p in others)}) == 4
    before = others[-1].key
    entry = datasets.dataset(real[0])
    changed = type(entry)(**{**vars(entry), "files": ()})
    monkeypatch.setattr(datasets, "dataset", lambda _: changed)
    assert others[-1].key != before


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package of three modules: ``top`` imports ``middle`` inside a function, ``middle`` imports ``low``."""
    folder = tmp_path / "tritomo_helpers"
    folder.mkdir()
    (folder / "low.py").write_text("X = 1\n")
    (folder / "middle.py").write_text("from .low import X\n")
    (folder / "aside.py").write_text("Y = 1\n")
    source = "def top(report, files):\n    from . import middle\n    return {}\n"
    monkeypatch.setattr(registry, "PACKAGE", folder)
    monkeypatch.setattr(registry.inspect, "getsource", lambda _: textwrap.dedent(source))
    top = lambda: None  # noqa: E731
    top.__module__ = "tritomo_helpers.recipes"
    return folder, top


def test_key_follows_the_code_that_is_imported_and_only_that(package):
    folder, top = package
    before = registry.code_digest(top)
    (folder / "aside.py").write_text("Y = 2\n")
    assert registry.code_digest(top) == before, "a module that is not imported does not count"
    (folder / "low.py").write_text('"""Say what it is."""\nX = 1  # a comment\n')
    assert registry.code_digest(top) == before, "comments and docstrings do not count"
    (folder / "low.py").write_text("X = 2\n")
    assert registry.code_digest(top) != before, "a change two imports away counts"


def test_stale_result_is_not_used():
    registry.product("count", n=4)(make)
    products.get("count")
    registry._REGISTRY.clear()
    registry.product("count", n=5)(make)
    assert products.get("count")["values"].size == 5
    assert CALLS == [4, 5]


def test_a_file_under_the_right_name_with_another_key_is_not_used():
    registry.product("count", n=4)(make)
    path = registry._paths(products.products()["count"])[0]
    registry.write(path, {"values": np.zeros(1)}, {"key": "another"})
    assert products.get("count")["values"].size == 4


def test_committed_result_is_used_without_computing():
    registry.product("count", n=4)(make)
    arrays, source = registry.compute("count")
    CALLS.clear()
    registry.write(registry.COMMITTED / "count.npz", arrays, source)
    assert products.get("count")["values"].size == 4
    assert CALLS == []


def test_nothing_is_left_of_a_failed_write(tmp_path):
    with pytest.raises(TypeError):
        registry.write(tmp_path / "x" / "a.npz", {"values": np.zeros(2)}, {"key": object()})
    assert list((tmp_path / "x").iterdir()) == []


def test_no_pickle_is_loaded(tmp_path):
    np.savez(
        tmp_path / "a.npz", provenance_json=np.array(json.dumps({"key": "k"})), values=np.array([{}], dtype=object)
    )
    with pytest.raises(ValueError, match="allow_pickle"):
        registry._read(tmp_path / "a.npz", "k")


def test_progress_is_shown_but_not_in_the_book(capsys, monkeypatch):
    registry.product("count")(make)
    registry.compute("count")
    assert "half" in capsys.readouterr().err
    monkeypatch.setenv("TRITOMO_BOOK_BUILD", "1")
    registry.compute("count")
    assert capsys.readouterr().err == ""


def test_unknown_and_repeated_names_are_refused():
    registry.product("count")(make)
    with pytest.raises(ValueError, match="expected one of count, got 'cuont'"):
        products.get("cuont")
    with pytest.raises(ValueError, match="expected a new name"):
        registry.product("count")(make)


def test_command_line_computes_and_commits(capsys):
    registry.product("count", n=4)(make)
    assert command.main(["count", "--commit"]) == 0
    assert (registry.COMMITTED / "count.npz").exists()
    assert "The products are in" in capsys.readouterr().out


# The real registry, read again without the fixture's emptying.
REAL = dict(sys.modules[registry.__name__]._REGISTRY)
COMMITTED = sorted(registry.COMMITTED.glob("*.npz"))


def test_committed_products_are_small_and_known():
    assert sum(path.stat().st_size for path in COMMITTED) <= registry.COMMITTED_LIMIT_BYTES
    assert {path.stem for path in COMMITTED} <= set(REAL)


def test_committed_products_are_current():
    stale = [path.stem for path in COMMITTED if registry._read(path, REAL[path.stem].key) is None]
    assert not stale, "make these again: python -m tritomo_helpers.products --commit NAME"


@pytest.mark.acceptance
def test_committed_products_are_what_the_code_computes(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", REAL)
    for path in COMMITTED:
        stored = registry._read(path, REAL[path.stem].key)
        assert stored is not None
        fresh, _ = registry.compute(path.stem)
        assert fresh.keys() == stored[0].keys()
        for name, array in fresh.items():
            np.testing.assert_allclose(stored[0][name], array, rtol=1e-5, atol=1e-6 * np.abs(array).max())
