"""The notebooks as written: stripped, thin, complete, no number typed by hand; each check is seen to fail."""

import nbformat
import pytest
import yaml

from tools.book import BOOK, checks, stage
from tritomo_helpers.teaching import exercises

TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
DOCUMENTS = [path for name in stage.toc_files(TOC) if (path := stage.document(name))]
NOTEBOOKS = [path for path in DOCUMENTS if path.suffix == ".ipynb"]
NUMBERED = [c["file"] for part in TOC["parts"] if part.get("numbered") for c in part["chapters"]]
CHAPTERS = [path for path in NOTEBOOKS if path.stem in NUMBERED]

code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def by_stem(path):
    return path.stem


def test_every_page_of_the_book_is_in_the_table_of_contents():
    written = {path.stem for pattern in ("*.md", "*.ipynb") for path in BOOK.glob(pattern)} - {"README"}
    assert written <= set(stage.toc_files(TOC))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_stem)
def test_notebook_is_stripped_and_thin(path):
    assert checks.stripped_problems(nbformat.read(path, as_version=4), path.stem) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_stem)
def test_cells_are_short(path):
    assert checks.length_problems(nbformat.read(path, as_version=4), path.stem) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=by_stem)
def test_chapter_has_all_its_parts(path):
    assert checks.structure_problems(nbformat.read(path, as_version=4), path.stem) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_stem)
def test_no_number_is_typed_by_hand(path):
    assert checks.number_problems([path]) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_stem)
def test_data_come_through_teaching_so_that_a_missing_set_shows_a_box(path):
    assert list(stage.calls(nbformat.read(path, as_version=4), "datasets.fetch")) == []


def test_every_exercise_is_asked_in_its_chapter():
    asked = {path.stem: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    lost = [name for name, entry in exercises.exercises().items() if name not in asked.get(entry["chapter"], "")]
    assert lost == [], "each belongs to the chapter that its file is named after"


# ---------------------------------------------------------------- seen to fail


@pytest.mark.parametrize(
    "typed",
    [
        "0.083",
        "34.3 %",
        "34%",
        "529 eV",
        "64 nm",
        "1.5e3",
        "3.2×10⁻⁷",
        "−70°",
        "12 300 counts",
        "250 ms",
        "8,5",
        "2 GB",
        "7 percent",
        "3.5x",
        "5 × 10⁵",
    ],
)
def test_typed_number_is_caught(typed):
    assert checks.typed_numbers(f"The result is {typed}, as you see.") == [typed]


@pytest.mark.parametrize(
    "typed",
    [
        "```{note}\nIt is 0.083.\n```",
        ":::{admonition} Why 0.083\nBecause.\n:::",
        "````{exercise} Depth\n```{code-block}\nx = 0.5\n```\nIt is 0.083.\n````",
        "```{solution-start} a\n:class: dropdown\nIt is 0.083.\n```",
        ":::{glossary}\nterm\n  About 0.083 of it.\n:::",
        ":::{figure} a-1.5.png\n:alt: A line at 0.083\n:width: 80%\n:::",
        "A stray ` is no code.\n\nIt is 0.083, and here is `another`.",
        "```python\nx = 0.5\n```\nIt is 0.083.\n```python\ny = 0.5\n```",
        "If a < 0.083 then b > c.",
    ],
)
def test_typed_number_is_caught_wherever_prose_can_stand(typed):
    assert checks.typed_numbers(typed) == ["0.083"]


@pytest.mark.parametrize(
    "fine",
    [
        "In 2024 twelve particles, 15 tilts, a grid of 64 by 64",
        "{quoted}`34.3 %` and {given}`0.15 eV` and {glue:text}`onset`",
        "$x = 0.5$ and $$\ny = 1.25\n$$ and $r_{0.1}$",
        "`0.5` and ``a 0.5 ` b``",
        "```python\nx = 0.5\n```",
        "```{code-cell}\nx = 0.5\n```\n",
        "[a paper](https://doi.org/10.1038/s41586-025-0001.2) and https://example.org/v1.5/",
        "see {numref}`fig-1.5` and Fig. 3.2 and Eq. (2.1), Python 3.11, 3.12 or 3.13, CC-BY-4.0, version 1.0.4",
        ":::{figure} a.png\n:width: 80%\n:::",
        '<img src="a.png" width="50%">',
        "chapters 3-5, steps 1. and 2., particle 2-1, NMC111 and Mn3O4, H2020",
        "1. First\n2. Second",
    ],
)
def test_numbers_that_nobody_computed_are_free(fine):
    assert checks.typed_numbers(fine) == []


def test_typed_number_is_reported_with_its_notebook(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(notebook(text("# T\n\nIt is 0.083."), text("0.5 nm", metadata={"tags": [checks.FREE_TAG]})), path)
    (problem,) = checks.number_problems([path])
    assert problem.startswith("a.ipynb: '0.083' is typed by hand")


def test_typed_number_is_caught_in_caption_and_alt_text(tmp_path):
    path = tmp_path / "a.ipynb"
    shown = {"mystnb": {"figure": {"caption": "Depth 0.083."}, "image": {"alt": "A peak at 7 percent, {given}`5 nm`."}}}
    nbformat.write(notebook(code("x = 0.5", metadata=shown)), path)
    assert [p.split("'")[1] for p in checks.number_problems([path])] == ["0.083", "7 percent"]


def test_outputs_counts_and_definitions_are_caught():
    printed = code("1", outputs=[nbformat.v4.new_output("stream", text="2")])
    counted = code("1", execution_count=3)
    defining = code("def f():\n    return 1")
    problems = checks.stripped_problems(notebook(printed, counted, defining, code("1")), "a")
    assert [p.split(":")[0] for p in problems] == ["a, cell 0", "a, cell 1", "a, cell 2"]


def test_long_cells_are_caught_and_claims_are_not_counted():
    def problems(*lengths):
        cells = [code("\n\n".join(["x = 1"] * length)) for length in lengths]
        claims = 'teaching.claim(\n    "a",\n    1,\n    low=0,\n    high=2,\n    digits=2,\n    why="w",\n)'
        return checks.length_problems(notebook(*cells, *(code(claims) for _ in range(4))), "a")

    assert problems(6, 7, 6) == []
    assert "median cell has 7 lines" in problems(6, 7, 7)[0]


WHOLE = """# T

## What you will learn
## What you need
:::{exercise} A
:::
:::{solution-start} a
:::
## What can go wrong
## Behind the call
## Test yourself
:::{dropdown} One?
:::
:::{dropdown} Two?
:::
"""


NEEDED = [
    *("What you will learn", "What you need", "What can go wrong", "Behind the call", "Test yourself"),
    *(":::{exercise}", ":::{solution-start}", ":::{dropdown} One?"),
]


@pytest.mark.parametrize("missing", NEEDED)
def test_missing_part_is_caught(missing):
    assert checks.structure_problems(notebook(text(WHOLE)), "a") == []
    assert len(checks.structure_problems(notebook(text(WHOLE.replace(missing, ""))), "a")) == 1


@pytest.mark.parametrize("alt", ["", "A plot."])
def test_figure_without_a_description_is_caught(alt):
    metadata = {"mystnb": {"figure": {"caption": "c"}, "image": {"alt": alt}}}
    assert "alt text" in checks.structure_problems(notebook(text(WHOLE), code("plot()", metadata=metadata)), "a")[0]
