"""A slab of known thickness before a detector, which simulated spectra are counted by hand for."""

import numpy as np

from tritomo_helpers.simulation.rays import plan

ELECTRONS = 0.3e-9 * 0.05 / 1.602176634e-19
UNITS = 29.78  # formula units per nm³
MEAN_FREE_PATH = 149.6


def rng(seed=5):
    return np.random.default_rng(seed)


def slab(thickness_nm, acquisition):
    """Atoms per nm² of a slab of NCM111, Mn4+ Co3+ Ni2+, at every pixel."""
    units = np.broadcast_to(UNITS * np.asarray(thickness_nm, dtype=float), acquisition.scan_shape)
    third = units / 3
    return {"O": 2 * units, "Li": units, "Mn4": third, "Co3": third, "Ni2": third}


def record(detector, thickness_nm, acquisition, phantom=None, seed=5, angle=0):
    exposure = plan(acquisition.replace(tilt_angles_deg=(angle,), repeats=False), rng=rng(seed))[0]
    return detector.detect(slab(thickness_nm, acquisition), exposure, phantom, acquisition, rng=rng(seed))
