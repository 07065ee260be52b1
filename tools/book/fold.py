"""What code a reader meets on a page: the call of a figure stays, preparation and claims fold away.

A cell is told from its code alone, so that a check needs no run:

========== ====================================================== ==================================================
kind       what it does                                           on the page
========== ====================================================== ==================================================
shows      draws or prints something                              code and output
prepares   only binds names                                       neighbors merged under "How it was prepared"
claims     only `teaching.claim`                                  merged into one small box, "3 numbers checked"
boxes      only `teaching.provenance`                             its box, no code
asks       only `teaching.quiz`                                   the question, no code
========== ====================================================== ==================================================

The tag ``keep-visible`` keeps the code of a preparation in view, because the text is about that call; so does the
section "Behind the call", where the steps are the point. The tag ``fold`` folds the code of a cell that shows
something.
Solutions are folded as a whole and left as they are.
"""

import ast
import html
import re
from collections.abc import Iterator
from typing import Any

import nbformat

from tools.book import lineage
from tools.book.execute import records
from tools.book.prose import blocks

PREPARED = "How it was prepared"
KEEP, FOLD = "keep-visible", "fold"
_TALKS = {"teaching.claim(": "claims", "teaching.provenance(": "boxes", "teaching.quiz(": "asks"}


def _talks(statement: ast.stmt) -> str:
    """Return the kind of a statement that only states or asks something, also in a loop; "" for any other."""
    if isinstance(statement, ast.For):
        kinds = {_talks(inner) for inner in statement.body}
        return kinds.pop() if len(kinds) == 1 else ""
    text = ast.unparse(statement)
    return next((kind for call, kind in _TALKS.items() if text.startswith(call)), "")


def kind_of(cell: Any) -> str:
    """Return what a code cell does: ``"shows"``, ``"prepares"``, ``"claims"``, ``"boxes"`` or ``"asks"``."""
    statements = lineage.statements(cell)
    kinds = {_talks(statement) for statement in statements}
    if len(kinds) == 1 and kinds != {""}:
        return kinds.pop()
    if {"figure", "image"} & cell.metadata.get("mystnb", {}).keys() or not statements:
        return "shows"
    last = statements[-1]
    silent = re.compile(
        r"warnings\.\w+\(|plotting\.use_style\(|teaching\.data\(|\w+(?:\.\w+)*\.(?:append|update|extend|set_\w+)\("
    )
    prints = any("print(" in ast.unparse(statement) for statement in statements)
    return "shows" if prints or (isinstance(last, ast.Expr) and not silent.match(ast.unparse(last))) else "prepares"


def located(cells: list[Any]) -> Iterator[tuple[int, Any, str, bool]]:
    """Yield number, cell, heading of its section in lower case, and whether it stands in a solution."""
    section, hidden = "", False
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            for block in blocks(cell.source):
                if block.kind == "heading" and block.level == 2:
                    section = block.text.strip().lower()
                elif block.name in ("solution-start", "solution-end"):
                    hidden = block.name == "solution-start"
        yield number, cell, section, hidden


def is_visible(cell: Any, section: str) -> bool:
    """Return whether the page shows the code of a cell that stands in no solution."""
    tags = cell.metadata.get("tags", [])
    if FOLD in tags or "remove-input" in tags or "hide-input" in tags or not cell.source.strip():
        return False
    kind = kind_of(cell)
    return kind == "shows" or (kind == "prepares" and (KEEP in tags or section.startswith("behind the call")))


def folded(cells: list[Any]) -> list[Any]:
    """Return the cells of a page with preparation, claims and questions folded or merged; outputs stay."""
    page: list[Any] = []
    prepared: list[Any] = []
    claims: list[Any] = []

    for _, cell, section, hidden in located(cells):
        if hidden or cell.cell_type != "code":
            if not cell.metadata.get("tritomo_box"):  # the box under a figure is no word of the author's
                _flush(page, prepared, claims)
            page.append(cell)
            continue
        kind = kind_of(cell)
        if kind == "claims":
            claims.append(cell)
        elif kind == "prepares" and not is_visible(cell, section) and not cell.outputs:
            prepared.append(cell)
        elif kind in ("asks", "boxes"):
            page += [box(html_of(output)) for output in cell.outputs]
        elif is_visible(cell, section) or "remove-input" in cell.metadata.get("tags", []):
            page += [_merged(prepared)] if prepared else []
            prepared.clear()
            page.append(cell)
        else:  # what prepares it folds away with it
            cell.source = "\n\n".join(c.source.strip() for c in [*prepared, cell])
            prepared.clear()
            page.append(_hidden(cell))
    _flush(page, prepared, claims)
    return page


