"""The notebooks as written: stripped, thin, complete, no number typed by hand; each check is seen to fail."""

import nbformat
import pytest
import yaml

from tools.book import BOOK, checks, fold, prose, stage, terms
from tritomo_helpers.teaching import exercises, quizzes

TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
DOCUMENTS = [path for name in stage.toc_files(TOC) if (path := stage.document(name))]
NOTEBOOKS = [path for path in DOCUMENTS if path.suffix == ".ipynb"]
NUMBERED = [c["file"] for part in TOC["parts"] if part.get("numbered") for c in part["chapters"]]
CHAPTERS = [path for path in NOTEBOOKS if path.stem in NUMBERED]

code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


def notebook(*cells):
    numbered = [nbformat.from_dict({**cell, "id": str(number)}) for number, cell in enumerate(cells)]
    return nbformat.v4.new_notebook(cells=numbered)


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


@pytest.mark.parametrize("path", CHAPTERS, ids=by_stem)
def test_chapter_ends_with_what_the_reader_now_knows(path):
    follows = [*NUMBERED, ""][NUMBERED.index(path.stem) + 1]
    assert checks.takeaway_problems(nbformat.read(path, as_version=4), path.stem, follows) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_stem)
def test_code_does_not_stand_between_reader_and_point(path):
    assert fold.problems(nbformat.read(path, as_version=4), path.stem) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_stem)
def test_many_numbers_stand_in_a_table(path):
    assert checks.crowd_problems([path]) == []


def chapters_off_the_map(cells):
    """Return the chapters that the map of the front page does not link."""
    map_of = next(c.source.partition("## The map")[2] for c in cells if "## The map" in c.source)
    links = {link for block in prose.blocks(map_of.partition("\n## ")[0]) for link in block.links}
    return [name for name in NUMBERED if name not in links]


def test_map_of_the_front_page_leads_to_every_chapter():
    cells = nbformat.read(BOOK / "intro.ipynb", as_version=4).cells
    assert chapters_off_the_map(cells) == []
    forgotten = text(
        "## The map\n\n" + " · ".join(f"[]({name})" for name in NUMBERED[1:]) + f"\n\n## B\n[]({NUMBERED[0]})"
    )
    assert chapters_off_the_map([forgotten]) == NUMBERED[:1]


def test_words_of_the_field_are_in_the_glossary():
    assert terms.undefined() == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_stem)
def test_no_number_is_typed_by_hand(path):
    assert checks.number_problems([path]) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_stem)
def test_data_come_through_teaching_so_that_a_missing_set_shows_a_box(path):
    assert list(stage.calls(nbformat.read(path, as_version=4), "datasets.fetch")) == []


