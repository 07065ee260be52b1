"""Which stage makes the intervals of composition miss: the method, the one truth, or the density it is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

LEVELS = (0.68, 0.90, 0.95)
STAGES = ("truth drawn from the prior", "clusters of the particle", "density from ADF")


@product(
    "study/interval-oracles",
    tolerance={"voxels": 0.1, "shells": 0.15},
    particle="cycled-200-1",
    pixels=64,
    tilt_step_deg=10.0,
    seed=1,
    n_draws=60,
)
def interval_oracles(
    report: Report,
    files: Mapping[str, Mapping[str, Path]],
    *,
    particle: str,
    pixels: int,
    tilt_step_deg: float,
    seed: int,
    n_draws: int,
) -> Arrays:
    """Count how often intervals hold, first with everything right, then with one thing after another as it is.

    ``stages`` : (3,). First the truth is drawn anew from the prior that the counts chose, and seen through the density
    of the reconstruction; then it is the particle's own, seen through the same density; then its images are those of
    the particle itself. ``voxels``, ``shells`` : float (stage, element, level), share of ``n_draws`` draws of the noise
    in which the interval of a voxel, or of the mean of a shell, holds the truth; ``levels``, ``elements``.
    """
    import numpy as np

    from .. import particles
    from ..tomography.fractions import solve
    from ..tomography.fractions.data import Operator
    from ..tomography.fractions.posterior import Noise, Solver
    from . import draws

    del files
    report(0.0, "simulating")
    rng = np.random.default_rng([seed, 2000])
    scene = draws.scene(particle, pixels=pixels, tilt_step_deg=tilt_step_deg, seed=seed)
    chosen = draws.fused(scene, scene.draw(rng), rng=rng, **draws.material(scene))
    data: Any = chosen.data
    prior, mixture = chosen.choices["prior"], chosen.choices["priors_of_errors"]
    operator = Operator(data)
    noise = Noise(operator)
    shells = particles.shells(chosen.mask & scene.specimen.mask)[data.mask]
    of_shell = [shells == number for number in range(1, int(shells.max()) + 1)]
    mean = data.mean_fractions[:, None]

    def means(values: Any) -> Any:
        return np.stack([values[..., inside].mean(axis=-1) for inside in of_shell], axis=-1)

    def at_voxels(modes: Any) -> Any:
        return operator.to_volumes(np.matmul(operator.basis, modes))[:, data.mask] + mean

    solved = solve(data, prior, n_draws=24, rng=rng, truth_prior=mixture)
    errors = solved.standard_errors[:, data.mask], means(solved.error_draws).std(axis=0)
    priors, weights = zip(*mixture, strict=True)
    samplers = [Solver(operator, noise, one).covariance for one in priors]
    true = np.where(data.mask, scene.truth, np.nan)
    true = np.nan_to_num(true - np.nanmean(true, axis=(1, 2, 3), keepdims=True))
    own = np.matmul(operator.basis.T, operator.from_volumes(true))
    clean = operator.from_images(draws.without_noise(scene, counts=1.0))
    covered = np.zeros((len(STAGES), 2, len(draws.ELEMENTS), len(LEVELS)))
    for draw in range(n_draws):
        report(0.1 + 0.9 * draw / n_draws, f"draw {draw + 1}")
        modes = samplers[rng.choice(len(weights), p=np.divide(weights, np.sum(weights)))].sample(rng)
        for stage, (images, truth) in enumerate(
            (
                (operator.constant + operator.forward(modes), at_voxels(modes)),
                (operator.constant + operator.forward(own), at_voxels(own)),
                (clean, scene.truth[:, data.mask]),
            )
        ):
            counted = data.replace(images=operator.to_images(images + noise.sample(rng)))
            off = solve(counted, prior).fractions[:, data.mask] - truth
            for kind, (misses, error) in enumerate(zip((off, means(off)), errors, strict=True)):
                rows = zip(misses, error, strict=True)
                covered[stage, kind] += [draws.covered(*row, LEVELS) for row in rows]
    voxels, of_shells = (covered / n_draws).swapaxes(0, 1)
    return {
        "stages": np.array(STAGES),
        "elements": np.array(draws.ELEMENTS),
        "levels": np.array(LEVELS),
        "voxels": voxels,
        "shells": of_shells,
    }
