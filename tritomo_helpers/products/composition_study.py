"""The study of composition: what the method adds to the constant map, what it finds in nothing, how sure it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]

_LEVELS = (0.68, 0.90, 0.95)
# A setting chosen on counts set aside may fall to its neighbor on another machine.
_TOLERANCE = {
    **dict.fromkeys(("error", "correlation", "coverage", "shell_coverage", "noise"), 0.1),
    **dict.fromkeys(("slope", "recall_at_rate", "recall", "precision", "marked", "weights"), 0.5),
    **{"gain": 20.0, "radius_nm": 7.0, "radius_range_nm": 10.0, "length_nm": 10.0, "n_false": 30.0},
}


def _drawn(
    report: Report,
    files: Files,
    *,
    particle: str,
    counts: Sequence[float],
    pixels: int,
    tilt_step_deg: float,
    seed: int,
    n_interval_draws: int,
    genfire: Mapping[str, Any],
    published: Mapping[str, Any],
) -> Arrays:
    """Draw the maps of one particle several times from their covariance, and reconstruct every draw by itself.

    ``counts`` : float (draw,), multiple of the counts of the experiment. ``error``, ``correlation``, ``slope`` : float
    (draw, method, element), error over that of the constant map and slope of truth on estimate; ``methods`` are ours,
    the published cost and the paper's pipeline, the latter two of the first draw alone. ``constant_at_percent`` : float
    (element,). ``coverage`` : float (draw, element, level), share of voxels inside our intervals of ``levels``.
    ``gain``, ``radius_nm`` (draw,), ``radius_range_nm`` (draw, 2). ``length_nm``, ``weights`` : float (draw, length),
    the lengths that counts set aside leave open; NaN where there are fewer. ``noise`` : float (2, element), see
    `draws.noise_of_raw_counts`. ``shell_coverage`` : float (element, shell, level), share of ``n_interval_draws`` draws
    of which the interval of a shell's mean, with the settings of the first draw, holds the truth. With clusters also
    what `draws.detected` returns, (draw, metal, false rate), ``false_rates`` and ``n_clusters`` (metal,).
    """
    import numpy as np

    from . import draws

    del files
    report(0.0, "simulating")
    scene = draws.scene(particle, pixels=pixels, tilt_step_deg=tilt_step_deg, seed=seed)
    inside, clusters = scene.specimen.mask, scene.specimen.body.chemistry.clusters
    of_draw: dict[str, list[Any]] = {}
    first: Any = None
    for number, factor in enumerate(counts):
        report(0.1 + 0.6 * number / len(counts), f"{factor:g} x counts")
        rng = np.random.default_rng([seed, number])
        maps = scene.draw(rng, counts=factor)
        ours = draws.fused(scene, maps, rng=rng, **draws.material(scene))
        first = ours if first is None else first
        estimates = [np.stack([ours.fractions[el].values for el in draws.ELEMENTS])]
        if number == 0:
            estimates += _other_methods(scene, maps, ours.mask, genfire=genfire, published=published)
        rows = [draws.compared(estimate, scene.truth, inside) for estimate in estimates]
        for what in ("error", "correlation", "slope"):
            table = np.full((3, len(draws.ELEMENTS)), np.nan)
            table[: len(rows)] = [row[what] for row in rows]
            of_draw.setdefault(what, []).append(table)
        both = ours.mask & inside
        off = [estimates[0][i][both] - scene.truth[i][both] for i in range(len(draws.ELEMENTS))]
        errors = [ours.standard_errors[el].values[both] for el in draws.ELEMENTS]
        covered = [draws.covered(*pair, _LEVELS) for pair in zip(off, errors, strict=True)]
        of_draw.setdefault("coverage", []).append(covered)
        of_draw.setdefault("gain", []).append(ours.choices["gain"])
        _note_lengths(of_draw, ours)
        if clusters.metal.size:
            size, radius = scene.specimen.voxel_size_nm, float(clusters.radii_nm.max())
            assert ours.detector is not None
            marks = draws.detected(
                ours.detector, clusters.centers_nm, clusters.metal, radius_nm=radius, voxel_size_nm=size
            )
            for what, rates in marks.items():
                of_draw.setdefault(what, []).append(rates)
    report(0.75, "intervals of shells")
    arrays = {what: np.array(values) for what, values in of_draw.items()}
    rng = np.random.default_rng([seed, 1000])
    return arrays | {
        "counts": np.array(counts),
        "methods": np.array(("ours", "published", "paper")),
        "elements": np.array(draws.ELEMENTS),
        "levels": np.array(_LEVELS),
        "constant_at_percent": 100 * np.array([np.nanstd(true[inside]) for true in scene.truth]),
        "noise": draws.noise_of_raw_counts(scene, rng=rng),
        "shell_coverage": _shell_coverage(report, scene, first, counts=counts[0], n_draws=n_interval_draws, rng=rng),
        "false_rates": np.array(draws.FALSE_RATES),
        "n_clusters": np.bincount(clusters.metal, minlength=3),
    }


def _note_lengths(of_draw: dict[str, list[Any]], ours: Any) -> None:
    """Append the lengths that one reconstruction leaves open, with their weights, and the radius of clusters."""
    import numpy as np

    lengths, weights = np.full(8, np.nan), np.full(8, np.nan)
    for i, (prior, weight) in enumerate(ours.choices["priors_of_errors"][:8]):
        lengths[i], weights[i] = prior.length_nm, weight
    of_draw.setdefault("length_nm", []).append(lengths)
    of_draw.setdefault("weights", []).append(weights)
    of_draw.setdefault("radius_nm", []).append(ours.choices["cluster_radius_nm"])
    of_draw.setdefault("radius_range_nm", []).append(ours.choices["cluster_radius_range_nm"])


def _other_methods(
    scene: Any, maps: Any, mask: Any, *, genfire: Mapping[str, Any], published: Mapping[str, Any]
) -> list[Any]:
    """Fractions (element, z, y, x) by the published cost and by the paper's pipeline, of the same maps."""
    import numpy as np

    from .. import alignment, composition
    from . import draws

    tied = draws.fused(scene, maps, method="published", **published)
    aligned = {el: alignment.apply(maps.intensities[el], scene.alignment) for el in draws.ELEMENTS}
    mean = {el: float(np.nanmean(true)) for el, true in zip(draws.ELEMENTS, scene.truth, strict=True)}
    paper = composition.reconstruct_paper(aligned, mask=mask, atomic_ratio=mean, **genfire)
    return [np.stack([result.fractions[el].values for el in draws.ELEMENTS]) for result in (tied, paper)]


