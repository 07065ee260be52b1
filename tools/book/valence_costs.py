"""Valence beside another package, from the table of `benchmarks.valence`."""

import csv
import math
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
        "| particle | method | time per spectrum | error of the sum | scatter of a pixel | error of a pixel |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        off, scatter = pooled(row, "off"), pooled(row, "sd")
        time = "not timed" if row["ms"] == "nan" else f"{float(row['ms']):.2f} ms"
        cells = (
            row["particle"],
            row["method"],
            time,
            f"{off:.1f}",
            f"{scatter:.1f}",
            f"{math.hypot(off, scatter):.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    needed = " and ".join(f"{n} ({particle})" for particle, n in closer_from(rows).items())
    return [
        *lines,
        "",
        "Sums, which shells and volumes are made of, are closer to the truth by the forward model. A single pixel is "
        "not: counting decides it, and the peer has fewer unknowns, two power laws and one continuum a metal. The "
        "forward model with as few scatters as little, and its sums are off. Were background and continua known, the "
        "white lines alone would scatter nearly as much: no unbiased fit of these counts is much closer in a pixel. "
        f"Averages by the forward model are closer from this number of pixels on: {needed}.",
    ]


def closer_from(rows: Rows) -> dict[str, int]:
    """Return from how many averaged pixels on the forward model is closer to the truth, for each particle.

    Scatter falls with the number of pixels, the error of the sum does not; where the latter is no smaller, no number of
    pixels is enough, and ValueError says so.
    """
    n_pixels = {}
    for particle in dict.fromkeys(row["particle"] for row in rows):
        ours, theirs = (
            next(row for row in rows if (row["particle"], row["method"]) == (particle, method))
            for method in ("tritomo", "pyEELSMODEL")
        )
        scatter, off = (pooled(ours, what) ** 2 - pooled(theirs, what) ** 2 for what in ("sd", "off"))
        if off >= 0:
            raise ValueError(f"{particle}: the sum by the forward model is no closer to the truth")
        n_pixels[particle] = max(1, math.ceil(scatter / -off))
    return n_pixels
