"""Products are computed once, found under a key of code, data and parameters, and stored whole or not at all."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest
from scipy import ndimage

from tests.helper import relative_error
from tools.book import cli, stage
from tritomo_helpers import datasets, phantoms, products, simulation
from tritomo_helpers.datasets import _twin
from tritomo_helpers.products import __main__ as command
from tritomo_helpers.products import registry
from tritomo_helpers.store import results

CALLS = []
# Before the fixture below empties the one and redirects the others.
REAL = dict(registry._REGISTRY)
COMMITTED = {
    path.relative_to(registry.COMMITTED).with_suffix("").as_posix(): path
    for path in sorted(registry.COMMITTED.rglob("*.npz"))
}
RECOMPUTED_OF_STUDY = {"study/best/pristine-1"}
# Of the same recipe as a particle with clusters, and nothing in it to find: no recall, no precision.
WITHOUT_CLUSTERS = {"study/composition/pristine-2"}
# The first values along an axis that a table tries one after the other: what it gives for them is the head of its
# arrays, and the code is the same for the rest.
HEADS = {
    "composition/false-rich": {"counts": (1.0,)},
    "story/inhomogeneity": {"particles": ("pristine-1",)},
    "tomography/equal-dose": {"tilts": (5, 8)},
    "tomography/weights": {"weights": (0.006, 0.02)},
}
DATA_DIR = os.environ.get("TRITOMO_DATA_DIR")


def misplaced_error(values, truth):
    """Relative error after the centers of mass and the totals have been made equal."""
    offset = np.subtract(ndimage.center_of_mass(truth), ndimage.center_of_mass(values))
    moved = ndimage.shift(values, offset, order=3)
    return relative_error(moved * truth.sum() / moved.sum(), truth)


def make(report, files, *, n=3):
    """Count the calls."""
    report(0.5, "half")
    CALLS.append(n)
    return {"values": np.arange(n, dtype=np.float32), "sorted_files": np.array(sorted(files), dtype=str)}


def use_real_products(monkeypatch):
    """Bring back the recipes of the package, with data from where they always come from: the mirror or their source."""
    monkeypatch.setattr(registry, "_REGISTRY", REAL)
    monkeypatch.delenv("TRITOMO_DATA_DIR") if DATA_DIR is None else monkeypatch.setenv("TRITOMO_DATA_DIR", DATA_DIR)


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


def test_key_of_what_was_made_from_the_twin_follows_the_simulation(monkeypatch):
    """Halving the efficiency of the ADF detector once left the key, and old tomograms came back as current."""
    tomograms = REAL["twin/pristine-1/adf-tomograms"]
    key, recipe = tomograms.key, tomograms.recipe_key
    code = _twin._code()
    monkeypatch.setattr(_twin, "_code", lambda: {**code, "tritomo_helpers.simulation.settings": "halved"})
    assert tomograms.key != key
    assert tomograms.recipe_key == recipe


def test_committed_result_made_from_another_twin_is_not_used(monkeypatch):
    registry.product("count", datasets=("twin/tiny",), parts={"twin/tiny": ("adf",)}, n=4)(make)
    monkeypatch.setattr(datasets, "fetch", lambda name, *, parts=None: {"adf": name, **dict.fromkeys(parts)})
    assert command.main(["count", "--commit"]) == 0
    assert registry.committed("count") is not None
    monkeypatch.setattr(_twin, "_code", lambda: {"simulation": "changed"})
    assert registry.committed("count") is None
    assert list(registry.verify(["count"])) == [("count (package)", "outdated")]
    CALLS.clear()
    products.get("count")
    assert CALLS == [4]


def test_stale_result_is_not_used():
    registry.product("count", n=4)(make)
    products.get("count")
    registry._REGISTRY.clear()
    registry.product("count", n=5)(make)
    assert products.get("count")["values"].size == 5
    assert CALLS == [4, 5]


def test_a_file_under_the_right_name_with_another_key_is_not_used():
    registry.product("count", n=4)(make)
    found = products.products()["count"]
    results.write(registry.cache_path(found), {"values": np.zeros(1)}, {"key": "another"})
    results.write(registry.committed_path(found), {"values": np.zeros(1)}, {"key": found.key, "recipe_key": "another"})
    assert products.get("count")["values"].size == 4


def test_committed_result_is_used_without_computing():
    registry.product("folder/count", n=4)(make)
    arrays, source = registry.compute("folder/count")
    CALLS.clear()
    results.write(registry.committed_path(products.products()["folder/count"]), arrays, source)
    assert products.get("folder/count")["values"].size == 4
    assert products.provenance("folder/count")["same_code"]
    assert CALLS == []


def change_code(monkeypatch):
    """Pretend that a module which the recipe imports has changed."""
    code = registry._code
    monkeypatch.setattr(registry, "_code", lambda function: {**code(function), "tritomo_helpers.below": "changed"})


def test_committed_result_outlives_a_change_below_it_and_says_so(monkeypatch):
    registry.product("count", n=4)(make)
    assert command.main(["count", "--commit"]) == 0
    before = products.provenance("count")
    CALLS.clear()
    change_code(monkeypatch)
    assert products.get("count")["values"].size == 4
    assert CALLS == [], "another file for the same numbers would only be a burden"
    after = products.provenance("count")
    assert (before["same_code"], after["same_code"]) == (True, False)
    assert after["code"] == before["code"], "the code that made it, not the code of today"
    assert (before["changed_code"], after["changed_code"]) == ([], ["tritomo_helpers.below"])
    assert command.main(["count", "--commit"]) == 0
    assert CALLS == [4], "renewed when asked to"
    assert products.provenance("count")["code"]["tritomo_helpers.below"] == "changed"


def test_cached_result_does_not_outlive_a_change_below_it(monkeypatch):
    registry.product("count", n=4)(make)
    products.get("count")
    change_code(monkeypatch)
    products.get("count")
    assert CALLS == [4, 4]


def test_a_table_of_the_study_is_read_as_it_is_and_says_that_it_is_old(capsys):
    """No page may compute for an hour; a product outside the study would be computed again."""
    registry.product("study/count", n=4)(make)
    assert command.main(["study/*", "--commit"]) == 0
    assert products.provenance("study/count")["current"] is True
    registry._REGISTRY.clear()
    registry.product("study/count", n=5)(make)
    assert products.get("study/count")["values"].size == 4
    assert products.provenance("study/count")["current"] is False
    assert list(registry.verify(["study/count"])) == [("study/count (package)", "outdated")]
    cli.tell_of_earlier_code({"study/count": 1.0, "twin/tiny": 2.0})
    assert "study/count was made by earlier code" in capsys.readouterr().out
    assert "until `make study` renews them: `study/count`." in stage.performance_page([], {"study/count": 1.0})
    assert CALLS == [4]
    assert command.main(["study/*", "--commit"]) == 0
    assert products.provenance("study/count")["current"] is True
    assert CALLS == [4, 5]


def test_the_study_goes_on_after_a_failure_and_where_it_stopped(capsys):
    def spoiled(report, files):
        raise RuntimeError("no power")

    registry.product("study/b")(spoiled)
    registry.product("study/a", n=4)(make)
    registry.product("count", n=3)(make)
    for _ in range(2):
        assert command.main(["study/*"]) == 1
        assert "Not computed: study/b" in capsys.readouterr().out
    assert CALLS == [4]
    assert command.main([]) == 0
    assert CALLS == [4, 3], "the study is computed when it is asked for"


def test_a_table_made_from_others_follows_them():
    registry.product("study/a", n=4)(make)
    registry.product("study/sum", after=("study/a",))(lambda *_: {"n": products.get("study/a")["values"]})
    known = products.products()["study/sum"]
    before = {known.key, known.recipe_key}
    del registry._REGISTRY["study/a"]
    registry.product("study/a", n=5)(make)
    assert before.isdisjoint({known.key, known.recipe_key})


@pytest.mark.parametrize("change", ["parameters", "parts", "recipe"])
def test_committed_result_of_another_recipe_is_not_used(change):
    registry.product("count", n=4)(make)
    command.main(["count", "--commit"])
    registry._REGISTRY.clear()

    def other(report, files, *, n):
        return {"values": np.arange(n + 1), "sorted_files": np.array([])}

    parts = {"NMC_EELS_linescan_Jia": ("spectra",)} if change == "parts" else {}
    changed = registry.Product(
        "count",
        other if change == "recipe" else make,
        tuple(parts),
        {"n": 5 if change == "parameters" else 4},
        parts,
    )
    registry._REGISTRY["count"] = changed
    assert registry.committed("count") is None


def test_tolerance_and_comments_are_no_part_of_the_recipe():
    plain = registry.Product("count", make, (), {"n": 3})
    assert plain.recipe_key == registry.Product("count", make, (), {"n": 3}, tolerance={"values": 1.0}).recipe_key


def test_only_the_parts_asked_for_are_fetched(monkeypatch):
    asked = {}
    monkeypatch.setattr(datasets, "fetch", lambda name, *, parts=None: asked.setdefault(name, parts))
    registry.product("count", datasets=("twin/pristine-1",), parts={"twin/pristine-1": ("adf",)})(make)
    products.get("count")
    assert asked == {"twin/pristine-1": ("adf",)}


def test_alignment_survives_storage():
    found = products.as_alignment(results.read(COMMITTED["needle/alignment"])[0])
    assert found.shifts_px.shape == (77, 2)
    assert found.extended == "along"
    assert found.failures == {}
    assert found.axis_rotation_deg == pytest.approx(-2.64, abs=0.2)
    assert any("center of mass of a part" in line for line in found.why)


def test_tomogram_is_asked_for_by_name():
    arrays = {"tv": np.ones((2, 2, 2), dtype=np.float16), "voxel_size_nm": np.array(4.63)}
    assert products.as_tomogram(arrays, "tv").values.dtype == np.float32
    with pytest.raises(ValueError, match="expected one of tv, got 'genfire'"):
        products.as_tomogram(arrays, "genfire")


@pytest.mark.parametrize("where", ["cache_path", "committed_path"])
def test_a_damaged_result_is_computed_again_and_said(where):
    registry.product("count", n=4)(make)
    command.main(["count", "--commit"])
    known = products.products()["count"]
    path = getattr(registry, where)(known)
    for other in {registry.cache_path(known), registry.committed_path(known)} - {path}:
        other.unlink()
    path.write_bytes(path.read_bytes()[:-100])
    CALLS.clear()
    with pytest.warns(UserWarning, match=r"count.*\.npz is damaged .* it is computed again"):
        assert products.get("count")["values"].size == 4
    assert CALLS == [4]
    assert path.exists() is True, "a file of the package stays where version control expects it"
    assert products.get("count")["values"].size == 4
    assert CALLS == [4]


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
    said = capsys.readouterr().out
    assert "count: in the cache, computed in" in said
    assert "earlier code" not in said


def test_committed_products_are_there_small_and_known():
    assert {"needle/alignment", "twin/pristine-1/adf-tomograms"} <= set(COMMITTED)
    assert set(COMMITTED) <= set(REAL)
    assert sum(path.stat().st_size for path in COMMITTED.values()) <= registry.COMMITTED_LIMIT_BYTES


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_products_are_of_the_recipe_of_today(monkeypatch, name):
    use_real_products(monkeypatch)
    stored = results.read(COMMITTED[name])
    current = stored[1]["recipe_key"] == REAL[name].recipe_key or REAL[name].in_study
    assert current, f"data, parameters or recipe changed: python -m tritomo_helpers.products --commit {name}"
    arrays, source = stored
    missing = set(REAL[name].tolerance) - set(arrays)
    assert not missing or name in WITHOUT_CLUSTERS, missing
    assert source["parameters"] == json.loads(json.dumps(REAL[name].parameters)) or REAL[name].in_study
    assert source["seconds"] > 0


@pytest.mark.acceptance
def test_tables_of_the_study_that_are_stale_are_told(monkeypatch, capsys):
    """An hour of computing is not asked of everyone: a table of an earlier code is named here and fails nothing."""
    use_real_products(monkeypatch)
    tables = [name for name in COMMITTED if REAL[name].in_study]
    stale = [name for name in tables if not REAL[name].is_made_by(results.read(COMMITTED[name])[1])]
    with capsys.disabled():
        print(f"\nstudy: {len(tables)} tables, {len(stale)} STALE (make study): {', '.join(stale) or 'none'}")


# A shell without voxels has no mean, in the result that is kept as in the one computed again.
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.acceptance
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.xdist_group(n))
        for n in COMMITTED
        if not REAL[n].in_study or n in RECOMPUTED_OF_STUDY
    ],
)
def test_committed_products_are_what_the_code_computes(name, monkeypatch):
    """Numbers within the tolerance of the recipe, in the unit of each array; text up to its numbers."""
    use_real_products(monkeypatch)
    stored = results.read(COMMITTED[name])
    now = REAL[name].data()
    if REAL[name].in_study and not REAL[name].is_made_by(stored[1]):
        return  # told by the test above
    stale = [dataset for dataset, kept in stored[1]["data"].items() if kept != now[dataset]]
    assert not stale, f"made from an earlier {', '.join(stale)}: python -m tritomo_helpers.products --commit {name}"
    head = HEADS.get(name, {})
    for parameter, values in head.items():
        assert values == REAL[name].parameters[parameter][: len(values)]
    product = dataclasses.replace(REAL[name], parameters={**REAL[name].parameters, **head})
    monkeypatch.setattr(registry, "_REGISTRY", {**REAL, name: product})
    fresh, _ = registry.compute(name)
    assert fresh.keys() == stored[0].keys()
    for part, array in fresh.items():
        kept = stored[0][part]
        if head:
            kept = kept[tuple(slice(n) for n in array.shape)]
        assert (kept.shape, kept.dtype.kind) == (array.shape, array.dtype.kind), part
        if array.dtype.kind == "U":
            words = [[re.sub(r"[\d.]+", "#", text) for text in np.atleast_1d(a)] for a in (kept, array)]
            assert words[0] == words[1], part
        else:
            kept, array = np.asarray(kept, dtype=float), np.asarray(array, dtype=float)
            limit = REAL[name].tolerance.get(part, 1e-6 * np.nanmax(np.abs(array), initial=0))
            np.testing.assert_allclose(kept, array, rtol=0, atol=limit, err_msg=part)


@pytest.mark.acceptance
def test_committed_tomograms_are_the_particle():
    """Against the truth, moved by what no alignment can know; a volume of noise or a mirrored one fails."""
    specimen = phantoms.particle("pristine-1").tomogram("density").values
    stored, _ = results.read(COMMITTED["twin/pristine-1/adf-tomograms"])
    volumes = {name: products.as_tomogram(stored, name).values for name in ("tv", "genfire")}
    errors = {name: misplaced_error(values, specimen) for name, values in volumes.items()}
    assert errors["tv"] < 0.08
    assert errors["genfire"] < 0.12
    assert misplaced_error(volumes["tv"][::-1], specimen) > 2 * errors["tv"]
    # Thickness over path is the density of NCM111; the rim that Otsu's threshold takes in lowers it a little.
    assert np.all((stored["unit_density"] > 0.95) & (stored["unit_density"] < 1.02))


def test_several_at_a_time_wait_for_what_they_read(monkeypatch, capsys):
    order = []

    def call(arguments):
        order.append(arguments[-1])
        return int(arguments[-1] == "study/b")

    monkeypatch.setattr(command.subprocess, "call", call)
    registry.product("study/sum", after=("study/a",))(make)
    registry.product("study/a")(make)
    registry.product("study/b")(make)
    assert command.main(["--jobs", "2", "study/*"]) == 1
    assert "Not computed: study/b" in capsys.readouterr().out
    assert sorted(order) == ["study/a", "study/b", "study/sum"]
    assert order.index("study/a") < order.index("study/sum")


def test_table_of_counts_in_the_settings_is_that_of_the_product():
    stored = results.read(COMMITTED["composition/false-rich"])[0]
    text = simulation.Eds.__doc__ or ""
    rows = [
        re.findall(r"[\d.]+", line) for line in text.splitlines() if re.match(r"\s*\dx ", line)
    ]  # 3.13 takes indents away
    table = np.array(rows, dtype=float)
    np.testing.assert_array_equal(table[:, 0], stored["counts"])
    np.testing.assert_allclose(table[:, 1], stored["error"][0], atol=0.006)
    np.testing.assert_allclose(table[:, 2:], stored["percent"][0, 0], atol=0.006)
