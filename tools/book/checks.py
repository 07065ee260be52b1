"""What can be wrong with a notebook, a run or a built page. Each check returns sentences; none means well."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tools.book import execute
from tools.book.stage import MEMORY_LIMIT_MB, TIME_LIMIT_S, only_claims

# ---------------------------------------------------------------- notebooks as written

UNITS = (
    r"%|‰|°|Å|e/Å|at%|at\.%|(?:deg|nm|µm|um|mm|pm|m?eV|keV|m?rad|px|pixels?|voxels?|counts?|barn|mAh|s|ms|min|h"
    r"|kB|MB|GB|pA|nA|V|K|percent|degrees?|nanometers?|electronvolts?|volts?|seconds?|minutes?|hours?)\b"
)
_SPACE = r"[\u202f\u00a0 \n-]?"
_POWER = r"\s?[×x]\s?10[⁻⁰¹²³⁴-⁹]+"
_DECIMAL = rf"\d+(?:[.,]\d+)+(?:[eE][-+]?\d+|{_POWER})?(?:{_SPACE}(?:{UNITS})|(?![a-zA-Z0-9]))"
_WITH_UNIT = rf"\d+(?:[\u202f\u00a0 ]\d{{3}})*{_SPACE}(?:{UNITS})"
_TIMES = r"\d+(?:[.,]\d+)*[×x](?![\w\d]|\s?\d)"
NUMBER = re.compile(rf"(?<![\w.,:/#-])[-+−±~≈]?(?:{_DECIMAL}|{_WITH_UNIT}|\d+{_POWER}|{_TIMES})")
# Directives that hold no prose; every other one does: {note}, {admonition}, {exercise}, {glossary} ...
_CODE = {"code", "code-block", "code-cell", "sourcecode", "math", "glue", "raw", "literalinclude", "include"}
_CODE |= {"eval-rst", "bibliography", "toctree", "mermaid"}
_NO_TITLE = {"figure", "image", "glue:figure", "div", "math", "solution-start", "solution-end"}
_FENCE = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})[ \t]*(?:\{([\w:-]+)\})?(.*)$")
# What prose may hold without being prose.
NOT_PROSE = [
    re.compile(r"\$\$.*?\$\$", re.S),
    re.compile(r"(?<![\\$\w])\$(?=\S)[^$\n]*(?:\n[^$\n]+)?(?<=\S)\$(?!\d)"),
    # Code in a line, and roles: quoted, given, glue, cite, numref ... A blank line ends either.
    re.compile(r"(?:\{[a-z:_-]+\})?(?<!`)(`{1,2})(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.S),
    re.compile(r"<!--.*?-->|</?[a-zA-Z][^>\n]*>", re.S),
    re.compile(r"\]\([^)\n]*\)"),  # the target of a link
    re.compile(r"^:(?!alt:)[a-z_-]+:.*$", re.M),  # options of directives
    re.compile(r"https?://\S+|doi:\S+|\b10\.\d{4,}/\S+"),
    re.compile(
        r"\b(?:Figs?\.|Figure|Eqs?\.|Equation|Section|Chapter|Table|Version|version)[\u00a0 -]?\(?\d+(?:\.\d+)*"
    ),
    re.compile(r"\bPython(?:(?:,| or| to|\u2013)?[\u00a0 ]?\d\.\d+)+"),
    re.compile(r"\b(?:CC[- ]BY(?:-SA)?|GPL|MIT|v)[\u00a0 -]?\d+(?:\.\d+)*\+?"),
]
FREE_TAG = "given-numbers"  # on a markdown cell whose numbers are all given or quoted, such as a table of settings


def _without_code(markdown: str) -> str:
    """Blank out lines of code, and fences; the content and the title of other directives stay where they are."""
    kept: list[str] = []
    open_fences: list[tuple[str, bool]] = []  # the fence, and whether it holds code
    for line in markdown.split("\n"):
        found = _FENCE.match(line)
        fence, name, rest = found.groups(default="") if found else ("", "", "")
        in_code = bool(open_fences) and open_fences[-1][1]
        closes = bool(open_fences and fence and not name and not rest.strip() and fence.startswith(open_fences[-1][0]))
        if closes:
            open_fences.pop()
        elif fence and not in_code:
            # Colons without a name open nothing; backticks and tildes without a name hold code.
            holds_code = name.split(":")[0] in _CODE if name else fence[0] != ":"
            open_fences.append((fence, holds_code))
            title = rest if name and not holds_code and name not in _NO_TITLE else ""
            kept.append(title.rjust(len(line)))
            continue
        kept.append(" " * len(line) if closes or in_code else line)
    return "\n".join(kept)


def prose(markdown: str) -> str:
    """Return Markdown with everything that is not prose blanked out; the rest stays at its place."""
    markdown = _without_code(markdown)
    for pattern in NOT_PROSE:
        markdown = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), markdown)
    return markdown


def typed_numbers(markdown: str) -> list[str]:
    """Return numbers with a decimal point or a unit that were typed by hand into prose.

    Examples
    --------
    >>> typed_numbers("The error is 0.083, of {quoted}`0.12` before; see `0.5` and $x = 1.5$ in 2024.")
    ['0.083']
    """
    return [match.group().strip() for match in NUMBER.finditer(prose(markdown))]


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
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip() and not only_claims(c)]
    lengths = sorted(sum(bool(line.strip()) for line in c.source.splitlines()) for c in code)
    median = statistics.median(lengths or [0])
    if median <= MEDIAN_LINES:
        return []
    return [f"{name}: the median cell has {median:g} lines, more than {MEDIAN_LINES}; let the package do more"]


PARTS = {
    "what you will learn": r"what you will learn",
    "what you need": r"what you need",
    "a self-test": r"(?m)^#+ *(?:test yourself|self-test|two questions)",
    "exercises": r"\{exercise",
    "solutions": r"\{solution-start\}",
    "what can go wrong": r"(?m)^#+ *what can go wrong",
    "behind the call": r"(?m)^#+ *behind the call",
}


def structure_problems(notebook: Any, name: str) -> list[str]:
    """Return the parts that every chapter has and this one lacks."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    problems = [f"{name}: {part} is missing" for part, pattern in PARTS.items() if not re.search(pattern, text, re.I)]
    questions = len(re.findall(r"\{dropdown\}|<details", text))
    if questions < 2:
        problems.append(f"{name}: the self-test has {questions} questions with a hidden answer, not two")
    for index, cell in enumerate(notebook.cells):
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "figure" in cell.metadata.get("mystnb", {}) and len(image.get("alt", "").strip()) < 20:
            problems.append(f"{name}, cell {index}: a figure without an alt text that describes it")
    return problems


