"""Alignment by pictures: neighbors against each other, then each tilt against the reprojected reconstruction."""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from .._typing import Floats
from ..projection import Projector, Slices
from ..tomography.iterative import sirt
from ._moments import specimen_path
from ._warp import coordinates, subpixel_shift, turn, warp


@dataclass(frozen=True)
class Match:
    """Result of `refine`: what to apply, and how well each tilt agrees with the reprojection."""

    shifts_px: Floats
    residual: Floats  # (tilt,) norm of the difference over norm of the image, after one factor of brightness
    steps_px: list[float]  # largest change of each round


def taper(n: int, fraction: float = 0.15) -> Floats:
    """Return 1 in the middle and a smooth fall to 0 at both ends, shape (n,)."""
    ramp = np.sin(np.linspace(0, np.pi / 2, max(int(fraction * n), 2), endpoint=False)) ** 2
    window = np.ones(n)
    window[: ramp.size] = ramp
    window[-ramp.size :] = ramp[::-1]
    return window


def chain(images: Floats, angles_deg: Floats, *, stretch: bool, max_iterations: int = 4) -> Floats:
    """Register each tilt to its neighbor, outward from the smallest tilt, by cross-correlation.

    Parameters
    ----------
    images : ndarray, shape (tilt, y, x)
        Background-free.
    angles_deg : ndarray, shape (tilt,)
    stretch : bool
        Widen the steeper image by the ratio of the cosines first, as a lamella wants and a needle does not.
    max_iterations : int
        Repeats of one registration, each with the window on the overlap found so far.

    Returns
    -------
    ndarray, shape (tilt, 2)
        Shifts (y, x) to be applied.
    """
    window = taper(images.shape[1])[:, None] * taper(images.shape[2])
    shifts = np.zeros((angles_deg.size, 2))
    middle = int(np.argmin(np.abs(angles_deg)))
    cosine = np.cos(np.deg2rad(angles_deg))
    outward = [(i, i - 1) for i in range(middle + 1, angles_deg.size)]
    outward += [(i, i + 1) for i in range(middle - 1, -1, -1)]
    for i, neighbor in outward:
        factor = float(cosine[neighbor] / cosine[i]) if stretch else 1.0
        reference = _windowed(warp(images[[neighbor]], shifts[[neighbor]], 0.0)[0], window)
        shifts[i] = shifts[neighbor] / [1.0, factor]
        for _ in range(max_iterations):
            image = _stretched(warp(images[[i]], shifts[[i]], 0.0)[0], factor)
            step = subpixel_shift(_windowed(image, window), reference) / [1.0, factor]
            shifts[i] += step
            if np.abs(step).max() < 0.02:
                break
    return shifts


def _windowed(image: Floats, window: Floats) -> Floats:
    return np.asarray((image - np.average(image, weights=window)) * window)


def _stretched(image: Floats, factor: float) -> Floats:
    """Widen an image along x about index N // 2."""
    if factor == 1.0:
        return image
    x = coordinates(image.shape[1])
    return np.stack([np.interp(x / factor, x, row) for row in image])


def refine(
    images: Floats,
    angles_deg: Floats,
    shifts_px: Floats,
    rotation_deg: float,
    *,
    window: Floats,
    half_depth_px: int,
    half_width_px: int,
    n_rounds: int = 8,
    positive: bool = True,
    n_sirt: int = 40,
    tolerance_px: float = 0.01,
) -> Match:
    """Reconstruct, reproject, shift; repeat.

    Parameters
    ----------
    images : ndarray, shape (tilt, y, x)
        Background-free.
    angles_deg : ndarray, shape (tilt,)
    shifts_px : ndarray, shape (tilt, 2)
        Start, good to a few pixels.
    rotation_deg : float
        Turn of the axis, kept: a reconstruction that has not converged pulls it along (see `moments.fit`).
    window : ndarray, shape (y, x)
        Weight of each pixel after the shift: 0 where a pixel is not inside every frame.
    half_depth_px, half_width_px : int
        Half the size of the reconstructed volume along z and x.
    n_rounds, n_sirt : int
        Most rounds, and iterations of each reconstruction. With few, the model is blurred and pulls the shifts.
    positive : bool
        Clip negative voxels; not for images from which a smooth background was taken.
    tolerance_px : float
        Stop when no tilt moves farther.
    """
    projector = Projector(angles_deg, (2 * half_depth_px, 2 * half_width_px), n_pixels=images.shape[2])
    steps: list[float] = []
    for round_number in range(n_rounds + 1):
        aligned = warp(images, shifts_px, rotation_deg)
        model = reproject(projector, aligned, window, n_sirt, positive)
        down, right = np.gradient(model, axis=1), np.gradient(model, axis=2)
        change = np.stack([-down, -right, model])  # of a model that moves along y, along x, and gets brighter
        normal = np.einsum("atyx,btyx,yx->tab", change, change, window, optimize=True)
        aim = np.einsum("atyx,tyx,yx->ta", change, aligned - model, window, optimize=True)
        gain = aim[:, 2] / normal[:, 2, 2]
        left = aligned - (1 + gain[:, None, None]) * model
        residual = np.sqrt(np.einsum("tyx,yx->t", left**2, window) / np.einsum("tyx,yx->t", aligned**2, window))
        if round_number == n_rounds or (steps and steps[-1] < tolerance_px):
            break
        normal += 1e-9 * np.einsum("taa->t", normal)[:, None, None] * np.eye(3)
        step = np.linalg.solve(normal, aim[..., None])[:, :2, 0]
        step = np.clip(_without_gauge(step, angles_deg), -3, 3)
        shifts_px = shifts_px - turn(step, -rotation_deg)  # `step` is how far the image lies off: undo it
        steps.append(float(np.abs(step).max()))
    return Match(shifts_px, residual, steps)


def reproject(projector: Projector, images: Floats, window: Floats, n_iterations: int, positive: bool) -> Floats:
    """SIRT on the pixels inside the window, then projected back to the angles."""
    weights = np.broadcast_to(window, images.shape).astype(np.float32)
    everywhere = np.ones((projector.shape[0], images.shape[1], projector.shape[1]), dtype=bool)
    slices = Slices(projector, images.astype(np.float32), everywhere, weights, positive)
    *_, (cells, _) = islice(sirt(slices), n_iterations)
    return projector.to_images(slices.forward(cells)).astype(np.float64)


def _without_gauge(shifts: Floats, angles_deg: Floats) -> Floats:
    """Take out what a moved specimen explains: a constant along the axis, x0 cos t + z0 sin t across it."""
    along = shifts[:, 0] - shifts[:, 0].mean()
    across = shifts[:, 1] - specimen_path(angles_deg, shifts[:, 1])
    return np.stack([along, across], axis=1)
