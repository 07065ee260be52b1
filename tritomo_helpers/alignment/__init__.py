"""Bring all tilts onto one axis: estimated once on ADF, applied to any channel of any container."""

from ._estimate import METHODS, estimate
from ._result import Alignment, apply, remove_gauge

__all__ = ["METHODS", "Alignment", "apply", "estimate", "remove_gauge"]
