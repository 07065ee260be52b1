"""Fractions that sum to one, reconstructed together from several noisy channels of one tilt series.

One engine for composition (elements) and valence (oxidation states). It knows no chemistry: channels, their noise and
their forward weights come in; fractions with standard errors and the settings chosen for them come out.
"""

from .choice import PriorChoice, choose_prior, split_by_fission
from .coarse import halved, may_be_halved
from .data import FractionData
from .lengths import weigh_lengths
from .matching import match_sizes
from .posterior import FractionVolumes, solve
from .prior import Prior, WeightedPrior

__all__ = [
    "FractionData",
    "FractionVolumes",
    "Prior",
    "PriorChoice",
    "WeightedPrior",
    "choose_prior",
    "halved",
    "match_sizes",
    "may_be_halved",
    "solve",
    "split_by_fission",
    "weigh_lengths",
]
