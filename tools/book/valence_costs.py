"""Valence beside another package, from the table of `benchmarks.valence`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / "tritomo_helpers" / "data" / "valence_cost.csv"
STATES = ("Mn4", "Mn3", "Mn2", "Co3")
Rows = Sequence[Mapping[str, str]]


def read(path: Path = TABLE) -> Rows:
    """Return a row for each particle and method: ``ms`` a spectrum, and of each state ``_off`` and ``_sd``."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def pooled(row: Mapping[str, str], what: str) -> float:
    """Root mean square over the four states of what their sums are off by, or of the scatter of their pixels."""
    return float(sum(float(row[f"{state}_{what}"]) ** 2 for state in STATES) / len(STATES)) ** 0.5


def section(rows: Rows) -> list[str]:
    """Return the section of the page on performance, as MyST."""
    lines = [
        "",
        "## Valence beside pyEELSMODEL",
        "",
        f"One image of {int(rows[0]['spectra']):,} noisy spectra through the forward model of this book (zero loss, "
        "thickness, calibration and fit) and through pyEELSMODEL 1.0.9 (linear fit with its fast background, "
        "hydrogenic edges and convolution), with the same references and in the same process. Errors are points of "
        "Mn⁴⁺, Mn³⁺, Mn²⁺ and Co³⁺, root mean square over the four. `python -m benchmarks.valence` measures:",
        "",
        "| particle | method | time per spectrum | error of the sum | scatter of a pixel |",
        "|---|---|--:|--:|--:|",
    ]
    for row in rows:
        cells = (row["particle"], row["method"], f"{float(row['ms']):.2f} ms")
        lines.append(f"| {' | '.join(cells)} | {pooled(row, 'off'):.1f} | {pooled(row, 'sd'):.0f} |")
    return [
        *lines,
        "",
        "The forward model leaves background and continua more freedom. That is the likely reason for both: sums, "
        "which shells and volumes are made of, are closer to the truth, and single pixels scatter more.",
    ]
