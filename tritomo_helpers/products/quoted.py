"""Numbers that the paper states in words, as they stand in its text: what the twin and its results are held beside.

"Paper" is Oh et al., "Correlative 3D Mapping ... via Simultaneous ADF-EDS-EELS Tomography", main text. Its figures hold
more, but no numbers: nothing is read off a curve.
"""

from types import MappingProxyType
from typing import Final

import numpy as np

from .._typing import Floats

CYCLES: Final = (0, 50, 100, 200)
"""How many particles the paper has at each number of cycles."""

_UP_TO_100 = (66.0, 67.0)
"""Oxygen "remained nearly constant up to 100 cycles (66.0% to 67.0%)"."""

QUOTED: Final = MappingProxyType(
    {
        "O_at_percent": {0: _UP_TO_100, 50: _UP_TO_100, 100: _UP_TO_100, 200: (61.0, 61.0)},
        # "By 100 cycles, a small fraction (0.1%) of transition-metal-rich regions emerged, and by 200 cycles, this
        # fraction increased to approximately 0.2-0.5%"; "almost negligible" before.
        "rich_percent": {0: (0.0, 0.0), 50: (0.0, 0.0), 100: (0.1, 0.1), 200: (0.2, 0.5)},
        "Mn4_percent": {100: (80.7, 80.7), 200: (53.4, 53.4)},
        "Mn3_percent": {100: (7.2, 7.2), 200: (4.6, 4.6)},  # what is left of 100 %
        "Mn2_percent": {100: (12.1, 12.1), 200: (42.0, 42.0)},
        "Co3_percent": {100: (77.5, 77.5), 200: (11.0, 11.0)},
        "Co2_percent": {100: (22.5, 22.5), 200: (89.0, 89.0)},
        # "33.7% of the particle volume has transformed into the rock-salt structure"
        "rock_salt_percent_of_visible_atom": {200: (33.7, 33.7)},
    }
)
"""Quantity to cycles to (low, high), in the units of the study's table; equal ends where it states one number."""


def quoted(quantity: str) -> Floats:
    """Return what the paper states of a quantity, shape (stage, 2): low and high, NaN where it states nothing.

    Examples
    --------
    >>> quoted("O_at_percent")[-1], quoted("Ni_at_percent")[0]
    (array([61., 61.]), array([nan, nan]))
    """
    if quantity.endswith("_rich_percent"):
        quantity = "rich_percent"
    stated = QUOTED.get(quantity, {})
    return np.array([stated.get(cycles, (np.nan, np.nan)) for cycles in CYCLES], dtype=np.float64)
