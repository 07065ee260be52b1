"""Several particles: one table, one report."""

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._validation import fail
from ..store import files
from .process import process
from .report import document

OUTLIER = 3.5
"""Distance from the median in robust standard deviations beyond which a value is flagged."""


def study(
    sources: Sequence[str | Path],
    *,
    out: str | Path,
    method: str = "best",
    client: Any = None,
    progress: bool = False,
) -> Path:
    """Process several particles and put them into one table, outliers flagged.

    Parameters
    ----------
    sources : sequence of str or path
        As `process` takes them. One that fails keeps its row, with the reason; the others go on.
    out : str or path
        Folder: one folder a particle, ``particles.csv`` (a row a particle), ``report.html``.
    method : {"best", "paper"}
    client : distributed.Client, optional
        Particles go to its workers.
    progress : bool, default False

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ValueError
        If there is no source, or two would share a folder.

    Examples
    --------
    >>> import shutil, tempfile
    >>> from tritomo_helpers import datasets
    >>> grain = Path(tempfile.mkdtemp()) / "grain"
    >>> grain.mkdir()
    >>> adf_only = shutil.copy(datasets.fetch("twin/tiny", parts=["adf"])["adf"], grain)
    >>> folder = study([grain], out=grain.parent / "study")
    >>> (folder / "particles.csv").read_text().splitlines()[0][:24]
    'particle,state,n_tilts,v'
    """
    folder = Path(out).expanduser()
    names = [Path(source).name if Path(source).is_dir() else str(source).replace("/", "-") for source in sources]
    if not names or len(set(names)) < len(names):
        got = "none" if not names else f"{', '.join(n for n in names if names.count(n) > 1)} twice"
        raise fail("sources", expected="at least one, each once", got=got, remedy="rename the folders")
    folder.mkdir(parents=True, exist_ok=True)
    options = {"method": method}
    rows = []
    futures = [
        client.submit(process, source, out=folder / name, pure=False, **options) if client is not None else None
        for source, name in zip(sources, names, strict=True)
    ]
    for source, name, future in zip(sources, names, futures, strict=True):
        try:
            if future is not None:
                future.result()
            else:
                process(source, out=folder / name, progress=progress, **options)  # type: ignore[arg-type]
            rows.append(_row(json.loads((folder / name / "summary.json").read_text(encoding="utf-8"))))
        except (ValueError, OSError) as error:
            rows.append({"particle": name, "state": "failed", "warnings": str(error)})
    _flag_outliers(rows)
    with files.atomic_file(folder / "particles.csv") as path:
        path.write_text(_csv(rows), encoding="utf-8")
    with files.atomic_file(folder / "report.html") as path:
        path.write_text(_page(rows, names), encoding="utf-8")
    return folder


def _row(summary: Mapping[str, Any]) -> dict[str, Any]:
    state = "warnings" if summary["warnings"] else "done"
    return {
        "particle": summary["particle"],
        "state": state,
        **summary["values"],
        **{f"{v['statement'].replace(' ', '_')}_p": v["p_value"] for v in summary["verdicts"]},
        "beyond_the_null": "; ".join(v["statement"] for v in summary["verdicts"] if v["positive"]),
        "outlier_in": "",
        "not_done": "; ".join(f"{what}: {why}" for what, why in summary["not_done"].items()),
        "warnings": "; ".join(summary["warnings"]),
    }


def _flag_outliers(rows: list[dict[str, Any]]) -> None:
    """Name, in each row, the values far from those of the other particles."""
    done = [row for row in rows if row["state"] != "failed"]
    for key in [k for k, v in done[0].items() if isinstance(v, int | float)] if len(done) > 3 else []:
        if key.endswith("_p"):
            continue  # of twenty verdicts on nothing one is below 0.05
        values = np.array([row.get(key, np.nan) for row in done], dtype=float)
        if np.isfinite(values).sum() < 4:
            continue
        middle = np.nanmedian(values)
        spread = 1.4826 * np.nanmedian(np.abs(values - middle))
        for row, value in zip(done, values, strict=True):
            if spread > 0 and abs(value - middle) > OUTLIER * spread:
                row["outlier_in"] = ", ".join(filter(None, [row["outlier_in"], key]))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _page(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    columns = _columns(rows)
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    lines = []
    for row, name in zip(rows, names, strict=True):
        cells = [html.escape(str(row.get(column, ""))) for column in columns]
        if row["state"] != "failed":
            cells[0] = f'<a href="{html.escape(name)}/report.html">{cells[0]}</a>'
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    table = f'<div class="wide"><table><tr>{head}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'
    return document(f"Study of {len(rows)} particles", [f"<h1>{len(rows)} particles</h1>", table])
