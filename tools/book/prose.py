"""The words of a page, read by the parser that builds it: blocks of text, the numbers typed into them, reading time."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tools.book import ROOT

# Directives that hold no prose; every other one does: {note}, {admonition}, {exercise}, {glossary} ...
_CODE = {"code", "code-block", "code-cell", "sourcecode", "math", "glue", "raw", "literalinclude", "include"}
_CODE |= {"eval-rst", "bibliography", "toctree", "mermaid"}
_NO_TITLE = {"figure", "image", "glue:figure", "div", "solution-start", "solution-end", "again"}
_DIRECTIVE = re.compile(r"\{([\w:-]+)\}[ \t]*(.*)", re.S)
_OPTIONS = re.compile(r"\A(?:---\n(?:[^\n]*\n)*?---\n|(?:[ \t]*:[\w-]+:[^\n]*(?:\n|\Z))+)")
_ALT = re.compile(r"^[ \t]*:alt:[ \t]*(.*)$", re.M)


@dataclass
class Block:
    """A heading, a paragraph, a cell of a table or the head of a directive.

    Attributes
    ----------
    kind : str
        ``"heading"``, ``"paragraph"``, ``"cell"``, ``"directive"`` or ``"alt"``.
    text : str
        Its words; what roles, code and math show is left out.
    roles : list of (str, str)
        Name and content of each role in it.
    links : list of str
        Targets of its links.
    name : str
        Of a directive.
    level : int
        Of a heading; of a paragraph in a numbered list, 1.
    """

    kind: str
    text: str
    roles: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    name: str = ""
    level: int = 0


@functools.cache
def _parser() -> Any:
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    extensions = set(settings["parse"]["myst_enable_extensions"])
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def blocks(markdown: str) -> list[Block]:
    r"""Return the blocks of a text, those inside directives included.

    Examples
    --------
    >>> [(b.kind, b.text) for b in blocks("# A\n\n:::{note} B\nC `d` {given}`1 nm` e\n:::")]
    [('heading', 'A'), ('directive', 'B'), ('paragraph', 'C \x00 \x00 e')]
    """
    return list(_blocks(markdown))


def directive(markdown: str, name: str) -> str:
    """Return the content of the first directive of that name, or ""."""
    fences = [token for token in _parser().parse(markdown) if token.type in ("fence", "colon_fence")]
    return next((token.content for token in fences if token.info.strip().startswith(f"{{{name}}}")), "")


def _blocks(markdown: str) -> Iterator[Block]:
    kind, level, numbered = "paragraph", 0, 0
    for token in _parser().parse(markdown):
        if token.type in ("ordered_list_open", "ordered_list_close"):
            numbered += 1 if token.type.endswith("open") else -1
        elif token.type in ("heading_open", "paragraph_open", "th_open", "td_open"):
            kind = {"h": "heading", "p": "paragraph", "t": "cell"}[token.tag[0]]
            level = int(token.tag[1]) if kind == "heading" else min(numbered, 1)
        elif token.type == "inline":
            yield _inline(token, kind, level)
            kind, level = "paragraph", 0
        elif token.type in ("fence", "colon_fence"):
            yield from _directive(token)


def _inline(token: Any, kind: str, level: int) -> Block:
    block = Block(kind, "", level=level)
    automatic = False
    for child in token.children or []:
        if child.type == "text":
            block.text += "" if automatic else child.content
        elif child.type in ("softbreak", "hardbreak"):
            block.text += "\n"
        elif child.type == "link_open":
            block.links.append(str(child.attrGet("href") or ""))
            automatic = child.info == "auto"
        elif child.type == "link_close":
            automatic = False
        elif child.type == "image":
            block.text += child.content
        elif child.content and child.type != "html_inline":  # code, math, a role: no word of the text
            block.text += "\0"
            if child.type == "myst_role":
                block.roles.append((child.meta["name"], child.content))
    return block


def _directive(token: Any) -> Iterator[Block]:
    head = _DIRECTIVE.match(token.info.strip())
    if head is None:
        return
    name, title = head.groups()
    code = name.split(":")[0] in _CODE
    inner = list(_blocks(title)) if title and not code and name not in _NO_TITLE else []
    yield Block(
        "directive",
        " ".join(block.text for block in inner),
        [role for block in inner for role in block.roles],
        name=name,
    )
    if code:
        return
    options = _OPTIONS.match(token.content)
    for alt in _ALT.findall(options[0] if options else ""):
        yield Block("alt", alt)
    yield from _blocks(token.content[options.end() :] if options else token.content)


# ---------------------------------------------------------------- numbers

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
# Numbers that name something.
_NAMES = [
    re.compile(r"https?://\S+|doi:\S+|\b10\.\d{4,}/\S+"),
    re.compile(
        r"\b(?:Figs?\.|Figure|Eqs?\.|Equation|Section|Chapter|Table|Version|version)[\u00a0 -]?\(?\d+(?:\.\d+)*"
    ),
    re.compile(r"\bPython(?:(?:,| or| to|\u2013)?[\u00a0 ]?\d\.\d+)+"),
    re.compile(r"\b(?:CC[- ]BY(?:-SA)?|GPL|MIT|v)[\u00a0 -]?\d+(?:\.\d+)*\+?"),
]
FREE_TAG = "given-numbers"  # on a markdown cell whose numbers are all given or quoted, such as a table of settings
MARKED = ("given", "quoted", "glue:text")


def typed_numbers(markdown: str) -> list[str]:
    """Return numbers with a decimal point or a unit that were typed by hand into prose.

    Examples
    --------
    >>> typed_numbers("The error is 0.083, of {quoted}`0.12` before; see `0.5` and $x = 1.5$ in 2024.")
    ['0.083']
    """
    numbers = []
    for block in blocks(markdown):
        text = block.text
        for name in _NAMES:
            text = name.sub("\0", text)
        numbers += [match.group().strip() for match in NUMBER.finditer(text)]
    return numbers


MOST_NUMBERS = 4


def crowded(markdown: str) -> list[str]:
    """Return the paragraphs, by their first words, that hold more numbers than a reader can compare in a text.

    Examples
    --------
    >>> crowded("From {given}`1` to {given}`2` to {given}`3` to {given}`4` to {given}`5`.")
    ['From … to … to … (5 numbers)']
    """
    said = []
    for block in blocks(markdown):
        numbers = sum(name in MARKED for name, _ in block.roles)
        if block.kind == "paragraph" and numbers > MOST_NUMBERS:
            said.append(
                f"{' '.join(block.text.replace(chr(0), '…').split()[:6])} ({numbers} numbers)".replace(" …  ", " … ")
            )
    return said


WORDS_PER_MINUTE = 180  # a text of physics in a language that is foreign to many readers


def n_words(markdown: str) -> int:
    """Return how many words a text has, a number or a formula being one."""
    return sum(len(block.text.replace("\0", " x ").split()) for block in blocks(markdown))
