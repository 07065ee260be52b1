"""What the rules of the code say of names, lengths, imports and docstrings, counted; each count is seen to see."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

from tests.battery import public_functions

ROOT = Path(__file__).parents[1]
VAGUE = {"found", "part", "chosen", "one", "moved", "rest", "turn", "tmp", "res"}
MOST_LINES = 450

# A change of any name that the simulation reaches makes every simulated particle stale, so those wait for the next
# change of its physics; in the download, a part is a file that ends in .part.
MOST_VAGUE = 0.02  # of all functions


def sources(*folders):
    for folder in folders:
        yield from ((str(path.relative_to(ROOT)), path.read_text()) for path in sorted((ROOT / folder).rglob("*.py")))


def vague_functions(source):
    """Return the functions that bind a name which says nothing."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]

    def bound(function):
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.arg):
                yield node.arg

    return [function.name for function in functions if VAGUE & set(bound(function))]


def foreign_private_imports(name, source):
    """Return imports of a private module or name out of another folder of the package."""
    foreign = []
    depth = len(Path(name).parts) - 1
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        inside = node.level == 1 or (node.level == 0 and not module.startswith("tritomo_helpers"))
        words = module.removeprefix("tritomo_helpers.").split(".")
        at_top = node.level == depth and words[0].startswith("_")  # _validation, _typing: of the whole package
        private = any(
            word.startswith("_") and not word.startswith("__")
            for word in [*words, *(alias.name for alias in node.names)]
            if word
        )
        if private and not inside and not at_top:
            foreign.append(ast.unparse(node))
    return foreign


def test_locals_say_what_they_hold():
    files = dict(sources("tritomo_helpers", "tools", "benchmarks"))
    vague = {name: functions for name, source in files.items() if (functions := vague_functions(source))}
    n_functions = sum(len(re.findall(r"^ *def ", source, re.M)) for source in files.values())
    assert sum(map(len, vague.values())) < MOST_VAGUE * n_functions, vague


def test_no_module_is_too_long():
    lengths = {name: source.count("\n") for name, source in sources("tritomo_helpers", "tools", "benchmarks", "tests")}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_nobody_imports_what_is_private_elsewhere():
    imports = {name: foreign_private_imports(name, source) for name, source in sources("tritomo_helpers")}
    # The name of the folder that a twin is in, which a reader is shown and which is no part of the interface.
    imports["tritomo_helpers/teaching/data.py"].remove("from ..datasets._twin import key as twin_key")
    assert {name: lines for name, lines in imports.items() if lines} == {}


def test_counts_see_what_is_planted():
    assert vague_functions("def f(x):\n    found = x\n    return found") == ["f"]
    assert vague_functions("def f(x):\n    return [part for part in x]") == ["f"]
    assert vague_functions("def f(x):\n    names = x\n    return names") == []
    name = "tritomo_helpers/eels/axis.py"
    assert foreign_private_imports(name, "from ..io._load import read") == ["from ..io._load import read"]
    assert foreign_private_imports(name, "from ..io import _read") == ["from ..io import _read"]
    assert (
        foreign_private_imports(name, "from .._validation import fail\nfrom ._near import a\nfrom ..io import b") == []
    )


# --- docstrings ----------------------------------------------------------------------------------------------------


# Exceptions; settings of a method are shown by the example of `tomography.reconstruct`.
UNDOCUMENTED = {
    "crystals.powder_pattern", "eds.LineModel", "eels.Candidate", "eels.SweepStep",
    "electrochemistry.mean_metal_valence", "fusion.density_from_adf", "fusion.element_maps", "fusion.fraction_data",
    "fusion.matched_filter", "fusion.particle_mask", "fusion.published_fusion", "planning.information_per_nm",
    "products.as_alignment", "products.get", "products.products", "products.provenance", "products.stale_files",
    "products.verify", "simulation.Eds", "simulation.Eels", "spectroscopy.xray.XrayLine",
    "spectroscopy.xray.atomic_weight", "teaching.ChapterStopped", "teaching.provenance", "tomography.Cgls",
    "tomography.Genfire", "tomography.Sart", "tomography.Sirt", "tomography.TotalVariation",
    "tomography.WeightedBackProjection", "valence.EdgeFit", "valence.ValenceMaps", "valence.align_maps",
    "valence.published_maps", "valence.published_volumes", "viewer.LiveSweep",
}  # fmt: skip


def is_result(item):
    """Return whether a class only carries results: made by the package, never by a caller."""
    return inspect.isclass(item) and dataclasses.is_dataclass(item) and not hasattr(item, "__post_init__")


def missing_of(item):
    """Return what a docstring lacks: an example that runs, and shapes where it takes arrays."""
    text = inspect.getdoc(item) or ""
    lacks = set()
    if ">>> " not in text:
        lacks.add("example")
    try:
        takes = " ".join(str(parameter.annotation) for parameter in inspect.signature(item).parameters.values())
    except ValueError:
        takes = ""
    if re.search(r"ArrayLike|NDArray|ndarray|Floats|Bools", takes) and not re.search(
        r"shape|scalar|\([a-z, ]+\)", text
    ):
        lacks.add("shapes")
    return lacks


def test_every_exported_name_has_an_example_and_shapes():
    lacking = {name: sorted(missing_of(item)) for name, item in public_functions().items() if not is_result(item)}
    assert {name: words for name, words in lacking.items() if words and name not in UNDOCUMENTED} == {}


def test_check_of_docstrings_sees_what_is_missing():
    def bare(values):
        """Say something."""

    bare.__annotations__["values"] = "NDArray[np.float64]"

    assert missing_of(bare) == {"example", "shapes"}
