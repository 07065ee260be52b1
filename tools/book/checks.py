"""What can be wrong with a notebook, a run or a built page. Each check returns sentences; none means well."""

import base64
import re
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tools.book import execute, fold, terms
from tools.book.prose import FREE_TAG, Block, blocks, crowded, typed_numbers
from tools.book.stage import AGAIN, FIGURE_MIMES, MEMORY_LIMIT_MB, TIME_LIMIT_S

# ---------------------------------------------------------------- notebooks as written


def _texts(cell: Any) -> list[str]:
    """Return what a cell says in words: its source, or the caption and the alt text of its figure."""
    if cell.cell_type == "markdown":
        return [cell.source]
    shown = cell.metadata.get("mystnb", {})
    return [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]


def number_problems(documents: Iterable[Path]) -> list[str]:
    """Return the numbers typed by hand in chapters and pages."""
    import nbformat

    problems = []
    for path in documents:
        if path.suffix == ".ipynb":
            cells = nbformat.read(path, as_version=4).cells
            texts = [text for c in cells if FREE_TAG not in c.metadata.get("tags", []) for text in _texts(c)]
        else:
            texts = [path.read_text(encoding="utf-8")]
        for text in texts:
            problems += [
                f"{path.name}: {number!r} is typed by hand; glue it, or mark it {{quoted}} or {{given}}"
                for number in typed_numbers(text)
            ]
    return problems


def stripped_problems(notebook: Any, name: str) -> list[str]:
    """Return cells that carry outputs or counts, and definitions that belong in the package."""
    problems = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if cell.get("outputs") or cell.get("execution_count"):
            problems.append(f"{name}, cell {index}: outputs are not stripped (make format)")
        if re.search(r"^(def|class) ", cell.source, re.M):
            problems.append(f"{name}, cell {index}: a cell calls, it does not define")
    return problems


MEDIAN_LINES = 6  # the design asks for 5; the call of a figure, one keyword a line, takes one more


def length_problems(notebook: Any, name: str) -> list[str]:
    """Return whether the cells that a reader reads are too long: the median of all but those that only state claims."""
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip() and fold.kind_of(c) != "claims"]
    lengths = sorted(sum(bool(line.strip()) for line in c.source.splitlines()) for c in code)
    median = statistics.median(lengths or [0])
    if median <= MEDIAN_LINES:
        return []
    return [f"{name}: the median cell has {median:g} lines, more than {MEDIAN_LINES}; let the package do more"]


SECTIONS = (
    *("what you will learn", "what you need", "behind the call", "what can go wrong"),
    *("test yourself", "exercises", "what you now know"),
)
LEAST_QUESTIONS, LEAST_EXERCISES = 2, 3


def _texts_in_order(notebook: Any) -> list[Block]:
    return [block for c in notebook.cells if c.cell_type == "markdown" for block in blocks(c.source)]


def structure_problems(notebook: Any, name: str) -> list[str]:
    """Return the parts that every chapter has and this one lacks."""
    from tools.book.stage import calls
    from tritomo_helpers.teaching.exercises import exercises

    text = _texts_in_order(notebook)
    headings = [block.text.strip().lower() for block in text if block.kind == "heading"]
    problems = [f"{name}: a section {section!r} is missing" for section in SECTIONS if section not in headings]
    questions = [question for question, _ in calls(notebook, "teaching.quiz")]
    if len(set(questions)) < LEAST_QUESTIONS:
        problems.append(f"{name}: {len(set(questions))} questions with teaching.quiz, not {LEAST_QUESTIONS} or more")
    asked = dict.fromkeys(exercise for exercise, _ in calls(notebook, "teaching.check"))
    directives = [block.name for block in text if block.kind == "directive"]
    for what, number in (("exercise", directives.count("exercise")), ("checked exercise", len(asked))):
        if number < LEAST_EXERCISES:
            problems.append(f"{name}: {number} {what}(s), not {LEAST_EXERCISES} or more")
    if directives.count("solution-start") < directives.count("exercise"):
        problems.append(f"{name}: an exercise without a solution")
    if not any(exercises().get(exercise, {}).get("asks") == "prediction" for exercise in asked):
        problems.append(f"{name}: no exercise changes a setting and asks for a prediction (`asks: prediction`)")
    for index, cell in enumerate(notebook.cells):
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "figure" in cell.metadata.get("mystnb", {}) and len(image.get("alt", "").strip()) < 20:
            problems.append(f"{name}, cell {index}: a figure without an alt text that describes it")
    return problems


