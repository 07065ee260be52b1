"""Terms of the glossary: the first appearance of each on a page is linked, and the words of the field are defined."""

import functools
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from tools.book import BOOK
from tools.book.prose import directive

# Words of the field that a new student looks up. Each must be in the glossary.
# fmt: off
FIELD_WORDS = (
    "ADF", "HAADF", "STEM", "EDS", "EELS", "bremsstrahlung", "Cliff-Lorimer", "k-factor", "channeling",
    "multislice", "tilt series", "tomogram", "sinogram", "projection", "missing wedge", "oversampling",
    "Crowther criterion", "SIRT", "WBP", "GENFIRE", "total variation", "Fourier shell correlation",
    "Cramér-Rao bound", "Dice coefficient", "moments", "thinning", "segregation", "inhomogeneity",
    "rich region", "saturation", "half cell", "product", "dose", "Poisson noise", "null", "twin", "valence",
    "white line", "edge", "plasmon", "zero-loss peak", "low loss", "core loss", "plural scattering",
    "mean free path", "t/λ", "NMF", "NCM111", "layered structure", "spinel", "rock salt", "Otsu's method",
    "support", "voxel",
)
# fmt: on
# How a term stands in a text, where that is not its own name: other names, and everyday words where the term is meant.
# A term with an empty pattern is linked by hand alone.
STANDS_AS = {
    "axis of tilt": r"[Aa]x[ie]s of tilt|[Tt]ilt ax[ie]s",
    "Cramér-Rao bound": r"Cramér-Rao(?: bound)?",
    "Crowther criterion": r"Crowther(?: criterion)?",
    "Dice coefficient": r"Dice(?: coefficient)?",
    "Fourier shell correlation": r"[Ff]ourier shell correlation|FSC",
    "total variation": r"[Tt]otal variation|TV",
    "background": r"background under (?:the |an? )?(?:edge|peak|line)s?",
    "claim": "",
    "edge": r"(?:[KLM][₁₂₃,]*|EELS|core-loss|absorption|ionization) edges?",
    "glue": "",
    "moments": r"(?:second|central|image) moments?",
    "product": "",
    "saturation": r"detector saturation|saturation of the detector",
    "segregation": r"segregation",
    "support": r"(?:the|a) support constraint",
}


@functools.cache
def glossary(path: Path = BOOK / "glossary.md") -> tuple[str, ...]:
    """Return the terms of the glossary."""
    inside = directive(path.read_text(encoding="utf-8"), "glossary")
    return tuple(line.strip() for line in inside.splitlines() if line.strip() and not line.startswith(" "))


def undefined(known: Iterable[str] | None = None) -> list[str]:
    """Return the words of the field that the glossary lacks."""
    terms = {term.lower() for term in (glossary() if known is None else known)}
    return [f"glossary.md: {w!r} is a word of the field and not defined" for w in FIELD_WORDS if w.lower() not in terms]


@functools.cache
def pattern(term: str) -> re.Pattern[str] | None:
    r"""Return what finds a term in a text, in singular or plural and across the end of a line.

    Examples
    --------
    >>> [bool(pattern("missing wedge").search(t)) for t in ("Missing\nwedges here", "missing a wedge")]
    [True, False]
    >>> [bool(pattern("EDS").search(t)) for t in ("by EDS.", "SEEDS", "eds")]
    [True, False, False]
    """
    body = STANDS_AS.get(term)
    if body is None:
        words = [re.escape(word) for word in term.split()]
        if term[:2].islower():
            words[0] = f"[{term[0].upper()}{term[0]}]{words[0][1:]}"
        body = r"\s+".join(words) + r"(?:e?s)?"
    return re.compile(rf"(?<![\w/\-\u2013]){body}(?![\w/]|-\w)") if body else None


def first_appearances(text: str, waiting: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and term of the first appearance of each waiting term, in order, none inside another."""
    places = []
    for term in waiting:
        finder = pattern(term)
        match = finder.search(text) if finder else None
        if match:
            places.append((match.start(), match.end(), term))
    last = 0
    for start, end, term in sorted(places, key=lambda place: (place[0], -place[1])):
        if start >= last:
            yield start, end, term
            last = end


class _Article(HTMLParser):
    """The texts of an article in order, each with the term that it links to, if it does."""

    SKIPPED = (
        "script",
        "style",
        "code",
        "pre",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "nav",
        "svg",
        "summary",
        "fieldset",
        "dt",
    )
    VOID = ("br", "img", "hr", "input", "meta", "link", "source", "wbr", "col", "area", "base", "embed")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []  # text, and the target of the link that it stands in
        self._open: list[tuple[str, bool, str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.VOID:
            return
        values = {key: value or "" for key, value in attrs}
        classes = values.get("class", "").split()
        skipped, link = (self._open[-1][1], self._open[-1][2]) if self._open else (False, "")
        self._inside |= tag == "article"
        skipped = (
            skipped
            or tag in self.SKIPPED
            or bool({"math", "tt-provenance", "tt-checked", "tt-box", "headerlink"} & {*classes})
        )
        self._open.append((tag, skipped, values.get("href", "other") if tag == "a" else link))

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name = self._open.pop()[0]
            if name == tag:
                break
        self._inside &= tag != "article"

    def handle_data(self, data: str) -> None:
        if self._inside and self._open and not self._open[-1][1]:
            self.texts.append((data, self._open[-1][2]))


def page_problems(page: str, name: str, terms: Iterable[str] | None = None) -> list[str]:
    """Return the terms that a built page mentions before it links them, or without linking them."""
    waiting = sorted(glossary() if terms is None else terms, key=len, reverse=True)
    said = []
    for text, target in _Article(page).texts:
        if "#term-" in target:
            key = target.rpartition("#term-")[2].lower()
            waiting = [term for term in waiting if _anchor(term) != key]
        elif not target:
            for _, _, term in first_appearances(text, waiting):
                said.append(
                    f"{name}: {term!r} is not linked to the glossary where it first appears: {text.strip()[:60]!r}"
                )
                waiting = [other for other in waiting if other != term]
    return said


def _anchor(term: str) -> str:
    """Return the name under which Sphinx puts a term, without the prefix ``term-``."""
    from docutils import nodes

    return nodes.make_id(f"term-{term}").removeprefix("term-").lower()
