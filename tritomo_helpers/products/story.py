"""Products of the chapters that tell the story: what noise makes of depth and of spread."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]


@product(
    "story/inhomogeneity",
    tolerance={"null_sd": 0.03, "measured_sd": 0.03, "null_rich": 0.1, "measured_rich": 0.1, "noise_sd": 0.03},
    particles=("pristine-1", "cycled-200-1"),
    metals=("Mn", "Co"),
    n_draws=6,
    genfire={"oversampling": 2, "n_iterations": 200},
)
def story_inhomogeneity(
    report: Report,
    files: Files,
    *,
    particles: tuple[str, ...],
    metals: tuple[str, ...],
    n_draws: int,
    genfire: Mapping[str, Any],
) -> Arrays:
    """Two particles, and homogeneous ones of their shape and mean, through the published chain with an early stop.

    Every array has axes (particle, ..., shell), padded with NaN, shells of the true mask. ``true_sd``,
    ``measured_sd``, ``noise_sd`` : (particle, metal, shell), at%: standard deviation within a shell of the truth and of
    the measured map, and of the error of a voxel in the null. ``null_sd`` : (particle, draw, metal, shell).
    ``true_rich``, ``measured_rich`` (particle, metal, shell), ``null_rich`` (particle, draw, metal, shell) : voxels
    above 16.67 at%, %. ``n`` : voxels (particle, shell). ``depth_nm`` : (particle, shell). ``slices`` : float16
    (map, y, x), the middle slice of Mn of the first particle, true, measured and null. ``mean`` (particle, metal), at%.
    """
    import numpy as np

    from .. import composition, phantoms
    from .. import particles as shells_of
    from ..simulation import Acquisition

    del files
    angles = Acquisition().tilt_angles_deg
    tables: dict[str, list[Any]] = {}
    slices: list[Any] = []
    for number, name in enumerate(particles):
        specimen = phantoms.particle(name)
        shells = shells_of.shells(specimen.mask)
        inside = specimen.mask
        mean = {el: float(np.nanmean(v[inside])) for el, v in specimen.atomic_fractions.items()}
        true = {el: np.where(inside, v, mean[el]) for el, v in specimen.atomic_fractions.items()}
        rng = np.random.default_rng(7 + number)
        volumes = []
        for draw in range(n_draws + 1):
            report((number * (n_draws + 1) + draw) / len(particles) / (n_draws + 1), name)
            lines = composition.counted_lines(
                specimen.tomogram(), fractions=mean if draw else true, tilt_angles_deg=angles, rng=rng
            )
            result = composition.reconstruct_paper(lines.intensities, mask=inside, atomic_ratio=mean, **genfire)
            volumes.append(np.stack([100 * np.asarray(result.fractions[el].values) for el in metals]))
        exact = np.stack([np.where(inside, 100 * true[el], np.nan) for el in metals])
        null = np.stack(volumes[1:])
        error = np.sqrt(np.nanmean((null - 100 * np.array([mean[el] for el in metals])[:, None, None, None]) ** 2, 0))

        def sd(volume: Any, shells: Any = shells) -> Any:
            return shells_of.depth_profile(volume, shells).sd

        def rich(volume: Any, shells: Any = shells) -> Any:
            return 100 * shells_of.depth_profile(np.where(np.isfinite(volume), volume > 100 / 6, np.nan), shells).mean

        def rms(volume: Any, shells: Any = shells) -> Any:
            return np.sqrt(shells_of.depth_profile(volume**2, shells).mean)

        row = {
            "true_sd": [sd(v) for v in exact],
            "measured_sd": [sd(v) for v in volumes[0]],
            "null_sd": [[sd(v) for v in draw] for draw in null],
            "noise_sd": [rms(v) for v in error],
            "true_rich": [rich(v) for v in exact],
            "measured_rich": [rich(v) for v in volumes[0]],
            "null_rich": [[rich(v) for v in draw] for draw in null],
            "n": shells_of.depth_profile(exact[0], shells).n,
            "depth_nm": shells_of.mean_depth_nm(shells, voxel_size_nm=specimen.voxel_size_nm),
        }
        for key, value in row.items():
            tables.setdefault(key, []).append(np.asarray(value, dtype=float))
        tables.setdefault("mean", []).append(np.array([100 * mean[el] for el in metals]))
        middle = inside.shape[0] // 2
        slices = slices or [exact[0][middle], volumes[0][0][middle], null[0][0][middle]]
    n_shells = max(depth.size for depth in tables["depth_nm"])

    def padded(values: Any) -> Any:
        missing = [(0, 0)] * (values.ndim - 1) + [(0, n_shells - values.shape[-1])]
        return np.pad(values, missing, constant_values=np.nan)

    stacked = {k: np.stack([padded(v) if k != "mean" else v for v in values]) for k, values in tables.items()}
    return {**stacked, "slices": np.array(slices, dtype=np.float16)}
