"""The products of the chapter on the twin: what noise alone makes of particles without any rich region."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..store.results import Arrays
from .registry import Report, product

if TYPE_CHECKING:
    from ..containers import TiltSeries
    from ..phantoms import Phantom

Files = Mapping[str, Mapping[str, Path]]


def _line_maps(null: "Phantom", *, solid_angle_sr: float, seed: int) -> "dict[str, TiltSeries]":
    """Count the X-rays of a particle that hangs where it should, and fit all lines."""
    from .. import eds, simulation

    acquisition = simulation.Acquisition(
        signals=("eds",),
        repeats=False,
        misalignment_px=0.0,
        axis_rotation_deg=0.0,
        # The lines that are fitted end at 1.2 keV.
        eds=simulation.Eds(n_channels=128, solid_angle_sr=solid_angle_sr),
    )
    spectra = simulation.acquire(null, acquisition, rng=np.random.default_rng(seed)).eds
    assert spectra is not None
    return dict(eds.fit_lines(spectra, elements=("O", "Mn", "Co", "Ni")).intensities)


@product(
    "twin/false-rich",
    tolerance={"error": 0.05, "rich": 0.3, "rich_inside": 0.3},
    seed=12,
    # Particle, solid angle in sr, oversampling and iterations of GENFIRE.
    cases=(
        ("pristine-1", 0.7, 2, 200),
        ("pristine-1", 0.35, 2, 200),
        ("pristine-1", 0.7, 3, 1000),
        ("cycled-200-1", 0.7, 3, 1000),
        ("cycled-200-1", 0.9, 3, 1000),
        ("cycled-200-1", 1.4, 3, 1000),
        ("cycled-200-1", 2.8, 3, 1000),
    ),
)
def twin_false_rich(
    report: Report, _files: Files, *, seed: int, cases: Sequence[tuple[str, float, int, int]]
) -> Arrays:
    """Share of voxels above 16.67 at% in the nulls of two stages, at several numbers of counts.

    The twin's own counts with shadow, absorption and film; true alignment; fit of all lines; one factor per tilt;
    Gaussian of 1.2 pixels; GENFIRE; k-factors from 6:1:1:1 in the pristine particle, and those for the cycled one.
    ``error``, ``rich``, ``rich_inside`` : float (case, metal), Mn, Co, Ni: standard deviation of a voxel where there is
    none, at%; false rich voxels in % of all, and of those deeper than 5 nm. ``mean`` : the metals' mean, at%.
    """
    from .. import composition, phantoms

    metals = ("Mn", "Co", "Ni")
    found: dict[str, list[list[float]]] = {"error": [], "rich": [], "rich_inside": [], "mean": []}
    k: Mapping[str, float] | None = None
    for number, (name, solid_angle_sr, oversampling, n_iterations) in enumerate(cases):
        report(number / len(cases), f"{name}, {solid_angle_sr:g} sr, {oversampling}x {n_iterations}")
        null = phantoms.particle(name, control="null")
        from_ratio: dict[str, Any] = {"atomic_ratio": {"O": 6, "Mn": 1, "Co": 1, "Ni": 1}}
        result = composition.reconstruct_paper(
            _line_maps(null, solid_angle_sr=solid_angle_sr, seed=seed),
            mask=null.mask,
            **(from_ratio if null.stage == "pristine" else {"k": k}),
            oversampling=oversampling,
            n_iterations=n_iterations,
        )
        k = result.k_factors if null.stage == "pristine" else k
        deep = null.mask & (null.depth_nm > 5)
        percent = {element: 100 * np.asarray(result.fractions[element].values) for element in metals}
        limit = phantoms.RICH_THRESHOLD_AT_PERCENT
        found["error"].append([float(np.nanstd(percent[el][null.mask])) for el in metals])
        found["mean"].append([float(np.nanmean(percent[el][null.mask])) for el in metals])
        found["rich"].append([100 * float((percent[el][null.mask] > limit).mean()) for el in metals])
        found["rich_inside"].append([100 * float((percent[el][deep] > limit).mean()) for el in metals])
    return {key: np.array(values) for key, values in found.items()}


@product(
    "twin/damaged-exposures",
    tolerance={"areas": 1.0, "over_noise": 1.0, "change": 0.005, "standard_error": 0.002, "expected": 1e-6},
    seed=2077,
    critical_doses_e_per_a2=(2e6, 5e5),
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
    ``change``, ``standard_error`` : float (dose, peak), of the whole particle; ``expected`` : the change without noise.
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
        for name, value in (
            ("areas", found.areas.astype(np.float32)),
            ("over_noise", found.over_noise.astype(np.float32)),
            ("change", found.change),
            ("standard_error", found.standard_error),
            ("expected", [fall.get(element, 0.0) for element in ("Mn", "Co")]),
        ):
            made.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in made.items()}
