"""Whether `planning` predicts what a simulation and a solve give (``study/planning-check``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
    tolerance={
        "measured": 0.1,
        "standard_error": 0.05,
        "null_sd": 0.1,
        "recall": 0.1,
        "false_spots": 3.0,
        "streaks": 1.0,
    },
    settings={name: {**_BASE, **change} for name, change in SETTINGS.items()},
    n_draws=20,
    n_clusters=5,
)
def planning_check(
    report: Report,
    files: Files,
    *,
    settings: Mapping[str, Mapping[str, float]],
    n_draws: int,
    n_clusters: int,
) -> Arrays:
    """Count, fit and look for clusters of manganese in round particles, beside what `planning` predicts.

    The filter knows the radius and is asked at the voxel nearest to each cluster; the mean composition it finds itself.
    ``names`` : str (setting,). ``predicted``, ``measured``, ``standard_error`` : float (setting,), signal over noise
    of a cluster, mean over places. ``null_sd`` : float (setting,), scatter of the scores of a particle without
    clusters, at all its voxels, in units of the noise that the covariance promises. ``recall`` : float (setting, 2),
    predicted and measured, at 5 % of the places falsely marked. ``false_spots``, ``precision`` : float (setting, 2),
    at 1 %; spots a diameter apart or more in the particle without clusters. ``streaks`` : float (setting,), how many
    spots more, for each cluster, there are in a particle with clusters. ``n_clusters`` : int (setting,). Absorption is
    left out of both.
    """
    import numpy as np

    from .. import planning
    from ..simulation import Acquisition

    del files
    rows = []
    for number, (name, setting) in enumerate(settings.items()):
        scan = Acquisition(tilt_angles_deg=tuple(np.arange(-70.0, 70.1, setting["step_deg"]).tolist()))
        draws = []
        for draw in range(n_draws):
            report((number + draw / n_draws) / len(settings), name)
            rng = np.random.default_rng([15, number, draw])
            draws.append(_drawn(scan, setting, n_clusters=n_clusters, rng=rng))
        plan = planning.detectability(
            scan.replace(beam_current_na=scan.beam_current_na * setting["counts"]),
            particle_nm=setting["particle_nm"],
            radius_nm=setting["radius_nm"],
            contrast_at_percent=setting["contrast_at_percent"],
            absorption=False,
            n_clusters=n_clusters,
            false_positive_rate=[0.05, 0.01],
        )
        rows.append(_compared(plan, draws, apart_nm=2 * setting["radius_nm"]))
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {"names": np.array(list(settings)), **table}


def _compared(plan: Any, draws: Any, *, apart_nm: float) -> dict[str, Any]:
    """One row of the table: a forecast beside the scores of some draws."""
    import numpy as np
    from scipy.special import ndtri

    sd = np.concatenate([draw.null for draw in draws]).std()
    z = np.concatenate([draw.at_clusters for draw in draws]) / sd
    recall = [np.mean(z > -ndtri(rate)) for rate in plan.false_positive_rate]
    threshold = -ndtri(plan.false_positive_rate[1]) * sd
    by_noise = np.mean([len(_spots(draw.places, draw.null, threshold, apart_nm=apart_nm)) for draw in draws])
    streaks = []
    for draw in draws:
        spots = _spots(draw.places, draw.rich, threshold, apart_nm=apart_nm)
        away = np.linalg.norm(spots[:, None] - draw.centers, axis=-1).min(axis=1, initial=np.inf) > apart_nm / 2
        streaks.append((np.count_nonzero(away) - by_noise) / len(draw.centers))
    n = z.size / len(draws) * recall[1]
    return {
        "predicted": plan.snr_anywhere,
        "measured": z.mean(),
        "standard_error": z.std(ddof=1) / np.sqrt(z.size),
        "null_sd": sd,
        "recall": [plan.recall[0], recall[0]],
        "false_spots": [plan.false_spots[1], by_noise],
        "precision": [plan.precision[1], n / (n + by_noise)],
        "streaks": np.mean(streaks),
        "n_clusters": z.size,
    }


class _Draw(NamedTuple):
    """Scores of a simulated particle with clusters (`rich`) and without (`null`) at the same places (n, 3), nm."""

    places: Any
    rich: Any
    null: Any
    centers: Any
    at_clusters: Any


def _drawn(scan: Any, setting: Mapping[str, float], *, n_clusters: int, rng: Any) -> _Draw:
    """Simulate one particle with clusters and one without, and score every voxel that can hold a whole one."""
    import numpy as np

    from ..phantoms.clusters import edge_profile
    from ..planning.material import ATOMS_PER_NM3
    from ..projection import Projector

    size, radius, half = scan.pixel_size_nm, setting["radius_nm"], setting["particle_nm"] / 2
    n = 2 * int(np.ceil(half / size + 2))
    axis = (np.arange(n) - n // 2) * size
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1])  # x, y, z of every voxel (z, y, x)
    distance = np.linalg.norm(grid, axis=0)

    def ball(place: Any) -> Any:
        return edge_profile(np.linalg.norm(grid - np.reshape(place, (3, 1, 1, 1)), axis=0), radius)

    density = ATOMS_PER_NM3 * np.clip((half - distance) / size + 0.5, 0, 1)
    centers = _centers(half - radius, apart_nm=2 * radius + 12, n=n_clusters, rng=rng)
    amount = setting["contrast_at_percent"] / 100 * np.sum([ball(center) for center in centers], axis=0)
    project = Projector(scan.tilt_angles_deg, (n, n)).forward
    path = project((density * size).astype(np.float32))
    template = project((ATOMS_PER_NM3 * size * ball((0, 0, 0))).astype(np.float32))
    places = grid[:, distance <= half - radius].T
    at = np.concatenate([places, np.rint(centers / size) * size])
    scores = []
    for rich in (amount, 0 * amount):
        filtered, power = _filtered(density, rich, path, scan=scan, counts=setting["counts"], rng=rng)
        scores.append(_scored(filtered, power, template, at, scan=scan))
    return _Draw(places, scores[0][: len(places)], scores[1][: len(places)], centers, scores[0][len(places) :])


def _filtered(density: Any, rich: Any, path: Any, *, scan: Any, counts: float, rng: Any) -> tuple[Floats, Floats]:
    """Count a particle, and weigh what departs from its mean by what a cluster changes, in every pixel inside.

    Returns what is summed over a cluster's path, and its variance for each squared path.
    """
    import numpy as np

    from .. import composition
    from ..containers import Tomogram
    from ..planning.material import FRACTIONS

    direction = {"O": 0.0, "Mn": 1.0, "Co": -0.5, "Ni": -0.5}
    lines = composition.counted_lines(
        Tomogram(density, scan.pixel_size_nm),
        fractions={el: mean + direction[el] * rich for el, mean in FRACTIONS.items()},
        tilt_angles_deg=scan.tilt_angles_deg,
        rng=rng,
        counts=counts,
    )
    inside = path > 0.02 * path.max()
    images = np.stack([lines.intensities[el].images for el in FRACTIONS], axis=-1)
    per_tilt = images.sum(axis=(1, 2)) / path.sum(axis=(1, 2))[:, None]  # gain times mean, shadow included
    left = (images - per_tilt[:, None, None] * path[..., None])[inside]
    gain = per_tilt * [direction[el] / mean for el, mean in FRACTIONS.items()]
    change = np.broadcast_to(gain[:, None, None], images.shape)[inside]
    weighed = np.linalg.solve(lines.covariance[inside].astype(np.float64), change[..., None])[..., 0]
    filtered, power = np.zeros(path.shape), np.zeros(path.shape)
    filtered[inside], power[inside] = np.sum(weighed * left, axis=-1), np.sum(weighed * change, axis=-1)
    return filtered, power


def _scored(filtered: Floats, power: Floats, template: Any, places_nm: Any, *, scan: Any) -> Floats:
    """Return the score of a cluster at each place (n, 3): its path in every image, moved to where it is seen there."""
    import numpy as np
    from scipy import ndimage

    n = template.shape[-1]
    reach = int(np.nonzero(template.any(axis=(0, 1)))[0].max()) - n // 2
    cut = slice(n // 2 - reach, n // 2 + reach + 1)
    x, y, z = places_nm.T
    signal, variance = np.zeros(len(x)), np.zeros(len(x))
    for i, angle in enumerate(np.deg2rad(scan.tilt_angles_deg)):
        across = np.cos(angle) * x - np.sin(angle) * z
        seen = np.stack([y, across]) / scan.pixel_size_nm + n // 2
        path = template[i, cut, cut].astype(np.float64)
        signal += ndimage.map_coordinates(ndimage.correlate(filtered[i], path, mode="constant"), seen)
        variance += ndimage.map_coordinates(ndimage.correlate(power[i], path**2, mode="constant"), seen)
    return np.asarray(signal / np.sqrt(variance))


def _spots(places_nm: Any, scores: Any, threshold: float, *, apart_nm: float) -> Floats:
    """Return the places (n, 3) of the highest scores above a threshold, none closer to a higher one than `apart_nm`."""
    import numpy as np

    above = places_nm[scores > threshold][np.argsort(-scores[scores > threshold])]
    kept: list[Any] = []
    for place in above:
        if not kept or np.linalg.norm(np.array(kept) - place, axis=1).min() >= apart_nm:
            kept.append(place)
    return np.array(kept).reshape(-1, 3)


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
