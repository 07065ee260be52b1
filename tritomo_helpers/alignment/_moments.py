r"""Alignment by the two conditions that every set of parallel projections obeys, slice by slice.

For a slice y of any specimen, whatever it looks like, the mass seen at each tilt is the same (the common line), and the
first moment across the axis follows the path of a point, the slice's center of mass:

.. math::
   \int I_t(y, x)\,dx = m(y), \qquad \int x\,I_t(y, x)\,dx = m(y)\,[x_c(y) \cos t - z_c(y) \sin t] .

Deviations are linear in small shifts and a small turn of the axis, so Gauss-Newton steps on all tilts at once find
them. Nothing is reconstructed. Helgason, Acta Math. 113, 153 (1965); Ludwig, Commun. Pure Appl. Math. 19, 49 (1966).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._warp import Array, coordinates, turn, warp


@dataclass(frozen=True)
class Consistency:
    """Result of `fit`: what to apply, and how far each tilt is from agreeing with the others."""

    shifts_px: Array
    rotation_deg: float
    rotation_error_deg: float  # standard error; infinite if not fitted
    mass_residual: Array  # (tilt,) relative to the mass profile
    moment_residual: Array  # (tilt,) relative to mass x radius of gyration


def _outside(basis: list[Array]) -> Array:
    """Projection matrix (tilt, tilt) onto everything the basis functions of the tilt angle cannot explain."""
    q, _ = np.linalg.qr(np.stack(basis, axis=1))
    return np.asarray(np.eye(q.shape[0]) - q @ q.T)


def moments(images: Array, n: int = 3) -> list[Array]:
    """Return the first n moments across the axis, each (tilt, y)."""
    x = coordinates(images.shape[2])
    return [images @ x**k for k in range(n)]


def fit(
    images: Array,
    angles_deg: Array,
    shifts_px: Array,
    rotation_deg: float,
    *,
    window: Array,
    fit_rotation: bool,
    use_moment: bool = True,
    max_iterations: int = 15,
    tolerance_px: float = 2e-3,
) -> Consistency:
    """Fit shifts and the turn of the axis to the two conditions.

    Parameters
    ----------
    images : ndarray, shape (tilt, y, x)
        Background-free.
    angles_deg : ndarray, shape (tilt,)
    shifts_px : ndarray, shape (tilt, 2)
        Start, good to about a feature of the mass profile.
    rotation_deg : float
        Start.
    window : ndarray, shape (y,)
        Weight of each slice after the shift: 0 where a slice is not inside every frame.
    fit_rotation : bool
        Fit the turn of the axis too.
    use_moment : bool
        False uses the common line alone and leaves the shifts across the axis as they are.
    """
    n_tilts = angles_deg.size
    theta = np.deg2rad(angles_deg)
    conditions = [_outside([np.ones(n_tilts)]), _outside([np.cos(theta), np.sin(theta)])]
    y = coordinates(images.shape[1])
    error = np.inf
    for _ in range(max_iterations):
        mass, first, second = _normalized(warp(images, shifts_px, rotation_deg), window)
        # Derivatives with respect to: shift along y, shift along x, turn by a radian (x toward y).
        slopes = [
            [-_slope(mass), np.zeros_like(mass), -_slope(first)],
            [-_slope(first), mass, -y * mass - _slope(second)],
        ]
        weights = [1.0, float((window * mass).sum() / (window * second).sum()) if use_moment else 0.0]
        step, turned, error = _solve(conditions, [mass, first], slopes, weights, window, fit_rotation, use_moment)
        shifts_px = shifts_px + turn(step, -rotation_deg)
        rotation_deg += turned
        if np.abs(step).max() < tolerance_px and abs(np.deg2rad(turned)) * y.size / 2 < tolerance_px:
            break
    mass, first, second = _normalized(warp(images, shifts_px, rotation_deg), window)
    scales = [np.sqrt((window * mass**2).sum(axis=1)).mean(), np.sqrt((window * mass * second).sum(axis=1)).mean()]
    residuals = []
    for condition, moment, scale in zip(conditions, [mass, first], scales, strict=True):
        left = condition @ moment
        leverage = np.maximum(np.diag(condition), 1e-3)
        residuals.append(np.sqrt((window * left**2).sum(axis=1) / leverage) / scale)
    return Consistency(shifts_px, rotation_deg, error, residuals[0], residuals[1])


def _normalized(images: Array, window: Array) -> list[Array]:
    """Moments of images whose mass inside the window is made equal."""
    found = moments(images)
    totals = found[0] @ window
    return [moment * (np.median(totals) / totals)[:, None] for moment in found]


def _slope(profiles: Array) -> Array:
    return np.asarray(np.gradient(profiles, axis=1))


def _solve(
    conditions: list[Array],
    data: list[Array],
    slopes: list[list[Array]],
    weights: list[float],
    window: Array,
    fit_rotation: bool,
    use_moment: bool,
) -> tuple[Array, float, float]:
    """Solve one Gauss-Newton step for all tilts: shifts, turn and its standard error, in pixels and degrees.

    A condition couples tilts only through its (tilt, tilt) matrix.
    """
    n = data[0].shape[0]
    normal, right, misfit = np.zeros((3 * n, 3 * n)), np.zeros(3 * n), 0.0
    for condition, moment, slope, weight in zip(conditions, data, slopes, weights, strict=True):
        left = condition @ moment
        misfit += weight * float((left**2 @ window).sum())
        for i in range(3):
            right[i * n : (i + 1) * n] -= weight * ((slope[i] * left) @ window)
            for j in range(3):
                block = condition * ((slope[i] * window) @ slope[j].T)
                normal[i * n : (i + 1) * n, j * n : (j + 1) * n] += weight * block
    # One turn for all tilts; unused unknowns are left out.
    merge = np.zeros((3 * n, 2 * n + 1))
    merge[:n, :n] = np.eye(n)
    if use_moment:
        merge[n : 2 * n, n : 2 * n] = np.eye(n)
    if fit_rotation:
        merge[2 * n :, -1] = 1.0
    normal, right = merge.T @ normal @ merge, merge.T @ right
    scale = np.sqrt(np.diag(normal))
    scale[scale == 0] = 1.0
    # The gauge directions have eigenvalue zero: the minimum-norm step leaves them alone.
    inverse = np.linalg.pinv(normal / scale[:, None] / scale, rcond=1e-8, hermitian=True) / scale[:, None] / scale
    solution = inverse @ right
    step = np.clip(np.stack([solution[:n], solution[n : 2 * n]], axis=1), -3, 3)
    n_free = max((2 * n - 3) * window.sum() - solution.size, 1.0)
    error = np.rad2deg(np.sqrt(max(inverse[-1, -1], 0) * misfit / n_free)) if fit_rotation else np.inf
    return step, float(np.clip(np.rad2deg(solution[-1]), -2, 2)), float(error)


def specimen_path(angles_deg: Array, positions_px: Array) -> NDArray[np.float64]:
    """Fit the path of a point, x0 cos t + z0 sin t, and return it at every tilt."""
    theta = np.deg2rad(angles_deg)
    basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    return np.asarray(basis @ np.linalg.lstsq(basis, positions_px, rcond=None)[0])