# ---------------------------------------------------------------- notebooks as run


def claim_problems(notebook: Any, name: str) -> list[str]:
    """Return claims outside their range, claimed twice, or never quoted in the prose."""
    from tritomo_helpers.teaching.claims import in_range

    claims = execute.records(notebook, "claim")
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    quoted = set(re.findall(r"\{glue:[a-z]*\}`([\w-]+)[^`]*`", text))
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


def exercise_problems(notebook: Any, name: str) -> list[str]:
    """Return exercises whose stub is not judged "not yet", or whose hidden solution is not judged "right"."""
    hidden: dict[int, bool] = {}
    inside = False
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for mark in re.findall(r"\{solution-(start|end)\}", cell.source):
                inside = mark == "start"
        hidden[index] = inside
    verdicts: dict[str, dict[bool, list[str]]] = {}
    for record in execute.records(notebook, "check"):
        verdicts.setdefault(record["id"], {True: [], False: []})[hidden[record["cell"]]].append(record["kind"])
    problems = []
    for exercise, found in verdicts.items():
        if found[False] != ["not yet"]:
            problems.append(f"{name}: the stub of {exercise} is judged {found[False] or 'nowhere'}, not once 'not yet'")
        if not found[True] or set(found[True]) != {"right"}:
            problems.append(f"{name}: the solution of {exercise} is judged {found[True] or 'nowhere'}, not 'right'")
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
        problems += alt_problems(run.notebook, run.name)
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


def page_problems(pages: Path) -> list[str]:
    """Return broken internal links, missing files and pictures without alt text in a folder of built pages."""
    read = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(pages.rglob("*.html"))}
    read = {path: page for path, page in read.items() if not {"_static", "vendor"} & set(path.relative_to(pages).parts)}
    problems = []
    for path, page in read.items():
        name = path.relative_to(pages)
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
