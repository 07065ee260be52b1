"""Reconstruction: error and time of every method here and of ASTRA, scikit-image and ETSpy, in one run."""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tritomo_helpers import metrics, tomography
from tritomo_helpers.containers import TiltSeries

from . import peers
from .cases import Case

OURS: list[tuple[str, dict[str, Any]]] = [
    ("wbp", {}),
    ("sirt", {}),
    ("sart", {}),
    ("cgls", {}),
    ("genfire", {"oversampling": 2, "n_iterations": 200}),
    ("genfire", {}),
    ("tv", {}),
    ("tv", {"noise": "poisson"}),
]


def compare(case: Case) -> None:
    """Print NRMSE inside the support, and wall seconds, for the clean, ADF and EDS images."""

    def error(volume: Any) -> float:
        return metrics.nrmse(volume, case.truth, mask=case.support)

    print(f"{'method (stops and weights chosen without the truth)':<58}" + "".join(f"{k:>16}" for k in case.series))
    for method, options in OURS:
        told = ", ".join(f"{k} {v}" for k, v in options.items())
        cells = []
        for ts in case.series.values():
            result = tomography.reconstruct(ts, method=method, support=case.support, **options)
            cells.append(f"{error(result.tomogram.values):8.4f} {result.seconds:5.1f} s")
        _row(f"{method} {told}", cells)
    for algorithm, n_steps, every in (("SIRT", 60, 20), ("SIRT", 60, 1), ("SART", 40, 1)):
        cells = []
        for ts in case.series.values():
            began = time.perf_counter()
            volumes = peers.astra_iterations(ts, case.support, algorithm=algorithm, n_steps=n_steps, every=every)
            best, _ = peers.best_stop(volumes, error)
            cells.append(f"{best:8.4f} {time.perf_counter() - began:5.1f} s")
        _row(f"ASTRA {algorithm}, checked every {every}, stopped BY THE TRUTH", cells)
    _peer("scikit-image iradon_sart x10", lambda ts: peers.skimage_sart(ts, case.support, 10), case, error)
    _peer("ETSpy SIRT x100", lambda ts: peers.etspy_sirt(ts, case.support, 100), case, error)


def _row(name: str, cells: list[str]) -> None:
    print(f"{name:<58}" + "".join(f"{c:>16}" for c in cells), flush=True)


def _peer(name: str, run: Callable[[TiltSeries], Any], case: Case, error: Callable[[Any], float]) -> None:
    cells = []
    for ts in case.series.values():
        began = time.perf_counter()
        try:
            volume = run(ts)
        except ImportError:
            print(f"{name:<58}  not installed")
            return
        cells.append(f"{error(volume):8.4f} {time.perf_counter() - began:5.1f} s")
    _row(name, cells)


def genfire_side_by_side(case: Case) -> None:
    """Print the time of GENFIRE slice by slice beside the plain three-dimensional loop on two threads."""
    print(f"\n{'GENFIRE':<30}{'here':>10}{'plain 3D FFT':>16}{'ratio':>8}")
    ts = case.series["ADF"]
    for oversampling, n_iterations, n_timed in ((2, 200, 10), (3, 1000, 5)):
        options = {"oversampling": oversampling, "n_iterations": n_iterations}
        ours = tomography.reconstruct(ts, method="genfire", support=case.support, **options).seconds
        _, plain = peers.plain_fft_genfire(ts, case.support, radius_px=0.1, n_timed=n_timed, **options)
        name = f"oversampling {oversampling}, {n_iterations} iterations"
        print(f"{name:<30}{ours:>8.1f} s{plain:>14.1f} s{plain / ours:>8.1f}", flush=True)
    print(f"(the plain time is scaled from a few iterations; peak memory of this process {peak_megabytes():.0f} MB)")


def peak_megabytes() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost_law(*, large: bool = False) -> None:
    """Print wall seconds by size and by number of tilts, and the exponents between neighbors."""
    print(f"\n{'seconds by size (15 tilts)':<34}{'32^3':>9}{'64^3':>9}{'128^3':>9}{'256^3' * large:>9}  exponents")
    sizes = (32, 64, 128, 256) if large else (32, 64, 128)
    for method, options in COSTED:
        _law(method, options, [(n, np.linspace(-70, 70, 15)) for n in sizes], sizes)
    tilts = (15, 39, 77)
    print(f"{'seconds by tilts (64^3)':<34}{15:>9}{39:>9}{77:>9}{'':>9}   exponents")
    for method, options in COSTED:
        _law(method, options, [(64, np.linspace(-70, 70, n)) for n in tilts], tilts)


COSTED: list[tuple[str, dict[str, Any]]] = [
    ("wbp", {}),
    ("sirt", {"n_iterations": 20}),
    ("cgls", {"n_iterations": 20}),
    ("genfire", {"oversampling": 2, "n_iterations": 50}),
    ("tv", {"weight": 0.01, "n_iterations": 10}),
]


def _law(method: str, options: dict[str, Any], cases: list[tuple[int, Any]], scale: tuple[int, ...]) -> None:
    seconds = []
    for size, angles in cases:
        z, y, x = (axis - size // 2 for axis in np.ogrid[:size, :size, :size])
        ball = ((z**2 + y**2 + x**2) < (0.35 * size) ** 2).astype(np.float32)
        images = _ball_images(size, angles)
        ts = TiltSeries(images, angles, 1.0)
        seconds.append(tomography.reconstruct(ts, method=method, support=ball > 0, **options).seconds)
    slopes = np.diff(np.log(seconds)) / np.diff(np.log(scale))
    name = f"{method} " + " ".join(f"{k}={v}" for k, v in options.items())
    print(
        f"{name:<34}" + "".join(f"{s:>9.2f}" for s in seconds) + "   " + " ".join(f"{s:.1f}" for s in slopes),
        flush=True,
    )


def _ball_images(size: int, angles: Any) -> Any:
    """Images of a ball: the same at every tilt."""
    y, u = (axis - size // 2 for axis in np.ogrid[:size, :size])
    chord = 2 * np.sqrt(np.maximum((0.35 * size) ** 2 - y**2 - u**2, 0)).astype(np.float32)
    return np.broadcast_to(chord, (len(angles), size, size))