def test_every_exercise_and_question_is_asked_in_its_chapter():
    asked = {path.stem: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    known = {**exercises.exercises(), **quizzes.quizzes()}
    lost = [name for name, entry in known.items() if name not in asked.get(entry["chapter"], "")]
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
    assert prose.typed_numbers(f"The result is {typed}, as you see.") == [typed]


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
    assert prose.typed_numbers(typed) == ["0.083"]


@pytest.mark.parametrize(
    "fine",
    [
        "In 2024 twelve particles, 15 tilts, a grid of 64 by 64",
        "{quoted}`34.3 %` and {given}`0.15 eV` and {glue:text}`onset`",
        "$x = 0.5$ and\n\n$$\ny = 1.25\n$$\n\nand $r_{0.1}$",
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
    assert prose.typed_numbers(fine) == []


def test_typed_number_is_reported_with_its_notebook(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(notebook(text("# T\n\nIt is 0.083."), text("0.5 nm", metadata={"tags": [prose.FREE_TAG]})), path)
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
## What can go wrong
## Behind the call
## Test yourself
## Exercises
:::{exercise} A
:::
:::{exercise} B
:::
:::{exercise} C
:::
:::{solution-start} a
:::
:::{solution-start} b
:::
:::{solution-start} c
:::
## What you now know

1. One thing.
2. Another thing.
3. A third thing.

:::{again} fig-a
:::

Next: [](next-chapter), because this chapter leaves the question open.
"""


def whole(old="", new="", *cells):
    """A complete chapter, with one thing changed."""
    assert old in WHOLE
    asks = [code(f'teaching.quiz("{name}")') for name in ("a", "b")]
    checked = [code(f'teaching.check("{name}", ...)') for name in ("predicted", "x", "y")]
    figure = code(
        "draw()", metadata={"mystnb": {"figure": {"caption": "c", "name": "fig-a"}, "image": {"alt": "x" * 20}}}
    )
    return notebook(*asks, *checked, figure, *cells, text(WHOLE.replace(old, new)))


@pytest.fixture
def _predicted(monkeypatch):
    known = exercises.exercises() | {"predicted": {"answer": 1, "asks": "prediction", "chapter": "a"}}
    monkeypatch.setattr(exercises, "exercises", lambda: known)


NEEDED = [
    *("What you will learn", "What you need", "What can go wrong", "Behind the call", "Test yourself", "Exercises"),
    *("What you now know", ":::{exercise} A\n:::", ":::{solution-start} a\n:::"),
]


@pytest.mark.usefixtures("_predicted")
@pytest.mark.parametrize("missing", NEEDED)
def test_missing_part_is_caught(missing):
    assert checks.structure_problems(whole(), "a") == []
    assert len(checks.structure_problems(whole(missing), "a")) == 1


@pytest.mark.usefixtures("_predicted")
@pytest.mark.parametrize("call", ['teaching.quiz("b")', 'teaching.check("predicted", ...)', 'teaching.check("x", ...)'])
def test_missing_question_prediction_or_exercise_is_caught(call):
    chapter = whole()
    chapter.cells = [cell for cell in chapter.cells if cell.source != call]
    assert checks.structure_problems(chapter, "a") != []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("3. A third thing.\n", "", "2 sentences"),
        (":::{again} fig-a\n:::\n", "", "0 pictures"),
        (":::{again} fig-a", ":::{again} fig-b", "names no figure"),
        ("Next: [](next-chapter)", "Goodbye", "does not end with"),
        ("[](next-chapter)", "[](other)", "the next chapter is next-chapter"),
        (", because this chapter leaves the question open", "", "gives no reason"),
        ("Next:", "## One more section\n\nNext:", "is not the last section"),
    ],
)
def test_fault_of_the_last_section_is_caught(old, new, words):
    assert checks.takeaway_problems(whole(), "a", "next-chapter") == []
    assert words in " ".join(checks.takeaway_problems(whole(old, new), "a", "next-chapter"))


@pytest.mark.usefixtures("_predicted")
@pytest.mark.parametrize("alt", ["", "A plot."])
def test_figure_without_a_description_is_caught(alt):
    metadata = {"mystnb": {"figure": {"caption": "c"}, "image": {"alt": alt}}}
    assert "alt text" in checks.structure_problems(whole("", "", code("plot()", metadata=metadata)), "a")[0]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("x = 1", "prepares"),
        ("x = 1\nplotting.use_style()", "prepares"),
        ('files = teaching.data("a")', "prepares"),
        ("x = 1\nx.shape", "shows"),
        ("plotting.show_image(x);", "shows"),
        ("for x in xs:\n    print(x)", "shows"),
        ('teaching.claim("a", 1, low=0, why="w")', "claims"),
        ('for x in xs:\n    teaching.claim(x, 1, low=0, why="w")', "claims"),
        ('teaching.provenance("a")', "boxes"),
        ('teaching.quiz("a")', "asks"),
        ('teaching.check("a", ...)', "shows"),
    ],
)
def test_kind_of_a_cell_is_read_from_its_code(source, kind):
    assert fold.kind_of(code(source)) == kind


def test_too_much_code_in_view_is_caught():
    word, call, long = text("Word."), code("draw(1)"), code("draw(\n" + "1,\n" * 10 + ")")
    assert fold.problems(notebook(call, call, word, call, call, code("x = 1"), text("## B")), "a") == []
    assert "third visible code cell in a row" in fold.problems(notebook(call, code("x = 1"), call, call), "a")[0]
    assert fold.problems(notebook(*[word, call] * 35), "a") == []
    assert "36 visible code cells" in fold.problems(notebook(*[word, call] * 36), "a")[0]
    assert fold.problems(notebook(*[word, call] * 9, word, long), "a") == []
    assert (
        "2 of 11 visible code cells are longer" in fold.problems(notebook(*[word, call] * 9, *[word, long] * 2), "a")[0]
    )


def test_claim_or_provenance_in_visible_code_is_caught():
    for leak in ('x = 1\nteaching.claim("a", x, low=0, why="w")', 'draw(x)\nteaching.provenance("a")'):
        assert "give it a cell of its own" in fold.problems(notebook(code(leak)), "a")[0]


def test_code_of_a_solution_is_not_in_view_and_behind_the_call_is():
    steps = [code("a = 1"), code("b = a"), code("c = b")]
    start, end = text(":::{solution-start} a\n:::"), text(":::{solution-end}\n:::")
    assert fold.problems(notebook(text("## A"), *steps), "a") == []
    assert fold.problems(notebook(text("## A"), start, *[code("draw()")] * 5, end), "a") == []
    assert "in a row" in fold.problems(notebook(text("## Behind the call"), *steps), "a")[0]
    kept = [code("a = f()", metadata={"tags": [fold.KEEP]})] * 3
    assert "in a row" in fold.problems(notebook(text("## A"), *kept), "a")[0]


def test_paragraph_full_of_numbers_is_caught(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("From " + " and ".join(["{given}`1 nm`", "{quoted}`2`", "{glue:text}`x`", "{given}`4`"]) + ".")
    assert checks.crowd_problems([path]) == []
    path.write_text(path.read_text() + " Then {given}`5`.\n\n| a |\n|---|\n| " + "{given}`1` " * 6 + "|\n")
    assert "make a table: From" in checks.crowd_problems([path])[0]


def test_reading_time_counts_words_figures_and_code():
    words = notebook(text(" ".join(["word"] * 900)))
    assert stage.reading_minutes(words) == 5
    figures = [code("draw()", metadata={"mystnb": {"figure": {"caption": "c"}}})] * 6
    assert stage.reading_minutes(notebook(*words.cells, *figures)) == 7


PAGE = "<article><h1>EDS</h1><p>With <code>EDS</code> {} and {}.</p><p>Missing\nwedges of EDS.</p></article>"
LINK = '<a href="glossary.html#term-EDS">EDS</a>'


@pytest.mark.parametrize(
    ("first", "second", "faults"),
    [(LINK, "EDS", []), ("EDS", LINK, ["EDS"]), ("counts", "tilts", ["EDS"]), ("SEEDS", LINK, [])],
)
def test_term_that_is_not_linked_where_it_first_appears_is_caught(first, second, faults):
    said = terms.page_problems(PAGE.format(first, second), "a.html", ["EDS", "claim"])
    assert [problem.split("'")[1] for problem in said] == faults
    boxed = '<article><div class="tt-box">EDS</div><p>x</p></article>'
    assert terms.page_problems(boxed, "a.html", ["EDS"]) == [], "a message of the build is no text of the author"
    assert "'missing wedge' is not linked" in terms.page_problems(PAGE.format(LINK, ""), "a", ["missing wedge"])[0]


def test_word_of_the_field_that_nobody_defines_is_caught():
    known = [word for word in terms.FIELD_WORDS if word != "SIRT"]
    assert terms.undefined(known) == ["glossary.md: 'SIRT' is a word of the field and not defined"]
