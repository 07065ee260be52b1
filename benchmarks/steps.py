"""Three steps on the same spectra by HyperSpy and eXSpy, by pyEELSMODEL, and here; each as its documentation shows.

Run with ``python -m benchmarks.steps``. The spectra are the sums of the LSMO line scan (`LSMO_linescan_dualEELS`).
A package that is not installed is left out, and then nothing is written. The chapter "From files to figures" reads the
numbers of pyEELSMODEL from the table.
"""

import csv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tritomo_helpers import datasets, eels, io

BEFORE_EV, EDGE_EV = (480.0, 520.0), (530.0, 580.0)
"""Before the K edge of oxygen, and across it."""
ZERO_LOSS_END_EV = 5.0
TABLE = Path(__file__).resolve().parents[1] / "tritomo_helpers" / "data" / "steps.csv"

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]


def spectra() -> tuple[Spectrum, Spectrum]:
    """Return (energy, counts) of the low loss and of the core loss."""
    files = datasets.fetch("LSMO_linescan_dualEELS", progress=False)
    sums = []
    for role, signal in (("low_loss", "EELS low-loss"), ("core_loss", "EELS core-loss")):
        series = io.load_spectra(files[role], signal=signal)
        sums.append((series.energy_ev, np.asarray(series.counts, dtype=float).sum(axis=(0, 1, 2))))
    return sums[0], sums[1]


def ours(low: Spectrum, core: Spectrum) -> dict[str, float]:
    """Return zero loss (eV), t/lambda and counts of the edge above a power law."""
    (loss_ev, counts), (energy_ev, edge) = low, core
    before = (energy_ev >= BEFORE_EV[0]) & (energy_ev <= BEFORE_EV[1])
    slope, level = np.polyfit(np.log(energy_ev[before]), np.log(edge[before]), 1)
    across = (energy_ev >= EDGE_EV[0]) & (energy_ev <= EDGE_EV[1])
    return {
        "zero loss (eV)": float(eels.zero_loss_center(counts, loss_ev)),
        "t/lambda": float(eels.relative_thickness(counts, loss_ev, zero_loss_end_ev=ZERO_LOSS_END_EV)),
        "O K (counts)": float((edge - np.exp(level) * energy_ev**slope)[across].sum()),
    }


def by_exspy(low: Spectrum, core: Spectrum) -> dict[str, float]:
    """Return the same by HyperSpy and eXSpy."""
    import exspy

    signals = []
    for energy_ev, counts in (low, core):
        signal = exspy.signals.EELSSpectrum(counts)
        axis = signal.axes_manager[-1]
        axis.offset, axis.scale, axis.units = energy_ev[0], energy_ev[1] - energy_ev[0], "eV"
        signals.append(signal)
    zero = float(signals[0].estimate_zero_loss_peak_centre().data[0])
    thickness = signals[0].estimate_thickness(threshold=zero + ZERO_LOSS_END_EV)
    clean = signals[1].remove_background(signal_range=BEFORE_EV, background_type="PowerLaw", show_progressbar=False)
    return {
        "zero loss (eV)": zero,
        "t/lambda": float(thickness.data[0]),
        "O K (counts)": float(clean.isig[EDGE_EV[0] : EDGE_EV[1]].data.sum()),
    }


def by_pyeelsmodel(low: Spectrum, core: Spectrum) -> dict[str, float]:
    """Return the same by pyEELSMODEL."""
    from pyEELSMODEL.core.multispectrum import MultiSpectrum
    from pyEELSMODEL.operators.aligns.alignzeroloss import AlignZeroLoss
    from pyEELSMODEL.operators.backgroundremoval import BackgroundRemoval
    from pyEELSMODEL.operators.estimate_thickness import ThicknessEstimator

    loss, edge = (MultiSpectrum.from_numpy(counts[None, None], energy_ev) for energy_ev, counts in (low, core))
    fit = AlignZeroLoss(loss, signal_range=(-5.0, 5.0))
    fit.calculate_model()
    # It moves the highest channel to zero first, and fits what is left.
    zero = float(low[0][low[1].argmax()] + fit.shift[0, 0])
    at_zero = MultiSpectrum.from_numpy(low[1][None, None], low[0] - zero)
    thickness = ThicknessEstimator(at_zero, model_type="Gaussian", signal_range=(-3.0, 3.0))
    thickness.log_ratio_method()
    clean = BackgroundRemoval(edge, BEFORE_EV).calculate_multi()
    across = (core[0] >= EDGE_EV[0]) & (core[0] <= EDGE_EV[1])
    return {
        "zero loss (eV)": zero,
        "t/lambda": float(thickness.tlambda[0, 0]),
        "O K (counts)": float(clean.multidata[0, 0][across].sum()),
    }


def main() -> None:
    """Print what each package makes of the three steps, and write the table if none is missing."""
    low, core = spectra()
    rows: list[dict[str, str]] = []
    packages = (
        ("tritomo", "tritomo-helpers", ours),
        ("eXSpy", "exspy", by_exspy),
        ("pyEELSMODEL", "pyEELSMODEL", by_pyeelsmodel),
    )
    for name, package, call in packages:
        try:
            numbers = call(low, core)
        except ModuleNotFoundError:
            print(f"{name:<20} not installed")
            continue
        try:
            number = version(package)
        except PackageNotFoundError:
            number = ""
        print(f"{name + ' ' + number:<20}" + "".join(f"  {step}: {value:.6g}" for step, value in numbers.items()))
        rows.append({"package": name, "version": number} | {step: f"{value:.7g}" for step, value in numbers.items()})
    if len(rows) == len(packages):
        with TABLE.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
