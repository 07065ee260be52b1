r"""Parallel-beam projection of a volume tilted about y, and its exact adjoint.

With one tilt axis each slice y projects on its own, so one sparse two-dimensional operator serves all slices at once.
A voxel is a unit square and a pixel a unit interval: an entry of the operator is the area that the square and the
pixel's strip share, which is what an image averaged over its pixels measures of a volume averaged over its voxels.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from .._validation import check_finite, check_increasing, check_ndim, check_shape, checked, fail


def _footprint_integral(distance: NDArray[np.float64], cosine: float, sine: float) -> NDArray[np.float64]:
    """Area of a unit square, seen along the beam, up to `distance` from its center: 0 far left, 1 far right."""
    wide, narrow = max(abs(cosine), abs(sine)), min(abs(cosine), abs(sine))
    if narrow < 1e-6:  # the square is seen face on and the trapezoid below becomes a box
        return np.clip(distance / wide + 0.5, 0.0, 1.0)
    outer, inner = (wide + narrow) / 2, (wide - narrow) / 2
    ramps = [(distance + outer, 1), (distance + inner, -1), (distance - inner, -1), (distance - outer, 1)]
    area = sum(sign * np.square(np.maximum(shifted, 0.0)) for shifted, sign in ramps)
    return np.asarray(area / (2 * wide * narrow))


def _part_centers(n: int, supersampling: int) -> NDArray[np.float64]:
    """Centers of the parts of n voxels along one axis, in pixels from the voxel of index n // 2."""
    return (np.arange(n * supersampling) + 0.5) / supersampling - 0.5 - n // 2


