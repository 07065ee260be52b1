"""A specimen: a shape filled with a chemistry, evaluated at any point or integrated along any ray."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_shape
from .balance import METALS, SPECIES, Values
from .chemistry import Chemistry, Coupling, calibrate
from .clusters import Clusters
from .fields import Waves
from .hypotheses import DEMANDED, explained
from .rich import place_clusters, place_large_clusters
from .sampling import CHUNK, calibration_points, local
from .shapes import Balls, Shape, coverage, rough_polyhedron
from .stages import HYPOTHESES, SPECIMENS, STAGES, Specimen, Stage

RAY_STEP_NM = 2.0
"""Step along a ray: less than half the soft edge, so that the sums agree with finer ones to 0.1 %."""

# Share of its metal among the visible atoms in the middle of a cluster (ours).
CLUSTER_PEAK = 0.22


def tilt_directions(angle_deg: float) -> tuple[Floats, Floats]:
    """Return u = (cos t, 0, -sin t), along which images are sampled, and n = (sin t, 0, cos t), along which rays run.

    Examples
    --------
    >>> u, n = tilt_directions(90)
    >>> np.round(u, 9), np.round(n, 9)
    (array([ 0.,  0., -1.]), array([1., 0., 0.]))
    """
    t = np.deg2rad(angle_deg)
    return np.array([np.cos(t), 0.0, -np.sin(t)]), np.array([np.sin(t), 0.0, np.cos(t)])


@dataclass(frozen=True, eq=False)
class Body:
    """A shape and its chemistry.

    Parameters
    ----------
    shape : Shape
    chemistry : Chemistry
    """

    shape: Shape
    chemistry: Chemistry

    @property
    def species(self) -> tuple[str, ...]:
        """What the specimen consists of, in the order of `balance.SPECIES`."""
        return tuple(name for name in SPECIES if name != "F" or self.chemistry.hypothesis == "surface-fluoride")

    def evaluate(self, points_nm: Floats) -> tuple[Floats, Values]:
        """Return depth (n,) and chemistry at points (n, 3), inside or not."""
        depth = self.shape.depth(points_nm)
        return depth, self.chemistry.evaluate(self.chemistry.local(points_nm, depth))

    def integrate(
        self,
        angle_deg: float,
        u_nm: ArrayLike,
        y_nm: ArrayLike,
        *,
        depth_weight: Callable[[Floats], Floats] | None = None,
        borders_nm: ArrayLike | None = None,
    ) -> dict[str, Floats]:
        """Integrate every species along rays, 1/nm².

        Parameters
        ----------
        angle_deg : float
            Tilt.
        u_nm, y_nm : array_like, same shape
            Where the rays cross the image plane; any shape.
        depth_weight : callable, optional
            Weight of the matter at a depth (nm) below the surface; all counts alike by default.
        borders_nm : array_like, shape (n,), optional
            Cut the specimen across the beam at these places along it, increasing.

        Returns
        -------
        dict of str to ndarray
            Atoms per nm² of every one of `species`, in the shape given; with borders one such array per slice, n + 1
            in the order in which the beam meets them.
        """
        u_values, y_values = np.asarray(u_nm, dtype=np.float64), np.asarray(y_nm, dtype=np.float64)
        check_shape(y_values, "y_nm", u_values.shape, remedy="give one y for every u")
        along_u, along_ray = tilt_directions(angle_deg)
        origins = u_values.reshape(-1, 1) * along_u + y_values.reshape(-1, 1) * np.array([0.0, 1.0, 0.0])
        borders = np.array([]) if borders_nm is None else np.asarray(borders_nm, dtype=np.float64)
        n_rays, n_slices = len(origins), borders.size + 1
        sums = {name: np.zeros(n_slices * n_rays) for name in self.species}
        for ray, points in self._points_along(origins, along_ray):
            depth = self.shape.depth(points)
            share = coverage(depth)
            inside = share > 0
            if not inside.any():
                continue
            ray, points, share = ray[inside], points[inside], share[inside]
            if depth_weight is not None:
                share = share * depth_weight(depth[inside])
            values = self.chemistry.evaluate(self.chemistry.local(points, depth[inside]))
            if borders.size:
                ray = ray + n_rays * np.searchsorted(borders, points @ along_ray)
            for name, density in values.species().items():
                sums[name] += np.bincount(ray, weights=density * share, minlength=n_slices * n_rays) * RAY_STEP_NM
        shape = u_values.shape if borders_nm is None else (n_slices, *u_values.shape)
        return {name: total.reshape(shape) for name, total in sums.items()}

    def _points_along(self, origins: Floats, direction: Floats) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        """Yield (ray index, point) arrays of bounded size that cover the shape along every ray."""
        normals, offsets = self.shape.half_spaces
        slope = normals @ direction
        room = offsets - origins @ normals.T  # (n_rays, n_faces)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = room / slope
        first = np.where(slope < 0, crossing, -np.inf).max(axis=1)
        last = np.where(slope > 0, crossing, np.inf).min(axis=1)
        outside = (np.where(slope == 0, room, 0) < 0).any(axis=1)
        # All rays share one lattice of steps, so that neighboring rays have no steps of their own between them.
        start = np.ceil(first / RAY_STEP_NM - 0.5)
        count = np.where(outside, 0, np.maximum(np.floor(last / RAY_STEP_NM - 0.5) - start + 1, 0)).astype(np.int64)
        rays = np.flatnonzero(count)
        for group in np.array_split(rays, max(1, int(count.sum()) // CHUNK)):
            if group.size == 0:
                continue
            n = count[group]
            index = np.repeat(group, n)
            step = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(start[group], n)
            yield index, origins[index] + ((step + 0.5) * RAY_STEP_NM)[:, None] * direction


def _seed(name: str) -> int:
    # Python's own hash changes from process to process; the letters of the name do not.
    return int.from_bytes(name.encode(), "little")


@cache
def body(name: str, control: str, coupling: Coupling = DEMANDED) -> Body:
    """Build the specimen of that name; computed once per process, the same in every process."""
    specimen = SPECIMENS[name]
    stage = STAGES[specimen.stage]
    shape_rng, wave_rng, cluster_rng = np.random.default_rng(_seed(name)).spawn(3)
    shape = rough_polyhedron(shape_rng, feret_nm=specimen.feret_nm)
    points, depth = calibration_points(shape)
    start, targets = _start(stage, specimen, wave_rng, depth)
    if control in HYPOTHESES:
        return Body(shape, explained(start, control, points, depth, coupling=coupling, targets=targets))
    if control in ("null", "valence-only"):
        start = replace(start, fluctuation={"Mn": 0.0, "Co": 0.0}, rock_salt_noise=0.0, cluster_rock_salt=0.0)
    elif stage.cluster_rock_salt > 0:
        place = place_large_clusters if control == "large-clusters" else place_clusters
        start = replace(start, clusters=place(start, stage, shape, points, depth, rng=cluster_rng))
    if control in ("null", "segregation-only"):
        start = replace(start, mn4_rise=0.0, co3_rise=0.0, valence_noise=0.0, valence_follows_rock_salt=False)
    if control == "null":
        return Body(shape, start)
    return Body(shape, calibrate(start, local(start, points, depth), targets))


def _start(
    stage: Stage, specimen: Specimen, rng: np.random.Generator, depth_nm: Floats
) -> tuple[Chemistry, dict[str, float]]:
    """Return a chemistry before calibration and without clusters, and the means that it must reach."""
    decay_nm = _decay_length(depth_nm)
    o = stage.o_at_percent / 100
    third = (1 - o) / 3
    offset = specimen.co_offset / 100
    targets = {"O": o, "Mn": third - offset / 2, "Co": third + offset}
    targets |= {"Mn4": stage.mn4 / 100, "Mn3": stage.mn3 / 100, "Co3": stage.co3 / 100}
    chemistry = Chemistry(
        waves=Waves.draw(rng),
        clusters=Clusters.none(),
        decay_nm=decay_nm,
        rock_salt=max((2 / 3 - o) * 6, 0.0),
        spinel=stage.spinel,
        metal_shares={el: targets.get(el, third - offset / 2) / (1 - o) for el in METALS},
        fluctuation={el: stage.fluctuation[el] / 100 / (1 - o) for el in ("Mn", "Co")},
        peak_share=CLUSTER_PEAK / (1 / 3 + stage.cluster_rock_salt / 6),
        mn4=targets["Mn4"],
        mn3_of_rest=stage.mn3 / (stage.mn3 + stage.mn2),
        co3=targets["Co3"],
        mn4_rise=stage.mn4_rise / 100,
        co3_rise=stage.co3_rise / 100,
        mean_decay=float(np.exp(-depth_nm / decay_nm).mean()),
        lithium_layered=stage.lithium_layered,
        cluster_rock_salt=stage.cluster_rock_salt,
    )
    return chemistry, targets


def balls_body(centers_nm: Floats, radii_nm: Floats) -> Body:
    """Return homogeneous balls of ideal LiNi1/3Co1/3Mn1/3O2: Mn4+, Co3+, Ni2+."""
    uniform = Chemistry(
        waves=Waves.draw(np.random.default_rng(0)),
        clusters=Clusters.none(),
        decay_nm=1.0,
        rock_salt=0.0,
        spinel=0.0,
        metal_shares=dict.fromkeys(METALS, 1 / 3),
        fluctuation={"Mn": 0.0, "Co": 0.0},
        peak_share=0.0,
        mn4=1.0,
        mn3_of_rest=0.0,
        co3=1.0,
        valence_noise=0.0,
    )
    return Body(Balls(centers_nm, radii_nm), uniform)


def _decay_length(depth_nm: Floats) -> float:
    """Return the length at which the mean of exp(-depth / length) over the particle is 1/2.

    Then whatever decays like this is twice as frequent at the surface as on average, as the paper finds for clusters.
    """
    low, high = 1.0, float(depth_nm.max()) * 4
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(-depth_nm / middle).mean() < 0.5 else (low, middle)
    return (low + high) / 2
