"""From an aligned tilt series to a volume: back-projection, algebraic methods, GENFIRE and total variation."""

from .methods import (
    METHODS,
    OPTIONS,
    Reconstruction,
    held_out_error,
    project,
    reconstruct,
    support_from_masks,
)
from .resolution import shell_correlation

__all__ = [
    "METHODS",
    "OPTIONS",
    "Reconstruction",
    "held_out_error",
    "project",
    "reconstruct",
    "shell_correlation",
    "support_from_masks",
]
