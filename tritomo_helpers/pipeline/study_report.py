"""One page for several particles: what is unusual first, averages over stages, then every value of every particle."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .report import document, name_of, with_intervals

Row = Mapping[str, Any]
_IN_WORDS = ("outlier_in", "beyond_the_null", "not_done", "warnings")


def study_page(rows: Sequence[Row], averages: Sequence[Row], names: Sequence[str]) -> str:
    """Return the report of a study as HTML; `names` are the folders of the particles beside it."""
    return document(
        f"Study of {len(rows)} particles",
        [
            f"<h1>{len(rows)} particles</h1>",
            _first(rows),
            "<h2>Stages</h2>",
            "<p>Mean over the particles of a stage, and the standard deviation between them. Of two particles that "
            "deviation is known to a factor of two or worse.</p>",
            _table(("", *(_with_number(average) for average in averages)), list(_stage_lines(averages))),
            "<h2>Particles</h2>",
            _table(("", *_links(rows, names)), list(_particle_lines(rows))),
        ],
    )


def _first(rows: Sequence[Row]) -> str:
    said = [f"{row['particle']} failed: {row['warnings']}" for row in rows if row["state"] == "failed"]
    said += [
        f"{row['particle']} lies far from its stage in {', '.join(map(name_of, row['outlier_in'].split(', ')))}"
        for row in rows
        if row.get("outlier_in")
    ]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in said)
    return f'<section class="warnings"><h2>Look at these first</h2><ul>{items}</ul></section>' if said else ""


def _with_number(average: Row) -> str:
    return html.escape(f"{average['stage']} ({average['n_particles']})")


def _links(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return the particles as links to their reports, as far as they have one."""
    cells = []
    for row, name in zip(rows, names, strict=True):
        title = html.escape(str(row["particle"]))
        failed = row["state"] == "failed"
        cells.append(title if failed else f'<a href="{quote(name)}/report.html">{title}</a>')
    return cells


def _stage_lines(averages: Sequence[Row]) -> list[tuple[str, ...]]:
    stems = dict.fromkeys(key.removesuffix("_mean") for row in averages for key in row if key.endswith("_mean"))
    return [(name_of(stem), *(_mean_and_spread(row, stem) for row in averages)) for stem in stems]


def _mean_and_spread(average: Row, stem: str) -> str:
    """Return both to the second digit of the spread, where there is one."""
    mean, spread, n = (average.get(f"{stem}_{what}", "") for what in ("mean", "sd", "n"))
    if mean == "":
        return ""
    decimals = max(1 - math.floor(math.log10(spread)), 0) if spread else None
    numbers = f"{mean:,.6g}" if decimals is None else f"{mean:,.{decimals}f} ± {spread:,.{decimals}f}"
    return numbers + (" ± 0" if spread == 0 else "") + (f" (of {n})" if n != "" else "")


def _particle_lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return one line a value, numbers first, with their intervals, and sentences last."""
    numbers = [
        dict(with_intervals({key: value for key, value in row.items() if isinstance(value, int | float)}))
        for row in rows
    ]
    names = dict.fromkeys(name for of_row in numbers for name in of_row)
    lines = [(key, *(str(row.get(key, "")) for row in rows)) for key in ("stage", "state")]
    lines += [(name, *(of_row.get(name, "") for of_row in numbers)) for name in names]
    words = [(key.replace("_", " "), *(str(row.get(key, "")) for row in rows)) for key in _IN_WORDS]
    return [*lines, *(line for line in words if any(line[1:]))]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table; the head is HTML already, the lines are text."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = ""
    for first, *others in lines:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
        body += f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>'
    return f'<div class="wide" tabindex="0"><table><tr>{titles}</tr>{body}</table></div>'
