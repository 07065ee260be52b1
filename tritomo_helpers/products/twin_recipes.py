"""The products of the twin under the beam: what its dose would do to it, and whether one would see that."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..store.results import Arrays
from .registry import Report, product

if TYPE_CHECKING:
    from .._typing import Floats
    from ..phantoms import Phantom
    from ..simulation import Acquisition

Files = Mapping[str, Mapping[str, Path]]


def _sum_of_particle(specimen: "Phantom", scan: "Acquisition", dose_e_per_a2: float) -> "Floats":
    """Sum the core-loss spectra of a particle at zero tilt after a dose: no noise, no drift, coarse pixels."""
    from dataclasses import replace

    from ..simulation import eels
    from ..simulation.rays import plan, species_maps

    coarse = scan.replace(
        tilt_angles_deg=(0.0,),
        repeats=False,
        scan_shape=(16, 16),
        pixel_size_nm=4 * scan.pixel_size_nm,
        misalignment_px=0.0,
        eels=scan.eels.replace(counting_noise=False, energy_drift_ev=0.0),
    )
    exposure = replace(plan(coarse, rng=np.random.default_rng(0))[0], dose_e_per_a2=dose_e_per_a2)
    maps = species_maps(specimen, coarse, exposure)
    counts = eels.detect(maps, exposure, specimen, coarse, rng=np.random.default_rng(0))[0]["core_loss"]
    return np.asarray(counts.sum(axis=(0, 1), dtype=np.float64))


@product(
    "twin/damaged-exposures",
    tolerance={"areas": 1.0, "over_noise": 1.0, "change": 0.005, "standard_error": 0.002, "expected": 1e-4},
    seed=2077,
    critical_doses_e_per_a2=(5e5,),
    centers_ev=(643.5, 781.0),
)
def twin_damaged_exposures(
    report: Report,
    _files: Files,
    *,
    seed: int,
    critical_doses_e_per_a2: Sequence[float],
    centers_ev: tuple[float, float],
) -> Arrays:
    """Scan pristine-1 three times at zero tilt during a tilt series, intact first and then with beam damage.

    The other exposures are not recorded, but their dose counts. ``areas`` : float32 (dose, peak, exposure, y, x),
    counts of Mn L3 and Co L3; ``over_noise`` : float32 (dose, peak, y, x), change from first to last over its noise;
    ``change``, ``standard_error`` : float (dose, peak), of the whole particle; ``expected`` : the change without noise,
    from a coarse scan; ``holes`` : the change of the empty 3d states, which a peak's window sees in part.
    """
    from .. import eels, phantoms, simulation
    from ..simulation import adf
    from ..simulation import eels as spectrometer
    from ..simulation.rays import plan, species_maps

    specimen = phantoms.particle("pristine-1")
    made: dict[str, list[Any]] = {}
    tried = (float("inf"), *critical_doses_e_per_a2)
    for number, critical in enumerate(tried):
        scan = simulation.Acquisition(critical_dose_e_per_a2=critical)
        plan_rng, *streams = np.random.default_rng(seed).spawn(3)
        recorded: dict[str, list[Any]] = {"adf": [], "low_loss": [], "core_loss": []}
        exposures = [e for e in plan(scan, rng=plan_rng) if e.repeat_index is not None]
        for at, exposure in enumerate(exposures):
            report((number + at / 3) / len(tried), f"critical dose {critical:g}, exposure {at + 1}")
            maps = species_maps(specimen, scan, exposure)
            for detect, rng in zip((adf.detect, spectrometer.detect), streams, strict=True):
                for name, counts in detect(maps, exposure, specimen, scan, rng=rng)[0].items():
                    recorded[name].append(counts)
        axes = spectrometer.axes(scan)
        found = eels.compare_exposures(
            np.stack(recorded["core_loss"]),
            np.stack(recorded["low_loss"]),
            np.stack(recorded["adf"]),
            core_loss_energy_ev=axes["core_loss"],
            low_loss_energy_ev=axes["low_loss"],
            centers_ev=centers_ev,
            readout_noise=scan.eels.readout_noise,
        )
        intact = not np.isfinite(critical)
        fall = {} if intact else simulation.white_line_change(specimen, scan, critical_dose_e_per_a2=critical)
        whole = [_sum_of_particle(specimen, scan, exposure.dose_e_per_a2) for exposure in (exposures[0], exposures[-1])]
        clean = np.array([[eels.peak_area(x, axes["core_loss"], center_ev=e) for e in centers_ev] for x in whole])
        for name, value in (
            ("areas", found.areas.astype(np.float32)),
            ("over_noise", found.over_noise.astype(np.float32)),
            ("change", found.change),
            ("standard_error", found.standard_error),
            ("expected", clean[1] / clean[0] - 1),
            ("holes", [fall.get(element, 0.0) for element in ("Mn", "Co")]),
        ):
            made.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in made.items()}