TAKEAWAY = "what you now know"


def takeaway_problems(notebook: Any, name: str, follows: str = "") -> list[str]:
    """Return what the last section lacks: three sentences, one picture, and what comes next with a reason.

    `follows` is the next chapter of the book, to which the way on must lead; any page when empty.
    """
    cells: list[Any] = []  # from the one with the heading on
    text: list[Block] = []
    for cell in notebook.cells:
        in_cell = blocks(cell.source) if cell.cell_type == "markdown" else []
        heads = [i for i, block in enumerate(in_cell) if block.kind == "heading" and block.text.lower() == TAKEAWAY]
        if heads:
            cells, text = [cell], in_cell[heads[0] + 1 :]
        elif cells:
            cells, text = [*cells, cell], text + in_cell
    if not cells:
        return []  # structure_problems says so
    others = [block.text for block in text if block.kind == "heading"]
    problems = [f"{name}: {TAKEAWAY!r} is not the last section, {others[0]!r} follows"] if others else []
    sentences = sum(block.kind == "paragraph" and block.level == 1 for block in text)
    if sentences != 3:
        problems.append(f"{name}: {TAKEAWAY!r} has {sentences} sentences in a numbered list, not three")
    drawn = sum("figure" in c.metadata.get("mystnb", {}) for c in cells)
    again = [figure for c in cells if c.cell_type == "markdown" for figure in AGAIN.findall(c.source)]
    named = {c.metadata.get("mystnb", {}).get("figure", {}).get("name") for c in notebook.cells}
    if drawn + len(again) != 1:
        problems.append(f"{name}: {TAKEAWAY!r} has {drawn + len(again)} pictures, not one")
    problems += [
        f"{name}: {{again}} {figure} names no figure of the chapter" for figure in again if figure not in named
    ]
    way = next((block for block in text if block.text.lstrip().lower().startswith("next")), None)
    if way is None or not way.links:
        problems.append(f"{name}: {TAKEAWAY!r} does not end with 'Next: [](chapter), because ...'")
    else:
        if follows and Path(way.links[0]).stem != follows:
            problems.append(f"{name}: the next chapter is {follows}, not {way.links[0]}")
        if len(way.text.split()) < 8:
            problems.append(f"{name}: 'Next' gives no reason")
    return problems


def crowd_problems(documents: Iterable[Path]) -> list[str]:
    """Return the paragraphs with so many numbers that they should be a table."""
    import nbformat

    problems = []
    for path in documents:
        texts = [path.read_text(encoding="utf-8")]
        if path.suffix == ".ipynb":
            texts = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
        problems += [
            f"{path.name}: more than four numbers in a paragraph, make a table: {words}"
            for t in texts
            for words in crowded(t)
        ]
    return problems


def written_problems(documents: Iterable[Path], toc: dict[str, Any]) -> list[str]:
    """Return everything that is wrong with pages before they are run; a chapter is what `toc` numbers."""
    import nbformat

    chapters = [
        c["file"] for toc_part in toc.get("parts", []) if toc_part.get("numbered") for c in toc_part["chapters"]
    ]
    documents = list(documents)
    problems = number_problems(documents) + crowd_problems(documents)
    for path in documents:
        if path.suffix != ".ipynb":
            continue
        notebook, name = nbformat.read(path, as_version=4), path.stem
        problems += stripped_problems(notebook, name) + length_problems(notebook, name) + fold.problems(notebook, name)
        if name in chapters:
            follows = [*chapters, ""][chapters.index(name) + 1]
            problems += structure_problems(notebook, name) + takeaway_problems(notebook, name, follows)
    return problems


# ---------------------------------------------------------------- notebooks as run


