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
from scipy import ndimage

from .._typing import Floats
from ._warp import coordinates, turn, warp


@dataclass(frozen=True)
class Consistency:
    """Result of `fit`: what to apply, and how far each tilt is from agreeing with the others."""

    shifts_px: Floats
    rotation_deg: float
    rotation_error_deg: float  # standard error; infinite if not fitted
    residuals: Floats  # (tilt, order), see `disagreement`


def _basis(theta: Floats, order: int) -> list[Floats]:
    """Functions of the tilt angle that a moment of this order is made of."""
    return [np.cos(theta) ** (order - j) * np.sin(theta) ** j for j in range(order + 1)]


def _outside(basis: list[Floats]) -> Floats:
    """Projection matrix (tilt, tilt) onto everything the basis functions of the tilt angle cannot explain."""
    q, _ = np.linalg.qr(np.stack(basis, axis=1))
    return np.asarray(np.eye(q.shape[0]) - q @ q.T)


def moments(images: Floats, n: int = 3) -> list[Floats]:
    """Return the first n moments across the axis, each (tilt, y)."""
    x = coordinates(images.shape[2])
    return [images @ x**k for k in range(n)]


def fit(
    images: Floats,
    angles_deg: Floats,
    shifts_px: Floats,
    rotation_deg: float,
    *,
    window: Floats,
    fit_rotation: bool,
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
    """
    theta = np.deg2rad(angles_deg)
    conditions = [_outside(_basis(theta, k)) for k in range(3)]
    inside = [np.eye(theta.size) - condition for condition in conditions]
    y = coordinates(images.shape[1])
    error = np.inf
    for _ in range(max_iterations):
        mass, first, second = _normalized(warp(images, shifts_px, rotation_deg), window)
        # Derivatives with respect to: shift along y, shift along x, turn by a radian (x toward y). They are taken of
        # what the conditions explain, smoothed a little: the noise of single tilts would pass for information.
        m, f, s = (
            ndimage.gaussian_filter1d(inner @ moment, 1.0, axis=1)
            for inner, moment in zip(inside, (mass, first, second), strict=True)
        )
        slopes = [[-_slope(m), np.zeros_like(m), -_slope(f)], [-_slope(f), m, -y * m - _slope(s)]]
        weights = [1.0, float((window * mass).sum() / (window * second).sum())]
        step, turned, error = _solve(
            conditions[:2], [mass, first], slopes, weights, window=window, fit_rotation=fit_rotation
        )
        shifts_px = shifts_px + turn(step, -rotation_deg)
        rotation_deg += turned
        if np.abs(step).max() < tolerance_px and abs(np.deg2rad(turned)) * y.size / 2 < tolerance_px:
            break
    residuals = disagreement(warp(images, shifts_px, rotation_deg), angles_deg, window)
    return Consistency(shifts_px, rotation_deg, error, residuals)


def disagreement(images: Floats, angles_deg: Floats, window: Floats, *, n_orders: int = 4) -> Floats:
    r"""Measure how far each tilt is from agreeing with the others, in several moments.

    The moment of order k across the axis must be a sum of :math:`\cos^{k-j} t \sin^j t`, j = 0 ... k. Orders 0 and 1
    are the common line and the center of mass; order 2 notices a tilt at the wrong angle, whatever its shift.

    Parameters
    ----------
    images : ndarray, shape (tilt, y, x)
        Aligned.
    angles_deg : ndarray, shape (tilt,)
    window : ndarray, shape (y,)
    n_orders : int, default 4
        Fewer are used when the series is too short to test them.

    Returns
    -------
    ndarray, shape (tilt, order)
        Root mean square over the rows of what the condition cannot explain, corrected for the part of its own deviation
        that each tilt explains by itself, and relative to the moment that the mass would have at its radius.
    """
    theta = np.deg2rad(angles_deg)
    n_orders = min(n_orders, angles_deg.size - 1)
    normalized = _normalized(images, window, 2 * n_orders - 1)
    result = np.zeros((angles_deg.size, n_orders))
    for k in range(n_orders):
        condition = _outside(_basis(theta, k))
        left = condition @ normalized[k]
        leverage = np.maximum(np.diag(condition), 1e-2)
        scale = np.sqrt(max(float((window * normalized[0] * normalized[2 * k]).sum(axis=1).mean()), 1e-300))
        result[:, k] = np.sqrt((window * left**2).sum(axis=1) / leverage) / scale
    return result


def _normalized(images: Floats, window: Floats, n: int = 3) -> list[Floats]:
    """Moments of images whose mass inside the window is made equal."""
    raw = moments(images, n)
    totals = raw[0] @ window
    return [moment * (np.median(totals) / totals)[:, None] for moment in raw]


def _slope(profiles: Floats) -> Floats:
    return np.asarray(np.gradient(profiles, axis=1))


def _solve(
    conditions: list[Floats],
    data: list[Floats],
    slopes: list[list[Floats]],
    weights: list[float],
    *,
    window: Floats,
    fit_rotation: bool,
) -> tuple[Floats, float, float]:
    """Solve one Gauss-Newton step for all tilts: shifts, turn and its standard error, in pixels and degrees.

    A condition couples tilts only through its (tilt, tilt) matrix.
    """
    n = data[0].shape[0]
    normal, right = np.zeros((3 * n, 3 * n)), np.zeros((3 * n, window.size))  # each row pulls for itself
    for condition, moment, slope, weight in zip(conditions, data, slopes, weights, strict=True):
        left = condition @ moment
        for i in range(3):
            right[i * n : (i + 1) * n] -= weight * slope[i] * left * window
            for j in range(3):
                block = condition * ((slope[i] * window) @ slope[j].T)
                normal[i * n : (i + 1) * n, j * n : (j + 1) * n] += weight * block
    # One turn for all tilts.
    merge = np.eye(3 * n, 2 * n + 1)
    merge[2 * n, -1] = 0.0
    if fit_rotation:
        merge[2 * n :, -1] = 1.0
    normal, right = merge.T @ normal @ merge, merge.T @ right
    scale = np.sqrt(np.diag(normal))
    scale[scale == 0] = 1.0
    # The gauge directions have eigenvalue zero: the minimum-norm step leaves them alone.
    inverse = np.linalg.pinv(normal / scale[:, None] / scale, rcond=1e-8, hermitian=True) / scale[:, None] / scale
    by_row = inverse @ right
    solution = by_row.sum(axis=1)
    step = np.clip(np.stack([solution[:n], solution[n : 2 * n]], axis=1), -3, 3)
    # The scatter of what the rows say gives the error without assuming a noise model.
    error = np.rad2deg(by_row[-1].std() * np.sqrt(window.size)) if fit_rotation else np.inf
    return step, float(np.clip(np.rad2deg(solution[-1]), -2, 2)), float(error)


def specimen_path(angles_deg: Floats, positions_px: Floats) -> NDArray[np.float64]:
    """Fit the path of a point, x0 cos t + z0 sin t, and return it at every tilt."""
    theta = np.deg2rad(angles_deg)
    basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    return np.asarray(basis @ np.linalg.lstsq(basis, positions_px, rcond=None)[0])