def _shell_coverage(report: Report, scene: Any, first: Any, *, counts: float, n_draws: int, rng: Any) -> Any:
    """Share of noise draws of which the interval of each shell's mean holds the truth: (element, shell, level)."""
    import numpy as np

    from .. import particles
    from ..tomography.fractions import solve
    from ..tomography.fractions.data import Operator
    from ..tomography.fractions.posterior import Noise
    from . import draws

    data, prior = first.data, first.choices["prior"]
    clean, operator = draws.without_noise(scene, counts=counts), Operator(data)
    noise = Noise(operator)
    shells = particles.shells(first.mask & scene.specimen.mask)[data.mask]
    numbers = range(1, int(shells.max()) + 1)

    def means(values: Any) -> Any:
        """Mean of every shell from the voxels of the mask: the last axis becomes that of the shells."""
        return np.stack([values[..., shells == number].mean(axis=-1) for number in numbers], axis=-1)

    volumes = solve(data, prior, n_draws=24, rng=rng, truth_prior=first.choices["priors_of_errors"])
    errors = means(volumes.error_draws).std(axis=0)
    true = means(scene.truth[:, data.mask])
    off = []
    for draw in range(n_draws):
        report(0.75 + 0.25 * draw / n_draws, f"shells, draw {draw + 1}")
        images = clean + operator.to_images(noise.sample(rng))
        off.append(means(solve(data.replace(images=images), prior).fractions[:, data.mask]) - true)
    return np.moveaxis(draws.covered(np.array(off), errors, _LEVELS, axis=0), 0, -1)


_CASES: dict[str, tuple[float, ...]] = {"pristine-2": (1.0, 1.0, 1.0), "cycled-200-1": (1.0, 1.0, 1.0, 2.0, 4.0, 10.0)}
for _particle, _counts in _CASES.items():
    product(
        f"study/composition/{_particle}",
        tolerance=_TOLERANCE,
        particle=_particle,
        counts=_counts,
        pixels=64,
        tilt_step_deg=10.0,
        seed=1,
        n_interval_draws=100,
        genfire={"oversampling": 3, "n_iterations": 1000},
        published={"n_poisson": 100, "n_rounds": 50},
    )(_drawn)
