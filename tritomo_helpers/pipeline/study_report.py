"""One page for several particles: what is unusual first, averages over stages, then every value of every particle."""

import html
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .report import document

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
        f"{row['particle']} lies far from its stage in {row['outlier_in']}" for row in rows if row.get("outlier_in")
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
    return [(stem.replace("_", " "), *(_mean_and_spread(row, stem) for row in averages)) for stem in stems]


def _mean_and_spread(average: Row, stem: str) -> str:
    mean, spread, n = (average.get(f"{stem}_{what}", "") for what in ("mean", "sd", "n"))
    return f"{mean}" + (f" ± {spread}" if spread != "" else "") + (f" (of {n})" if n != "" else "")


def _particle_lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return one line a value, numbers first and sentences last."""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "particle"]
    keys.sort(key=_IN_WORDS.__contains__)
    return [(key.replace("_", " "), *(str(row.get(key, "")) for row in rows)) for key in keys]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table; the head is HTML already, the lines are text."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = ""
    for first, *others in lines:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
        body += f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>'
    return f'<div class="wide"><table><tr>{titles}</tr>{body}</table></div>'