def _flush(page: list[Any], prepared: list[Any], claims: list[Any]) -> None:
    """Put on the page what waits: preparation first, then the claims, which may use it."""
    if prepared:
        page.append(_merged(prepared))
    if claims:
        page.extend(_checked(claims))
    prepared.clear()
    claims.clear()


def box(page: str) -> Any:
    """Return a cell that puts HTML on the page."""
    # The code of a cell may hold a fence of its own.
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall(r"`{3,}", page))])
    cell = nbformat.v4.new_markdown_cell(f"{fence}{{raw}} html\n{page}\n{fence}")
    cell.metadata["tritomo_box"] = True
    return cell


def html_of(output: Any) -> str:
    """Return the HTML of an output."""
    return "".join(output.get("data", {}).get("text/html", ""))


def _hidden(cell: Any) -> Any:
    """Return a cell with its code folded; its output stays in view."""
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    cell.metadata["mystnb"] = {
        **cell.metadata.get("mystnb", {}),
        "code_prompt_show": PREPARED,
        "code_prompt_hide": PREPARED,
    }
    return cell


def _merged(cells: list[Any]) -> Any:
    """Return one folded cell with the code of several."""
    cell = nbformat.v4.new_code_cell("\n\n".join(c.source.strip() for c in cells))
    cell.execution_count = cells[-1].execution_count
    return _hidden(cell)


def _checked(cells: list[Any]) -> list[Any]:
    """Return a cell out of sight, whose outputs the text quotes, and the box with what was claimed."""
    hidden = nbformat.v4.new_code_cell("\n\n".join(c.source for c in cells), metadata={"tags": ["remove-cell"]})
    hidden.execution_count = cells[-1].execution_count
    hidden.outputs = [output for cell in cells for output in cell.outputs]
    claimed = records(nbformat.v4.new_notebook(cells=cells), "claim")
    if not claimed:
        return [hidden]
    expressions = dict(pair for cell in cells for pair in _expressions(cell))
    rows = "".join(_row(claim, expressions.get(claim["name"], "")) for claim in claimed)
    words = "1 number checked" if len(claimed) == 1 else f"{len(claimed)} numbers checked"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("number", "computed as", "value", "expected", "because"))
    return [
        hidden,
        box(
            f'<details class="tt-checked"><summary>{words}</summary><div class="tt-scroll"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
        ),
    ]


def _expressions(cell: Any) -> Iterator[tuple[str, str]]:
    """Yield the name of each claim of a cell and the code of its value."""
    for node in ast.walk(ast.Module(lineage.statements(cell), [])):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "teaching.claim" and len(node.args) > 1:
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value), ast.unparse(node.args[1])


def _row(claim: dict[str, Any], expression: str) -> str:
    from tritomo_helpers.teaching.claims import range_text

    code = f"<code>{html.escape(expression)}</code>" if expression else ""
    cells = [html.escape(claim["name"]), code, html.escape(claim["shown"])]
    cells += [html.escape(range_text(claim["low"], claim["high"])), html.escape(claim["why"])]
    return f'<tr><th scope="row">{cells[0]}</th>' + "".join(f"<td>{text}</td>" for text in cells[1:]) + "</tr>"


# ---------------------------------------------------------------- what is wrong with a notebook in this respect

MOST_CELLS = 35
MOST_LINES, ONE_LONGER_IN = 10, 10
MOST_IN_A_ROW = 2


def problems(notebook: Any, name: str) -> list[str]:
    """Return where code stands between a reader and the point."""
    said: list[str] = []
    lengths: list[int] = []
    row = 0
    for number, cell, section, hidden in located(notebook.cells):
        if cell.cell_type != "code":
            row = 0
            continue
        if hidden:
            continue
        mixed = [call for call in _TALKS if call in cell.source] if kind_of(cell) in ("shows", "prepares") else []
        said += [
            f"{name}, cell {number}: {call[:-1]} stands among other code; give it a cell of its own" for call in mixed
        ]
        if not is_visible(cell, section):
            continue
        lengths.append(sum(bool(line.strip()) for line in cell.source.splitlines()))
        row += 1
        if row == MOST_IN_A_ROW + 1:
            said.append(f"{name}, cell {number}: the third visible code cell in a row; say a word between them")
    if len(lengths) > MOST_CELLS:
        said.append(f"{name}: {len(lengths)} visible code cells, more than {MOST_CELLS}")
    long = sum(length > MOST_LINES for length in lengths)
    if long * ONE_LONGER_IN > len(lengths):
        said.append(f"{name}: {long} of {len(lengths)} visible code cells are longer than {MOST_LINES} lines")
    return said
