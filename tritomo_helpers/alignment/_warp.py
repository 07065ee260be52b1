"""Moving images: shift first, then turn about the center of the frame."""

import numpy as np
from scipy import ndimage

from .._typing import Floats


def turn(vectors: Floats, angle_deg: float) -> Floats:
    """Turn vectors (..., 2) in (y, x): x moves toward y for a positive angle."""
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    y, x = vectors[..., 0], vectors[..., 1]
    return np.stack([cosine * y + sine * x, cosine * x - sine * y], axis=-1)


def warp(images: Floats, shifts_px: Floats, rotation_deg: float) -> Floats:
    """Shift each image and turn it about index N // 2, with one cubic interpolation; zero comes in from outside."""
    center = np.array([n // 2 for n in images.shape[1:]])
    back = np.stack([turn(unit, -rotation_deg) for unit in np.eye(2)], axis=1)
    return np.stack(
        [
            ndimage.affine_transform(image, back, offset=center - shift - back @ center, order=3, mode="constant")
            for image, shift in zip(images, shifts_px, strict=True)
        ]
    )


def coordinates(n: int) -> Floats:
    """Position of each index in pixels; the origin is index n // 2."""
    return np.arange(n, dtype=np.float64) - n // 2


def subpixel_shift(image: Floats, reference: Floats) -> Floats:
    """Find the shift to be applied to `image` that maximizes its cross-correlation with `reference`.

    The Fourier series of the correlation is evaluated on a quarter-pixel grid around the integer maximum, and the
    highest point of that refined by Newton steps. From the integer maximum itself these fail where a sharp image lies
    half a pixel off both ways: the peak is convex there.
    """
    product = np.fft.fft2(reference) * np.conj(np.fft.fft2(image))
    correlation = np.fft.ifft2(product).real
    index = [np.fft.fftfreq(n) * n for n in image.shape]
    best = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    ky, kx = (2 * np.pi * np.fft.fftfreq(n) for n in image.shape)
    quarters = np.arange(-3, 4) / 4
    down, right = index[0][best[0]] + quarters, index[1][best[1]] + quarters
    around = (np.exp(1j * np.outer(down, ky)) @ product @ np.exp(1j * np.outer(kx, right))).real
    row, column = np.unravel_index(int(np.argmax(around)), around.shape)
    start = np.array([down[row], right[column]])
    shift = start.copy()
    for _ in range(8):
        rotated = product * np.exp(1j * (ky * shift[0])[:, None]) * np.exp(1j * (kx * shift[1])[None, :])
        real, imaginary = rotated.real, rotated.imag
        slope = -np.array([(ky @ imaginary).sum(), (imaginary @ kx).sum()])
        cross = ky @ real @ kx
        curvature = -np.array([[(ky**2 @ real).sum(), cross], [cross, (real @ kx**2).sum()]])
        if np.linalg.det(curvature) <= 0 or curvature[0, 0] >= 0:
            break
        step = np.linalg.solve(curvature, slope)
        shift = shift - step
        if np.abs(shift - start).max() > 0.5:  # left the peak: the highest point is all there is
            return start
        if np.abs(step).max() < 1e-4:
            break
    return shift
