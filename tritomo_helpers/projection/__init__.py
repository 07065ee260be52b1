"""The tilt projector and its exact adjoint, whole and on the box around a support."""

from .projector import Projector
from .slices import Slices

__all__ = ["Projector", "Slices"]
