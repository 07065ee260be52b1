"""What a result says about itself, as a list that can be read."""

import html
import re
from collections.abc import Iterable

from ._output import publish


def show_list(lines: Iterable[str]) -> None:
    """Show lines as a list, what stands before a colon in bold, signs of numbers as in print.

    Parameters
    ----------
    lines : iterable of str
        Such as ``why`` of an alignment.

    Examples
    --------
    >>> show_list(["method: common-line, as asked"])
    method: common-line, as asked
    >>> show_list(["turn of the axis: -0.38 +- 0.05 deg"])
    turn of the axis: −0.38 ± 0.05°
    """
    texts = [_for_print(line) for line in lines]
    items = []
    for text in texts:
        name, colon, said = text.partition(": ")
        head = f"<strong>{html.escape(name)}:</strong> " if colon else ""
        items.append(f"<li>{head}{html.escape(said if colon else text)}</li>")
    publish("\n".join(texts), f'<ul class="tt-why">{"".join(items)}</ul>')


def _for_print(line: str) -> str:
    """Write the signs of a message of the terminal as print has them: ±, °, and a minus before a number."""
    line = re.sub(r"(?<=\d) deg\b", "°", line.replace(" +- ", " ± "))
    return re.sub(r"(?<!\w)-(?=\d)", "\N{MINUS SIGN}", line)
