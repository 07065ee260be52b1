"""What the rules of the code say of names, lengths, imports and repetition, counted; each count is seen to see.

Modules of which a digest of the simulated data counts every statement are left as they are until their physics changes:
a name in place of a number would make every simulated particle, and an hour of tables, stale.
"""

import ast
import functools
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tritomo_helpers import constants

ROOT = Path(__file__).parents[1]
IN_DIGEST = {
    f"tritomo_helpers/{name}.py"
    for name in (
        "phantoms/clusters", "phantoms/stages", "spectroscopy/continuum", "spectroscopy/elastic/cross_sections",
        "spectroscopy/elastic/plural", "spectroscopy/kinematics", "spectroscopy/outer_shells",
        "spectroscopy/references", "spectroscopy/xray/lines", "spectroscopy/xray/matter",
    )
}  # fmt: skip


PRIVATE = r"_(?!_)"


@functools.cache
def sources(folder):
    """Return the text of every module of a folder."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@functools.cache
def parsed(folder):
    """Return every module of a folder as the list of its nodes, the module itself first."""
    return {name: nodes_of(source) for name, source in sources(folder).items()}


def nodes_of(source):
    return list(ast.walk(ast.parse(source)))


def of_package():
    return parsed("tritomo_helpers")


# --- names, lengths, imports -----------------------------------------------------------------------------------------

VAGUE = {"found", "part", "chosen", "one", "moved", "rest", "turn", "finer", "pace", "choosing", "tmp", "res"}
MOST_LINES = 450

# Those that are left stand where a digest of simulated data, or the recipe of a table, counts them.
MOST_VAGUE = 0.02  # of all functions


def functions_of(nodes):
    return [node for node in nodes if isinstance(node, ast.FunctionDef)]


def vague_functions(nodes):
    """Return the functions that bind a name which says nothing."""

    def bound(node):
        is_stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        return node.id if is_stored else node.arg if isinstance(node, ast.arg) else None

    return [f.name for f in functions_of(nodes) if any(bound(node) in VAGUE for node in ast.walk(f))]


def foreign_private_imports(name, nodes):
    """Return imports of a private module or name out of another folder of the package."""
    foreign = []
    depth = len(Path(name).parts) - 1
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        module = node.module or ""
        inside = node.level == 1 or (node.level == 0 and not module.startswith("tritomo_helpers"))
        words = module.removeprefix("tritomo_helpers.").split(".")
        at_top = node.level == depth and words[0].startswith("_")  # _validation, _typing: of the whole package
        private = any(re.match(PRIVATE, word) for word in [*words, *(alias.name for alias in node.names)])
        if private and not inside and not at_top:
            foreign.append(ast.unparse(node))
    return foreign


def test_locals_say_what_they_hold():
    files = of_package() | parsed("tools") | parsed("benchmarks")
    vague = {name: functions for name, nodes in files.items() if (functions := vague_functions(nodes))}
    assert sum(map(len, vague.values())) < MOST_VAGUE * sum(len(functions_of(nodes)) for nodes in files.values()), vague


def test_no_module_is_too_long():
    files = [sources(folder) for folder in ("tritomo_helpers", "tools", "benchmarks", "tests")]
    lengths = {name: source.count("\n") for folder in files for name, source in folder.items()}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_nobody_imports_what_is_private_elsewhere():
    imports = {name: foreign_private_imports(name, nodes) for name, nodes in of_package().items()}
    # The name of the folder that a twin is in, which a reader is shown and which is no part of the interface.
    imports["tritomo_helpers/teaching/data.py"].remove("from ..datasets._twin import key as twin_key")
    assert {name: lines for name, lines in imports.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [("found = x", ["f"]), ("return [part for part in x]", ["f"]), ("names = x", [])],
)
def test_vague_names_are_seen(source, names):
    assert vague_functions(nodes_of(f"def f(x):\n    {source}")) == names


@pytest.mark.parametrize("line", ["from ..io._load import read", "from ..io import _read"])
def test_import_of_what_is_private_is_seen(line):
    assert foreign_private_imports("tritomo_helpers/eels/axis.py", nodes_of(line)) == [line]
    near = "from .._validation import fail\nfrom ._near import a\nfrom ..io import b"
    assert foreign_private_imports("tritomo_helpers/eels/axis.py", nodes_of(near)) == []


# --- numbers of the experiment ---------------------------------------------------------------------------------------

EXPERIMENT = {
    "beam_energy_kev": constants.BEAM_ENERGY_KEV,
    "convergence_angle_mrad": constants.CONVERGENCE_ANGLE_MRAD,
    "collection_angle_mrad": constants.COLLECTION_ANGLE_MRAD,
    "angles_mrad": constants.ADF_ANGLES_MRAD,
    "voxel_size_nm": constants.SCAN_STEP_NM,
    "pixel_size_nm": constants.SCAN_STEP_NM,
    "thickness_nm": constants.SCAN_STEP_NM,
}
UNMISTAKABLE = {constants.CONVERGENCE_ANGLE_MRAD, constants.SCAN_STEP_NM}


def named_values(nodes):
    """Yield every name with the number that it is set to: a default, an argument of a call, a variable."""
    for node in nodes:
        if isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args][::-1]
            yield from ((a.arg, value) for a, value in zip(positional, node.defaults[::-1], strict=False))
            yield from ((a.arg, value) for a, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if value)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def number(node):
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def typed_numbers(nodes):
    """Return where a number of the published experiment is typed instead of named."""
    typed = {
        f"{name} = {ast.unparse(value)}"
        for name, value in named_values(nodes)
        if name.lower() in EXPERIMENT and number(value) == EXPERIMENT[name.lower()]
    }
    return sorted(typed) + [
        str(node.value) for node in nodes if isinstance(node, ast.Constant) and node.value in UNMISTAKABLE
    ]


def test_numbers_of_the_experiment_come_from_constants():
    typed = {name: lines for name, nodes in of_package().items() if (lines := typed_numbers(nodes))}
    del typed["tritomo_helpers/constants.py"]
    assert {name: lines for name, lines in typed.items() if name not in IN_DIGEST} == {}
    assert typed.keys() == IN_DIGEST, "what no longer types one leaves the list"


@pytest.mark.parametrize(
    "source",
    ["def f(*, beam_energy_kev=300.0): pass", "f(collection_angle_mrad=100)", "step = 2 * 4.63", "alpha = 25.2"],
)
def test_typed_numbers_are_seen(source):
    assert typed_numbers(nodes_of(source))


def test_other_numbers_may_be_typed():
    other = "f(beam_energy_kev=200.0, start_ev=300.0, n=100)\ng(beam_energy_kev=BEAM)"
    assert typed_numbers(nodes_of(other)) == []


# --- formulas ---------------------------------------------------------------------------------------------------------

# What gives a formula away, and the modules that may have it.
FORMULAS = {
    "kinematics": (
        r"(?<!import )\bELECTRON_REST_ENERGY_KEV\b(?! *:)(?!,$)",
        {
            "spectroscopy/kinematics.py": "",
            "spectroscopy/continuum.py": "in the digest of simulated data",
            "spectroscopy/xray/lines.py": "the same",
            "spectroscopy/xray/matter.py": "the same",
        },
    ),
    "wavelength": (
        r"HC_KEV_NM /",
        {"spectroscopy/kinematics.py": "", "crystals/diffraction.py": "of X-rays: energy of a photon"},
    ),
    "gauge": (
        r"np\.stack\(\[(np\.ones_like\(\w+\), )?np\.cos\(\w+\), np\.sin\(\w+\)\], axis=1\)",
        {
            "alignment/_moments.py": "path of a point",
            "alignment/_result.py": "the same and the place of the axis",
        },
    ),
    "R factor": (r"np\.abs\(np\.abs\(\w+\) - np\.abs\(\w+\)\)|def \w*r_factor\(", {"metrics/errors.py": ""}),
    "Dice": (r"\b2(\.0)? \* np\.(sum|count_nonzero)\([^()]*&|def \w*dice\(", {"metrics/errors.py": ""}),
}  # fmt: skip


def places_of(pattern, files):
    """Return the files in whose lines of code a pattern stands."""
    imports = re.compile(r"^from [.\w]+ import (\([^)]*\)|[^\n]*)", re.M)
    return {name for name, source in files.items() if re.search(pattern, imports.sub("", source), re.M)}


@pytest.mark.parametrize("formula", FORMULAS)
def test_formula_stands_once(formula):
    pattern, places = FORMULAS[formula]
    assert places_of(pattern, sources("tritomo_helpers")) == {f"tritomo_helpers/{name}" for name in places}


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        ("kinematics", "gamma = 1 + beam / ELECTRON_REST_ENERGY_KEV"),
        ("wavelength", "return HC_KEV_NM / momentum"),
        ("gauge", "b = np.stack([np.cos(t), np.sin(t)], axis=1)"),
        ("R factor", "misfit = np.abs(np.abs(a) - np.abs(b)).sum() / np.abs(b).sum()"),
        ("Dice", "overlap = 2 * np.sum(a & b) / (a.sum() + b.sum())"),
    ],
)
def test_second_copy_of_a_formula_is_seen(formula, line):
    assert places_of(FORMULAS[formula][0], {"here": line}) == {"here"}


# --- long expressions ------------------------------------------------------------------------------------------------

LARGEST_PART = 24
"""Nodes of the largest expression that two modules may share, whatever the names in it."""
# Of two that stand in recipes or in the simulation, a common function would make the tables stale.
SHARED = {
    ("simulation/eds.py", "spectroscopy/detectors.py"): "turn of the specimen: in the digest of simulated data",
    ("products/valence_checks.py", "products/valence_volumes.py"): "recipes are held to their own code",
}


def long_expressions(tree):
    """Return the expressions of more nodes than two modules may share."""
    long = []

    def size(node):
        n = 1 + sum(map(size, ast.iter_child_nodes(node))) if not isinstance(node, ast.expr_context) else 0
        if n > LARGEST_PART and isinstance(node, ast.expr) and not isinstance(node, ast.JoinedStr):
            long.append(node)
        return n

    size(tree)
    return long


def shape_of(node):
    """Return an expression without its names."""
    names = {}

    def visit(item):
        if isinstance(item, ast.Name):
            return "name", names.setdefault(item.id, len(names))
        if isinstance(item, ast.AST):
            return (type(item).__name__, *(visit(v) for f, v in ast.iter_fields(item) if f not in ("ctx", "kind")))
        return tuple(map(visit, item)) if isinstance(item, list) else item

    return visit(node)


def shared_expressions(files):
    """Return pairs of files that have a long expression in common."""
    places = defaultdict(set)
    for name, nodes in files.items():
        for node in long_expressions(nodes[0]):
            places[shape_of(node)].add(name.removeprefix("tritomo_helpers/"))
    return {tuple(sorted(names)) for names in places.values() if len(names) > 1}


def test_long_expressions_stand_once():
    assert shared_expressions(of_package()) == {tuple(sorted(pair)) for pair in SHARED}


def test_second_copy_of_an_expression_is_seen_under_other_names():
    first = "a = np.sqrt(np.mean((x[:, inner].mean(axis=1) - x[:, outer].mean(axis=1)) ** 2))"
    second = "b = np.sqrt(np.mean((values[:, k].mean(axis=1) - values[:, j].mean(axis=1)) ** 2))"
    files = {"one.py": nodes_of(first), "two.py": nodes_of(second)}
    assert shared_expressions(files) == {("one.py", "two.py")}
    files["two.py"] = nodes_of(second.replace("- values", "+ values"))
    assert shared_expressions(files) == set()


# --- what nothing calls -----------------------------------------------------------------------------------------------

# Names that only tests use, or that a library calls, each with the reason why it stays.
IDLE = {
    "teaching/data.py: _render_traceback_": "IPython calls it",
    "viewer/_page.py: _repr_html_": "Jupyter calls it",
    "viewer/_page.py: _repr_png_": "Jupyter calls it",
    "viewer/_pack.py: unpack": "the inverse of what the page does in JavaScript, by which tests read it",
    "products/shell_calibration.py: judged_on_others": "the same",
    "products/registry.py: COMMITTED_LIMIT_BYTES": "a limit that tests hold files to",
    "spectroscopy/references.py: WHITE_LINE_UNCERTAINTY": "a limit that tests hold references to; in the digest",
    "tomography/reconstruction.py: to_json": "of the interface: how a reconstruction was made, for a reader's file",
    "valence/volumes.py: mean_over": "of the interface: the mean with its error, for a reader's region",
}


def of_notebooks():
    """Return the nodes of every cell of the book and the examples."""
    nodes = []
    for path in [*(ROOT / "book").glob("*.ipynb"), *(ROOT / "examples").glob("*.ipynb")]:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
            nodes += nodes_of("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!"))))
    return nodes


@functools.cache
def users():
    """Return what runs besides the package, as lists of nodes."""
    return [*parsed("tools").values(), *parsed("benchmarks").values(), of_notebooks()]


def offered(files):
    """Return the names that packages export."""
    lists = (node for name, nodes in files.items() if name.endswith("__init__.py") for node in nodes[0].body)
    exports = (node.value for node in lists if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    return {name for value in exports for name in ast.literal_eval(value)}


def defined(nodes):
    """Yield functions, classes, methods and constants; not products, which are found by name, nor fields of results."""
    for node in nodes:
        if isinstance(node, ast.ClassDef) or (isinstance(node, ast.FunctionDef) and not is_product(node)):
            yield node.name
    for node in nodes[0].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def is_product(function):
    return any(getattr(getattr(d, "func", None), "id", "") == "product" for d in function.decorator_list)


def idle(files, callers):
    """Return what is defined and never read, alone or after a dot; an import or a list of exports is no use."""
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for nodes in [*files.values(), *callers]
        for node in nodes
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    }
    return {
        f"{name.removeprefix('tritomo_helpers/')}: {word}"
        for name, nodes in files.items()
        for word in defined(nodes)
        if word not in used and not word.startswith("__")
    }


def test_what_nothing_calls_is_not_there():
    unused = idle(of_package(), users())
    assert {item for item in unused if item.split(": ")[1] not in offered(of_package())} - IDLE.keys() == set()
    files = {name.removeprefix("tritomo_helpers/"): set(defined(nodes)) for name, nodes in of_package().items()}
    assert [item for item in IDLE if item.split(": ")[1] not in files[item.split(": ")[0]]] == [], "no longer there"


def given_to(callers):
    """Return what calls hand to each function: names of arguments, and places; None where a mapping is unpacked.

    A function may be called by another one to which it is handed: ``partial``, ``submit``, ``map``.
    """
    given = defaultdict(set)
    for node in (node for nodes in callers for node in nodes if isinstance(node, ast.Call)):
        ways = {k.arg for k in node.keywords} | {*range(len(node.args))}
        ways |= {None} if any(isinstance(a, ast.Starred) for a in node.args) else set()
        for target in (node.func, *node.args):
            given[getattr(target, "attr", getattr(target, "id", ""))] |= ways
    return given


def switches(function):
    """Yield options that are on, off or None by default, with what in a call, or one of a method, sets them."""
    arguments = function.args
    positional = [*enumerate([*arguments.posonlyargs, *arguments.args])][::-1]
    options = [(p.arg, {i, i - 1}, d) for (i, p), d in zip(positional, arguments.defaults[::-1], strict=False)]
    options += [(p.arg, set(), d) for p, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    for name, places, default in options:
        if isinstance(default, ast.Constant) and (default.value is None or isinstance(default.value, bool)):
            yield name, {name, None, *places}


def never_given(files, callers):
    """Return the switches that no call ever sets."""
    given = given_to(callers)
    return {
        f"{name.removeprefix('tritomo_helpers/')}: {function.name}({option}=)"
        for name, nodes in files.items()
        for function in functions_of(nodes)
        if not function.name.startswith("__")
        for option, ways in switches(function)
        if not ways & given[function.name]
    }


def test_no_switch_of_an_inner_function_is_never_used():
    """Those of the interface are the reader's; the battery of bad input tries each of them."""
    files = of_package() | parsed("tools")
    callers = [*of_package().values(), *users(), *parsed("tests").values()]
    inner = {s for s in never_given(files, callers) if re.findall(r": (\w+)", s)[0] not in offered(files)}
    assert inner == set()


def test_idle_names_and_switches_are_seen():
    files = {"a.py": nodes_of("LIMIT = 3\ndef used(a, *, b=None, c=True): return a\ndef idle(): return used(1, b=2)")}
    assert idle(files, []) == {"a.py: LIMIT", "a.py: idle"}
    assert idle(files, [nodes_of("idle() + module.LIMIT")]) == set()
    assert never_given(files, files.values()) == {"a.py: used(c=)"}
    assert never_given(files, [nodes_of("pool.submit(used, 1, b=2, c=False)")]) == set()
