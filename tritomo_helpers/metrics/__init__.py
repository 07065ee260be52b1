"""How good is a reconstruction: with the truth (NRMSE, Dice), and without it (R factors, held-out data, FSC)."""

from .errors import dice, held_out_error, nrmse, poisson_deviance, r_factor
from .resampling import bootstrap_interval, free_mask, thin_counts
from .resolution import FourierShells, edge_width, fsc

__all__ = [
    "FourierShells",
    "bootstrap_interval",
    "dice",
    "edge_width",
    "free_mask",
    "fsc",
    "held_out_error",
    "nrmse",
    "poisson_deviance",
    "r_factor",
    "thin_counts",
]
