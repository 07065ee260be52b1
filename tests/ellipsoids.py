"""Specimens made of ellipsoids, whose projections are known in closed form at any position and tilt."""

import numpy as np

from tritomo_helpers import alignment
from tritomo_helpers.containers import TiltSeries

ANGLES = np.arange(-70.0, 71.0, 10.0)


def ellipsoids(rng, *, n=14, radius=18.0):
    """A body and smaller inclusions: (center (x, y, z), matrix, density)."""
    found = []
    for i in range(n):
        center = np.zeros(3) if i == 0 else rng.normal(size=3)
        center *= 0.0 if i == 0 else radius * 0.55 * rng.uniform() ** (1 / 3) / np.linalg.norm(center)
        axes = radius * (np.array([0.75, 0.85, 0.65]) if i == 0 else rng.uniform(0.25, 0.55, 3))
        found.append((center, shape_matrix(axes, rng), 1.0 if i == 0 else rng.uniform(0.1, 0.5)))
    return found


def lamella(rng, *, n=300):
    """Grains in a layer that is far wider than the frame."""
    return [
        (
            np.array([rng.uniform(-110, 110), rng.uniform(-45, 45), rng.uniform(-7, 7)]),
            shape_matrix(rng.uniform(2, 5, 3), rng),
            rng.uniform(0.3, 1),
        )
        for _ in range(n)
    ]


def shape_matrix(axes, rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return turn @ np.diag(np.asarray(axes) ** -2.0) @ turn.T


def project(specimen, angles, shape, *, shifts=None, rotation_deg=0.0, oversampling=2):
    """Images in which the axes appear turned by `rotation_deg` and that `shifts` bring back; pixel averages."""
    offsets = (np.arange(oversampling) - (oversampling - 1) / 2) / oversampling
    y, x = (((np.arange(n) - n // 2)[:, None] + offsets).ravel() for n in shape)
    y, x = np.meshgrid(y, x, indexing="ij")
    cosine, sine = np.cos(np.deg2rad(rotation_deg)), np.sin(np.deg2rad(rotation_deg))
    images = np.zeros((len(angles), *shape))
    for k, t in enumerate(np.deg2rad(angles)):
        sy, sx = (0.0, 0.0) if shifts is None else shifts[k]
        along = cosine * (y + sy) - sine * (x + sx)
        across = cosine * (x + sx) + sine * (y + sy)
        beam = np.array([np.sin(t), 0, np.cos(t)])
        total = np.zeros(y.shape)
        for center, matrix, density in specimen:
            point = np.stack([across * np.cos(t), along, -across * np.sin(t)]) - center[:, None, None]
            a = beam @ matrix @ beam
            b = np.einsum("i,iyx->yx", matrix @ beam, point)
            c = np.einsum("iyx,ij,jyx->yx", point, matrix, point) - 1
            total += density * 2 * np.sqrt(np.clip(b**2 - a * c, 0, None)) / a
        images[k] = total.reshape(shape[0], oversampling, shape[1], oversampling).mean(axis=(1, 3))
    return images


def noisy(images, rng, *, peak=2000, vacuum=20):
    return rng.poisson(images * peak / images.max() + vacuum).astype(float)


def series(images, angles=ANGLES):
    return TiltSeries(images, angles, 4.63, "ADF")


def rms(found, shifts, rotation_deg=0.0):
    """Root mean square of what is left after the gauge, along and across the axis."""
    left = alignment.remove_gauge(found.shifts_px - shifts, found.tilt_angles_deg, axis_rotation_deg=rotation_deg)
    return np.sqrt(np.nanmean(left**2, axis=0))
