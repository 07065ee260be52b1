"""Valence of raw spectra beside pyEELSMODEL, and the time of a whole tilt series.

Run with ``python -m benchmarks.valence``: one simulated image of 4,096 spectra of a fresh and of an old particle, both
packages in the same process. The peer gets spectra whose zero loss is aligned, the same references and its own
background, edges, convolution and linear fit, as its examples show. Two further lines tell what the scatter of single
pixels is made of: the forward model with as few unknowns as the peer, and with background and continua known.
``--write`` keeps the table that the page "Performance" shows. ``LARGE=1`` times a series of 61,440 spectra instead
(zero loss, kernels, calibration, fit).
"""

import argparse
import csv
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from tritomo_helpers import eels, phantoms, valence
from tritomo_helpers.containers import SpectrumTiltSeries
from tritomo_helpers.simulation import Acquired, Acquisition, acquire
from tritomo_helpers.spectroscopy import references
from tritomo_helpers.valence.basis import Basis, Distortion
from tritomo_helpers.valence.forward import FIT_WINDOW_EV, linear_filter
from tritomo_helpers.valence.tilts import N_BINS, Tilts

STATES = ("Mn4", "Mn3", "Mn2", "Co3", "Co2", "Ni2")
PARTICLES = ("pristine-1", "cycled-200-1")
SEED = 9
FEWER = ("tritomo, as few unknowns as the peer", "tritomo, background and continua known")
TABLE = Path(__file__).resolve().parents[1] / "tritomo_helpers" / "data" / "valence_cost.csv"


def scan(particle: str, **settings: Any) -> Acquired:
    """Simulate one particle with the default dose."""
    still = Acquisition(
        signals=("eels",), repeats=False, misalignment_px=0, drift_nm=0, axis_rotation_deg=0, **settings
    )
    return acquire(phantoms.particle(particle), still, rng=np.random.default_rng(SEED))


def shares(amounts: dict[str, Any]) -> dict[str, float]:
    """Percent of each element's ions."""
    totals = {s: float(np.sum(a)) for s, a in amounts.items()}
    return {s: 100 * v / sum(w for t, w in totals.items() if t[:2] == s[:2]) for s, v in totals.items()}


def peer(low: SpectrumTiltSeries, core: SpectrumTiltSeries, *, use_weights: bool) -> tuple[dict[str, Any], float]:
    """Fit with pyEELSMODEL; return amplitude maps and seconds of processor."""
    import pyEELSMODEL.api as em
    from pyEELSMODEL.components.fast_background import FastBG2
    from pyEELSMODEL.components.fixedpattern import FixedPattern

    n_y, n_x, n = core.counts.shape[1:]
    step = float(core.energy_ev[1] - core.energy_ev[0])
    shape = em.MultiSpectrumshape(step, float(core.energy_ev[0]), n, n_x, n_y)
    low_shape = em.MultiSpectrumshape(step, float(low.energy_ev[0]), low.energy_ev.size, n_x, n_y)
    data = em.MultiSpectrum(shape, data=np.asarray(core.counts[0], float))
    kernel = em.MultiSpectrum(low_shape, data=np.asarray(low.counts[0], float))
    one_shape = shape.getspectrumshape()
    components = [FastBG2(one_shape)]
    for element in ("Mn", "Co", "Ni"):
        components.append(em.HydrogenicCoreLossEdge(one_shape, 1, 300e3, 25.2e-3, 100e-3, element, "L"))
        rows = references.load(element).on(core.energy_ev)
        components.extend(FixedPattern(one_shape, em.Spectrum(one_shape, data=row)) for row in rows)
    lines = [c for c in components if isinstance(c, FixedPattern)]
    model = em.Model(one_shape, [*components, em.MscatterFFT(one_shape, kernel)])
    fitter = em.LinearFitter(data, model, method="ols", use_weights=use_weights)
    start = time.process_time()
    fitter.multi_fit()
    seconds = time.process_time() - start
    index = {state: fitter.get_param_index(line.parameters[0]) for state, line in zip(STATES, lines, strict=True)}
    return {state: fitter.coeff_matrix[:, :, i] for state, i in index.items()}, seconds


def with_fewer_unknowns(got: Acquired) -> dict[str, dict[str, Any]]:
    """Fit with other smooth columns: as few as the peer has, and the sum that the mean of each thickness bin asks for.

    The second is an oracle for single pixels: background and continua are known up to a factor, only white lines are
    left to be told apart.
    """
    core, low = got.core_loss, got.low_loss
    optics = {"beam_energy_kev": 300.0, "convergence_angle_mrad": 25.2, "collection_angle_mrad": 100.0}
    sets = {element: (references.load(element),) for element in ("Mn", "Co", "Ni")}
    basis = Basis(core.energy_ev, low.energy_ev, sets=sets, fit_window_ev=FIT_WINDOW_EV, extra_edges=(), optics=optics)
    tilts = Tilts(core, low, basis.window)
    noise, tilt, spectra = tilts.noise(None, None), tilts.binned[0], tilts.core(0)[:, basis.window]
    lines, smooth = basis.white_line_columns(tilt.kernels, Distortion()), basis.smooth_columns(tilt.kernels)
    n, shape = len(basis.states), core.counts.shape[1:3]
    found = {name: np.full((n, shape[0] * shape[1]), np.nan) for name in FEWER}
    for label in range(N_BINS):
        pixels = tilt.pixels(label)
        if pixels.size:
            mean = tilts.sums[0, label] / pixels.size
            free, _ = linear_filter(np.concatenate([lines[label], smooth[label]]), mean, noise)
            # One continuum a metal and two power laws; then all that is smooth as one column.
            fewer = (smooth[label][[0, 2, 4, -3, -2]], ((free @ mean)[n:] @ smooth[label])[None])
            for name, columns in zip(FEWER, fewer, strict=True):
                filters, _ = linear_filter(np.concatenate([lines[label], columns]), mean, noise)
                found[name][:, pixels] = filters[:n] @ spectra[pixels].T
    return {name: dict(zip(basis.states, a.reshape(n, *shape), strict=True)) for name, a in found.items()}


