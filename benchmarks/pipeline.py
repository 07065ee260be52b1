"""Cost of `pipeline.process` against tilts, pixels and particles, and what a thousand large particles would need.

Run with ``python -m benchmarks.pipeline``: every case is a folder with all signals of its own, simulated first and not
counted, and a process of its own, so that processor time and peak memory are its own. The ratios are those of one run;
``--write`` keeps the table that the page "Performance" shows.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TABLE = Path(__file__).resolve().parents[1] / "tritomo_helpers" / "data" / "pipeline_cost.csv"
CASES = {
    "base": (8, 32, 1),
    "twice the tilts": (16, 32, 1),
    "two particles": (8, 32, 2),
    "four times the pixels": (8, 64, 1),
    "sixteen times the pixels": (8, 128, 1),
}
"""Tilts, pixels along a side, particles."""


def prepare(folder: Path, *, n_tilts: int, side: int) -> None:
    """Simulate one particle with all signals and write it as HyperSpy files."""
    from tritomo_helpers import io, phantoms
    from tritomo_helpers.constants import SCAN_STEP_NM
    from tritomo_helpers.simulation import Acquisition, acquire

    settings = Acquisition(
        tilt_angles_deg=tuple(np.linspace(-60, 60, n_tilts)),
        scan_shape=(side, side),
        pixel_size_nm=SCAN_STEP_NM * 64 / side,
        signals=("adf", "eds", "eels"),
        repeats=False,
    )
    got = acquire(phantoms.particle("pristine-1"), settings, rng=np.random.default_rng(7))
    folder.mkdir(parents=True)
    for signal in ("adf", "eds", "low_loss", "core_loss"):
        io.save(getattr(got, signal), folder / f"{signal}.hspy")


def measure(folders: list[str]) -> dict[str, float]:
    """Process folders one after another; return seconds of processor and the peak of memory."""
    from tritomo_helpers import pipeline

    for folder in folders:
        pipeline.process(folder, out=Path(folder).with_suffix(".results"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def in_own_process(*arguments: str) -> dict[str, float]:
    """Run this module in a process of its own and return what it says."""
    command = [sys.executable, "-m", "benchmarks.pipeline", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(said.splitlines()[-1])) if said else {}


def main() -> None:
    """Print the table, or do one piece of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--prepare", nargs=3)
    parser.add_argument("--measure", nargs="+")
    arguments = parser.parse_args()
    if arguments.prepare:
        folder, n_tilts, side = arguments.prepare
        prepare(Path(folder), n_tilts=int(n_tilts), side=int(side))
        return
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for case, (n_tilts, side, n_particles) in CASES.items():
            folders = [f"{name}/{case.replace(' ', '-')}-{i}" for i in range(n_particles)]
            for folder in folders:
                in_own_process("--prepare", folder, str(n_tilts), str(side))
            cost = in_own_process("--measure", *folders)
            rows.append({"tilts": n_tilts, "side_px": side, "particles": n_particles, **cost})
            print(
                f"{case:<24}{cost['cpu_s']:8.1f} s {cost['cpu_s'] / rows[0]['cpu_s']:6.2f} x {cost['peak_mb']:8.0f} MB"
            )
    if arguments.write:
        with TABLE.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows([{key: f"{value:.6g}" for key, value in row.items()} for row in rows])


if __name__ == "__main__":
    main()
