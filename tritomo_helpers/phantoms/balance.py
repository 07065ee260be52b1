r"""Charge balance: which oxygen, lithium and nickel valence go with given lattices and valences of Mn and Co.

Per metal atom, with shares g of the metals in each lattice, O = 2 (g_layered + g_spinel) + g_rock-salt and
F = 3 g_fluoride. A crystal is neutral:

.. math:: n_\mathrm{Li} + x_\mathrm{Ni} v_\mathrm{Ni} =
          2 n_\mathrm{O} + n_\mathrm{F} - x_\mathrm{Mn} v_\mathrm{Mn} - x_\mathrm{Co} v_\mathrm{Co}

Neither term on the left is measured by the experiment. Lithium is put at the limit of its lattice, at most one per
metal in the layered, one half in the spinel, none in the others, and nickel takes what is left, from 2+ to 4+; where
even Ni2+ is too much, lithium is below its limit. Ni3+ beside Mn2+ is chemically unlikely, since it would oxidize it:
where the balance asks for that, the published valences hardly fit together, and the twin says so in numbers.
"""

from dataclasses import dataclass

import numpy as np

from .._typing import Floats
from ..constants import NCM111_FORMULA_UNITS_PER_NM3, ROCK_SALT_LATTICE_NM, SPINEL_LATTICE_NM

METALS = ("Mn", "Co", "Ni")
SPECIES = ("O", "F", "Mn4", "Mn3", "Mn2", "Co3", "Co2", "Ni2", "Li")
"""What a specimen can consist of. ``"Ni2"`` is all nickel, whatever its valence: nobody measured its white line, so the
twin gives every nickel atom that of Ni2+."""

LITHIUM_SPINEL = 0.5
"""Li per metal of a full spinel, Li(TM)2O4."""

# Volume per metal atom, nm³: one in a formula unit of NCM111, 16 in the cell of spinel, 4 in that of rock salt. The
# fluorides: MnF3 of 3.54 g/cm³ and 111.93 g/mol, CoF3 of 3.88 g/cm³ and 115.93 g/mol (CRC Handbook), in the mean.
VOLUME_NM3 = {
    "layered": 1 / NCM111_FORMULA_UNITS_PER_NM3,
    "spinel": SPINEL_LATTICE_NM**3 / 16,
    "rock_salt": ROCK_SALT_LATTICE_NM**3 / 4,
    "fluoride": (111.93 / 3.54 + 115.93 / 3.88) / 2 / 602.214076,
}
# Atoms that belong to one metal, itself included, lithium not.
ATOMS_PER_METAL = {"layered": 3, "spinel": 3, "rock_salt": 2, "fluoride": 4}


def metals_in_rock_salt(share_of_atoms: Floats) -> Floats:
    """Return the share of the metals in rock salt, given its share of the O and metal atoms.

    Rock salt is half metal where the layered and spinel lattices are a third.

    Examples
    --------
    >>> round(float(metals_in_rock_salt(np.array(0.337))), 3)
    0.433
    """
    return np.asarray(3 * share_of_atoms / (2 + share_of_atoms))


@dataclass(frozen=True, eq=False)
class Values:
    """Chemistry at n points, fractions 0 to 1 unless said otherwise.

    Parameters
    ----------
    atomic_fractions : dict of array
        O, Mn, Co, Ni, and F where there is any; they add up to 1 (lithium is invisible to the experiment and not
        counted).
    mn_valence, co_valence : dict of array
        Keys 4, 3, 2 and 3, 2: share of the element's ions.
    ni_valence : array
        Mean valence of nickel, 2 to 4.
    phases : dict of array
        layered, spinel, rock_salt, and fluoride where there is any: share of the atoms counted.
    lithium : array
        Li per atom counted.
    density : array
        Atoms counted, per nm³.
    """

    atomic_fractions: dict[str, Floats]
    mn_valence: dict[int, Floats]
    co_valence: dict[int, Floats]
    ni_valence: Floats
    phases: dict[str, Floats]
    lithium: Floats
    density: Floats

    def species(self) -> dict[str, Floats]:
        """Return the number density of every species that occurs, 1/nm³; ``"Ni2"`` is all nickel."""
        f, density = self.atomic_fractions, self.density
        anions = {name: f[name] * density for name in ("O", "F") if name in f}
        return {
            **anions,
            **{f"Mn{v}": f["Mn"] * density * share for v, share in self.mn_valence.items()},
            **{f"Co{v}": f["Co"] * density * share for v, share in self.co_valence.items()},
            "Ni2": f["Ni"] * density,
            "Li": self.lithium * density,
        }


