"""From an aligned tilt series to a volume: back-projection, algebraic methods, GENFIRE and total variation."""

from .options import METHODS, Cgls, Genfire, Method, Sart, Sirt, TotalVariation, WeightedBackProjection
from .reconstruction import Reconstruction, project, reconstruct
from .selection import Selection
from .support import support_from_masks
from .without_truth import held_out_error, shell_correlation

__all__ = [
    "METHODS",
    "Cgls",
    "Genfire",
    "Method",
    "Reconstruction",
    "Sart",
    "Selection",
    "Sirt",
    "TotalVariation",
    "WeightedBackProjection",
    "held_out_error",
    "project",
    "reconstruct",
    "shell_correlation",
    "support_from_masks",
]