@checked
class Projector:
    r"""Line integrals of a volume at several tilts about y.

    .. math:: b_{tyu} = \sum_{zx} A_{tu,zx}\, v_{zyx}

    where :math:`A_{tu,zx}` is the area shared by voxel (z, x) and the strip of pixel u at tilt t. Lengths are in
    pixels: a voxel of value 1 adds 1 to the sum of every projection that it falls into.

    Parameters
    ----------
    tilt_angles_deg : array_like, shape (tilt,)
        Strictly increasing, degrees. At angle t the beam runs along (sin t, 0, cos t) in (x, y, z) and the image is
        sampled along (cos t, 0, -sin t).
    shape : (int, int)
        Voxels of the volume along (z, x).
    n_pixels : int, optional
        Pixels of the image along x; by default as many as the volume has.
    supersampling : int, default 1
        Split every voxel into so many parts along z and along x, and act on those: edges inside a voxel project where
        they are. A part of value 1 adds 1 / supersampling^2.

    Raises
    ------
    ValueError
        If the angles are not finite and strictly increasing, or a size is not positive.

    Notes
    -----
    The operator holds about 2.3 x tilts x nz x nx entries of 8 bytes, twice (once transposed): 5 MB for 15 tilts of
    64 x 64, 400 MB for 77 tilts of 256 x 256. The number of slices does not matter.

    References
    ----------
    Kak and Slaney, Principles of Computerized Tomographic Imaging, ch. 7 (1988).

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.zeros((5, 1, 5), dtype=np.float32)
    >>> volume[2, 0, 3] = 1.0  # one pixel right of the axis
    >>> Projector([0.0, 90.0], (5, 5)).forward(volume)[:, 0].round(3).tolist()
    [[0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    """

    def __init__(
        self, tilt_angles_deg: ArrayLike, shape: Sequence[int], *, n_pixels: int | None = None, supersampling: int = 1
    ) -> None:
        self.tilt_angles_deg = check_increasing(tilt_angles_deg, "tilt_angles_deg")
        if len(shape) != 2 or min(shape) < 1:
            raise fail("shape", expected="two sizes (z, x) above zero", got=tuple(shape), remedy="give voxels per side")
        if supersampling < 1:
            raise fail(
                "supersampling", expected="a number above zero", got=supersampling, remedy="give 1 for whole voxels"
            )
        self.supersampling = int(supersampling)
        self.shape: tuple[int, int] = (int(shape[0]) * self.supersampling, int(shape[1]) * self.supersampling)
        self.n_pixels = int(shape[1]) if n_pixels is None else int(n_pixels)
        if self.n_pixels < 1:
            raise fail("n_pixels", expected="a number above zero", got=n_pixels, remedy="give pixels along x")

    @property
    def n_tilts(self) -> int:
        """Number of tilts."""
        return int(self.tilt_angles_deg.size)

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """The operator of one slice, shape (tilt * pixels, z * x), float32; z and x count the parts."""
        return sparse.vstack([self._one_tilt(angle) for angle in self.tilt_angles_deg], format="csr")

    @cached_property
    def transposed(self) -> sparse.csr_array:
        """The transpose, stored by rows as well because that multiplies faster."""
        return self.matrix.T.tocsr()

    def subset(self, tilts: ArrayLike) -> "Projector":
        """Return the projector of some of the tilts, given by index, from the matrix that is there already."""
        index = np.asarray(tilts)
        subset = Projector(self.tilt_angles_deg[index], (1, 1), n_pixels=self.n_pixels)
        subset.supersampling, subset.shape = self.supersampling, self.shape
        rows = (index[:, None] * self.n_pixels + np.arange(self.n_pixels)).ravel()
        subset.__dict__["matrix"] = self.matrix[rows]
        return subset

    def _one_tilt(self, angle_deg: float) -> sparse.csr_array:
        cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        z, x = (_part_centers(n // self.supersampling, self.supersampling) for n in self.shape)
        center = (cosine * x[None, :] - sine * z[:, None]).ravel() + self.n_pixels // 2
        half_width = (abs(cosine) + abs(sine)) / 2 / self.supersampling
        first = np.floor(center - half_width + 0.5).astype(np.int64)
        voxel = np.arange(center.size)
        rows, columns, areas = [], [], []
        edge = _footprint_integral((first - 0.5 - center) * self.supersampling, cosine, sine)
        for step in range(3):  # a unit square is at most 1.42 wide, so it touches at most three pixels
            pixel = first + step
            next_edge = _footprint_integral((pixel + 0.5 - center) * self.supersampling, cosine, sine)
            area, edge = next_edge - edge, next_edge
            used = (area > 1e-7) & (pixel >= 0) & (pixel < self.n_pixels)
            rows.append(pixel[used])
            columns.append(voxel[used])
            areas.append((area[used] / self.supersampling**2).astype(np.float32))
        index = (np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32))
        return sparse.coo_array((np.concatenate(areas), index), shape=(self.n_pixels, center.size)).tocsr()

    def forward(self, values: ArrayLike) -> NDArray[np.float32]:
        """Project a volume.

        Parameters
        ----------
        values : array_like, shape (z, y, x)
            Finite; any number of slices y.

        Returns
        -------
        ndarray of float32, shape (tilt, y, x)
            Sums along the beam, in units of the values times one pixel.
        """
        check_ndim(values, "values", "z, y, x")
        values = np.asarray(values, dtype=np.float32)
        check_shape(values[:, 0, :], "values along (z, x)", self.shape, remedy="build the projector for this volume")
        check_finite(values, "values")
        return self.to_images(self.matrix @ self.to_columns(values))

    def adjoint(self, images: ArrayLike) -> NDArray[np.float32]:
        """Smear images back along the beam: the exact transpose of `forward`.

        Parameters
        ----------
        images : array_like, shape (tilt, y, x)
            Finite; any number of rows y.

        Returns
        -------
        ndarray of float32, shape (z, y, x)
        """
        check_ndim(images, "images", "tilt, y, x")
        images = np.asarray(images, dtype=np.float32)
        check_shape(
            images[:, 0, :], "images along (tilt, x)", (self.n_tilts, self.n_pixels), remedy="give one image per angle"
        )
        check_finite(images, "images")
        return self.to_volume(self.transposed @ self.to_columns(images))

    @staticmethod
    def to_columns(array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reorder (a, y, b) to (a * b, y): one column per slice, as `matrix` and `transposed` multiply it."""
        return np.ascontiguousarray(array.transpose(0, 2, 1)).reshape(-1, array.shape[1])

    def to_images(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reorder the columns of (tilt * x, y) back to images (tilt, y, x)."""
        return np.ascontiguousarray(columns.reshape(self.n_tilts, self.n_pixels, -1).transpose(0, 2, 1))

    def to_volume(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reorder the columns of (z * x, y) back to a volume (z, y, x)."""
        return np.ascontiguousarray(columns.reshape(*self.shape, -1).transpose(0, 2, 1))
