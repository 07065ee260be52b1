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

import numpy as np
from scipy import ndimage

from .._typing import Floats32
from ..projection import Slices

#: Share of the largest image value that every pixel's variance gets in addition: it keeps empty pixels from outweighing
#: all others, and the problem well conditioned.
_VARIANCE_FLOOR = 0.1


def fit_variation(
    slices: Slices, *, weight: float, noise: str, n_iterations: int, n_passes: int = 2
) -> Iterator[tuple[Floats32, float]]:
    """Yield the cells (z, x, y) and the R factor after every iteration, `n_passes` x `n_iterations` of them.

    `weight` is lambda as a share of the largest value of the back-projected data. With ``noise="poisson"`` the weights
    w are one over the expected counts, updated at each pass (Fisher scoring), so the fixed point is the maximum of the
    Poisson likelihood up to the floor on the variance. The weights of the pixels multiply either.
    """
    cells = slices.first()
    dual = np.zeros((3, *slices.n_cells), np.float32)
    statistical = _statistical_weights(slices, slices.data, smooth=True) if noise == "poisson" else slices.data_weights
    prior = _Variation(slices)
    # the proximal step must spread over about sqrt(weight) cells; stopped earlier, its errors build up
    n_inner = max(5, int(np.ceil(20 * slices.supersampling * np.sqrt(weight))))
    data: Floats32 = slices.data
    # a part carries 1 / supersampling^2 of a voxel
    scale = float(np.abs(slices.adjoint(slices.weighted(data))).max()) * slices.supersampling**2
    for number in range(n_passes):
        if number:
            expected = slices.forward(cells)
            data = np.asarray(data + (slices.data - expected))
            if noise == "poisson":
                statistical = _statistical_weights(slices, expected, smooth=False)
        step = np.float32(1 / _largest_eigenvalue(slices, statistical))
        threshold = np.float32(weight * scale * step)
        extrapolated, momentum = cells, 1.0
        for _ in range(n_iterations):
            projected = slices.forward(extrapolated)
            residual = projected - data
            if statistical is not None:
                residual *= statistical
            new, dual = prior.smooth(extrapolated - step * slices.adjoint(residual), threshold, dual, n_inner)
            if np.vdot(extrapolated - new, new - cells) > 0:  # the momentum points uphill: drop it
                momentum = 1.0
            next_momentum = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
            extrapolated = new + np.float32((momentum - 1) / next_momentum) * (new - cells)
            cells, momentum = new, next_momentum
            yield cells, slices.misfit(projected)


def _statistical_weights(slices: Slices, expected: Floats32, *, smooth: bool) -> Floats32:
    """One over the variance of every pixel, scaled to an average of 1 over the signal; zero where not measured."""
    shape = (slices.projector.n_tilts, -1, expected.shape[1])
    measured = (slices.weighted(np.ones_like(expected)) > 0).astype(np.float32).reshape(shape)
    signal = np.maximum(expected, 0).reshape(shape)
    if smooth:  # single counts are no estimate of their own variance
        around = ndimage.gaussian_filter(measured, (0, 1.5, 1.5))
        signal = ndimage.gaussian_filter(expected.reshape(shape) * measured, (0, 1.5, 1.5)) / np.maximum(around, 1e-6)
        signal = np.maximum(signal, 0)
    weights = measured / (signal + _VARIANCE_FLOOR * np.percentile(signal, 99.5))
    weights /= np.average(weights, weights=signal * measured + 1e-12)
    return slices.weighted(np.asarray(weights.reshape(expected.shape), dtype=np.float32))


def _largest_eigenvalue(slices: Slices, statistical: Floats32 | None, n_steps: int = 12) -> float:
    """Largest eigenvalue of A' W A by power iteration, with a margin because it comes from below."""
    cells: Floats32 = slices.inside.copy()
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
        self.per_voxel = (slices.supersampling, slices.supersampling, 1)  # z and x may be split, y is not
        self.area = 1.0 / slices.supersampling**2
        self.bound = 4.0 * sum(n * n for n in self.per_voxel)

    def gradient(self, cells: Floats32, out: Floats32) -> Floats32:
        for axis, scale in enumerate(self.per_voxel):
            ahead, behind = _pair(axis)
            np.subtract(cells[ahead], cells[behind], out=out[axis][behind])
            if scale != 1:
                out[axis][behind] *= scale
            out[axis][_last(axis)] = 0
        return out

    def subtract_divergence(self, dual: Floats32, cells: Floats32, out: Floats32) -> Floats32:
        """`cells` - gradient' `dual`."""
        np.copyto(out, cells)
        for axis, scale in enumerate(self.per_voxel):
            ahead, behind = _pair(axis)
            scaled = dual[axis][behind] if scale == 1 else np.float32(scale) * dual[axis][behind]
            out[ahead] -= scaled
            out[behind] += scaled
        return out

    def smooth(
        self, target: Floats32, threshold: np.float32, dual: Floats32, n_inner: int
    ) -> tuple[Floats32, Floats32]:
        """Minimize |x - target|^2 / 2 + threshold x TV(x) over x >= 0; return x, and the dual to start from next."""
        radius = np.float32(max(float(threshold) * self.area, 1e-30))
        gradient, cells = np.empty_like(dual), np.empty_like(target)
        extrapolated, momentum = dual, 1.0
        length, square = np.empty_like(target), np.empty_like(target)
        for _ in range(n_inner):
            self.constrain(self.subtract_divergence(extrapolated, target, cells))
            new = self.gradient(cells, gradient)
            new *= np.float32(1 / self.bound)
            new += extrapolated
            np.multiply(new[0], new[0], out=length)
            for axis in (1, 2):
                length += np.multiply(new[axis], new[axis], out=square)
            np.sqrt(length, out=length)
            length *= 1 / radius
            np.maximum(length, 1, out=length)
            new /= length
            next_momentum = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
            step = np.subtract(new, dual)
            step *= np.float32((momentum - 1) / next_momentum)
            step += new
            dual, extrapolated, momentum = new, step, next_momentum
            gradient = np.empty_like(dual)
        return self.constrain(self.subtract_divergence(dual, target, np.empty_like(target))), dual


def _pair(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index all but the first, and all but the last, along one axis."""
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    return tuple(ahead), tuple(behind)


def _last(axis: int) -> tuple[slice, ...]:
    index = [slice(None)] * 3
    index[axis] = slice(-1, None)
    return tuple(index)
