"""Volumes to show, and what a viewer's page reads of them."""

import json

import numpy as np

from tritomo_helpers.containers import Tomogram

N_TILTS = 5


def particle(n, *, noise=0.02, outside=np.nan, seed=0):
    """Composition of a rough particle that fills a tenth of the box, with noise on it."""
    g = (np.arange(n) - n // 2) / n
    z, y, x = np.meshgrid(g, g, g, indexing="ij")
    r = np.sqrt(x**2 + (1.2 * y) ** 2 + (1.4 * z) ** 2) + 0.03 * np.sin(14 * x) * np.cos(11 * y)
    values = 40 + 30 * np.sin(9 * x + 5 * z) * (1 - r / 0.3)
    values += np.random.default_rng(seed).normal(0, 100 * noise, r.shape)
    return Tomogram(np.where(r < 0.34, values, outside), 4.63, "Mn (at%)")


def config_of(shown):
    """What the script on the page reads."""
    return json.loads(shown.data)
