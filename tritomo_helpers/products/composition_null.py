"""The study of composition where there is nothing to find: nulls, false rich voxels, and means of all particles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .recipes import composition_false_rich
from .registry import Report, product
from .study import PARTICLES

Files = Mapping[str, Mapping[str, Path]]

_PUBLISHED_GENFIRE = {"oversampling": 3, "n_iterations": 1000}

product(
    "study/false-rich",
    datasets=("twin/cycled-200-1",),
    parts={"twin/cycled-200-1": ("truth",)},
    tolerance={"percent": 0.5, "error": 0.1},
    counts=(1.0, 2.0),
    # Of a metal: pristine, after 50, 100 and 200 cycles.
    means=(11.11, 11.2, 12.47, 13.0),
    genfire=_PUBLISHED_GENFIRE,
)(composition_false_rich)


@product(
    "study/composition-null",
    tolerance={
        "rms_at_percent": 0.1,
        "gain": 10.0,
        "recall_at_rate": 0.3,
        "recall": 0.3,
        "precision": 0.3,
        "n_false": 20.0,
    },
    particle="pristine-2",
    pixels=64,
    tilt_step_deg=10.0,
    seed=2,
    counts=(1.0, 1.0, 1.0, 4.0),
    inserted={"n_clusters": 8, "radius_nm": 6.5, "contrast": 0.09, "counts": 4.0},
)
def composition_null(
    report: Report,
    files: Files,
    *,
    particle: str,
    pixels: int,
    tilt_step_deg: float,
    seed: int,
    counts: Sequence[float],
    inserted: Mapping[str, Any],
) -> Arrays:
    """Reconstruct a homogeneous particle several times; then one with clusters put into it, by the same settings.

    ``counts`` : float (draw,). ``rms_at_percent`` : float (draw, element), of the estimate about the truth.
    ``rich_percent`` : float (draw, metal), voxels above 16.67 at%. ``gain`` : float (draw,), 0 where the constant map
    is kept. ``with_clusters_gain``, and what `draws.detected` returns (metal, false rate), ``false_rates``: of the
    particle with ``inserted`` clusters, whose photons are counted without absorption.
    """
    import numpy as np

    from .. import composition, phantoms
    from . import draws

    del files
    report(0.0, "simulating")
    scene = draws.scene(particle, control="null", pixels=pixels, tilt_step_deg=tilt_step_deg, seed=seed)
    inside, limit = scene.specimen.mask, phantoms.RICH_THRESHOLD_AT_PERCENT / 100
    rms, rich, gains = [], [], []
    for number, factor in enumerate(counts):
        report(0.1 + 0.7 * number / len(counts), f"{factor:g} x counts")
        rng = np.random.default_rng([seed, number])
        ours = draws.fused(scene, scene.draw(rng, counts=factor), rng=rng, **draws.material(scene))
        values = np.stack([ours.fractions[el].values for el in draws.ELEMENTS])
        rms.append([100 * np.sqrt(np.nanmean((v - t)[inside] ** 2)) for v, t in zip(values, scene.truth, strict=True)])
        rich.append([100 * np.mean(v[ours.mask] > limit) for v in values[1:]])
        gains.append(ours.choices["gain"])
    report(0.8, "with clusters")
    rng = np.random.default_rng([seed, 1000])
    mean = {el: float(np.nanmean(true)) for el, true in zip(draws.ELEMENTS, scene.truth, strict=True)}
    density = scene.specimen.tomogram()
    geometry = {name: inserted[name] for name in ("n_clusters", "radius_nm", "contrast")}
    fractions, centers, metal = draws.inserted(density, mean, seed=seed, **geometry)
    counted = composition.counted_lines(
        density,
        fractions=fractions,
        tilt_angles_deg=scene.adf.tilt_angles_deg,
        rng=rng,
        counts=inserted["counts"],
    )
    clustered = draws.fused(scene, counted, rng=rng, alignment=None, absorption=False, **draws.material(scene))
    size = density.voxel_size_nm
    assert clustered.detector is not None
    return {
        "counts": np.array(counts),
        "elements": np.array(draws.ELEMENTS),
        "rms_at_percent": np.array(rms),
        "rich_percent": np.array(rich),
        "gain": np.array(gains),
        "with_clusters_gain": np.array(clustered.choices["gain"]),
        "false_rates": np.array(draws.FALSE_RATES),
        "n_clusters": np.bincount(metal, minlength=3),
        **draws.detected(clustered.detector, centers, metal, radius_nm=inserted["radius_nm"], voxel_size_nm=size),
    }


@product(
    "study/composition-means",
    tolerance={"off_at_percent": 0.02, "standard_error": 0.02},
    particles=PARTICLES,
    pixels=32,
    seed=3,
)
def composition_means(report: Report, files: Files, *, particles: Sequence[str], pixels: int, seed: int) -> Arrays:
    """Mean composition of every particle from noise-free spectra, and with absorption known wrongly or not at all.

    ``off_at_percent`` : float (particle, case, element), estimate less truth; ``cases`` : everything known, mass
    absorption 10 % too large, shadows 10 % too dark, absorption and shadow left out. ``standard_error`` : float
    (particle, element), at%, of counting at the dose of the experiment. Density, alignment and cross-sections are
    those of the twin; k-factors come from pristine-1 in every case, as they would be calibrated.
    """
    import numpy as np

    from .. import composition, phantoms
    from ..containers import Tomogram
    from ..spectroscopy.detectors import Detectors
    from . import draws

    del files
    cases = ("known", "mass absorption", "shadow", "left out")
    off, errors = [], []
    k: dict[str, dict[str, float]] = {}
    darker = np.array([1 - 1.1 * (1 - Detectors().shadow(float(t))) for t in np.arange(-70.0, 71.0, 10.0)])
    for number, name in enumerate(particles):
        report(number / len(particles), name)
        specimen = phantoms.particle(name, shape=pixels)
        maps = draws.noise_free_maps(specimen, seed=seed)
        aligned = {el: maps.intensities[el] for el in draws.ELEMENTS}  # only sums are used
        mean = {el: float(np.nanmean(specimen.atomic_fractions[el])) for el in draws.ELEMENTS}
        lithium = {"Li": 1 / 3 if specimen.stage == "pristine" else 0.25}
        matter = specimen.tomogram()
        heavier = Tomogram(1.1 * np.asarray(matter.values), matter.voxel_size_nm)
        taken_out = {
            case: composition.correct_absorption(aligned, density, composition=mean | lithium, shadow=shadow).totals
            for case, density, shadow in (
                ("known", matter, None),
                ("mass absorption", heavier, None),
                ("shadow", matter, np.clip(darker, 0, 1)),
            )
        }
        taken_out["left out"] = {el: float(aligned[el].images.sum(dtype=float)) for el in draws.ELEMENTS}
        for case, totals in taken_out.items():
            k.setdefault(case, composition.k_factors(totals, atomic_ratio=mean))
        off.append(
            [
                [100 * (float(found[el]) - mean[el]) for el in draws.ELEMENTS]
                for found in (composition.cliff_lorimer(taken_out[case], k_factors=k[case]) for case in cases)
            ]
        )
        errors.append(_standard_error(maps, mean, finer=64 // pixels))
    return {
        "particles": np.array(particles),
        "cases": np.array(cases),
        "elements": np.array(draws.ELEMENTS),
        "off_at_percent": np.array(off),
        "standard_error": np.array(errors),
    }


def _standard_error(maps: Any, mean: Mapping[str, float], *, finer: float) -> Any:
    """Return the counting error of the means in at%, had the scan `finer` times as many pixels a side."""
    import numpy as np

    from . import draws

    totals = np.array([maps.intensities[el].images.sum(dtype=float) for el in draws.ELEMENTS])
    covariance = np.asarray(maps.covariance).reshape(-1, len(totals), len(totals)).sum(axis=0, dtype=float)
    fractions = np.array([mean[el] for el in draws.ELEMENTS])
    # d f_i = f_i (d ln I_i - sum_j f_j d ln I_j)
    slopes = np.diag(fractions) @ (np.eye(len(totals)) - fractions) / totals
    return 100 * np.sqrt(np.diag(slopes @ covariance @ slopes.T)) / finer
