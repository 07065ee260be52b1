"""Tables whose rows are computed."""

import html
from collections.abc import Sequence

from .._validation import fail
from ..plotting.style import typeset
from ._output import publish


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, bold: Sequence[str] = ()) -> None:
    """Show text in a table; a cell that repeats the one above it in the first column stays empty.

    Valence states are written as chemists write them.

    Parameters
    ----------
    head : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        As many cells as columns in each.
    bold : sequence of str
        Names of the columns to set in bold.

    Raises
    ------
    ValueError
        If a row has another number of cells.

    Examples
    --------
    >>> show_table(("state", "stage", "%"), [("Mn4", "pristine", "84.5"), ("Mn4", "200 cycles", "53.0")])
    state | stage | %
    Mn⁴⁺ | pristine | 84.5
    Mn⁴⁺ | 200 cycles | 53.0
    """
    for row in rows:
        if len(row) != len(head):
            raise fail("rows", expected=f"{len(head)} cells", got=f"{len(row)}: {row}", remedy="give one per column")
    bold = [typeset(name) for name in bold]
    head, *rows = ([typeset(cell) for cell in row] for row in (head, *rows))
    titles = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    lines, above = [], ""
    for first, *others in rows:
        cells = ["" if first == above else html.escape(first), *map(html.escape, others)]
        shown = [f"<b>{cell}</b>" if name in bold else cell for name, cell in zip(head, cells, strict=True)]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>")
        above = first
    # Focusable, since a wide table scrolls on a narrow page and keys have to reach its end.
    opening = '<table class="tt-verdicts" tabindex="0">'
    page = f"{opening}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    publish("\n".join(" | ".join(row) for row in (head, *rows)), page)
