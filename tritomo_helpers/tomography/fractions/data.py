r"""What was measured of the fractions, and the operator that predicts it.

.. math:: d_c(t, y, x) = k_{ct}\, M_t\big[\rho\, G_{ct}\, f_c\big] + n_c(t, y, x)

for channel c and tilt t, with the projection M, the density ρ, the forward weights G (absorption, for one) and the
gains k. The noise n has a covariance between the channels of a pixel and none between pixels.

Where the density was measured by a signal that itself depends on the fractions (dark field by heavy atoms), it is the
density *times* 1 + Σ w_c (f_c - mean), with the contrast w of every state; to first order that is taken back.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..._typing import Bools, Floats, Floats32
from ..._validation import check_count, check_finite, check_ndim, check_positive, check_shape, fail
from ...projection import Projector


@dataclass(frozen=True, eq=False)
class FractionData:
    """Images of several channels, one per state, and what is known about how they come about.

    Parameters
    ----------
    images : ndarray, shape (channel, tilt, y, x)
        Aligned, tilt axis at pixel N // 2; signed: never clip them.
    covariance : ndarray, shape (channel, channel, tilt, y, x)
        Of the noise, in the squared unit of the images; positive definite wherever the specimen projects.
    tilt_angles_deg : ndarray, shape (tilt,)
        Strictly increasing, degrees.
    density : ndarray, shape (z, y, x)
        Not negative; its unit is carried by the gains.
    mask : ndarray of bool, shape (z, y, x)
        Where fractions are wanted. Density may reach beyond it.
    mean_fractions : ndarray, shape (channel,)
        Mean fractions of the specimen, which sum to 1: what the reconstruction departs from.
    gains : ndarray, shape (channel, tilt) or (channel, 1)
        Image per density times fraction times voxel of path.
    weights : ndarray, shape (channel, tilt, z, y, x), optional
        Forward weights G, dimensionless; None means 1.
    density_error : float or ndarray, shape (z, y, x), default 0
        Relative error of the density, shared by all channels: of its projection at every pixel, or of every voxel if
        its length is given; only then may it differ from voxel to voxel, such as at the rim.
    density_error_length_nm : float, optional
        Length of the Gaussian correlation of a voxel's error, nm. The error is then reconstructed beside the fractions.
    contrast : ndarray, shape (channel,), optional
        By how much the density given rises, relative to itself, where the fraction of a state rises by 1. None means
        that it does not depend on the fractions.
    voxel_size_nm : float, default 1
        Side of a voxel and of a pixel, nm; along the tilt axis that of one slice before they were added up.
    slices : int, default 1
        Slices along the tilt axis that were added up into each row, see `coarser`.

    Raises
    ------
    ValueError
        If shapes do not go together, a value is not finite, the density is negative or empty, the mean fractions do
        not sum to 1, or the covariance is not positive definite where the specimen projects.

    Notes
    -----
    Memory: the weights dominate, 4 bytes x channels x tilts x voxels.

    Examples
    --------
    >>> import numpy as np
    >>> density = np.zeros((8, 8, 8), np.float32)
    >>> density[2:6, 2:6, 2:6] = 1.0
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 8, 8))
    >>> data = FractionData(
    ...     np.zeros((2, 1, 8, 8)), unit, np.zeros(1), density, density > 0, np.array([0.5, 0.5]), np.ones((2, 1))
    ... )
    >>> float(data.expected()[0, 0].max())  # 4 voxels of path x fraction 0.5
    2.0
    """

    images: Floats32
    covariance: Floats32
    tilt_angles_deg: Floats
    density: Floats32
    mask: Bools
    mean_fractions: Floats
    gains: Floats
    weights: Floats32 | None = None
    density_error: float | Floats32 = 0.0
    density_error_length_nm: float | None = None
    contrast: Floats | None = None
    voxel_size_nm: float = 1.0
    slices: int = 1

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        check_ndim(self.images, "images", "channel, tilt, y, x")
        put("images", np.asarray(self.images, dtype=np.float32))
        n_channels, n_tilts, n_y, n_x = self.images.shape
        check_finite(self.images, "images", remedy="drop that tilt, or fill pixels that were not measured")
        put("covariance", np.asarray(self.covariance, dtype=np.float32))
        check_shape(self.covariance, "covariance", (n_channels, *self.images.shape))
        check_finite(self.covariance, "covariance")
        angles = np.asarray(self.tilt_angles_deg, dtype=np.float64)
        check_shape(angles, "tilt_angles_deg", (n_tilts,), remedy="give one angle per tilt of the images")
        put("tilt_angles_deg", angles)
        check_ndim(self.density, "density", "z, y, x")
        put("density", np.asarray(self.density, dtype=np.float32))
        volume = (self.density.shape[0], n_y, n_x)
        check_shape(self.density, "density", volume, remedy="reconstruct it on the grid of the images")
        check_finite(self.density, "density")
        if self.density.min() < 0 or self.density.max() == 0:
            raise fail(
                "density",
                expected="values of zero or above, some above",
                got=f"{self.density.min():.3g} to {self.density.max():.3g}",
                remedy="reconstruct the density with positivity",
            )
        put("mask", np.asarray(self.mask, dtype=bool))
        check_shape(self.mask, "mask", volume, remedy="make the mask from the density")
        if not (self.mask & (self.density > 0)).any():
            raise fail("mask", expected="voxels with density", got="none", remedy="make the mask from the density")
        mean = np.asarray(self.mean_fractions, dtype=np.float64)
        check_shape(mean, "mean_fractions", (n_channels,), remedy="give one fraction per channel")
        if n_channels < 2 or abs(mean.sum() - 1) > 1e-6:
            raise fail(
                "mean_fractions",
                expected="two or more fractions that sum to 1",
                got=f"{mean.round(4).tolist()}",
                remedy="divide them by their sum",
            )
        put("mean_fractions", mean)
        gains = np.asarray(self.gains, dtype=np.float64)
        put("gains", np.broadcast_to(gains, (n_channels, n_tilts)) if gains.shape == (n_channels, 1) else gains)
        check_shape(self.gains, "gains", (n_channels, n_tilts), remedy="give one gain per channel and tilt")
        check_finite(self.gains, "gains")
        if self.weights is not None:
            put("weights", np.asarray(self.weights, dtype=np.float32))
            check_shape(self.weights, "weights", (n_channels, n_tilts, *volume))
        if self.contrast is not None:
            put("contrast", np.asarray(self.contrast, dtype=np.float64))
            check_shape(self.contrast, "contrast", (n_channels,), remedy="give one value per channel")
            check_finite(self.contrast, "contrast")
        if self.density_error_length_nm is None:
            check_shape(np.asarray(self.density_error), "density_error", (), remedy="give its length, or one number")
            check_positive(float(self.density_error), "density_error", zero_ok=True)
        else:
            check_positive(self.density_error_length_nm, "density_error_length_nm", remedy="try the size of a voxel")
            put("density_error", np.broadcast_to(np.asarray(self.density_error, dtype=np.float32), volume))
            check_finite(self.density_error, "density_error")
        check_positive(self.voxel_size_nm, "voxel_size_nm", remedy="give it in nm")
        check_count(self.slices, "slices")

    def replace(self, **changes: Any) -> "FractionData":
        """Return a copy with some fields changed, checked again."""
        return replace(self, **changes)

    def coarser(self, slices: int) -> "FractionData":
        """Return the data with neighboring slices along the tilt axis added up, which projects in less time.

        Parameters
        ----------
        slices : int
            How many to add up; rows of zeros are put at the end if they do not come out even.

        Returns
        -------
        FractionData
            The images and their covariance are sums; density, weights and errors are means over the slices.
        """
        n = check_count(slices, "slices")
        missing = -self.images.shape[2] % n

        def grouped(array: NDArray[Any]) -> NDArray[Any]:
            """Split the axis before the last into (row, slice)."""
            padding = [(0, 0)] * (array.ndim - 2) + [(0, missing), (0, 0)]
            padded = np.pad(array, padding)
            return padded.reshape(*padded.shape[:-2], -1, n, padded.shape[-1])

        weights = None if self.weights is None else grouped(self.weights).mean(axis=-2)
        error = self.density_error
        return self.replace(
            images=grouped(self.images).sum(axis=-2),
            covariance=grouped(self.covariance).sum(axis=-2),
            density=grouped(self.density).mean(axis=-2),
            mask=grouped(self.mask).mean(axis=-2) >= 0.5,
            gains=self.gains * n,
            weights=weights,
            density_error=error if np.ndim(error) == 0 else grouped(np.asarray(error)).mean(axis=-2),
            slices=self.slices * n,
        )

    def expected(self, fractions: NDArray[Any] | None = None) -> Floats32:
        """Return the noise-free images of fractions, shape (state, z, y, x); of the constant map by default."""
        operator = Operator(self)
        if fractions is None:
            return operator.to_images(operator.constant)
        cells = np.nan_to_num(operator.from_volumes(fractions))
        departure = cells - self.mean_fractions.astype(np.float32)[:, None]
        return operator.to_images(operator.constant + operator.project(np.matmul(operator.to_amounts, departure)))


def sum_zero_basis(n_states: int) -> Floats:
    """Orthonormal columns that each sum to zero, shape (state, state - 1).

    Examples
    --------
    >>> sum_zero_basis(2).round(3).ravel().tolist()
    [0.707, -0.707]
    """
    basis = np.zeros((n_states, n_states - 1))
    for k in range(n_states - 1):
        basis[: k + 1, k] = 1.0 / (k + 1)
        basis[k + 1, k] = -1.0
    return np.asarray(basis / np.linalg.norm(basis, axis=0))


class Operator:
    """The linear map from the coordinates of the fractions to the images, and its exact adjoint.

    Works on the box around the density, in the axis order (z, x, mode, y): a sparse matrix per tilt then acts on all
    modes and slices at once. Images are (tilt, x, channel, y).
    """

    def __init__(self, data: FractionData) -> None:
        self.data = data
        filled = data.density > 0
        self.box = tuple(_extent(filled, axis) for axis in range(3))
        z, y, x = self.box
        self.shape = (z.stop - z.start, x.stop - x.start, y.stop - y.start)
        basis = sum_zero_basis(len(data.mean_fractions)).astype(np.float32)
        # From departures of the fractions to those of the atoms: fewer atoms where each of them shows more.
        mean = data.mean_fractions
        contrast = np.zeros_like(mean) if data.contrast is None else data.contrast - data.contrast @ mean
        self.to_amounts = (np.eye(len(mean)) - np.outer(mean, contrast)).astype(np.float32)
        of_images = self.to_amounts @ basis
        if data.density_error_length_nm is not None:
            # One more coordinate, the error of the density: it changes all amounts alike, and no fraction.
            of_images = np.column_stack([of_images, mean]).astype(np.float32)
            basis = np.column_stack([basis, np.zeros_like(mean)]).astype(np.float32)
        self.basis, self.image_basis = basis, of_images
        self.density = self.cut(data.density)
        projector = Projector(
            data.tilt_angles_deg, (data.density.shape[0], data.density.shape[2]), n_pixels=data.images.shape[3]
        )
        inside = np.zeros(projector.shape, dtype=bool)
        inside[z, x] = True
        matrix = projector.matrix[:, np.flatnonzero(inside.ravel())]
        n_x = projector.n_pixels
        if data.weights is None:
            rows = [slice(None)]
        else:
            rows = [slice(t * n_x, (t + 1) * n_x) for t in range(projector.n_tilts)]
        self.matrices = [matrix[of_tilt].tocsr() for of_tilt in rows]
        self.transposed = [m.T.tocsr() for m in self.matrices]
        self.gains = data.gains.astype(np.float32)
        cells = (self.shape[0] * self.shape[1], len(data.mean_fractions), self.shape[2])
        self.weighted = self._weighted_density(cells)
        fractions = np.broadcast_to(data.mean_fractions.astype(np.float32)[:, None], cells).reshape(
            *self.shape[:2], *cells[1:]
        )
        self.constant = self.project(fractions)
        # Beyond the shadow of the density nothing is known about the fractions.
        self.seen = np.abs(self.constant).max(axis=2) > 1e-4 * np.abs(self.constant).max()

    @cached_property
    def depth_nm(self) -> Floats:
        """Depth of every cell below the surface of the mask, shape (z, x, y); half a voxel is taken off."""
        voxel_nm = self.data.voxel_size_nm
        sampling = voxel_nm * np.array([1, self.data.slices, 1])
        depth = np.maximum(ndimage.distance_transform_edt(self.data.mask, sampling=sampling) - voxel_nm / 2, 0.0)
        return np.asarray(depth[self.box].transpose(0, 2, 1))

    def _weighted_density(self, cells: tuple[int, ...]) -> list[Floats32]:
        density = self.density.reshape(cells[0], 1, cells[2])
        if self.data.weights is None:
            return [density]
        z, y, x = self.box
        weights = self.data.weights[:, :, z, y, x].transpose(1, 2, 4, 0, 3)  # (tilt, z, x, channel, y)
        return [np.ascontiguousarray(w).reshape(cells) * density for w in weights]

    def cut(self, volume: NDArray[Any]) -> Floats32:
        """Cut the box from (z, y, x): (z, x, y)."""
        return np.ascontiguousarray(volume[self.box].transpose(0, 2, 1), dtype=np.float32)

    def from_volumes(self, volumes: NDArray[Any]) -> Floats32:
        """Cut the box from (state, z, y, x): (z, x, state, y)."""
        return np.ascontiguousarray(np.asarray(volumes)[(slice(None), *self.box)].transpose(1, 3, 0, 2), np.float32)

    def to_volumes(self, cells: NDArray[Any], *, outside: float = 0.0) -> Floats32:
        """Put (z, x, state, y) into volumes (state, z, y, x)."""
        volumes = np.full((cells.shape[2], *self.data.density.shape), outside, dtype=np.float32)
        volumes[(slice(None), *self.box)] = cells.transpose(2, 0, 3, 1)
        return volumes

    def from_images(self, images: NDArray[Any]) -> Floats32:
        """Reorder (channel, tilt, y, x) to (tilt, x, channel, y), on the rows of the box."""
        return np.ascontiguousarray(images[:, :, self.box[1]].transpose(1, 3, 0, 2), dtype=np.float32)

    def to_images(self, rows: Floats32) -> Floats32:
        """Reorder (tilt, x, channel, y) to (channel, tilt, y, x), zero beyond the rows of the box."""
        images = np.zeros(self.data.images.shape, dtype=np.float32)
        images[:, :, self.box[1]] = rows.transpose(2, 0, 3, 1)
        return images

    def project(self, fractions: Floats32) -> Floats32:
        """Project fractions (z, x, state, y) to images (tilt, x, channel, y)."""
        if self.data.weights is None:
            return self._gains_of_tilts * self._shadows(fractions)
        flat = fractions.reshape(-1, *fractions.shape[2:])
        images = np.empty((len(self.matrices), self.matrices[0].shape[0], *flat.shape[1:]), dtype=np.float32)
        for t, (matrix, weighted) in enumerate(zip(self.matrices, self.weighted, strict=True)):
            images[t] = (matrix @ (weighted * flat).reshape(flat.shape[0], -1)).reshape(images.shape[1:])
            images[t] *= self.gains[:, t, None]
        return images

    def backproject(self, images: Floats32) -> Floats32:
        """Apply the adjoint of `project`: (tilt, x, channel, y) to (z, x, state, y)."""
        if self.data.weights is None:
            return self._shadows_adjoint(self._gains_of_tilts * images)
        flat = np.zeros((self.shape[0] * self.shape[1], *images.shape[2:]), dtype=np.float32)
        for t, (back, weighted) in enumerate(zip(self.transposed, self.weighted, strict=True)):
            scaled = (images[t] * self.gains[:, t, None]).reshape(images.shape[1], -1)
            flat += weighted * (back @ scaled).reshape(flat.shape)
        return flat.reshape(*self.shape[:2], *images.shape[2:])

    def forward(self, modes: Floats32) -> Floats32:
        """Images of a departure from the constant map, given by its coordinates (z, x, mode, y)."""
        if self.data.weights is None:  # all channels see alike, so that the fewer coordinates are projected
            return np.asarray(self._gains_of_tilts * np.matmul(self.image_basis, self._shadows(modes)))
        return self.project(np.matmul(self.image_basis, modes))

    def adjoint(self, images: Floats32) -> Floats32:
        """Apply the adjoint of `forward`."""
        if self.data.weights is None:
            return self._shadows_adjoint(np.matmul(self.image_basis.T, self._gains_of_tilts * images))
        return np.asarray(np.matmul(self.image_basis.T, self.backproject(images)))

    @property
    def _gains_of_tilts(self) -> Floats32:
        return self.gains.T[:, None, :, None]

    def _shadows(self, cells: Floats32) -> Floats32:
        """Project density times cells (z, x, any, y), without weights: (tilt, x, any, y)."""
        flat = self.weighted[0] * cells.reshape(-1, *cells.shape[2:])
        rows = self.matrices[0] @ flat.reshape(flat.shape[0], -1)
        return np.asarray(rows.reshape(len(self.data.tilt_angles_deg), -1, *flat.shape[1:]))

    def _shadows_adjoint(self, images: Floats32) -> Floats32:
        flat = self.transposed[0] @ images.reshape(self.transposed[0].shape[1], -1)
        cells = self.weighted[0] * flat.reshape(-1, *images.shape[2:])
        return np.asarray(cells.reshape(*self.shape[:2], *images.shape[2:]))


def _extent(mask: Bools, axis: int) -> slice:
    used = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
    return slice(int(used[0]), int(used[-1]) + 1)
