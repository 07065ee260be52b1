"""Where the metal-rich clusters of a particle lie and how large they are, so that its rich volume is the stage's."""

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from . import clusters as blobs
from .balance import METALS
from .chemistry import Chemistry
from .sampling import CALIBRATION_SPACING_NM, local
from .shapes import Shape
from .stages import RICH_THRESHOLD_AT_PERCENT, Stage


def place_clusters(
    chemistry: Chemistry,
    stage: Stage,
    shape: Shape,
    points_nm: Floats,
    depth_nm: Floats,
    *,
    rng: np.random.Generator,
) -> blobs.Clusters:
    """Place clusters and solve their radii for the stage's rich volume, in the outermost layer and in all."""
    cell = CALIBRATION_SPACING_NM**3
    inside_nm3 = len(points_nm) * cell
    layer_nm3 = np.count_nonzero(depth_nm < blobs.SURFACE_DEPTH_NM) * cell
    clusters = blobs.Clusters.none()
    for metal in METALS:
        share = stage.rich[metal] / 100
        if share == 0:
            continue
        n = max(1, round(share * inside_nm3 / blobs.SMALL.volume_nm3 / 2))
        centers = blobs.place(
            rng, points_nm, depth_nm, numbers=(n, n), decay_nm=chemistry.decay_nm, taken_nm=clusters.centers_nm
        )
        at_surface = _RichVolume(chemistry, shape, metal, centers[:n])
        deeper = _RichVolume(chemistry, shape, metal, centers[n:])
        # The clusters at the surface make its layer twice as rich as the whole; the deeper ones supply the rest.
        surface_radius = blobs.solve_radius(at_surface.in_layer, 2 * share * layer_nm3)
        bulk_radius = blobs.solve_radius(deeper.total, share * inside_nm3 - at_surface.total(surface_radius))
        clusters = clusters.with_more(centers, np.repeat([surface_radius, bulk_radius], n), METALS.index(metal))
    return clusters


def place_large_clusters(
    chemistry: Chemistry,
    stage: Stage,
    shape: Shape,
    points_nm: Floats,
    depth_nm: Floats,
    *,
    rng: np.random.Generator,
) -> blobs.Clusters:
    """Place few clusters of 10 to 13 nm with the stage's rich volume, as many at the surface as below or one more."""
    inside_nm3 = len(points_nm) * CALIBRATION_SPACING_NM**3
    clusters = blobs.Clusters.none()
    for metal in METALS:
        share = stage.rich[metal] / 100
        n = max(1, round(share * inside_nm3 / blobs.LARGE.volume_nm3))
        centers = blobs.place(
            rng,
            points_nm,
            depth_nm,
            numbers=((n + 1) // 2, n // 2),
            decay_nm=chemistry.decay_nm,
            taken_nm=clusters.centers_nm,
            size=blobs.LARGE,
        )
        volume = _RichVolume(chemistry, shape, metal, centers, size=blobs.LARGE)
        radius = blobs.solve_radius(volume.total, share * inside_nm3, size=blobs.LARGE)
        clusters = clusters.with_more(centers, np.full(n, radius), METALS.index(metal))
    return clusters


class _RichVolume:
    """Volume above the threshold of clusters of one metal, as a function of their radius, on a fine local grid."""

    SPACING_NM = 1.3

    def __init__(
        self, chemistry: Chemistry, shape: Shape, metal: str, centers_nm: Floats, *, size: blobs.Size = blobs.SMALL
    ) -> None:
        reach = size.largest_radius_nm + blobs.EDGE_NM
        axis = np.arange(-reach, reach, self.SPACING_NM) + self.SPACING_NM / 2
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        grid = grid[np.linalg.norm(grid, axis=1) < reach]
        points = (centers_nm[:, None] + grid).reshape(-1, 3)
        distance = np.tile(np.linalg.norm(grid, axis=1), len(centers_nm))
        depth = shape.depth(points)
        points, self.distance, self.depth = points[depth >= 0], distance[depth >= 0], depth[depth >= 0]
        fractions = chemistry.evaluate(local(chemistry, points, self.depth)).atomic_fractions
        self.metals = 1 - fractions["O"]
        self.share = fractions[metal] / self.metals
        self.peak = chemistry.peak_share
        # A metal more for every two atoms in rock salt, for every three elsewhere.
        self.peak_metals = 1 / 3 + chemistry.cluster_rock_salt / 6

    def _rich(self, radius_nm: float) -> NDArray[np.bool_]:
        profile = blobs.edge_profile(self.distance, radius_nm)
        metals = self.metals + profile * (self.peak_metals - self.metals)
        fraction = metals * (self.share + profile * (self.peak - self.share))
        return np.asarray(fraction > RICH_THRESHOLD_AT_PERCENT / 100)

    def total(self, radius_nm: float) -> float:
        """Volume in nm³ inside the specimen."""
        return float(np.count_nonzero(self._rich(radius_nm)) * self.SPACING_NM**3)

    def in_layer(self, radius_nm: float) -> float:
        """Volume in nm³ inside the outermost layer."""
        return float(
            np.count_nonzero(self._rich(radius_nm) & (self.depth < blobs.SURFACE_DEPTH_NM)) * self.SPACING_NM**3
        )
