"""What every docstring of the interface has to hold; the check is seen to see what is missing."""

import dataclasses
import inspect
import re
import types

from tests.battery import public_functions

# Names without an example, each with the reason why one would not run here or would show nothing.
WITHOUT_EXAMPLE = {
    "products.stale_files": "lists what the cache of this reader holds, and nothing else",
    "teaching.provenance": "shows a box on a page; that of provenance_box, which makes it, has one",
    "valence.align_maps": "a step between fit_spectra and reconstruct, whose example shows it",
    "valence.published_maps": "needs whole edges of simulated spectra; chapter 12 runs it",
}
DRAWN = ("plotting", "viewer", "teaching", "products")  # they take numbers of any unit
PHYSICS = (
    "composition", "crystals", "eds", "eels", "electrochemistry", "fusion", "phantoms", "planning", "simulation",
    "spectroscopy", "valence",
)  # fmt: skip
WITHOUT_SOURCE = {
    "eels.over_spectra": "hands blocks of an array to a function",
    "spectroscopy.over_spectra": "the same",
    "spectroscopy.parse_edge": "reads a text",
}
ARRAY = r"_SupportsArray|ArrayLike|NDArray|ndarray|Floats|Bools|Shells"
SHAPE = r"shape|scalar|broadcast|iterable of the same|\([a-z0-9, .]+\)"
UNIT = (
    r"(?i)\b(nm|px|pixels?|voxels?|deg|degrees|eV|keV|mrad|V|Ah|counts?|atoms|at%|percent|dimensionless|any unit|"
    r"in any|unit|share|fraction|bool|labels?|1/nm|shell|0 outside|mask|per)\b|[%²³]"
)
UNIT_OF_NAME = r"_(nm|px|deg|ev|kev|mrad|v|a|ah|s|percent|fractions?|shares?|shape|counts|per_nm|per_metal|cycles)$"
ELSEWHERE = r"\n +(See|As|As for|As given to) (there|:func:)?`?[a-z_.]*"
"""Said where the other function says it."""
SOURCE = r"References\n-|[Pp]aper|Equation|\((19|20)\d\d\)|, (19|20)\d\d\)"


def is_result(item):
    """Return whether a class only carries results: made by the package, never by a caller."""
    plain = dataclasses.is_dataclass(item) and not hasattr(item, "__post_init__")
    made = inspect.isclass(item) and (plain or (issubclass(item, tuple) and hasattr(item, "_fields")))
    return made or getattr(item, "__name__", "") in {"EdgeFit", "ValenceMaps"}  # they check what they carry


def entries(text):
    """Return what a docstring says of each parameter, by name."""
    section = re.search(r"Parameters\n-+\n(.*?)(?=\n\w[^\n]*\n---|\Z)", text, re.S)
    said, names = {}, []
    for line in (section[1] if section else "").splitlines():
        if line and not line.startswith(" "):
            names = re.split(r"[, ]+", line.split(" :")[0])
            said |= dict.fromkeys(names, line)
        else:
            said |= {name: said[name] + "\n" + line for name in names}
    return said


def missing_of(item, name=""):
    """Return what a docstring lacks: an example that runs, shapes and units of every array, a source of physics."""
    text = inspect.getdoc(item) or ""
    package = name.split(".")[0]
    lacks = set() if ">>> " in text or name in WITHOUT_EXAMPLE else {"example"}
    try:
        parameters = inspect.signature(item).parameters.values()
    except ValueError:
        parameters = ()
    said = entries(text)
    for parameter in parameters:
        kind, of = str(parameter.annotation), parameter.name
        if re.search(ARRAY, kind) and "Callable" not in kind and not re.search(ELSEWHERE, said.get(of, "")):
            if package not in DRAWN and not re.search(SHAPE + "|of one shape|float or", said.get(of, "")):
                lacks.add(f"shape of {of}")
            if package not in DRAWN and not re.search(UNIT, said.get(of, "")) and not re.search(UNIT_OF_NAME, of):
                lacks.add(f"unit of {of}")
    around = inspect.getdoc(inspect.getmodule(inspect.unwrap(item))) or ""
    if package in PHYSICS and name not in WITHOUT_SOURCE and not re.search(SOURCE, text + "\n" + around):
        lacks.add("source")
    return lacks


def test_every_exported_name_has_an_example_shapes_units_and_a_source():
    lacking = {name: sorted(missing_of(item, name)) for name, item in public_functions().items() if not is_result(item)}
    assert {name: words for name, words in lacking.items() if words} == {}


def test_exceptions_are_names_that_need_one():
    functions = public_functions()
    assert [name for name in WITHOUT_EXAMPLE if ">>> " in inspect.getdoc(functions[name])] == []
    assert len(WITHOUT_EXAMPLE) <= 4


def test_check_of_docstrings_sees_what_is_missing():
    def bare(values):
        """Say something."""

    def whole(values):
        """Say something.

        Parameters
        ----------
        values : ndarray, shape (y, x)
            Counts.

        References
        ----------
        Somebody (1999).

        Examples
        --------
        >>> 1
        1
        """

    for function in (bare, whole):
        function.__annotations__["values"] = "NDArray[np.float64]"
    assert missing_of(bare, "eds.bare") == {"example", "shape of values", "unit of values", "source"}
    assert missing_of(whole, "eds.whole") == set()
    for words, lack in ((", shape (y, x)", "shape of values"), ("Counts.", "unit of values"), (">>> 1", "example")):
        less = types.FunctionType(whole.__code__, {}, "less")
        less.__annotations__, less.__doc__ = whole.__annotations__, whole.__doc__.replace(words, "")
        assert missing_of(less, "eds.less") == {lack}
