"""How far means of shells are off in several particles, and which input makes them so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

PARTICLES = ("pristine-1", "pristine-2", "pristine-3", "cycled-100-1", "cycled-200-1", "cycled-200-2")
INPUTS = (
    "density from ADF",
    "absorption by true density",
    "fractions by true density",
    "true density",
    "density from ADF, true mean",
    "true density, true mean",
)
#: Ends of the bins of |error| / standard error of voxels: the last bin holds all that is larger.
BINS = tuple(round(0.05 * number, 2) for number in range(1, 101))


def shell_errors(
    report: Report,
    files: Mapping[str, Mapping[str, Path]],
    *,
    particle: str,
    pixels: int,
    tilt_step_deg: float,
    seed: int,
    n_draws: int,
) -> Arrays:
    """Reconstruct one particle without noise from six inputs, and with noise from the one that an experiment has.

    ``inputs`` : (6,). The density that absorption is computed by, and the density that fractions multiply, are from ADF
    or true; k-factors are from cross-sections, or those that give the particle its true mean. ``bias`` : float (input,
    element, shell), mean of a shell less the truth, without noise. ``off`` : float (draw, element, shell), the same
    with noise of counting, as in an experiment (the first input); ``standard_error`` (element, shell), as stated.
    ``misses`` : int (element, bin), voxels of all draws by |error| / standard error, see `BINS`. ``n_voxels`` (shell,),
    ``elements``, ``gain`` of the settings over the constant map.
    """
    import numpy as np

    from .. import eds, particles
    from ..fusion.fractions import check_k_factors, fractions_and_gains
    from ..tomography.fractions import solve
    from ..tomography.fractions.data import Operator
    from ..tomography.fractions.posterior import Noise
    from . import draws

    del files
    report(0.0, "simulating")
    rng = np.random.default_rng([seed, 3000])
    scene = draws.scene(particle, pixels=pixels, tilt_step_deg=tilt_step_deg, seed=seed)
    report(0.3, "settings")
    known = draws.material(scene)
    chosen = draws.fused(scene, scene.draw(rng), rng=rng, **known)
    data: Any = chosen.data
    prior, mixture = chosen.choices["prior"], chosen.choices["priors_of_errors"]
    per_count = check_k_factors(scene.k_factors, draws.ELEMENTS)
    clean = draws.without_noise(scene, counts=1.0)
    shells = particles.shells(chosen.mask & scene.specimen.mask)[data.mask]
    of_shell = [shells == number for number in range(1, int(shells.max()) + 1)]
    truth = scene.truth[:, data.mask]

    def means(values: Any) -> Any:
        return np.stack([values[..., inside].mean(axis=-1) for inside in of_shell], axis=-1)

    def seen(images: Any, k: Any = per_count, **inputs: Any) -> Any:
        """Return the data with other images, density or absorption, and mean and gains that follow from their sums."""
        n_elements, n_tilts = images.shape[:2]
        equal = {"mean_fractions": np.full(n_elements, 1 / n_elements), "gains": np.full((n_elements, n_tilts), 1.0)}
        unit = data.replace(images=images, **inputs, **equal)
        path = n_elements * unit.expected().sum(axis=(2, 3), dtype=np.float64)
        sums = images.sum(axis=(2, 3), dtype=np.float64)
        fractions, gains = fractions_and_gains(sums, path, k, data.mean_fractions)
        return unit.replace(mean_fractions=fractions, gains=gains / k[:, None])

    report(0.6, "without noise")
    matter = scene.specimen.tomogram()
    absorbed = eds.absorption_weights(
        matter,
        composition={**chosen.choices["mean_fractions"], **known["extra_atoms"]},
        elements=draws.ELEMENTS,
        tilt_angles_deg=data.tilt_angles_deg,
    )
    absorption = {"weights": np.stack([absorbed[el] for el in draws.ELEMENTS])}
    density = {"density": np.asarray(matter.values, dtype=np.float32), "contrast": None}
    atoms = np.asarray(matter.values, dtype=np.float64)
    mean = np.array([np.average(of_element, weights=atoms) for of_element in np.nan_to_num(scene.truth)])
    given = [seen(clean, **inputs) for inputs in ({}, absorption, density, absorption | density)]
    for known_density in ({}, absorption | density):
        found = seen(clean, **known_density).mean_fractions
        given.append(seen(clean, per_count * mean / found, **known_density))
    bias = [means(solve(one, prior).fractions[:, data.mask] - truth) for one in given]
    volumes = solve(data, prior, n_draws=24, rng=rng, truth_prior=mixture)
    of_voxels = volumes.standard_errors[:, data.mask]
    operator = Operator(data)
    noise = Noise(operator)
    off, misses = [], np.zeros((len(draws.ELEMENTS), len(BINS)), dtype=np.int64)
    for draw in range(n_draws):
        report(0.75 + 0.25 * draw / n_draws, f"draw {draw + 1}")
        images = clean + operator.to_images(noise.sample(rng))
        error = solve(seen(images), prior).fractions[:, data.mask] - truth
        off.append(means(error))
        for row, relative in zip(misses, np.abs(error) / of_voxels, strict=True):
            row += np.bincount(np.searchsorted(BINS[:-1], relative[shells > 0]), minlength=len(BINS))
    return {
        "inputs": np.array(INPUTS),
        "elements": np.array(draws.ELEMENTS),
        "bias": np.array(bias),
        "off": np.array(off),
        "standard_error": means(volumes.error_draws).std(axis=0),
        "misses": misses,
        "n_voxels": np.array([inside.sum() for inside in of_shell]),
        "gain": np.array(chosen.choices["gain"]),
    }


for _particle in PARTICLES:
    product(
        f"study/shell-errors/{_particle}",
        tolerance={"bias": 2e-3, "off": 1e-2, "standard_error": 1e-3, "misses": 2e3, "gain": 20.0},
        particle=_particle,
        pixels=64,
        tilt_step_deg=10.0,
        seed=1,
        n_draws=17,
    )(shell_errors)
