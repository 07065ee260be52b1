r"""GENFIRE, slice by slice: the published algorithm at a small part of its cost.

The published form keeps the whole oversampled Fourier space and transforms it forth and back in every iteration,
although the measurement fixes 1 to 3 % of it. Enforcing a value is the same as adding the *difference* at the measured
points, so only these points are ever needed. With one tilt axis they lie on the same (kx, kz) for every ky. So one
iteration is: a small discrete Fourier transform of the slices to a few hundred points (kx, kz), a one-dimensional FFT
along the tilt axis, the difference, and the way back. Nothing is approximated: the Nyquist sphere and the shells of the
resolution extension, which join the slices, act between the two one-dimensional FFTs.

References
----------
Pryor et al., Sci. Rep. 7, 10409 (2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .._typing import Bools, Floats, Floats32
from ..metrics import free_mask
from ..projection import Slices

#: Distance in Fourier pixels below which two tilts that meet in a point weigh the same.
_NEAREST = 1e-5


@dataclass(frozen=True, eq=False)
class FourierPoints:
    """Measured Fourier points of the half space kx >= 0: a table of kz with one row per kx, and lines along ky.

    Parameters
    ----------
    kz : ndarray of float, shape (kx, slot)
        In oversampled Fourier pixels; NaN where a slot is empty.
    values : ndarray of complex64, shape (point, ky)
        One line for every filled slot, in the order of the table. Measured Fourier coefficients, with y counted from
        the first slice of the box.
    closeness : ndarray of float, shape (point, ky)
        1 - (spatial frequency / Nyquist); negative where nothing is measured.
    n_x, n_y : int
        Oversampled size across and along the tilt axis.
    """

    kz: Floats
    values: NDArray[np.complex64]
    closeness: Floats
    n_x: int
    n_y: int

    @property
    def filled(self) -> Bools:
        """Which slots of the table hold a point, shape (kx, slot)."""
        return ~np.isnan(self.kz)


def grid_projections(slices: Slices, *, oversampling: int, radius_px: float) -> FourierPoints:
    """Evaluate the Fourier transform of every image at the grid points that lie close to its plane.

    A point closer than `radius_px` to the plane of a tilt is projected onto it, and the discrete Fourier sum of the
    image is taken there. Tilts that meet in a point are averaged with weights 1 / distance. Points beyond the Nyquist
    sphere are dropped.
    """
    rows, columns = slices.images.shape[1:]
    angles = np.deg2rad(slices.projector.tilt_angles_deg)
    n_x = oversampling * max(columns, slices.support.shape[0])
    n_y = oversampling * rows
    kx = np.arange(n_x // 2 + 1)[:, None]
    kz = np.arange(-(n_x // 2), (n_x + 1) // 2)[None, :]
    inside = kx**2 + kz**2 <= (n_x / 2) ** 2
    total = np.zeros((*inside.shape,), dtype=np.float64)
    near, distances = [], []
    for angle in angles:
        distance = np.abs(np.sin(angle) * kx + np.cos(angle) * kz)
        close = np.flatnonzero((distance < radius_px) & inside)
        near.append(close)
        distances.append(np.maximum(distance.ravel()[close], _NEAREST))
        total.ravel()[close] += 1 / distances[-1]

    used = total > 0
    slot = np.cumsum(used, axis=1) - 1
    n_slots = int(used.sum(axis=1).max())
    point_kz = np.full((kx.size, n_slots), np.nan)
    rows_kx, columns_kz = np.nonzero(used)
    point_kz[rows_kx, slot[used]] = kz[0, columns_kz]

    filled = ~np.isnan(point_kz)
    number = np.zeros(filled.shape, dtype=np.int64)
    number[filled] = np.arange(filled.sum())
    values = np.zeros((int(filled.sum()), n_y), dtype=np.complex64)
    x = np.arange(columns) - columns // 2
    first = slices.box[1].start
    for angle, image, close, distance in zip(angles, slices.images, near, distances, strict=True):
        i, j = np.unravel_index(close, used.shape)
        along = np.cos(angle) * kx[i, 0] - np.sin(angle) * kz[0, j]
        sums = np.exp(-2j * np.pi / n_x * np.outer(along, x)) @ image.T.astype(np.float64)
        # the image starts `first` slices before the box does
        spectrum = fft.fft(sums, n_y, axis=1) * np.exp(2j * np.pi * first * fft.fftfreq(n_y))
        share = (1 / distance) / total[i, j]
        values[number[i, slot[i, j]]] += (share[:, None] * spectrum).astype(np.complex64)

    ky = fft.fftfreq(n_y) * 2
    across = ((kx**2 + point_kz**2) / (n_x / 2) ** 2)[filled]
    closeness = 1 - np.sqrt(ky**2 + across[:, None])
    values[closeness < 0] = 0
    return FourierPoints(point_kz, values, closeness, n_x, n_y)


class _Transform:
    """Between cells (x, z, y) of the box and the measured points, and back."""

    def __init__(self, points: FourierPoints, slices: Slices) -> None:
        box_z, _, box_x = slices.box
        n_z, _, n_x = slices.support.shape
        x = np.arange(n_x)[box_x] - n_x // 2
        z = np.arange(n_z)[box_z] - n_z // 2
        self.points, self.n_x, self.n_y = points, x.size, slices.n_cells[2]
        self.filled = points.filled
        kx = np.arange(len(points.kz))[:, None, None]
        # the transform along x starts at the box, so its distance from the axis turns the phase
        phase = -2 * np.pi / points.n_x * (points.kz[:, :, None] * z + kx * x[0])
        self.to_kz = np.nan_to_num(np.exp(1j * phase)).astype(np.complex64)
        self.from_kz = np.ascontiguousarray(self.to_kz.conj().transpose(0, 2, 1)) / np.float32(points.n_x)

    def forward(self, cells: Floats32) -> NDArray[np.complex64]:
        """Fourier coefficients at the measured points, shape (point, ky)."""
        half = fft.rfft(cells, self.points.n_x, axis=0)
        return np.asarray(fft.fft((self.to_kz @ half)[self.filled], self.points.n_y, axis=1))

    def backward(self, difference: NDArray[np.complex64]) -> Floats32:
        """Inverse Fourier transform of values at the measured points, within the box."""
        lines = np.zeros((*self.filled.shape, self.n_y), dtype=np.complex64)
        lines[self.filled] = fft.ifft(difference, axis=1, overwrite_x=True)[:, : self.n_y]
        return np.asarray(fft.irfft(self.from_kz @ lines, self.points.n_x, axis=0, overwrite_x=True)[: self.n_x])


def extension_cutoffs(n_iterations: int) -> dict[int, float]:
    """When the resolution extension changes, and to which cutoff: iteration (from 1) -> cutoff.

    Points with 1 - (frequency / Nyquist) above the cutoff are enforced: low frequencies first, then all, then again
    fewer and fewer.

    Examples
    --------
    >>> schedule = extension_cutoffs(1000)
    >>> [i for i, cutoff in schedule.items() if cutoff < 0]
    [390, 445, 500]
    """
    cutoffs = np.concatenate([np.arange(0.95, -0.25, -0.15), np.arange(-0.15, 0.95, 0.1)])
    changes = np.round(np.linspace(1, n_iterations, cutoffs.size)).astype(int)
    iterations, first = np.unique(changes, return_index=True)
    return dict(zip(iterations.tolist(), cutoffs[first].tolist(), strict=True))


def _share_in_r(points: FourierPoints) -> Floats32:
    """How often the published R factor counts a point: it runs over the half space kz >= 0, ours over kx >= 0."""
    share = np.where(points.kz == 0, 2.0, 1.0)
    share[0] = np.where(points.kz[0] < 0, 0.0, 1.0)
    return np.asarray(share[points.filled][:, None], dtype=np.float32)


def genfire(
    slices: Slices,
    *,
    n_iterations: int,
    oversampling: int,
    radius_px: float,
    extension: bool = True,
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[Floats32, float, float]]:
    """Yield the cells (z, x, y), R and R_free (NaN without `rng`) after every iteration."""
    points = grid_projections(slices, oversampling=oversampling, radius_px=radius_px)
    transform = _Transform(points, slices)
    measured = points.closeness >= 0
    free = np.zeros_like(measured)
    if rng is not None:
        free = free_mask(free.shape, rng=rng) & measured
        free[: np.count_nonzero(points.filled[0])] = False  # kx = 0 holds both of each pair of Hermitian mates
    share, amplitude = _share_in_r(points), np.abs(points.values)
    working = share * (measured & ~free)
    norm, free_norm = float((working * amplitude).sum()), float((free * amplitude).sum())
    schedule = extension_cutoffs(n_iterations) if extension else {1: -1.0}
    inside = np.ascontiguousarray(slices.inside.transpose(1, 0, 2))
    cells = np.ascontiguousarray(slices.first().transpose(1, 0, 2))
    for iteration in range(1, n_iterations + 1):
        if iteration in schedule:
            enforced = (points.closeness > schedule[iteration]) & measured & ~free
        if slices.positivity:
            np.maximum(cells, 0, out=cells)
        cells *= inside
        coefficients = transform.forward(cells)
        misfit = np.abs(np.abs(coefficients) - amplitude)
        r = float((working * misfit).sum()) / norm
        r_free = float((free * misfit).sum()) / free_norm if free_norm else float("nan")
        yield cells.transpose(1, 0, 2), r, r_free
        difference = points.values - coefficients
        difference *= enforced
        cells = cells + transform.backward(difference)
