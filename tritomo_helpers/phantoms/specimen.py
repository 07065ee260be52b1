"""A specimen: a shape filled with a chemistry, evaluated at any point or integrated along any ray."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_shape
from . import clusters as blobs
from .chemistry import METALS, SPECIES, Chemistry, Local, Values, Waves, calibrate
from .shapes import Balls, Shape, coverage, rough_polyhedron
from .stages import FIELD_OF_VIEW_NM, RICH_THRESHOLD_AT_PERCENT, SPECIMENS, STAGES, Stage

RAY_STEP_NM = 2.0
"""Step along a ray: less than half the soft edge, so that the sums agree with finer ones to 0.1 %."""

# Points evaluated at once: bounds the memory to about 60 MB whatever is asked for.
_CHUNK = 50_000

# Spacing of the points on which means are set to the truth: finer than any grid the project samples on.
_CALIBRATION_SPACING_NM = 3.7

# Rich volume of one typical cluster, nm³: a ball of 6.4 nm radius, 11 voxels of the published scan.
_CLUSTER_VOLUME_NM3 = 1100.0


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

    def evaluate(self, points_nm: Floats) -> tuple[Floats, Values]:
        """Return depth (n,) and chemistry at points (n, 3), inside or not."""
        depth = self.shape.depth(points_nm)
        return depth, self.chemistry.evaluate(self.chemistry.local(points_nm, depth))

    def integrate(self, angle_deg: float, u_nm: ArrayLike, y_nm: ArrayLike) -> dict[str, Floats]:
        """Integrate every species along rays, 1/nm².

        Parameters
        ----------
        angle_deg : float
            Tilt.
        u_nm, y_nm : array_like, same shape
            Where the rays cross the image plane; any shape.

        Returns
        -------
        dict of str to ndarray
            Atoms per nm² of O, Mn4, Mn3, Mn2, Co3, Co2, Ni2, Li, in the shape given.
        """
        u_values, y_values = np.asarray(u_nm, dtype=np.float64), np.asarray(y_nm, dtype=np.float64)
        check_shape(y_values, "y_nm", u_values.shape, remedy="give one y for every u")
        along_u, along_ray = tilt_directions(angle_deg)
        origins = u_values.reshape(-1, 1) * along_u + y_values.reshape(-1, 1) * np.array([0.0, 1.0, 0.0])
        sums = {name: np.zeros(len(origins)) for name in SPECIES}
        for ray, points in self._points_along(origins, along_ray):
            depth = self.shape.depth(points)
            share = coverage(depth)
            inside = share > 0
            if not inside.any():
                continue
            ray, points, share = ray[inside], points[inside], share[inside]
            values = self.chemistry.evaluate(self.chemistry.local(points, depth[inside]))
            for name, density in values.species().items():
                sums[name] += np.bincount(ray, weights=density * share, minlength=len(origins)) * RAY_STEP_NM
        return {name: total.reshape(u_values.shape) for name, total in sums.items()}

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
        for group in np.array_split(rays, max(1, int(count.sum()) // _CHUNK)):
            if group.size == 0:
                continue
            n = count[group]
            index = np.repeat(group, n)
            step = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(start[group], n)
            yield index, origins[index] + ((step + 0.5) * RAY_STEP_NM)[:, None] * direction


def chunks(points_nm: Floats) -> Iterator[slice]:
    """Yield slices that cut points (n, 3) into pieces of bounded memory."""
    for start in range(0, len(points_nm), _CHUNK):
        yield slice(start, start + _CHUNK)


def _calibration_points(shape: Shape) -> tuple[Floats, Floats]:
    """Return points inside the shape on an even lattice that matches no voxel grid, and their depths."""
    axis = np.arange(-FIELD_OF_VIEW_NM / 2, FIELD_OF_VIEW_NM / 2, _CALIBRATION_SPACING_NM) + 0.618
    low, high = shape.surface_nm.min(axis=0), shape.surface_nm.max(axis=0)
    axes = [axis[(axis > low[i]) & (axis < high[i])] for i in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    depth = np.concatenate([shape.depth(grid[part]) for part in chunks(grid)])
    return grid[depth >= 0], depth[depth >= 0]


def _local(chemistry: Chemistry, points_nm: Floats, depth_nm: Floats) -> Local:
    parts = [chemistry.local(points_nm[part], depth_nm[part]) for part in chunks(points_nm)]
    return Local(
        np.concatenate([p.decay for p in parts]),
        np.concatenate([p.waves for p in parts], axis=1),
        np.concatenate([p.clusters for p in parts], axis=1),
    )


def _seed(name: str) -> int:
    # Python's own hash changes from process to process; the letters of the name do not.
    return int.from_bytes(name.encode(), "little")


@cache
def body(name: str, control: str) -> Body:
    """Build the specimen of that name; computed once per process, the same in every process."""
    specimen = SPECIMENS[name]
    stage = STAGES[specimen.stage]
    shape_rng, wave_rng, cluster_rng = np.random.default_rng(_seed(name)).spawn(3)
    shape = rough_polyhedron(shape_rng, feret_nm=specimen.feret_nm)
    points, depth = _calibration_points(shape)
    decay_nm = _decay_length(depth)

    o = stage.o_at_percent / 100
    third = (1 - o) / 3
    offset = specimen.co_offset / 100
    targets = {"O": o, "Mn": third - offset / 2, "Co": third + offset}
    targets |= {"Mn4": stage.mn4 / 100, "Mn3": stage.mn3 / 100, "Co3": stage.co3 / 100}
    start = Chemistry(
        waves=Waves.draw(wave_rng),
        clusters=blobs.Clusters.none(),
        decay_nm=decay_nm,
        rock_salt=(2 / 3 - o) * 6,
        spinel=stage.spinel,
        metal_shares={el: targets.get(el, third - offset / 2) / (1 - o) for el in METALS},
        fluctuation={el: stage.fluctuation[el] / 100 / (1 - o) for el in ("Mn", "Co")},
        peak_share=0.22 / (1 - o),
        mn4=targets["Mn4"],
        mn3_of_rest=stage.mn3 / (stage.mn3 + stage.mn2),
        co3=targets["Co3"],
        mn4_rise=stage.mn4_rise / 100,
        co3_rise=stage.co3_rise / 100,
        mean_decay=float(np.exp(-depth / decay_nm).mean()),
    )
    if control in ("null", "valence-only"):
        start = replace(start, fluctuation={"Mn": 0.0, "Co": 0.0}, rock_salt_noise=0.0)
    else:
        start = replace(start, clusters=_clusters(cluster_rng, start, stage, shape, points, depth))
    if control in ("null", "segregation-only"):
        start = replace(start, mn4_rise=0.0, co3_rise=0.0, valence_noise=0.0, cluster_reduction=0.0)
    if control == "null":
        return Body(shape, start)
    return Body(shape, calibrate(start, _local(start, points, depth), targets))


def balls_body(centers_nm: Floats, radii_nm: Floats) -> Body:
    """Return homogeneous balls of ideal LiNi1/3Co1/3Mn1/3O2: Mn4+, Co3+, Ni2+."""
    uniform = Chemistry(
        waves=Waves.draw(np.random.default_rng(0)),
        clusters=blobs.Clusters.none(),
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


def _clusters(
    rng: np.random.Generator, chemistry: Chemistry, stage: Stage, shape: Shape, points_nm: Floats, depth_nm: Floats
) -> blobs.Clusters:
    """Place clusters and solve their radii for the stage's rich volume, in the outermost layer and in all."""
    cell = _CALIBRATION_SPACING_NM**3
    inside_nm3 = len(points_nm) * cell
    layer_nm3 = np.count_nonzero(depth_nm < blobs.SURFACE_DEPTH_NM) * cell
    found = blobs.Clusters.none()
    for index, metal in enumerate(METALS):
        share = stage.rich[metal] / 100
        if share == 0:
            continue
        n = max(1, round(share * inside_nm3 / _CLUSTER_VOLUME_NM3 / 2))
        decay_nm, taken = chemistry.decay_nm, found.centers_nm
        centers = blobs.place(rng, points_nm, depth_nm, n_surface=n, n_bulk=n, decay_nm=decay_nm, taken_nm=taken)
        at_surface = _RichVolume(chemistry, shape, metal, centers[:n])
        deeper = _RichVolume(chemistry, shape, metal, centers[n:])
        # The clusters at the surface make its layer twice as rich as the whole; the deeper ones supply the rest.
        surface_radius = blobs.solve_radius(at_surface.in_layer, 2 * share * layer_nm3)
        rest = share * inside_nm3 - at_surface.total(surface_radius)
        radii = np.repeat([surface_radius, blobs.solve_radius(deeper.total, rest)], n)
        found = blobs.Clusters(
            np.concatenate([found.centers_nm, centers]),
            np.concatenate([found.radii_nm, radii]),
            np.concatenate([found.metal, np.full(2 * n, index)]),
        )
    return found


