"""The published background sweep: all candidates at once against one ``curve_fit`` after another.

Run with ``python -m benchmarks.background``. Both do the same candidates on the same spectra in one process; the slow
way is timed on a few spectra and extrapolated. ``LARGE=1`` takes 61,440 spectra, a tilt series of the paper.
"""

import os
import resource
import time

import numpy as np
from scipy.optimize import curve_fit

from tritomo_helpers import eels
from tritomo_helpers.spectroscopy import continuum

STEP_EV = 0.15
ENERGY = 600 + STEP_EV * np.arange(1112)
LOW = -30 + STEP_EV * np.arange(2048)
N_SLOW = 3


def spectra(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noisy manganese edges on two power laws, and low losses with a plasmon."""
    clean = 60 * (ENERGY / 600) ** -2.5 + 40 * (ENERGY / 600) ** -4 + 0.4 * continuum("Mn L", ENERGY)
    peak = np.exp(-((LOW / 0.6) ** 2)) + 0.02 * np.exp(-(((LOW - 23) / 8) ** 2))
    low = rng.poisson(2e4 * peak, size=(min(n, 512), LOW.size)).astype(np.int32)
    return rng.poisson(clean, size=(n, ENERGY.size)).astype(np.int16), low[np.arange(n) % low.shape[0]]


def fit_one(counts: np.ndarray, low: np.ndarray, candidate: eels.Candidate, model: np.ndarray) -> float:
    """Fit, subtract, deconvolve and score one candidate the obvious way."""
    x = ENERGY / ENERGY.mean()
    pre, post = (
        (w[0] - 1e-6 <= ENERGY) & (w[1] + 1e-6 >= ENERGY) for w in (candidate.pre_window_ev, candidate.post_window_ev)
    )
    if candidate.function == 1:
        fitted, start = pre, [50.0, 3.0, 0.0]

        def shape(at: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
            return a * at**-b + c

        parameters, _ = curve_fit(shape, x[fitted], counts[fitted], start, maxfev=4000)
        background = shape(x, *parameters)
    else:
        fitted, start = pre | post, [50.0, 2.0, 30.0, 4.0, 0.0, 0.0, 0.0]
        behind = post[fitted]

        def extended(  # noqa: PLR0917  (curve_fit gives parameters by position)
            at: np.ndarray, a: float, b: float, c: float, d: float, f: float, e: float, g: float
        ) -> np.ndarray:
            return a * at**-b + c * at**-d + f + np.where(behind, e * at + g, 0)

        sigma = np.where(behind, candidate.weight**-0.5, 1.0)
        try:
            parameters, _ = curve_fit(extended, x[fitted], counts[fitted], start, sigma=sigma, maxfev=4000)
        except RuntimeError:
            return np.nan
        background = parameters[0] * x ** -parameters[1] + parameters[2] * x ** -parameters[3] + parameters[4]
    edge = eels.fourier_ratio(counts - background, low, dispersion_ev=STEP_EV, cutoff_per_ev=0.36, zero_channel=200)
    edge *= model[post].sum() / edge[post].sum()
    slope = [np.polyfit(ENERGY[w], y[w], 1)[0] for w, y in ((pre, edge), (post, edge), (post, model))]
    return float(abs(slope[0]) + 20 * abs(slope[1] - slope[2]))


def main() -> None:
    """Print times for each spectrum and their ratio."""
    n = 61_440 if os.environ.get("LARGE") else 4096
    counts, low = spectra(n, np.random.default_rng(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = eels.subtract_background(counts, ENERGY, low, LOW, edge="Mn L")
    fast = (time.perf_counter() - start) / n
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    model = continuum("Mn L", ENERGY)
    start = time.perf_counter()
    for i in range(N_SLOW):
        for candidate in result.candidates:
            fit_one(counts[i].astype(float), low[i].astype(float), candidate, model)
    slow = (time.perf_counter() - start) / N_SLOW
    print(f"{n} spectra, {len(result.candidates)} candidates each; {N_SLOW} spectra the slow way")
    print(f"sweep       {1e3 * fast:8.3f} ms a spectrum, {fast * n:.0f} s in all, {grown:.0f} MB beside the input")
    print(f"curve_fit   {1e3 * slow:8.0f} ms a spectrum, {slow * n / 3600:.1f} h for all (extrapolated)")
    print(f"ratio       {slow / fast:8.0f}")


if __name__ == "__main__":
    main()
