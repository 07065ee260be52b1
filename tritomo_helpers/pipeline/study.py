"""Several particles: one table, one report."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from .._validation import fail
from ..store import files
from .process import process
from .study_report import study_page

FALSE_STUDIES = 0.05
"""Share of studies without an outlier in which some value of some particle is flagged all the same."""


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
        Path(source).expanduser().resolve().name
        if Path(source).expanduser().is_dir()
        else str(source).replace("/", "-")
        for source in sources
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

    By Student's t of the distance from the mean of the others, in units of the spread within all stages without the
    particle. Of studies without an outlier `FALSE_STUDIES` name one in any of the values; few particles have to lie far
    off to be named, and one that is alone in its stage never is.
    """
    done = [row for row in rows if row["state"] != "failed"]
    columns = _measured(done)
    for key in columns:
        values = np.array([np.nan if row.get(key) is None else row[key] for row in done], dtype=float)
        groups = [
            np.flatnonzero([row["stage"] == stage for row in done] & np.isfinite(values))
            for stage in {row["stage"] for row in done}
        ]
        groups = [members for members in groups if members.size > 1]
        n = sum(members.size for members in groups)
        freedom = n - len(groups) - 1
        if freedom < 1:
            continue
        limit = stats.t.isf(FALSE_STUDIES / (2 * n * len(columns)), freedom)
        squares = sum(np.sum((values[members] - values[members].mean()) ** 2) for members in groups)
        for members in groups:
            size = members.size
            for i in members:
                distance = (values[i] - values[members].mean()) * size / (size - 1)  # from the mean of the others
                variance = (squares - distance**2 * (size - 1) / size) / freedom * size / (size - 1)
                if distance**2 > limit**2 * max(variance, 0) + 1e-12 * squares:
                    done[i]["outlier_in"] = ", ".join(filter(None, [done[i]["outlier_in"], key]))


def _measured(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of what was measured of particles: numbers, but no p, of which one of twenty is small anyway."""
    names = dict.fromkeys(key for row in rows for key, value in row.items() if isinstance(value, int | float))
    return [name for name in names if not name.endswith("_p")]


def averages_of_stages(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a stage: particles that were done, and of each value its mean and the spread between them.

    The standard deviation between particles is left empty for fewer than two; errors and ends of intervals of single
    particles are left out, since what counts between particles is their own spread. So are decay lengths, which are
    without end where nothing decays. ``_n`` says of how many particles a mean is, where it is not of all.
    """
    done = [row for row in rows if row["state"] != "failed"]
    ends = ("_low", "_high", "_low_nm", "_high_nm", "_standard_error")
    averages = []
    for stage in dict.fromkeys(row["stage"] for row in done):
        same = [row for row in done if row["stage"] == stage]
        average: dict[str, Any] = {"stage": stage, "n_particles": len(same)}
        for key in (name for name in _measured(same) if not name.endswith((*ends, "_decay_nm"))):
            values = np.array([row[key] for row in same if key in row], dtype=float)
            if values.size < len(same):
                average[f"{key}_n"] = int(values.size)
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
