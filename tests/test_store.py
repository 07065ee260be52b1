"""What is stale, what is damaged, and what a killed run leaves: every planted fault is seen to be noticed."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types
import warnings
import zipfile

import numpy as np
import pytest

from tritomo_helpers import alignment, containers
from tritomo_helpers.datasets import _twin
from tritomo_helpers.store import files, fingerprint, results

# --- fingerprint ---------------------------------------------------------------------------------------------------

SOURCES = {
    "__init__.py": "",
    "constants.py": """
        BARN = 1
        COLORS = {'Mn': 'red'}
        """,
    "low.py": """
        from .constants import BARN, COLORS
        SCALE = 2 * BARN
        def value(): return SCALE
        def paint(): return COLORS
        """,
    "registry.py": """
        TABLE = {}
        def register(f): TABLE[f.__name__] = f; return f
        """,
    "methods.py": """
        from .registry import register, TABLE
        @register
        def one(): return 1
        def call(name): return TABLE[name]()
        """,
    "shared/__init__.py": """
        from ._deep import deep
        from ._other import other
        """,
    "shared/_deep.py": "def deep(): return 1",
    "shared/_other.py": "def other(): return 1",
    "shared/data/table.csv": "1,2",
    "aside.py": "Y = 1",
    "_validation.py": """
        def checked(f): return f
        def doubled(f): return lambda: 2 * f()
        """,
    "top.py": """
        from . import aside
        def top():
            from . import low, methods, shared
            return low.value(), shared.deep(), methods.call('one')
        """,
}


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "tritomo_helpers"
    for name, text in SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def parts_of_top(folder):
    return fingerprint.of_source("from tritomo_helpers import top\ntop.top()", package=folder)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("constants.py", "BARN = 1", "BARN = 3"),
        ("constants.py", "BARN = 1", "BARN = 0"),
        ("low.py", "2 * BARN", "3 * BARN"),
        ("shared/_deep.py", "return 1", "return 2"),
        ("shared/data/table.csv", "1,2", "1,3"),
        ("registry.py", "return f", "return None"),
        ("methods.py", "return 1", "return 2"),  # reached through a table that a decorator fills
        ("top.py", "'one'", "'two'"),
    ],
)
def test_what_the_result_depends_on_counts(package, name, old, new):
    before = parts_of_top(package)
    changed(package / name, old, new)
    named = name if name.endswith("csv") else f"tritomo_helpers.{name.removesuffix('.py').replace('/', '.')}"
    assert fingerprint.changed(before, parts_of_top(package)) == [named]


@pytest.mark.parametrize(
    ("decorator", "counts"),
    [
        ("from ._validation import checked", False),
        ("from ._validation import checked as doubled", False),
        ("from ._validation import doubled", True),
        ("from .registry import register as checked", True),
        ("def checked(f): return lambda: 3", True),
    ],
)
def test_a_decorator_counts_unless_it_is_the_one_that_only_refuses_arguments(package, decorator, counts):
    before = parts_of_top(package)
    name = decorator.split("(")[0].split()[-1]
    old = "def value(): return SCALE"
    changed(package / "low.py", old, f"{decorator}\n@{name}\n{old}")
    assert (parts_of_top(package) != before) is counts


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("constants.py", "'red'", "'blue'"),
        ("constants.py", "BARN = 1", '"""Say what it is."""\n\nBARN = 1  # a comment'),
        ("low.py", "def value(): return SCALE", 'def value() -> int:\n    """Say it."""\n    return SCALE'),
        ("low.py", "return COLORS", "return list(COLORS)"),
        ("shared/_other.py", "return 1", "return 2"),
        ("aside.py", "Y = 1", "Y = 2"),
    ],
)
def test_what_the_result_does_not_depend_on_does_not_count(package, name, old, new):
    before = parts_of_top(package)
    changed(package / name, old, new)
    assert parts_of_top(package) == before


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    later = time.time_ns() + 10**9
    os.utime(path, ns=(later, later))


def test_a_module_that_is_handed_on_counts_whole(package):
    source = "from tritomo_helpers import low, shared\nnames = [dir(low), dir(shared)]"
    for name, old, new in [("low.py", "def paint", "def draw"), ("shared/_other.py", "return 1", "return 2")]:
        before = fingerprint.of_source(source, package=package)
        changed(package / name, old, new)
        assert fingerprint.of_source(source, package=package) != before


def test_zero_is_not_false_and_not_nothing():
    digests = {fingerprint.of_source(f"x = {value}")["(source)"] for value in ("0", "False", "None", "''", "0.0", "[]")}
    assert len(digests) == 6


@pytest.fixture(scope="module")
def today_of_twin():
    return fingerprint.parts(_twin._simulate)


@pytest.fixture
def own_copy(tmp_path):
    """A copy of the real package, to be damaged."""
    shutil.copytree(
        fingerprint.PACKAGE, tmp_path / "tritomo_helpers", ignore=shutil.ignore_patterns("__pycache__", "*.npz")
    )
    return tmp_path / "tritomo_helpers"


@pytest.mark.parametrize(
    ("name", "old", "new", "counts"),
    [
        ("simulation/settings.py", "adf_efficiency: float = 0.5", "adf_efficiency: float = 0.25", True),
        ("constants.py", "BARN_NM2: Final = 1e-10", "BARN_NM2: Final = 2e-10", True),
        ("spectroscopy/data/crystal-field-Mn.csv", "1", "2", True),
        ("constants.py", "BARN_NM2: Final", 'RED: Final = "#D55E00"\nBARN_NM2: Final', False),
        ("viewer/assets/viewer.css", "{", "{ ", False),
    ],
)
def test_twin_is_stale_when_its_physics_changes_and_not_when_a_color_does(
    own_copy, today_of_twin, name, old, new, counts
):
    changed(own_copy / name, old, new)
    assert (fingerprint.parts(_twin._simulate, package=own_copy) != today_of_twin) is counts


def test_every_module_that_a_simulation_runs_is_in_the_fingerprint():
    """Seen by Python's own tracing of the files in which functions run: an oracle that knows nothing of the rule."""
    code = textwrap.dedent(
        """
        import sys
        from tritomo_helpers.datasets import _twin, dataset
        ran, tiny = set(), dataset("twin/tiny")
        def follow(frame, event, argument):
            ran.add(frame.f_globals.get("__name__", "") if frame.f_code.co_name != "<module>" else "")
        sys.settrace(follow)  # it returns None, so that lines are not followed
        _twin._simulate(tiny, ["adf"], raw=None, progress=False)
        sys.settrace(None)
        print("\\n".join(sorted(n for n in ran if n.startswith("tritomo_helpers"))))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ran = set(done.stdout.split())
    assert len(ran) > 10
    assert ran <= set(fingerprint.parts(_twin._simulate)) | {"tritomo_helpers"}


# --- files ---------------------------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with pytest.raises(ZeroDivisionError), files.atomic_file(target) as path:
        path.write_text(f"half{1 / path.write_text('half') / 0}")
    assert list(target.parent.iterdir()) == []
    target.write_text("old")
    with files.atomic_file(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_takes_the_place_of_the_one_before(tmp_path):
    target = tmp_path / "results"
    for text in ("old", "new"):
        with files.atomic_folder(target) as folder:
            (folder / f"{text}.txt").write_text(text)
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


WRITES = """
import sys, time
from pathlib import Path
from tritomo_helpers.store import files
with files.atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_leaves_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    target = tmp_path / "results"
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(target)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "writing\n"
        assert files.sweep(tmp_path) == []
        assert len(list(tmp_path.glob(".writing-*/results/half.txt"))) == 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not target.exists()
    with files.atomic_file(tmp_path / "another.txt") as path:
        path.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["another.txt"]


# --- results -------------------------------------------------------------------------------------------------------

ARRAYS = {"values": np.arange(600, dtype=np.float32).reshape(20, 30), "why": np.array(["because", "so"])}


def stored(folder):
    path = folder / "a.npz"
    results.write(path, ARRAYS, {"key": "k"})
    return path


def without_meta(path):
    np.savez_compressed(path, **ARRAYS)


def other_keys(path):
    rewritten(path, {"value": ARRAYS["values"]})


def other_type(path):
    rewritten(path, {**ARRAYS, "values": ARRAYS["values"].astype(np.float64)})


def other_value(path):
    rewritten(path, {**ARRAYS, "values": ARRAYS["values"] + 1})


def rewritten(path, arrays):
    with np.load(path) as archive:
        meta = archive["provenance_json"]
    np.savez_compressed(path, **arrays, provenance_json=meta)


def a_folder(path):
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


def an_object(path):
    np.savez(path, provenance_json=np.array(json.dumps({"key": "k"})), values=np.array([{}], dtype=object))


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "cut at the start": lambda path: path.write_bytes(path.read_bytes()[:30]),
    "empty": lambda path: path.write_bytes(b""),
    "a flipped bit": lambda path: path.write_bytes(flipped(path.read_bytes(), 300)),
    "wrong keys": other_keys,
    "wrong type": other_type,
    "wrong value": other_value,
    "not a zip": lambda path: path.write_bytes(b"\x93NUMPY" + bytes(200)),
    "missing meta": without_meta,
    "text": lambda path: path.write_text("<html>not found</html>"),
    "directory": a_folder,
    "a pickle": an_object,
    "another zip": lambda path: zipfile.ZipFile(path, "w").close(),
}


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_every_kind_is_set_aside_and_said(tmp_path, damage):
    path = stored(tmp_path)
    DAMAGES[damage](path)
    with pytest.warns(UserWarning, match=r"a\.npz is damaged \(.+\): kept as a\.npz\.damaged, and it is comp"):
        assert results.read_if_intact(path) is None
    assert not path.exists()
    assert path.with_name("a.npz.damaged").exists()
    stored(tmp_path)
    DAMAGES[damage](path)  # and a second time
    with pytest.warns(UserWarning, match=r"kept as a\.npz\.damaged"):
        results.read_if_intact(path)


