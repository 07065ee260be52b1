"""Algebraic methods: each is a generator that yields the cells and the R factor after every iteration."""

from collections.abc import Iterator

import numpy as np

from .._typing import Floats32
from ..projection import Slices

Step = tuple[Floats32, float]


def _reciprocal(sums: Floats32, *, floor: float = 1e-3) -> Floats32:
    """1 / sums, and 0 where hardly anything is summed: such a pixel or voxel says nothing."""
    return np.divide(1, sums, out=np.zeros_like(sums), where=sums > floor)


def sirt(slices: Slices, *, relaxation: float = 1.0) -> Iterator[Step]:
    r"""Correct all voxels from all tilts at once.

    .. math:: v \leftarrow v + \omega\, C A^\top W R\, (b - A v)

    W are the weights of the pixels; R is one over the sums of the rows of A within the support, C one over the sums of
    the columns of W A.

    References
    ----------
    Gilbert, J. Theor. Biol. 36, 105 (1972).
    """
    rows = slices.weighted(_reciprocal(slices.forward(slices.inside)))
    columns = np.float32(relaxation) * _reciprocal(slices.adjoint(slices.weighted(np.ones_like(slices.data))))
    cells = slices.first()
    projected = slices.forward(cells)
    while True:
        cells = cells + columns * slices.adjoint(rows * (slices.data - projected))
        slices.constrain(cells)
        projected = slices.forward(cells)
        yield cells, slices.misfit(projected)


def sart(slices: Slices, *, relaxation: float = 0.3) -> Iterator[Step]:
    """Correct all voxels from one tilt after another; one iteration visits every tilt once.

    Tilts come in an order that keeps successive ones far apart, so that each brings news. A voxel is corrected by its
    largest column sum over the tilts: with that of each tilt, a voxel in the corner of the box, which some tilts hardly
    see, would be overcorrected by them, and the iteration would diverge.

    References
    ----------
    Andersen and Kak, Ultrason. Imaging 6, 81 (1984).
    """
    n_pixels = slices.projector.n_pixels
    blocks = [slice(t * n_pixels, (t + 1) * n_pixels) for t in far_apart(slices.projector.n_tilts)]
    matrices = [slices.matrix[block] for block in blocks]
    transposed = [matrix.T.tocsr() for matrix in matrices]
    inside = slices.inside.reshape(-1, slices.n_cells[2])
    weights = slices.weighted(np.ones_like(slices.data))
    rows = [weights[block] * _reciprocal(matrix @ inside) for block, matrix in zip(blocks, matrices, strict=True)]
    largest = np.zeros_like(inside)
    for block, back in zip(blocks, transposed, strict=True):
        np.maximum(largest, back @ weights[block], out=largest)
    columns = np.float32(relaxation) * _reciprocal(largest)
    cells = slices.first()
    while True:
        flat = cells.reshape(inside.shape).copy()
        for block, matrix, back, row in zip(blocks, matrices, transposed, rows, strict=True):
            flat += columns * (back @ (row * (slices.data[block] - matrix @ flat)))
            slices.constrain(flat.reshape(slices.n_cells))
        cells = flat.reshape(slices.n_cells)
        yield cells, slices.misfit(slices.forward(cells))


def far_apart(n: int) -> list[int]:
    """Order of 0 ... n - 1 in which neighbors come late: steps of about the golden section of n.

    Examples
    --------
    >>> far_apart(5)
    [0, 3, 1, 4, 2]
    """
    step = next(s for s in range(max(1, round(0.618 * n)), 2 * n + 2) if np.gcd(s, n) == 1)
    return [(i * step) % n for i in range(n)]


def cgls(slices: Slices) -> Iterator[Step]:
    r"""Conjugate gradients on :math:`A^\top W A v = A^\top W b` within the support; clipped on the way out.

    The fastest descent of the misfit there is, hence also the fastest to fit noise.

    References
    ----------
    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952).
    """
    cells = slices.first()
    residual = slices.data - slices.forward(cells)
    gradient = slices.adjoint(slices.weighted(residual))
    direction, power = gradient.copy(), float(np.vdot(gradient, gradient))
    while True:
        if power > 0:
            image = slices.forward(direction)
            step = np.float32(power / float(np.vdot(image, slices.weighted(image))))
            cells = cells + step * direction
            residual = residual - step * image
            gradient = slices.adjoint(slices.weighted(residual))
            previous, power = power, float(np.vdot(gradient, gradient))
            direction = gradient + np.float32(power / previous) * direction
        clipped = slices.constrain(cells.copy())
        yield clipped, slices.misfit(slices.forward(clipped))
