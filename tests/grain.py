"""A small grain and its series, written as a user would have them."""

import numpy as np

from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries
from tritomo_helpers.projection import Projector

N, PIXEL_NM = 24, 4.63
ANGLES = np.array([-60.0, -30.0, 0.0, 30.0, 60.0])


def body():
    """A pear without any symmetry of the tilt, its center of mass near the middle."""
    z, y, x = np.indices((N, N, N)) - N // 2
    large = (x / 4.6) ** 2 + (y / 6.0) ** 2 + (z / 4.0) ** 2 < 1
    small = ((x - 4) / 2.6) ** 2 + (y / 3.5) ** 2 + ((z + 3) / 2.6) ** 2 < 1
    return (large | small).astype(float)


def adf_series(*, shift_px=2, noise=2.0):
    images = Projector(ANGLES, (N, N)).forward(body()) * 10
    images = np.array([np.roll(image, (i % 2, shift_px * (i - 2) // 2), axis=(0, 1)) for i, image in enumerate(images)])
    return TiltSeries(images + 20 + np.random.default_rng(1).normal(0, noise, images.shape), ANGLES, PIXEL_NM, "ADF")


def spectra(low_ev, step_ev, n=40, *, angles=ANGLES, shape=(N, N), pixel_nm=PIXEL_NM):
    counts = np.ones((len(angles), *shape, n), np.uint8)
    return SpectrumTiltSeries(counts, angles, low_ev + step_ev * np.arange(n), pixel_nm)