def test_no_byte_can_be_lost_or_changed_unnoticed(tmp_path):
    content = stored(tmp_path).read_bytes()
    rng = np.random.default_rng(3)
    path = tmp_path / "b.npz"
    for _ in range(150):
        at = int(rng.integers(len(content)))
        for wrong in (content[:at], flipped(content, at)):
            path.write_bytes(wrong)
            try:
                arrays, _ = results.read(path)
            except results.DamagedResult:
                continue
            # Bytes of the zip that nobody reads, such as dates.
            assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())


def test_what_is_intact_comes_back_with_its_provenance(tmp_path):
    arrays, provenance = results.read(stored(tmp_path))
    assert provenance == {"key": "k"}
    assert {n: (a.dtype, a.tolist()) for n, a in arrays.items()} == {
        n: (a.dtype, a.tolist()) for n, a in ARRAYS.items()
    }
    assert results.read_if_intact(tmp_path / "none.npz") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert results.read_if_intact(tmp_path / "a.npz") is not None


@dataclasses.dataclass(frozen=True, eq=False)
class Inner:
    x: np.ndarray
    label: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Outer:
    inner: Inner
    by_element: dict[str, Inner]
    maps: dict[str, np.ndarray]
    limits: dict[float, str]
    why: tuple[str, ...]
    n: int
    share: float
    sure: bool
    mask: np.ndarray | None = None
    note: str | None = None


