"""Points at which a specimen is evaluated, in pieces of bounded memory."""

from collections.abc import Iterator

import numpy as np

from .._typing import Floats
from .chemistry import Chemistry
from .fields import Local
from .shapes import Shape
from .stages import FIELD_OF_VIEW_NM

CHUNK = 50_000
"""Points evaluated at once: bounds the memory to about 60 MB whatever is asked for."""

CALIBRATION_SPACING_NM = 3.7
"""Spacing of the points on which means are set to the truth: finer than any grid the project samples on."""


def chunks(points_nm: Floats) -> Iterator[slice]:
    """Yield slices that cut points (n, 3) into pieces of bounded memory."""
    for start in range(0, len(points_nm), CHUNK):
        yield slice(start, start + CHUNK)


def calibration_points(shape: Shape) -> tuple[Floats, Floats]:
    """Return points inside the shape on an even lattice that matches no voxel grid, and their depths."""
    axis = np.arange(-FIELD_OF_VIEW_NM / 2, FIELD_OF_VIEW_NM / 2, CALIBRATION_SPACING_NM) + 0.618
    low, high = shape.surface_nm.min(axis=0), shape.surface_nm.max(axis=0)
    axes = [axis[(axis > low[i]) & (axis < high[i])] for i in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    depth = np.concatenate([shape.depth(grid[piece]) for piece in chunks(grid)])
    return grid[depth >= 0], depth[depth >= 0]


def local(chemistry: Chemistry, points_nm: Floats, depth_nm: Floats) -> Local:
    """Evaluate fields and cluster profiles at any number of points (n, 3)."""
    pieces = [chemistry.local(points_nm[piece], depth_nm[piece]) for piece in chunks(points_nm)]
    return Local(
        np.concatenate([p.decay for p in pieces]),
        np.concatenate([p.waves for p in pieces], axis=1),
        np.concatenate([p.clusters for p in pieces], axis=1),
    )
