"""Whether `planning` predicts what a simulation and a solve give (``study/planning-check``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._typing import Floats
from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]

_BASE = {"particle_nm": 120.0, "radius_nm": 6.5, "contrast_at_percent": 9.0, "counts": 1.0, "step_deg": 10.0}
SETTINGS: dict[str, dict[str, float]] = {
    "as published": {},
    "larger clusters": {"radius_nm": 10.0},
    "four times the dose": {"counts": 4.0},
    "a tilt every 5 degrees": {"step_deg": 5.0},
    "larger particle": {"particle_nm": 160.0},
    "fainter, larger": {"radius_nm": 8.0, "contrast_at_percent": 6.0},
}


@product(
    "study/planning-check",
    tolerance={"measured": 0.1, "standard_error": 0.05, "null_sd": 0.1, "recall": 0.1},
    settings={name: {**_BASE, **change} for name, change in SETTINGS.items()},
    n_draws=20,
    n_clusters=5,
)
def planning_check(
    report: Report, files: Files, *, settings: Mapping[str, Mapping[str, float]], n_draws: int, n_clusters: int
) -> Arrays:
    """Count, fit and look for clusters of manganese in round particles, beside what `planning` predicts.

    The filter knows the radius and is asked at the voxel nearest to each cluster; the mean composition it finds itself.
    ``names`` : str (setting,). ``predicted``, ``measured``, ``standard_error`` : float (setting,), signal over noise
    of a cluster, mean over places. ``null_sd`` : float (setting,), scatter of the scores without clusters, in units of
    the noise that the covariance promises. ``recall`` : float (setting, 2), predicted and measured, at 5 % of the
    places falsely marked. ``n_clusters`` : int (setting,). Absorption is left out of both.
    """
    import numpy as np
    from scipy.special import ndtri

    from .. import planning
    from ..simulation import Acquisition

    del files
    rows = []
    for number, (name, setting) in enumerate(settings.items()):
        scan = Acquisition(tilt_angles_deg=tuple(np.arange(-70.0, 70.1, setting["step_deg"]).tolist()))
        scores = []
        for draw in range(n_draws):
            report((number + draw / n_draws) / len(settings), name)
            rng = np.random.default_rng([15, number, draw])
            scores.append(_scores(scan, setting, n_clusters=n_clusters, rng=rng))
        rich, null = np.concatenate(scores, axis=1)
        z = rich / null.std()
        plan = planning.detectability(
            scan.replace(beam_current_na=scan.beam_current_na * setting["counts"]),
            particle_nm=setting["particle_nm"],
            radius_nm=setting["radius_nm"],
            contrast_at_percent=setting["contrast_at_percent"],
            absorption=False,
            n_clusters=n_clusters,
            false_positive_rate=[0.05],
        )
        error = z.std(ddof=1) / np.sqrt(z.size)
        recall = np.mean(z > -ndtri(0.05))
        rows.append([plan.snr_anywhere, z.mean(), error, null.std(), plan.recall[0], recall, z.size])
    table = np.array(rows)
    return {
        "names": np.array(list(settings)),
        "predicted": table[:, 0],
        "measured": table[:, 1],
        "standard_error": table[:, 2],
        "null_sd": table[:, 3],
        "recall": table[:, 4:6],
        "n_clusters": table[:, 6].astype(int),
    }


def _scores(scan: Any, setting: Mapping[str, float], *, n_clusters: int, rng: Any) -> Floats:
    """Return the scores at the clusters of one simulated particle, and at the same places without: shape (2, n)."""
    import numpy as np

    from .. import composition
    from ..constants import NCM111_FORMULA_UNITS_PER_NM3
    from ..containers import Tomogram
    from ..phantoms.clusters import edge_profile
    from ..projection import Projector

    size, radius, half = scan.pixel_size_nm, setting["radius_nm"], setting["particle_nm"] / 2
    n = 2 * int(np.ceil(half / size + 2))
    axis = (np.arange(n) - n // 2) * size
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1])  # x, y, z of every voxel (z, y, x)

    def ball(place: Any) -> Any:
        return edge_profile(np.linalg.norm(grid - np.reshape(place, (3, 1, 1, 1)), axis=0), radius)

    density = 3 * NCM111_FORMULA_UNITS_PER_NM3 * np.clip((half - np.linalg.norm(grid, axis=0)) / size + 0.5, 0, 1)
    centers = _centers(half - radius, apart_nm=2 * radius + 12, n=n_clusters, rng=rng)
    rich = setting["contrast_at_percent"] / 100 * np.sum([ball(center) for center in centers], axis=0)
    direction = {"O": 0.0, "Mn": 1.0, "Co": -0.5, "Ni": -0.5}
    mean = {"O": 2 / 3, "Mn": 1 / 9, "Co": 1 / 9, "Ni": 1 / 9}
    project = Projector(scan.tilt_angles_deg, (n, n)).forward
    path = project((density * size).astype(np.float32))
    inside = path > 0.02 * path.max()
    templates = [project((density * size * ball(np.rint(c / size) * size)).astype(np.float32)) for c in centers]
    scores = []
    for amount in (1.0, 0.0):
        lines = composition.counted_lines(
            Tomogram(density, size),
            fractions={el: mean[el] + amount * direction[el] * rich for el in mean},
            tilt_angles_deg=scan.tilt_angles_deg,
            rng=rng,
            counts=setting["counts"],
        )
        images = np.stack([lines.intensities[el].images for el in mean], axis=-1)
        per_tilt = images.sum(axis=(1, 2)) / path.sum(axis=(1, 2))[:, None]  # gain times mean, shadow included
        left = (images - per_tilt[:, None, None] * path[..., None])[inside]
        gain = per_tilt * [direction[el] / mean[el] for el in mean]
        weight = np.linalg.inv(lines.covariance[inside].astype(np.float64))
        for template in templates:
            expected = (gain[:, None, None] * template[..., None])[inside]
            filtered = np.einsum("pij,pj->pi", weight, expected)
            scores.append(np.sum(filtered * left) / np.sqrt(np.sum(filtered * expected)))
    return np.reshape(scores, (2, -1))


def _centers(reach_nm: float, *, apart_nm: float, n: int, rng: Any) -> Floats:
    """Return places (n, 3) as (x, y, z), evenly in a ball and apart."""
    import numpy as np

    placed: list[Any] = []
    for _ in range(20_000):
        place = rng.uniform(-reach_nm, reach_nm, 3)
        if np.linalg.norm(place) <= reach_nm and all(np.linalg.norm(place - other) >= apart_nm for other in placed):
            placed.append(place)
        if len(placed) == n:
            break
    return np.array(placed).reshape(-1, 3)
