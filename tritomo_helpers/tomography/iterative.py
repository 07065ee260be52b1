"""Algebraic methods: each is a generator that yields the cells and the R factor after every iteration."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ._problem import Slices

Step = tuple[NDArray[np.float32], float]


def _reciprocal(sums: NDArray[np.float32], *, floor: float = 1e-3) -> NDArray[np.float32]:
    """1 / sums, and 0 where hardly anything is summed: such a pixel or voxel says nothing."""
    return np.divide(1, sums, out=np.zeros_like(sums), where=sums > floor)


def sirt(slices: Slices, *, relaxation: float = 1.0) -> Iterator[Step]:
    r"""Correct all voxels from all tilts at once.

    .. math:: v \leftarrow v + \omega\, C A^\top R\, (b - A v)

    R and C are one over the sums of the rows and columns of A within the support.

    References
    ----------
    Gilbert, J. Theor. Biol. 36, 105 (1972).
    """
    rows = _reciprocal(slices.forward(slices.support))
    columns = relaxation * _reciprocal(slices.adjoint(np.ones_like(slices.data)))
    cells = slices.first()
    projected = slices.forward(cells)
    while True:
        cells = cells + columns * slices.adjoint(rows * (slices.data - projected))
        slices.constrain(cells)
        projected = slices.forward(cells)
        yield cells, slices.misfit(projected)


def sart(slices: Slices, *, relaxation: float = 0.3) -> Iterator[Step]:
    """Correct all voxels from one tilt after another; one iteration visits every tilt once.

    Tilts come in an order that keeps successive ones far apart, so that each brings news.

    References
    ----------
    Andersen and Kak, Ultrason. Imaging 6, 81 (1984).
    """
    n_tilts, n_pixels = slices.problem.n_tilts, slices.problem.projector.n_pixels
    blocks = [slice(t * n_pixels, (t + 1) * n_pixels) for t in far_apart(n_tilts)]
    matrices = [slices.matrix[block] for block in blocks]
    transposed = [matrix.T.tocsr() for matrix in matrices]
    support = slices.support.reshape(-1, slices.n_cells[2])
    rows = [_reciprocal(matrix @ support) for matrix in matrices]
    columns = [_reciprocal(back @ np.ones((n_pixels, 1), np.float32)) for back in transposed]
    cells = slices.first()
    while True:
        flat = cells.reshape(support.shape).copy()
        for block, matrix, back, row, column in zip(blocks, matrices, transposed, rows, columns, strict=True):
            flat += relaxation * column * (back @ (row * (slices.data[block] - matrix @ flat)))
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
    """Conjugate gradients on the normal equations, within the support; negative values are clipped on the way out.

    The fastest descent of the misfit there is, hence also the fastest to fit noise.

    References
    ----------
    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952).
    """
    cells = slices.first()
    residual = slices.data - slices.forward(cells)
    gradient = slices.adjoint(residual)
    direction, power = gradient.copy(), float(np.vdot(gradient, gradient))
    while True:
        if power > 0:
            image = slices.forward(direction)
            step = power / float(np.vdot(image, image))
            cells = cells + np.float32(step) * direction
            residual = residual - np.float32(step) * image
            gradient = slices.adjoint(residual)
            previous, power = power, float(np.vdot(gradient, gradient))
            direction = gradient + np.float32(power / previous) * direction
        clipped = slices.constrain(cells.copy())
        yield clipped, slices.misfit(slices.forward(clipped))