def mean_valence(states: dict[int, Floats]) -> Floats:
    """Return the mean of valences, weighted by their shares."""
    return np.asarray(sum(valence * share for valence, share in states.items()))


def balance(
    metal_shares: dict[str, Floats],
    mn_valence: dict[int, Floats],
    co_valence: dict[int, Floats],
    *,
    rock_salt: Floats,
    spinel: float,
    lithium_layered: float,
    hypothesis: str = "none",
) -> Values:
    """Make a neutral solid of given metals, valences and lattices.

    Parameters
    ----------
    metal_shares : dict of array
        Mn, Co, Ni as shares of the metals.
    mn_valence, co_valence : dict of array
        Shares of the ions.
    rock_salt : array
        Share of the metals in rock salt.
    spinel : float
        Share of the spinel lattice in what is not rock salt.
    lithium_layered : float
        Li per metal in the layered lattice, at most 1.
    hypothesis : str
        What accounts for low valences of Mn and Co: ``"none"`` leaves it to nickel; ``"oxygen-vacancy"`` and
        ``"lithium-excess"`` keep Ni2+ and let oxygen or lithium balance the charge; ``"surface-rock-salt"`` puts as
        many metals into rock salt as Mn ions are below 4+; ``"surface-fluoride"`` puts every Mn below 4+ into MnF3 and
        every Co below 3+ into CoF3. The last is generous, for in these both are 3+: the published 2+ would need MnF2
        and CoF2, with two thirds of the fluorine.

    Returns
    -------
    Values
    """
    x = metal_shares
    fluoride = np.zeros_like(x["Mn"])
    if hypothesis == "surface-rock-salt":
        rock_salt = 1 - mn_valence[4]
    elif hypothesis == "surface-fluoride":
        fluoride = x["Mn"] * (1 - mn_valence[4]) + x["Co"] * (1 - co_valence[3])
    others = 1 - rock_salt - fluoride
    lattices = {"layered": others * (1 - spinel), "spinel": others * spinel, "rock_salt": rock_salt}
    if hypothesis == "surface-fluoride":
        lattices["fluoride"] = fluoride

    oxygen, fluorine = 2 * others + rock_salt, 3 * fluoride
    lithium = lithium_layered * lattices["layered"] + LITHIUM_SPINEL * lattices["spinel"]
    positive = x["Mn"] * mean_valence(mn_valence) + x["Co"] * mean_valence(co_valence)
    if hypothesis == "oxygen-vacancy":
        oxygen = (positive + 2 * x["Ni"] + lithium) / 2
    missing = 2 * oxygen + fluorine - positive
    nickel = (missing - lithium) / x["Ni"]
    nickel = np.full_like(nickel, 2.0) if hypothesis == "lithium-excess" else np.clip(nickel, 2, 4)
    lithium = missing - nickel * x["Ni"]

    per_metal = 1 + oxygen + fluorine
    atoms = {name: share * ATOMS_PER_METAL[name] for name, share in lattices.items()}
    fractions = {"O": oxygen / per_metal, **{el: x[el] / per_metal for el in METALS}}
    if hypothesis == "surface-fluoride":
        fractions["F"] = fluorine / per_metal
    # Volumes add; a vacancy keeps its place.
    volume = sum((share * VOLUME_NM3[name] for name, share in lattices.items()), np.zeros_like(rock_salt))
    return Values(
        fractions,
        mn_valence,
        co_valence,
        nickel,
        {name: share / sum(atoms.values()) for name, share in atoms.items()},
        lithium / per_metal,
        per_metal / volume,
    )
