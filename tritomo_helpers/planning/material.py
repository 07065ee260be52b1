"""What a planned particle is made of, unless told otherwise: layered NCM111, as far as X-rays show it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..constants import NCM111_FORMULA_UNITS_PER_NM3
from ..eds import mass_absorption_per_atom

FRACTIONS: Final[Mapping[str, float]] = MappingProxyType({"O": 2 / 3, "Mn": 1 / 9, "Co": 1 / 9, "Ni": 1 / 9})
"""Share of each element among the visible atoms: lithium has no line that a detector sees."""
ATOMS_PER_NM3: Final = 3 * NCM111_FORMULA_UNITS_PER_NM3
"""Visible atoms."""
WINDOW_EV: Final = (350.0, 1200.0)
"""Energies in which the lines are fitted."""


def absorption_per_nm(fractions: Mapping[str, float]) -> dict[str, float]:
    """Return the exponent of the absorption for 1 nm of way out, for the main line of every element.

    Examples
    --------
    >>> {element: round(1e3 * share, 1) for element, share in absorption_per_nm(FRACTIONS).items()}["Ni"]
    3.4
    """
    per_atom = mass_absorption_per_atom(fractions, list(fractions), window_ev=WINDOW_EV)
    return {element: ATOMS_PER_NM3 * area_nm2 for element, area_nm2 in per_atom.items()}