def claim_problems(notebook: Any, name: str) -> list[str]:
    """Return claims outside their range, claimed twice, or never quoted in the prose."""
    from tritomo_helpers.teaching.claims import in_range

    claims = execute.records(notebook, "claim")
    roles = [role for block in _texts_in_order(notebook) for role in block.roles]
    quoted = {content.partition(":")[0].strip() for name, content in roles if name.startswith("glue:")}
    problems = [
        f"{name}: {c['name']} = {c['shown']} is outside {c['low']} to {c['high']} ({c['why']})"
        for c in claims
        if not in_range(c["value"], c["low"], c["high"])
    ]
    problems += [f"{name}: {n} is claimed {k} times" for n, k in Counter(c["name"] for c in claims).items() if k > 1]
    problems += [f"{name}: {c['name']} is claimed and never quoted" for c in claims if c["name"] not in quoted]
    return problems


def alt_problems(notebook: Any, name: str) -> list[str]:
    """Return numbers that an alt text quotes and nobody claims; Sphinx sees those in the text, but not these."""
    claimed = {record["name"] for record in execute.records(notebook, "claim")}
    alts = " ".join(c.metadata.get("mystnb", {}).get("image", {}).get("alt", "") for c in notebook.cells)
    unknown = set(re.findall(r"\{glue:[a-z]*\}`([\w-]+)", alts)) - claimed
    return [f"{name}: an alt text quotes {n}, which is not claimed" for n in sorted(unknown)]


def picture_problems(notebook: Any, name: str) -> list[str]:
    """Return the figures of matplotlib that are neither SVG nor a PNG of twice the size it is shown at."""
    problems = []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            kinds = FIGURE_MIMES & output.get("data", {}).keys()
            if "image/png" not in kinds or "tritomo-viewer" in fold.html_of(output):
                continue
            shown = output.get("metadata", {}).get("image/png", {}).get("width", 0)
            width = png_width(base64.b64decode(output["data"]["image/png"]))
            if not shown or width < 1.9 * shown:
                problems.append(
                    f"{name}, cell {index}: a picture of {width} pixels is shown at {shown or 'full size'}: not sharp"
                )
    return problems


def png_width(data: bytes) -> int:
    """Return the width in pixels of a PNG, from its head; 0 for anything else."""
    return int.from_bytes(data[16:20], "big") if data[:8] == b"\x89PNG\r\n\x1a\n" else 0


def exercise_problems(notebook: Any, name: str) -> list[str]:
    """Return exercises whose stub is not judged "not yet", or whose hidden solution is not judged "right"."""
    hidden = {number: inside for number, _, _, inside in fold.located(notebook.cells)}
    verdicts: dict[str, dict[bool, list[str]]] = {}
    for record in execute.records(notebook, "check"):
        verdicts.setdefault(record["id"], {True: [], False: []})[hidden[record["cell"]]].append(record["kind"])
    problems = []
    for exercise, states in verdicts.items():
        if states[False] != ["not yet"]:
            problems.append(
                f"{name}: the stub of {exercise} is judged {states[False] or 'nowhere'}, not once 'not yet'"
            )
        if not states[True] or set(states[True]) != {"right"}:
            problems.append(f"{name}: the solution of {exercise} is judged {states[True] or 'nowhere'}, not 'right'")
    return problems


def output_problems(notebook: Any, name: str) -> list[str]:
    """Return warnings that a page would show, and figures without an alt text."""
    problems = []
    for index, cell in enumerate(notebook.cells):
        outputs = cell.get("outputs", [])
        stderr = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stderr").strip()
        if stderr:
            problems.append(f"{name}, cell {index}: writes to stderr: {stderr[-200:]}")
        images = [o for o in outputs if o.get("data", {}).keys() & {"image/png", "image/svg+xml", "image/jpeg"}]
        if images and not cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            problems.append(f"{name}, cell {index}: a figure without alt text (metadata mystnb.image.alt)")
    return problems


def cost_problems(run: "execute.Run") -> list[str]:
    """Return the limits that a chapter exceeds; products were computed before it ran and are not counted."""
    problems = []
    # A slow network or a busy machine is not the chapter's fault: the clock counts while the processor works for it.
    seconds = min(run.seconds, run.busy_seconds)
    if seconds > TIME_LIMIT_S:
        problems.append(
            f"{run.name}: computes for {seconds:.0f} s, above {TIME_LIMIT_S}; hand the slow part to products"
        )
    if run.peak_mb > MEMORY_LIMIT_MB:
        problems.append(
            f"{run.name}: needs {run.peak_mb:.0f} MB, above {MEMORY_LIMIT_MB}; hand the big part to products"
        )
    return problems


