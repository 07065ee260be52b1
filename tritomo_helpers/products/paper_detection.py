"""Clusters looked for in the maps of the published pipeline, on the same draws as our matched filter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

KINDS = ("largest values", "mean of a ball")


@product(
    "study/paper-detection",
    tolerance=dict.fromkeys(("recall_at_rate", "recall", "precision"), 0.3) | {"marked": 0.02, "n_false": 60.0},
    particle="cycled-200-1",
    counts=(1.0, 1.0, 1.0, 10.0),
    pixels=64,
    tilt_step_deg=10.0,
    seed=1,
    genfire={"oversampling": 3, "n_iterations": 1000},
)
def paper_detection(
    report: Report,
    files: Mapping[str, Mapping[str, Path]],
    *,
    particle: str,
    counts: Sequence[float],
    pixels: int,
    tilt_step_deg: float,
    seed: int,
    genfire: Mapping[str, Any],
) -> Arrays:
    """Score every voxel of the published maps by its value, and by the mean of the ball about it.

    The first three draws are those of ``study/composition``. The ball has the true radius of
    the clusters, which favors the published maps. Scores are standard deviations above the mean of an element, and a
    threshold is what a share of the voxels of all metals exceeds: these maps come without a null.

    ``counts`` : float (draw,). ``kinds`` : (2,). What `draws.detected` returns, (draw, kind, metal, false rate);
    ``false_rates``; ``n_clusters`` (metal,).
    """
    import numpy as np

    from .. import alignment, composition, fusion
    from . import draws

    del files
    report(0.0, "simulating")
    scene = draws.scene(particle, pixels=pixels, tilt_step_deg=tilt_step_deg, seed=seed)
    clusters, size = scene.specimen.body.chemistry.clusters, scene.specimen.voxel_size_nm
    radius = float(clusters.radii_nm.max())
    mask = fusion.particle_mask(np.asarray(scene.density.values))
    mean = {el: float(np.nanmean(true)) for el, true in zip(draws.ELEMENTS, scene.truth, strict=True)}
    of_draw: dict[str, list[Any]] = {}
    for number, factor in enumerate(counts):
        report(0.1 + 0.9 * number / len(counts), f"{factor:g} x counts")
        maps = scene.draw(np.random.default_rng([seed, number]), counts=factor)
        aligned = {el: alignment.apply(maps.intensities[el], scene.alignment) for el in draws.ELEMENTS}
        paper = composition.reconstruct_paper(aligned, mask=mask, atomic_ratio=mean, **genfire)
        values = np.stack([paper.fractions[el].values for el in draws.ELEMENTS])
        balls = np.stack([mean_of_ball(volume, radius / size) for volume in values])
        found = []
        for volumes in (values, balls):
            center, spread = (of(volumes, axis=(1, 2, 3), keepdims=True) for of in (np.nanmean, np.nanstd))
            scores = (volumes - center) / spread
            detector = fusion.Detection(scores, scores[None, 1:, np.isfinite(scores[0])], radius, {radius: 0.0})
            where = {"radius_nm": radius, "voxel_size_nm": size}
            found.append(draws.detected(detector, clusters.centers_nm, clusters.metal, **where))
        for what in found[0]:
            of_draw.setdefault(what, []).append([kind[what] for kind in found])
    return {
        "counts": np.array(counts),
        "kinds": np.array(KINDS),
        "false_rates": np.array(draws.FALSE_RATES),
        "n_clusters": np.bincount(clusters.metal, minlength=3),
        **{what: np.array(rows) for what, rows in of_draw.items()},
    }


def mean_of_ball(volume: Any, radius_px: float) -> Any:
    """Return the mean of the values in a ball about each voxel; NaN where the volume is, which does not count.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.full((5, 5, 5), np.nan)
    >>> volume[2, 2, 1:4] = 1.0, 4.0, 1.0
    >>> float(mean_of_ball(volume, 1.2)[2, 2, 2])
    2.0
    """
    import numpy as np
    from scipy import ndimage

    reach = int(radius_px)
    ball = np.sum(np.square(np.indices((2 * reach + 1,) * 3) - reach), axis=0) <= radius_px**2
    inside = np.isfinite(volume)
    total, number = (
        ndimage.convolve(part.astype(np.float64), ball.astype(np.float64), mode="constant")
        for part in (np.where(inside, volume, 0.0), inside)
    )
    return np.where(inside, total / np.maximum(number, 1), np.nan).astype(np.float32)
