"""How much rock salt an oxygen content stands for, counted in three ways that differ by a third."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_not_infinite, check_option, checked
from ..constants import NCM111_FORMULA_UNITS_PER_NM3, ROCK_SALT_LATTICE_NM, SPINEL_LATTICE_NM

OXYGEN_BEFORE = 2 / 3
"""Share of oxygen in the visible atoms of Li(TM)O2 and of Li(TM)2O4: the same."""
OXYGEN_ROCK_SALT = 1 / 2
METAL_BEFORE, METAL_ROCK_SALT = 1 / 3, 1 / 2
_ATOMS_PER_NM3 = {
    "layered": 3 * NCM111_FORMULA_UNITS_PER_NM3,
    "spinel": 8 * 6 / SPINEL_LATTICE_NM**3,
    "rock salt": 8 / ROCK_SALT_LATTICE_NM**3,
}


@dataclass(frozen=True, eq=False)
class RockSalt:
    """How much of a mixture is rock salt: shares between 0 and 1, outside that range where noise leads there.

    Parameters
    ----------
    per_visible_atom, per_metal, per_volume : ndarray or float
        Of the O, Mn, Co and Ni atoms; of the Mn, Co and Ni atoms; of the volume.
    """

    per_visible_atom: Floats
    per_metal: Floats
    per_volume: Floats


@checked
def rock_salt(oxygen_fraction: ArrayLike, *, beside: str = "layered") -> RockSalt:
    r"""Return the share of rock salt from the share of oxygen in the visible atoms.

    Oxygen is 2/3 of the visible atoms in Li(TM)O\ :sub:`2` and Li(TM)\ :sub:`2`\ O\ :sub:`4` and 1/2 in (TM)O, so that
    a share s of the visible atoms in rock salt gives

    .. math:: c_\mathrm{O} = \tfrac{2}{3}(1 - s) + \tfrac{1}{2} s,\qquad
              s_\mathrm{metal} = \frac{s/2}{s/2 + (1 - s)/3}

    and the share of the volume follows from the visible atoms per nm³ of either. Valences are shares of the metal.

    Parameters
    ----------
    oxygen_fraction : array_like
        O / (O + Mn + Co + Ni), between 0 and 1; any shape. Take means over a particle: from single voxels, noise and
        the curvature of the second formula shift the result.
    beside : {"layered", "spinel"}
        What the rest is. It matters for the volume alone.

    Returns
    -------
    RockSalt

    Notes
    -----
    Other reasons for missing oxygen (vacancies), and oxygen in surface films, are counted as rock salt or against it.

    Examples
    --------
    >>> cycled = rock_salt(0.6105)
    >>> [round(100 * float(share), 1) for share in (cycled.per_visible_atom, cycled.per_metal, cycled.per_volume)]
    [33.7, 43.3, 31.0]
    """
    check_option(beside, "beside", ("layered", "spinel"))
    check_not_infinite(oxygen_fraction, "oxygen_fraction")
    oxygen = np.asarray(oxygen_fraction, dtype=np.float64)
    share = np.asarray((OXYGEN_BEFORE - oxygen) / (OXYGEN_BEFORE - OXYGEN_ROCK_SALT))
    metal = METAL_ROCK_SALT * share
    volume = share / _ATOMS_PER_NM3["rock salt"]
    other = (1 - share) / _ATOMS_PER_NM3[beside]
    return RockSalt(
        share, np.asarray(metal / (metal + METAL_BEFORE * (1 - share))), np.asarray(volume / (volume + other))
    )
