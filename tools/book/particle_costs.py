"""What the pipeline costs, from the table of `benchmarks.pipeline`, and what a large study would need."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

TABLE = Path(__file__).resolve().parents[2] / "tritomo_helpers" / "data" / "pipeline_cost.csv"
LARGE = {"particles": 1000, "side_px": 256, "tilts": 61}
Rows = Sequence[Mapping[str, float]]


def read(path: Path = TABLE) -> Rows:
    """Return the measured cases: ``tilts``, ``side_px``, ``particles``, ``cpu_s`` and ``peak_mb`` each."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def of_large_study(rows: Rows) -> dict[str, float]:
    """Return processor hours and GB a particle of `LARGE`, extrapolated from the two largest images.

    With each doubling of the side the time is taken to grow as it did last, and the memory as voxels do; time is taken
    as proportional to tilts. Both are bounds: at the measured sizes a part of the cost is the same for all.
    """
    small, large = sorted((row for row in rows if row["particles"] == 1), key=lambda row: row["side_px"])[-2:]
    doublings = np.log2(LARGE["side_px"] / large["side_px"]) / np.log2(large["side_px"] / small["side_px"])
    seconds = large["cpu_s"] * (large["cpu_s"] / small["cpu_s"]) ** doublings * LARGE["tilts"] / large["tilts"]
    mb_per_voxel = (large["peak_mb"] - small["peak_mb"]) / (large["side_px"] ** 3 - small["side_px"] ** 3)
    peak_mb = large["peak_mb"] + mb_per_voxel * (LARGE["side_px"] ** 3 - large["side_px"] ** 3)
    return {"hours": seconds / 3600, "gigabytes": peak_mb / 1024}


def section(rows: Rows) -> list[str]:
    """Return the section of the page on performance, as MyST."""
    base, need = rows[0]["cpu_s"], of_large_study(rows)
    lines = [
        "",
        "## A particle of your own",
        "",
        "Processor time and peak of memory of `pipeline.process` (`best`, all signals, one core), measured once on "
        "particles of the twin by `python -m benchmarks.pipeline`:",
        "",
        "| tilts | pixels | particles | time | of the first | memory |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        side = f"{row['side_px']:.0f} × {row['side_px']:.0f}"
        cells = (f"{row['tilts']:.0f}", side, f"{row['particles']:.0f}", f"{row['cpu_s']:.0f} s")
        lines.append(f"| {' | '.join(cells)} | {row['cpu_s'] / base:.1f} × | {row['peak_mb']:.0f} MB |")
    return [
        *lines,
        "",
        f"From the two largest images follows what {LARGE['particles']} particles of {LARGE['side_px']} × "
        f"{LARGE['side_px']} pixels and {LARGE['tilts']} tilts would need at most: {need['hours']:.1f} processor "
        f"hours and {need['gigabytes']:.0f} GB each, {need['hours'] * LARGE['particles']:,.0f} processor hours in all. "
        "Particles do not wait for each other: a job array or a Dask cluster takes as many at once as memory holds.",
    ]