class _RichVolume:
    """Volume above the threshold of clusters of one metal, as a function of their radius, on a fine local grid."""

    SPACING_NM = 1.3

    def __init__(self, chemistry: Chemistry, shape: Shape, metal: str, centers_nm: Floats) -> None:
        reach = blobs.MAX_RADIUS_NM + blobs.EDGE_NM
        axis = np.arange(-reach, reach, self.SPACING_NM) + self.SPACING_NM / 2
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        grid = grid[np.linalg.norm(grid, axis=1) < reach]
        points = (centers_nm[:, None] + grid).reshape(-1, 3)
        distance = np.tile(np.linalg.norm(grid, axis=1), len(centers_nm))
        depth = shape.depth(points)
        points, self.distance, self.depth = points[depth >= 0], distance[depth >= 0], depth[depth >= 0]
        fractions = chemistry.evaluate(_local(chemistry, points, self.depth)).atomic_fractions
        self.metals = 1 - fractions["O"]
        self.share = fractions[metal] / self.metals
        self.peak = chemistry.peak_share

    def _rich(self, radius_nm: float) -> NDArray[np.bool_]:
        profile = blobs.edge_profile(self.distance, radius_nm)
        fraction = self.metals * (self.share + profile * (self.peak - self.share))
        return np.asarray(fraction > RICH_THRESHOLD_AT_PERCENT / 100)

    def total(self, radius_nm: float) -> float:
        """Volume in nm³ inside the specimen."""
        return float(np.count_nonzero(self._rich(radius_nm)) * self.SPACING_NM**3)

    def in_layer(self, radius_nm: float) -> float:
        """Volume in nm³ inside the outermost layer."""
        return float(
            np.count_nonzero(self._rich(radius_nm) & (self.depth < blobs.SURFACE_DEPTH_NM)) * self.SPACING_NM**3
        )
