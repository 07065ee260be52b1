"""The projector where the specimen may be, with the images it is compared to and the weight of every pixel."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Bools, Floats32
from .projector import Projector


@dataclass(frozen=True, eq=False)
class Slices:
    """The projector on the box around the support, all slices at once, in the axis order (z, x, y).

    Outside the box nothing can be filled, so leaving it out costs nothing and saves time and memory.

    Parameters
    ----------
    projector : Projector
        Of whole voxels.
    images : ndarray of float32, shape (tilt, y, x)
        Finite; what stands where the weight is zero does not matter.
    support : ndarray of bool, shape (z, y, x)
        Where the specimen may be; at least one voxel.
    weights : ndarray of float32, shape (tilt, y, x), optional
        Weight of every pixel, zero where nothing was measured. Without it all count alike.
    positivity : bool, default True
    start : ndarray of float32, shape (z, y, x), optional
        First estimate; zero by default.
    supersampling : int, default 1
        Parts per voxel along z and x.

    Examples
    --------
    >>> projector = Projector([0.0], (3, 3))
    >>> slices = Slices(projector, np.ones((1, 1, 3), np.float32), np.ones((3, 1, 3), bool))
    >>> slices.adjoint(slices.data)[:, 1, 0].tolist()
    [1.0, 1.0, 1.0]
    """

    projector: Projector
    images: Floats32
    support: Bools
    weights: Floats32 | None = None
    positivity: bool = True
    start: Floats32 | None = None
    supersampling: int = 1

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """Smallest box (z, y, x) around the support."""
        z, y, x = (_extent(self.support, axis) for axis in range(3))
        return z, y, x

    @cached_property
    def n_cells(self) -> tuple[int, int, int]:
        """Shape of the cells, (z, x, y)."""
        z, y, x = self.box
        return (z.stop - z.start) * self.supersampling, (x.stop - x.start) * self.supersampling, y.stop - y.start

    @cached_property
    def data(self) -> Floats32:
        """The images of the box, shape (tilt * x, y)."""
        return Projector.to_columns(self.images[:, self.box[1], :])

    @cached_property
    def data_weights(self) -> Floats32 | None:
        """The weights of the box, shape (tilt * x, y)."""
        return None if self.weights is None else Projector.to_columns(self.weights[:, self.box[1], :])

    @cached_property
    def inside(self) -> Floats32:
        """1 in the support and 0 outside, shape (z, x, y)."""
        return self.from_volume(self.support.astype(np.float32))

    @cached_property
    def matrix(self) -> Any:
        """The operator on the cells of one slice, shape (tilt * x, z * x)."""
        projector, supersampling = self.projector, self.supersampling
        if self._is_whole:
            return projector.matrix
        if supersampling > 1:
            projector = Projector(
                projector.tilt_angles_deg, projector.shape, n_pixels=projector.n_pixels, supersampling=supersampling
            )
        in_box = np.zeros((self.support.shape[0], supersampling, self.support.shape[2], supersampling), dtype=bool)
        in_box[self.box[0], :, self.box[2], :] = True
        return projector.matrix[:, np.flatnonzero(in_box.ravel())]

    @cached_property
    def transposed(self) -> Any:
        """The transpose of `matrix`, stored by rows."""
        return self.projector.transposed if self._is_whole else self.matrix.T.tocsr()

    @property
    def _is_whole(self) -> bool:
        """Whether the cells are those of the projector itself, whose matrix then serves as it is."""
        return (self.n_cells[0], self.n_cells[1]) == self.projector.shape

    def from_volume(self, volume: NDArray[Any]) -> Floats32:
        """Cut the box from a volume (z, y, x)."""
        cut = np.asarray(volume[self.box], dtype=np.float32).transpose(0, 2, 1)
        if self.supersampling > 1:
            cut = cut.repeat(self.supersampling, axis=0).repeat(self.supersampling, axis=1)
        return np.ascontiguousarray(cut)

    def to_volume(self, cells: Floats32) -> Floats32:
        """Put the box into an empty volume (z, y, x), parts averaged to voxels."""
        n_z, n_x, n_y = self.n_cells
        f = self.supersampling
        voxels = cells.reshape(n_z // f, f, n_x // f, f, n_y).mean(axis=(1, 3))
        volume = np.zeros(self.support.shape, dtype=np.float32)
        volume[self.box] = voxels.transpose(0, 2, 1)
        return volume

    def forward(self, cells: Floats32) -> Floats32:
        """Project: (z, x, y) to (tilt * x, y)."""
        return np.asarray(self.matrix @ cells.reshape(-1, self.n_cells[2]))

    def adjoint(self, data: Floats32) -> Floats32:
        """Smear back and empty the outside: (tilt * x, y) to (z, x, y)."""
        cells = np.asarray(self.transposed @ data).reshape(self.n_cells)
        cells *= self.inside
        return cells

    def weighted(self, data: Floats32) -> Floats32:
        """Multiply data (tilt * x, y) with the weights of the pixels."""
        return data if self.data_weights is None else data * self.data_weights

    def constrain(self, cells: Floats32) -> Floats32:
        """Clip negative values and empty the outside, in place."""
        if self.positivity:
            np.maximum(cells, 0, out=cells)
        cells *= self.inside
        return cells

    def first(self) -> Floats32:
        """Where to start: the first estimate, or zero."""
        if self.start is None:
            return np.zeros(self.n_cells, dtype=np.float32)
        return self.constrain(self.from_volume(self.start))

    def misfit(self, projected: Floats32) -> float:
        """R factor of the projections, convention "difference"; slices without support count with all they hold."""
        images = self.images if self.weights is None else self.images * self.weights
        norm = float(np.abs(images).sum(dtype=np.float64))
        return float(np.abs(self.weighted(projected - self.data)).sum(dtype=np.float64)) / norm


def _extent(mask: Bools, axis: int) -> slice:
    """First to last filled index along one axis."""
    others = tuple(other for other in range(3) if other != axis)
    filled = np.flatnonzero(mask.any(axis=others))
    return slice(int(filled[0]), int(filled[-1]) + 1)
