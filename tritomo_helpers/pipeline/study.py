"""Several particles: one table, one report."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._validation import fail
from ..store import files
from .process import process
from .study_report import study_page

OUTLIER = 3.5
"""Distance from the median in robust standard deviations beyond which a value is flagged."""


def study(
    sources: Sequence[str | Path],
    *,
    out: str | Path,
    method: str = "best",
    stages: Sequence[str] | None = None,
    client: Any = None,
    progress: bool = False,
) -> Path:
    """Process several particles and put them into one table, outliers flagged, with averages over each stage.

    Parameters
    ----------
    sources : sequence of str or path
        As `process` takes them. One that fails keeps its row, with the reason; the others go on.
    out : str or path
        Folder: one folder a particle, ``particles.csv`` (a row a particle), ``stages.csv`` (a row a stage: mean and
        standard deviation between its particles, number of particles), ``report.html``.
    method : {"best", "paper"}
    stages : sequence of str, optional
        What each source has been through, such as ``"200 cycles"``. Particles of one stage are averaged, and an outlier
        is one far from its own stage. By default the stage of a particle of the twin, and one for all others.
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
        If there is no source, two would share a folder, or there is not one stage for each.

    Examples
    --------
    >>> import shutil, tempfile
    >>> from tritomo_helpers import datasets
    >>> grain = Path(tempfile.mkdtemp()) / "grain"
    >>> grain.mkdir()
    >>> adf_only = shutil.copy(datasets.fetch("twin/tiny", parts=["adf"])["adf"], grain)
    >>> folder = study([grain], out=grain.parent / "study")
    >>> (folder / "particles.csv").read_text().splitlines()[0][:24]
    'particle,stage,state,n_t'
    """
    folder = Path(out).expanduser()
    names = [
        Path(source).resolve().name if Path(source).is_dir() else str(source).replace("/", "-") for source in sources
    ]
    if not names or len(set(names)) < len(names):
        got = "none" if not names else f"{', '.join(n for n in names if names.count(n) > 1)} twice"
        raise fail("sources", expected="at least one, each once", got=got, remedy="rename the folders")
    of_source = [_stage_of(name) for name in names] if stages is None else [str(stage) for stage in stages]
    if len(of_source) != len(names):
        raise fail("stages", expected=f"{len(names)}, one a source", got=len(of_source), remedy="name one for each")
    folder.mkdir(parents=True, exist_ok=True)
    options = {"method": method}
    rows = []
    futures = [
        client.submit(process, source, out=folder / name, pure=False, **options) if client is not None else None
        for source, name in zip(sources, names, strict=True)
    ]
    for source, name, stage, future in zip(sources, names, of_source, futures, strict=True):
        try:
            if future is not None:
                future.result()
            else:
                process(source, out=folder / name, progress=progress, **options)  # type: ignore[arg-type]
            rows.append(_row(json.loads((folder / name / "summary.json").read_text(encoding="utf-8")), stage))
        except Exception as error:  # whatever it is, the other particles go on
            why = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
            rows.append({"particle": name, "stage": stage, "state": "failed", "warnings": why})
    _flag_outliers(rows)
    averages = averages_of_stages(rows)
    for file, text in (
        ("particles.csv", _csv(rows)),
        ("stages.csv", _csv(averages)),
        ("report.html", study_page(rows, averages, names)),
    ):
        with files.atomic_file(folder / file) as path:
            path.write_text(text, encoding="utf-8")
    return folder


def _stage_of(name: str) -> str:
    """Return the stage in the name of a particle of the twin, such as ``cycled-200`` of ``twin-cycled-200-1``."""
    known = re.match(r"twin-(pristine|cycled-\d+)(?:-\d+)?(-.+)?$", name)
    return known[1] + (known[2] or "") if known else "all"


def _row(summary: Mapping[str, Any], stage: str) -> dict[str, Any]:
    state = "warnings" if summary["warnings"] else "done"
    return {
        "particle": summary["particle"],
        "stage": stage,
        "state": state,
        **summary["values"],
        **{f"{v['statement'].replace(' ', '_')}_p": v["p_value"] for v in summary["verdicts"]},
        "beyond_the_null": "; ".join(v["statement"] for v in summary["verdicts"] if v["positive"]),
        "outlier_in": "",
        "not_done": "; ".join(f"{what}: {why}" for what, why in summary["not_done"].items()),
        "warnings": "; ".join(summary["warnings"]),
    }


def _flag_outliers(rows: list[dict[str, Any]]) -> None:
    """Name, in each row, the values far from those of the other particles of its stage.

    The spread is that of all particles about the median of their own stage: a stage has too few to tell it alone.
    """
    done = [row for row in rows if row["state"] != "failed"]
    for key in _measured(done) if len(done) > 3 else []:
        values = np.array([row.get(key, np.nan) for row in done], dtype=float)
        if np.isfinite(values).sum() < 4:
            continue
        from_stage = values.copy()
        for stage in {row["stage"] for row in done}:
            same = np.array([row["stage"] == stage for row in done]) & np.isfinite(values)
            from_stage[same] -= np.median(values[same]) if same.any() else 0.0
        spread = 1.4826 * np.nanmedian(np.abs(from_stage))
        for row, distance in zip(done, from_stage, strict=True):
            if spread > 0 and abs(distance) > OUTLIER * spread:
                row["outlier_in"] = ", ".join(filter(None, [row["outlier_in"], key]))


def _measured(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of what was measured of particles: numbers, but no p, of which one of twenty is small anyway."""
    names = dict.fromkeys(key for row in rows for key, value in row.items() if isinstance(value, int | float))
    return [name for name in names if not name.endswith("_p")]


def averages_of_stages(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a stage: particles that were done, and of each value its mean and the spread between them.

    The standard deviation between particles is left empty for fewer than two; errors and ends of intervals of single
    particles are left out, since what counts between particles is their own spread.
    """
    done = [row for row in rows if row["state"] != "failed"]
    ends = ("_low", "_high", "_low_nm", "_high_nm", "_standard_error")
    averages = []
    for stage in dict.fromkeys(row["stage"] for row in done):
        same = [row for row in done if row["stage"] == stage]
        average: dict[str, Any] = {"stage": stage, "n_particles": len(same)}
        for key in (name for name in _measured(same) if not name.endswith(ends)):
            values = np.array([row[key] for row in same if key in row], dtype=float)
            average[f"{key}_mean"] = float(f"{values.mean():.6g}")
            average[f"{key}_sd"] = float(f"{values.std(ddof=1):.4g}") if values.size > 1 else ""
        averages.append(average)
    return averages


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