def test_a_dataclass_comes_back_equal():
    inner = Inner(np.arange(3.0), "a")
    value = Outer(
        inner, {"Mn": inner, "Co": Inner(np.zeros(2))}, {"O": np.ones((2, 2), np.float32)}, {0.5: "low"}, ("a", "b"),
        3, 0.25, True, note="n",
    )  # fmt: skip
    back = results.from_arrays(Outer, results.to_arrays(value))
    assert (back.why, back.n, back.share, back.sure, back.mask, back.note) == (("a", "b"), 3, 0.25, True, None, "n")
    assert (back.limits, back.inner.label, list(back.by_element)) == ({0.5: "low"}, "a", ["Mn", "Co"])
    assert type(back.n) is int
    assert type(back.sure) is bool
    np.testing.assert_array_equal(back.by_element["Mn"].x, inner.x)
    assert back.maps["O"].dtype == np.float32


def test_containers_and_an_alignment_come_back(tmp_path):
    series = containers.TiltSeries(np.arange(24.0).reshape(2, 3, 4), [-5, 5], 4.63, "ADF")
    found = alignment.Alignment(
        np.array([[0, 1], [np.nan, np.nan]]), np.array([-5.0, 5]), why=("x",), failures={5.0: "no mask"}
    )
    for value in (series, found):
        results.write(tmp_path / "a.npz", results.to_arrays(value), {})
        back = results.from_arrays(type(value), results.read(tmp_path / "a.npz")[0])
        for field in dataclasses.fields(value):
            np.testing.assert_array_equal(getattr(back, field.name), getattr(value, field.name))


def test_what_is_no_array_is_refused():
    with pytest.raises(TypeError, match=r"x: expected numbers, texts, or dataclasses .* got SimpleNamespace"):
        results.to_arrays(Inner(types.SimpleNamespace()))
    with pytest.raises(TypeError, match="expected a dataclass, got dict"):
        results.to_arrays({"x": 1})
    with pytest.raises(ValueError, match="arrays of a Inner: expected some of x, label, got y"):
        results.from_arrays(Inner, {"y": np.zeros(1)})
    with pytest.raises(ValueError, match="expected one for x, got label"):
        results.from_arrays(Inner, {"label": np.array("a")})
