"""One reconstruction problem: checked input, and the operator on the part of the volume that can be filled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, check_shape, fail
from ..containers import TiltSeries, Tomogram
from ..projection import Projector

Volume = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is measured and what is known beforehand.

    Parameters
    ----------
    images : ndarray of float32, shape (tilt, y, x)
    projector : Projector
    support : ndarray of bool, shape (z, y, x)
        Where the specimen may be.
    positivity : bool
    start : ndarray of float32, shape (z, y, x), optional
        First estimate.
    """

    images: NDArray[np.float32]
    projector: Projector
    support: NDArray[np.bool_]
    positivity: bool
    start: Volume | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the volume, (z, y, x)."""
        return self.support.shape

    @property
    def n_tilts(self) -> int:
        """Number of tilts."""
        return len(self.images)

    @property
    def angles_deg(self) -> NDArray[np.float64]:
        """Tilt angles, degrees."""
        return self.projector.tilt_angles_deg

    def subset(self, tilts: ArrayLike) -> "Problem":
        """Return the problem with some of the tilts, given by index."""
        chosen = np.asarray(tilts)
        return replace(self, images=self.images[chosen], projector=self.projector.subset(chosen))

    def constrain(self, volume: Volume) -> Volume:
        """Clip negative values and empty the outside, in place."""
        if self.positivity:
            np.maximum(volume, 0, out=volume)
        volume *= self.support
        return volume


def check_problem(
    ts: TiltSeries,
    *,
    support: ArrayLike | None,
    positivity: bool,
    start: Tomogram | ArrayLike | None = None,
    n_z: int | None = None,
    projector: Projector | None = None,
) -> Problem:
    """Check everything that can be checked before anything is computed."""
    if not isinstance(ts, TiltSeries):
        raise fail(
            "ts",
            expected="a TiltSeries",
            got=type(ts).__name__,
            remedy="wrap images and angles in one",
            error=TypeError,
        )
    images = np.asarray(ts.images, dtype=np.float32)
    check_finite(images, "images", remedy="drop that tilt, or fill pixels that were not measured")
    blank = np.flatnonzero(~images.any(axis=(1, 2)))
    if blank.size:
        angles = ", ".join(f"{a:g}" for a in ts.tilt_angles_deg[blank])
        raise fail(
            "images", expected="some signal at every tilt", got=f"only zeros at {angles} deg", remedy="drop these tilts"
        )
    n_y, n_x = images.shape[1:]
    if support is None:
        filled = np.ones((n_z or n_x, n_y, n_x), dtype=bool)
    else:
        if np.ndim(support) != 3:
            raise fail(
                "support",
                expected="3 axes (z, y, x)",
                got=f"shape {np.shape(support)}",
                remedy="give one mask",
            )
        filled = np.asarray(support).astype(bool)
        check_shape(filled, "support", (n_z or filled.shape[0], n_y, n_x), remedy="match (z, y, x) to the images")
        if not filled.any():
            raise fail("support", expected="at least one voxel", got="an empty mask", remedy="check how it was made")
    first = None
    if start is not None:
        values = start.values if isinstance(start, Tomogram) else start
        check_shape(values, "start", filled.shape, remedy="start from a volume on the same grid")
        check_finite(np.asarray(values), "start")
        first = np.array(values, dtype=np.float32)
    shared = projector or Projector(ts.tilt_angles_deg, (filled.shape[0], n_x), n_pixels=n_x)
    return Problem(images, shared, filled, positivity, first)


class Slices:
    """The projector on the box around the support, all slices at once, in the axis order (z, x, y).

    Outside the box nothing can be filled, so leaving it out costs nothing and saves time and memory.

    Parameters
    ----------
    problem : Problem
    finer : int, default 1
        Parts per voxel along z and x.
    """

    def __init__(self, problem: Problem, *, finer: int = 1) -> None:
        self.problem, self.finer = problem, finer
        self.box = tuple(_extent(problem.support, axis) for axis in range(3))
        z, y, x = self.box
        self.n_cells = (z.stop - z.start) * finer, (x.stop - x.start) * finer, y.stop - y.start
        self.data = Projector.to_columns(problem.images[:, y, :])
        self.support = self.from_volume(problem.support.astype(np.float32))

    @cached_property
    def matrix(self) -> Any:
        """The operator on the cells of one slice, shape (tilt * x, z * x)."""
        projector, finer = self.problem.projector, self.finer
        if finer > 1:
            projector = Projector(projector.tilt_angles_deg, projector.shape, n_pixels=projector.n_pixels, finer=finer)
        parts = np.zeros((self.problem.shape[0], finer, self.problem.shape[2], finer), dtype=bool)
        parts[self.box[0], :, self.box[2], :] = True
        return projector.matrix[:, np.flatnonzero(parts.ravel())]

    @cached_property
    def transposed(self) -> Any:
        """The transpose of `matrix`, stored by rows."""
        return self.matrix.T.tocsr()

    def from_volume(self, volume: NDArray[Any]) -> NDArray[np.float32]:
        """Cut the box from a volume (z, y, x)."""
        cut = np.asarray(volume[self.box], dtype=np.float32).transpose(0, 2, 1)
        if self.finer > 1:
            cut = cut.repeat(self.finer, axis=0).repeat(self.finer, axis=1)
        return np.ascontiguousarray(cut)

    def to_volume(self, cells: NDArray[np.float32]) -> Volume:
        """Put the box into an empty volume (z, y, x), parts averaged to voxels."""
        n_z, n_x, n_y = self.n_cells
        f = self.finer
        voxels = cells.reshape(n_z // f, f, n_x // f, f, n_y).mean(axis=(1, 3))
        volume = np.zeros(self.problem.shape, dtype=np.float32)
        volume[self.box] = voxels.transpose(0, 2, 1)
        return volume

    def forward(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project: (z, x, y) to (tilt * x, y)."""
        return np.asarray(self.matrix @ cells.reshape(-1, self.n_cells[2]))

    def adjoint(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Smear back and empty the outside: (tilt * x, y) to (z, x, y)."""
        cells = np.asarray(self.transposed @ data).reshape(self.n_cells)
        cells *= self.support
        return cells

    def constrain(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Clip negative values and empty the outside, in place."""
        if self.problem.positivity:
            np.maximum(cells, 0, out=cells)
        cells *= self.support
        return cells

    def first(self) -> NDArray[np.float32]:
        """Where to start: the estimate given with the problem, or zero."""
        if self.problem.start is None:
            return np.zeros(self.n_cells, dtype=np.float32)
        return self.constrain(self.from_volume(self.problem.start))

    def misfit(self, projected: NDArray[np.float32]) -> float:
        """R factor of the projections, convention "difference"."""
        norm = float(np.abs(self.problem.images).sum(dtype=np.float64))
        return float(np.abs(projected - self.data).sum(dtype=np.float64)) / norm


def _extent(mask: NDArray[np.bool_], axis: int) -> slice:
    """First to last filled index along one axis."""
    others: Sequence[int] = [a for a in range(3) if a != axis]
    filled = np.flatnonzero(mask.any(axis=tuple(others)))
    return slice(int(filled[0]), int(filled[-1]) + 1)