def beside_the_peer(particle: str) -> list[dict[str, Any]]:
    """Print and return milliseconds of processor a spectrum, and what the particle and its pixels are off by."""
    got = scan(particle, tilt_angles_deg=(0.0,))
    n = got.core_loss.counts[..., 0].size
    atoms = {s: np.nansum(got.truth["density"] * got.truth[s[:2]] * got.truth[s], axis=0) for s in STATES[:5]}
    true = shares(atoms)
    start = time.process_time()
    maps = valence.fit_spectra(got.core_loss, got.low_loss, references="crystal-field")
    ours_s = time.process_time() - start
    results = {"tritomo": ({s: maps.amplitudes[s].images[0] for s in STATES}, ours_s)}
    start = time.process_time()
    maps = valence.fit_spectra(got.core_loss, got.low_loss, references="crystal-field", calibrate=False)
    seconds = time.process_time() - start
    results["tritomo, references as given"] = ({s: maps.amplitudes[s].images[0] for s in STATES}, seconds)
    results |= {name: (amounts, np.nan) for name, amounts in with_fewer_unknowns(got).items()}
    try:
        low, core, _ = eels.align_zero_loss(got.low_loss, got.core_loss)
        # Its convolution needs an even number of channels, the same of both.
        even = min(low.energy_ev.size, core.energy_ev.size) // 2 * 2
        low, core = (x.replace(counts=x.counts[..., :even], energy_ev=x.energy_ev[:even]) for x in (low, core))
        for weights in (False, True):
            name = f"pyEELSMODEL{', weighted' if weights else ''}"
            results[name] = peer(low, core, use_weights=weights)
    except ImportError:
        print("pyEELSMODEL is not installed: pip install pyEELSMODEL==1.0.9")
    thick = np.where(sum(atoms.values()) > 0.3 * sum(atoms.values()).max(), True, False)
    print(f"{particle}, {n} spectra; percent minus truth, thick part (scatter of its pixels)")
    rows = []
    for name, (amounts, seconds) in results.items():
        of_image = shares({s: a[thick] for s, a in amounts.items()})
        here = shares({s: a[thick] for s, a in atoms.items()})
        row: dict[str, Any] = {"particle": particle, "method": name, "spectra": n, "ms": 1e3 * seconds / n}
        for s in STATES[:4]:
            row[f"{s}_off"] = of_image[s] - here[s]
            element = sum(amounts[t][thick] for t in amounts if t[:2] == s[:2])
            truth = atoms[s][thick] / sum(atoms[t][thick] for t in atoms if t[:2] == s[:2])
            # In units of the mean amount, or a pixel with next to nothing would decide.
            row[f"{s}_sd"] = 100 * float(np.std((amounts[s][thick] - truth * element) / element.mean()))
        rows.append(row)
        text = "  ".join(f"{s} {row[f'{s}_off']:+6.2f} ({row[f'{s}_sd']:5.1f})" for s in STATES[:4])
        print(f"{name:<42}{row['ms']:8.3f} ms a spectrum   {text}")
    print(f"truth {', '.join(f'{s} {true[s]:.1f}' for s in STATES[:4])}\n")
    return rows


def whole_series(particle: str) -> None:
    """Print seconds and memory of a series as the paper's."""
    got = scan(particle)
    n = got.core_loss.counts[..., 0].size
    for text, sets in (("one reference set", "crystal-field"), ("two sets", tuple(references.SETS))):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, processor = time.perf_counter(), time.process_time()
        maps = valence.fit_spectra(got.core_loss, got.low_loss, references=sets)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"{particle}, {n} spectra, {text}: {seconds:.1f} s ({processor:.1f} s of processor), "
            f"{1e3 * seconds / n:.3f} ms a spectrum, {grown:.0f} MB beside the input, chi2 {maps.chi2:.3f}"
        )


def main() -> None:
    """Print the comparison, or with ``LARGE=1`` the time of a series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if os.environ.get("LARGE"):
        whole_series("pristine-1")
        return
    rows = [row for particle in PARTICLES for row in beside_the_peer(particle)]
    if arguments.write:
        with TABLE.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows([{k: v if isinstance(v, str) else f"{v:.4g}" for k, v in row.items()} for row in rows])


if __name__ == "__main__":
    main()