def run_problems(runs: "Sequence[execute.Run]", *, strict: bool) -> list[str]:
    """Return everything that is wrong with the runs of a build."""
    problems = []
    for run in runs:
        if run.error:
            problems.append(f"{run.name}, {run.error}")
            continue
        problems += claim_problems(run.notebook, run.name) + output_problems(run.notebook, run.name)
        if run.unavailable:
            problems += [f"{run.name}: {data} could not be had" for data in run.unavailable if strict]
            continue
        problems += exercise_problems(run.notebook, run.name) + cost_problems(run)
        problems += alt_problems(run.notebook, run.name) + picture_problems(run.notebook, run.name)
    return problems


# ---------------------------------------------------------------- pages as built


class _Page(HTMLParser):
    """Ids, links and pictures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.images: list[dict[str, str]] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.ids |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag in ("img", "script", "iframe") and "src" in values:
            self.sources.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.sources.append(values["href"])


def sharpness_problems(page: Path, images: Iterable[dict[str, str]]) -> list[str]:
    """Return the computed pictures of a built page that are neither vectors nor PNGs of twice their shown width."""
    problems = []
    for image in images:
        source = unquote(image.get("src", ""))
        path = page.parent / source
        if "_images/" not in source or path.suffix != ".png" or not path.exists():
            continue
        width = png_width(path.read_bytes())
        shown = re.search(r"width:\s*(\d+(?:\.\d+)?)px", image.get("style", "")) or re.match(
            r"(\d+(?:\.\d+)?)(?:px)?$", image.get("width", "")
        )
        if shown is None or width < 1.9 * float(shown[1]):
            problems.append(
                f"{source} has {width} pixels and is shown at {shown[1] if shown else 'full size'}: not sharp"
            )
    return problems


def term_problems(pages: Path, names: Collection[str]) -> list[str]:
    """Return the terms of the glossary that a built page does not link where they first appear."""
    files = [path for name in sorted(names) if (path := pages / f"{name}.html").exists()]
    return [problem for path in files for problem in terms.page_problems(path.read_text(encoding="utf-8"), path.name)]


class _Flaws(HTMLParser):
    """What a browser or a screen reader objects to in the pages of the theme."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._last_tag = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        known = {
            "a font is loaded early": tag == "link" and values.get("as") == "font",
            "a search button hides its words": "search-button-field" in values.get("class", "")
            and "aria-label" in values,
            "a summary hides its words": tag == "summary" and "aria-label" in values,
            "a button of the menu has no name": self._last_tag == "summary"
            and "toctree-toggle" in values.get("class", ""),
            "live code is offered": tag == "script" and "thebe" in (values.get("src", "") + values.get("type", "")),
            "a list has no items": values.get("role") == "list" and "citation-list" in values.get("class", ""),
        }
        self.said += [flaw for flaw, there in known.items() if there]
        self._last_tag = tag


def flaws(page: str) -> list[str]:
    """Return the known flaws of the theme that a page still has."""
    return list(dict.fromkeys(_Flaws(page).said))


def page_problems(pages: Path, linked: Collection[str] = ()) -> list[str]:
    """Return broken links, missing files, blurred or undescribed pictures in a folder of built pages.

    On the pages named `linked` each term of the glossary must be linked where it first appears.
    """
    problems = term_problems(pages, linked)
    read = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(pages.rglob("*.html"))}
    read = {path: page for path, page in read.items() if not {"_static", "vendor"} & set(path.relative_to(pages).parts)}
    for path, page in read.items():
        name = path.relative_to(pages)
        problems += [f"{name}: {fault}" for fault in sharpness_problems(path, page.images)]
        for link in {*page.links, *page.sources}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in ("", "#"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                problems.append(f"{name}: {link} leads nowhere")
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].ids:
                problems.append(f"{name}: {link} has no such place")
        problems += [
            f"{name}: {image.get('src', 'a picture')[:60]} has no alt text"
            for image in page.images
            if "alt" not in image or image["alt"].endswith((".png", ".svg")) or image["alt"].startswith("_images/")
        ]
    return problems
