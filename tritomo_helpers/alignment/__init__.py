"""Bring all tilts onto one axis: estimated once on ADF, applied to any channel of any container."""

from ..containers import Alignment
from ._estimate import METHODS, estimate
from ._result import apply, remove_gauge

__all__ = ["METHODS", "Alignment", "apply", "estimate", "remove_gauge"]
