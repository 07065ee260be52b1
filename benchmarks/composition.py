"""X-ray lines beside eXSpy's linear model, and what noise alone makes of a homogeneous particle.

``python -m benchmarks.composition`` prints both tables; ``python -m benchmarks.composition null`` only the second, with
the paper's own 3x oversampling and 1000 iterations (about half an hour).
"""

import sys
import time

import numpy as np

from tritomo_helpers import composition, eds, phantoms
from tritomo_helpers.simulation import Acquisition, Eds, acquire
from tritomo_helpers.spectroscopy import xray

ELEMENTS = ("O", "Mn", "Co", "Ni")
LINES = {"O": "O_Ka", "Mn": "Mn_La", "Co": "Co_La", "Ni": "Ni_La"}
N_PIXELS = 32


def lines_beside_exspy() -> None:
    """Print the sum of counts over the truth and milliseconds a pixel: ours, windows, eXSpy's linear least squares."""
    import exspy

    settings = Acquisition(signals=("eds",), tilt_angles_deg=(0.0,), repeats=False)
    scan = acquire(phantoms.particle("pristine-2"), settings, rng=np.random.default_rng(1))
    counts, energy = scan.eds.counts[0], scan.eds.energy_ev
    truth = {el: float(scan.truth[f"eds_expected_{el}"].sum()) for el in ELEMENTS}
    columns = {el: xray.lines([el]) for el in ELEMENTS}
    family = {}
    for el, own in columns.items():
        main = xray.main_line(el)
        sigma = {line: xray.emission_cross_section(line) for line in own if line.shell[0] == main.shell[0]}
        family[el] = sum(sigma.values()) / sigma[main]
    print("method              " + "".join(f"{el:>9}" for el in ELEMENTS) + "   ms/pixel")
    for name, call in (
        ("fit of all lines", lambda: eds.fit_lines(counts, energy, elements=ELEMENTS)),
        ("windows", lambda: eds.integrate_windows(counts, energy, elements=ELEMENTS)),
        ("windows, net", lambda: eds.integrate_windows(counts, energy, elements=ELEMENTS, mode="net")),
    ):
        start = time.perf_counter()
        maps = call()
        seconds = time.perf_counter() - start
        ratios = [maps.intensities[el].sum(dtype=float) / truth[el] / family[el] for el in ELEMENTS]
        print(f"{name:<20}" + "".join(f"{r:9.3f}" for r in ratios) + f"{1e3 * seconds / counts[..., 0].size:11.4f}")

    block = counts[16 : 16 + N_PIXELS, 16 : 16 + N_PIXELS]
    signal = exspy.signals.EDSTEMSpectrum(block.astype(float))
    signal.axes_manager[-1].scale, signal.axes_manager[-1].offset = 0.01, 0.0
    signal.axes_manager[-1].units, signal.axes_manager[-1].name = "keV", "Energy"
    signal.set_microscope_parameters(beam_energy=300, energy_resolution_MnKa=130)
    signal.set_elements([*ELEMENTS, "Cu"])
    signal.set_lines([*LINES.values(), "Cu_La"])
    cut = signal.isig[0.35:1.2]
    model = cut.create_model(auto_background=True, auto_add_lines=True)
    start = time.perf_counter()
    model.multifit(optimizer="lstsq", show_progressbar=False)
    seconds = time.perf_counter() - start
    intensities = model.get_lines_intensity()
    ours = {
        el: float(next(s for s in intensities if LINES[el] in s.metadata.General.title).data.sum()) for el in ELEMENTS
    }
    theirs = {
        el: float(scan.truth[f"eds_expected_{el}"][0, 16 : 16 + N_PIXELS, 16 : 16 + N_PIXELS].sum()) for el in ELEMENTS
    }
    print(
        f"{'eXSpy, main line':<20}"
        + "".join(f"{ours[el] / theirs[el]:9.3f}" for el in ELEMENTS)
        + f"{1e3 * seconds / N_PIXELS**2:11.4f}"
    )


def null_table(*, oversampling: int = 3, n_iterations: int = 1000, counts: tuple[float, ...] = (1.0, 2.0, 4.0)) -> None:
    """Print false rich voxels at the metal means of all four stages, for every switch of the chain."""
    specimen = phantoms.particle("cycled-200-1")
    density = specimen.tomogram()
    fractions = {"O": 0.61, "Mn": 0.13, "Co": 0.13, "Ni": 0.13}
    means = (11.2, 11.2, 12.47, 13.0)
    print(f"GENFIRE {oversampling}x, {n_iterations} iterations: voxels above 16.7 at%, in percent, metals averaged")
    print("counts  prefilter  rim     error  " + "".join(f"{m:>9}" for m in means))
    for factor in counts:
        maps = composition.homogeneous_maps(
            density,
            fractions=fractions,
            tilt_angles_deg=np.arange(-70.0, 71.0, 10.0),
            rng=np.random.default_rng(12),
            counts=factor,
        )
        for prefilter in ("none", "mean3", "mean5"):
            for rim in (True, False):
                got = composition.reconstruct_paper(
                    maps,
                    mask=specimen.mask,
                    atomic_ratio=fractions,
                    prefilter=prefilter,
                    rim=rim,
                    oversampling=oversampling,
                    n_iterations=n_iterations,
                )
                metals = [np.asarray(got.fractions[el].values) for el in ("Mn", "Co", "Ni")]
                error = 100 * np.mean([np.nanstd(v) for v in metals])
                shares = [
                    100 * np.mean([composition.shifted_rich_share(v, mean=m / 100) for v in metals]) for m in means
                ]
                print(
                    f"{factor:5g}x  {prefilter:<9}  {'in' if rim else 'out':<4}{error:8.2f}  "
                    + "".join(f"{s:9.3f}" for s in shares)
                )


def main() -> None:
    """Print the tables."""
    if "null" not in sys.argv:
        lines_beside_exspy()
        print()
    null_table(**({} if "null" in sys.argv else {"oversampling": 2, "n_iterations": 200, "counts": (1.0,)}))


if __name__ == "__main__":
    print(f"Detectors: {Eds().solid_angle_sr} sr, efficiency {Eds().efficiency}")
    main()
