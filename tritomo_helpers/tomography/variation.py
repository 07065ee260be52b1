r"""Least squares or Poisson likelihood with total variation: prefers few edges, and lets noise make none.

.. math::
    \min_{v \ge 0}\; \tfrac12 \sum_i w_i \bigl[(A v)_i - b_i\bigr]^2 + \lambda \int |\nabla v|

solved by accelerated proximal gradients; the proximal step is solved on its dual. Total variation also lowers the
contrast of what it keeps, so the residual is added back to the data and the fit repeated (Bregman's iteration).

References
----------
Beck and Teboulle, IEEE Trans. Image Process. 18, 2419 (2009); Osher et al., Multiscale Model. Simul. 4, 460 (2005).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._problem import Slices

Cells = NDArray[np.float32]
#: Share of the largest image value that every pixel's variance gets in addition: it keeps empty pixels from outweighing
#: all others, and the problem well conditioned.
_VARIANCE_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Fit:
    """State of a fit, to go on from: cells (z, x, y), dual (3, z, x, y) and R factor."""

    cells: Cells
    dual: Cells
    r_factor: float


def fit_variation(
    slices: Slices,
    *,
    weight: float,
    noise: str,
    n_iterations: int,
    n_passes: int = 2,
    start: Fit | None = None,
) -> Iterator[Fit]:
    """Yield the fit after every iteration, `n_passes` x `n_iterations` of them.

    `weight` is lambda as a share of the largest value of the back-projected data. With ``noise="poisson"`` the weights
    w are one over the expected counts, updated at each pass (Fisher scoring), so the fixed point is the maximum of the
    Poisson likelihood up to the floor on the variance.
    """
    shape = slices.n_cells
    cells = slices.first() if start is None else start.cells
    dual = np.zeros((3, *shape), np.float32) if start is None else start.dual
    statistical = _statistical_weights(slices, slices.data, smooth=True) if noise == "poisson" else None
    prior = _Variation(slices)
    # the proximal step must spread over about sqrt(weight) cells; stopped earlier, its errors build up
    n_inner = max(5, int(np.ceil(20 * slices.finer * np.sqrt(weight))))
    data: Cells = slices.data
    scale = float(np.abs(slices.adjoint(data)).max()) * slices.finer**2  # a part carries 1 / finer^2 of a voxel
    for number in range(n_passes):
        if number:
            expected = slices.forward(cells)
            data = np.asarray(data + (slices.data - expected))
            if statistical is not None:
                statistical = _statistical_weights(slices, expected, smooth=False)
        step = 1 / _largest_eigenvalue(slices, statistical)
        reach = np.float32(weight * scale * step)
        ahead, pace = cells, 1.0
        for _ in range(n_iterations):
            residual = slices.forward(ahead) - data
            misfit = float(np.abs(residual + data - slices.data).sum(dtype=np.float64))
            if statistical is not None:
                residual *= statistical
            moved = ahead - np.float32(step) * slices.adjoint(residual)
            new, dual = prior.smooth(moved, reach, dual, n_inner)
            if np.vdot(ahead - new, new - cells) > 0:  # the momentum points uphill: drop it
                pace = 1.0
            next_pace = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            ahead = new + np.float32((pace - 1) / next_pace) * (new - cells)
            cells, pace = new, next_pace
            yield Fit(cells, dual, misfit / float(np.abs(slices.problem.images).sum(dtype=np.float64)))


def _statistical_weights(slices: Slices, expected: Cells, *, smooth: bool) -> Cells:
    """One over the variance of every pixel, scaled to an average of 1 over the signal."""
    images = expected.reshape(slices.problem.n_tilts, -1, expected.shape[1])
    if smooth:  # single counts are no estimate of their own variance
        images = ndimage.gaussian_filter(images, (0, 1.5, 1.5))
    signal = np.maximum(images, 0).reshape(expected.shape)
    weights = 1 / (signal + _VARIANCE_FLOOR * np.percentile(signal, 99.5))
    return np.asarray(weights / np.average(weights, weights=signal + 1e-12), dtype=np.float32)


def _largest_eigenvalue(slices: Slices, statistical: Cells | None, n_steps: int = 12) -> float:
    """Largest eigenvalue of A' W A by power iteration, with a margin because it comes from below."""
    cells: Cells = slices.support.copy()
    size = 1.0
    for _ in range(n_steps):
        image = slices.forward(cells)
        if statistical is not None:
            image *= statistical
        cells = slices.adjoint(image)
        size = float(np.linalg.norm(cells))
        cells /= np.float32(size)
    return 1.05 * size


class _Variation:
    """Proximal step of the isotropic total variation with positivity and support, on cells (z, x, y)."""

    def __init__(self, slices: Slices) -> None:
        self.constrain = slices.constrain
        self.per_voxel = (slices.finer, slices.finer, 1)  # z and x may be split, y is not
        self.area = 1.0 / slices.finer**2
        self.bound = 4.0 * sum(n * n for n in self.per_voxel)

    def gradient(self, cells: Cells, out: Cells) -> Cells:
        for axis, scale in enumerate(self.per_voxel):
            ahead, behind = _pair(axis)
            np.subtract(cells[ahead], cells[behind], out=out[axis][behind])
            if scale != 1:
                out[axis][behind] *= scale
            out[axis][_last(axis)] = 0
        return out

    def subtract_divergence(self, dual: Cells, cells: Cells, out: Cells) -> Cells:
        """`cells` - gradient' `dual`."""
        np.copyto(out, cells)
        for axis, scale in enumerate(self.per_voxel):
            ahead, behind = _pair(axis)
            part = dual[axis][behind] if scale == 1 else np.float32(scale) * dual[axis][behind]
            out[ahead] -= part
            out[behind] += part
        return out

    def smooth(self, moved: Cells, reach: np.float32, dual: Cells, n_inner: int) -> tuple[Cells, Cells]:
        """Minimize |x - moved|^2 / 2 + reach x TV(x) over x >= 0; return x, and the dual to start from next time."""
        radius = np.float32(max(float(reach) * self.area, 1e-30))
        gradient, cells = np.empty_like(dual), np.empty_like(moved)
        ahead, pace = dual, 1.0
        length, square = np.empty_like(moved), np.empty_like(moved)
        for _ in range(n_inner):
            self.constrain(self.subtract_divergence(ahead, moved, cells))
            new = self.gradient(cells, gradient)
            new *= np.float32(1 / self.bound)
            new += ahead
            np.multiply(new[0], new[0], out=length)
            for axis in (1, 2):
                length += np.multiply(new[axis], new[axis], out=square)
            np.sqrt(length, out=length)
            length *= 1 / radius
            np.maximum(length, 1, out=length)
            new /= length
            next_pace = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            step = np.subtract(new, dual)
            step *= np.float32((pace - 1) / next_pace)
            step += new
            dual, ahead, pace = new, step, next_pace
            gradient = np.empty_like(dual)
        return self.constrain(self.subtract_divergence(dual, moved, np.empty_like(moved))), dual


def _pair(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index all but the first, and all but the last, along one axis."""
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    return tuple(ahead), tuple(behind)


def _last(axis: int) -> tuple[slice, ...]:
    index = [slice(None)] * 3
    index[axis] = slice(-1, None)
    return tuple(index)
