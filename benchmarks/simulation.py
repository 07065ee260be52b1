"""Time, memory and disk that a simulated particle takes, and how they grow with tilts and pixels.

Run with ``python benchmarks/simulation.py``; ``--quick`` leaves the full particle out. Every row is a process of its
own, so that its peak memory is its own.
"""

import argparse
import json
import mmap
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "5 tilts, 32 x 32": (5, 32),
    "10 tilts, 32 x 32": (10, 32),
    "5 tilts, 64 x 64": (5, 64),
    "15 tilts, 64 x 64 (paper)": (15, 64),
}


def run(n_tilts: int, side: int) -> dict[str, float]:
    """Simulate one particle with all signals and write it as HyperSpy files."""
    import numpy as np

    from tritomo_helpers import io, phantoms
    from tritomo_helpers.constants import SCAN_STEP_NM
    from tritomo_helpers.simulation import Acquisition, acquire

    settings = Acquisition(
        tilt_angles_deg=tuple(np.linspace(-70, 70, n_tilts)),
        scan_shape=(side, side),
        pixel_size_nm=SCAN_STEP_NM * 64 / side,
        signals=("adf", "eds", "eels"),
        repeats=False,
        misalignment_px=0.5,
    )
    phantom = phantoms.particle("cycled-100-1")
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        got = acquire(phantom, settings, rng=np.random.default_rng(0), out=folder)
        simulated = time.perf_counter()
        for signal in ("eds", "low_loss", "core_loss"):
            series = getattr(got, signal)
            io.save(series, folder / f"{signal}.hspy")
            # What lies in a file need not stay in memory.
            series.counts._mmap.madvise(mmap.MADV_DONTNEED)
        end, cpu_end = time.perf_counter(), time.process_time()
        disk = sum(path.stat().st_size for path in folder.glob("*.hspy"))
    return {
        "simulate_s": simulated - start,
        "write_s": end - simulated,
        "cpu_s": cpu_end - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "disk_mb": disk / 1e6,
    }


def main() -> None:
    """Print the table, or one row as JSON when called for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", choices=list(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run(*CASES[options.case])))
        return
    heads = ("simulate, s", "write, s", "CPU, s", "peak, MB", "disk, MB", "CPU us/pixel")
    print(f"{'case':<27}" + "".join(f"{head:>13}" for head in heads))
    for case, (n_tilts, side) in list(CASES.items())[: -1 if options.quick else None]:
        command = [sys.executable, __file__, "--case", case]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        per_pixel = row["cpu_s"] / (n_tilts * side**2) * 1e6
        print(f"{case:<27}" + "".join(f"{value:>13.1f}" for value in (*row.values(), per_pixel)), flush=True)


if __name__ == "__main__":
    main()
