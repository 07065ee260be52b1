"""Where the atoms are, and where the beam sees them.

References
----------
Yabuuchi and Ohzuku, J. Power Sources 119-121, 171 (2003), and the sources at each structure below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_option, checked, fail
from ..constants import ATOMIC_NUMBER, ROCK_SALT_LATTICE_NM, SPINEL_LATTICE_NM

_TM: Final[Mapping[str, float]] = {"Mn": 1 / 3, "Co": 1 / 3, "Ni": 1 / 3}
_LI: Final[Mapping[str, float]] = {"Li": 1.0}
_O: Final[Mapping[str, float]] = {"O": 1.0}

# Hexagonal cell: Yabuuchi and Ohzuku, J. Power Sources 119-121, 171 (2003). Oxygen at z = 0.2414 from the lithium
# layer, typical of layered NCM oxides; it sets how flat the metal slabs are and hardly shows in ADF.
_LAYERED_A_NM, _LAYERED_C_NM, _LAYERED_Z = 0.2862, 1.4227, 0.2586
# Oxygen parameter of LiMn2O4, typical of it.
_SPINEL_U = 0.2632


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal and the direction from which the microscope looks at it.

    Parameters
    ----------
    name, formula, space_group : str
        What it is called; TM stands for one third each of Mn, Co and Ni.
    lattice_nm : array, shape (3, 3)
        Rows are the lattice vectors, nm.
    positions : array, shape (n_atoms, 3)
        Fractional coordinates of every atom of the cell.
    occupants : tuple of mapping, length n_atoms
        For each atom the share of each element.
    beam, right, up : tuple of int
        Lattice directions along the beam and along the image's axes: the close-packed layers lie level in the image.

    Examples
    --------
    >>> crystal("layered").formula
    'Li(TM)O2'
    """

    name: str
    formula: str
    space_group: str
    lattice_nm: NDArray[np.float64]
    positions: NDArray[np.float64]
    occupants: tuple[Mapping[str, float], ...]
    beam: tuple[int, int, int]
    right: tuple[int, int, int]
    up: tuple[int, int, int]

    def composition(self) -> dict[str, float]:
        """Return the atomic percentage of each element, lithium included.

        Examples
        --------
        >>> shares = crystal("rock salt").composition()
        >>> round(shares["O"], 1), round(shares["Mn"], 1)
        (50.0, 16.7)
        """
        total: dict[str, float] = {}
        for occupant in self.occupants:
            for element, share in occupant.items():
                total[element] = total.get(element, 0.0) + 100.0 * share / len(self.occupants)
        return total

    def atoms_per_nm3(self) -> dict[str, float]:
        """Return the number density of each element, atoms per nm³.

        Examples
        --------
        >>> round(crystal("layered").atoms_per_nm3()["O"], 1)
        59.5
        """
        per_percent = len(self.positions) / 100.0 / abs(float(np.linalg.det(self.lattice_nm)))
        return {element: share * per_percent for element, share in self.composition().items()}


def _expand(sites: ArrayLike, centering: ArrayLike) -> NDArray[np.float64]:
    """Return every site moved by every centering vector, folded into the cell."""
    translated = np.asarray(sites, float)[:, None, :] + np.asarray(centering, float)[None, :, :]
    return np.asarray(np.mod(translated.reshape(-1, 3), 1.0))


_FCC: Final = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_OBVERSE: Final = ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))


@checked
def crystal(name: str) -> Crystal:
    """Return one of the three structures that a cathode passes through.

    Parameters
    ----------
    name : {"layered", "spinel", "rock salt"}
        Li(TM)O2 in R-3m, Li(TM)2O4 in Fd-3m or (TM)O in Fm-3m. The spinel's metals are the paper's "spinel-like" phase
        with the lattice of LiMn2O4; the rock salt is the fully delithiated end member.

    Returns
    -------
    Crystal

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> [len(crystal(name).positions) for name in ("layered", "spinel", "rock salt")]
    [12, 56, 8]
    """
    check_option(name, "crystal", ("layered", "spinel", "rock salt"))
    if name == "layered":
        a, c, z = _LAYERED_A_NM, _LAYERED_C_NM, _LAYERED_Z
        lattice = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
        groups = [
            (_expand([[0, 0, 0]], _OBVERSE), _TM),
            (_expand([[0, 0, 0.5]], _OBVERSE), _LI),
            (_expand([[0, 0, z], [0, 0, -z]], _OBVERSE), _O),
        ]
        return _crystal(name, "Li(TM)O2", "R-3m", lattice, groups, view=((1, 0, 0), (1, 2, 0), (0, 0, 1)))
    view = ((1, -1, 0), (1, 1, -2), (1, 1, 1))
    if name == "rock salt":
        groups = [(_expand([[0, 0, 0]], _FCC), _TM), (_expand([[0.5, 0.5, 0.5]], _FCC), _O)]
        return _crystal(name, "(TM)O", "Fm-3m", ROCK_SALT_LATTICE_NM * np.eye(3), groups, view=view)
    # Fd-3m, origin at the center of symmetry (choice 2): 8a, 16d and 32e.
    u = _SPINEL_U
    lithium = [[1 / 8, 1 / 8, 1 / 8], [7 / 8, 3 / 8, 3 / 8]]
    metal = [[1 / 2, 1 / 2, 1 / 2], [1 / 4, 3 / 4, 0], [3 / 4, 0, 1 / 4], [0, 1 / 4, 3 / 4]]
    first = np.array(
        [[u, u, u], [-u + 1 / 4, -u + 1 / 4, u], [-u + 1 / 4, u, -u + 1 / 4], [u, -u + 1 / 4, -u + 1 / 4]],
    )
    groups = [(_expand(metal, _FCC), _TM), (_expand(lithium, _FCC), _LI), (_expand([*first, *-first], _FCC), _O)]
    return _crystal(name, "Li(TM)2O4", "Fd-3m", SPINEL_LATTICE_NM * np.eye(3), groups, view=view)


def _crystal(
    name: str,
    formula: str,
    space_group: str,
    lattice: NDArray[np.float64],
    groups: list[tuple[NDArray[np.float64], Mapping[str, float]]],
    *,
    view: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]],
) -> Crystal:
    positions = np.concatenate([sites for sites, _ in groups])
    occupants = tuple(occupant for sites, occupant in groups for _ in sites)
    return Crystal(name, formula, space_group, lattice, positions, occupants, *view)


@checked
def projected_atoms(
    structure: Crystal, *, gamma: float = 1.7
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    r"""Return the atoms of one repeat of the structure as the beam sees them.

    Parameters
    ----------
    structure : Crystal
        Structure and viewing direction.
    gamma : float, default 1.7
        Exponent of the atomic number.

    Returns
    -------
    xy_nm : ndarray, shape (n, 2)
        Place of each atom in the projected rectangular cell, x to the right and y upwards, nm.
    weights : ndarray, shape (n,)
        Sum over its occupants of share times :math:`Z^\gamma`.
    cell_nm : ndarray, shape (2,)
        Width and height of that cell, nm.
    repeat_nm : float
        Length along the beam after which the structure repeats, nm.

    Raises
    ------
    ValueError
        If the image axes of the structure are not at right angles.

    Examples
    --------
    >>> xy, weights, cell, repeat = projected_atoms(crystal("layered"))
    >>> np.round(cell, 4), round(repeat, 4)
    (array([0.4957, 1.4227]), 0.2862)
    """
    directions = np.array([structure.beam, structure.right, structure.up])
    beam, right, up = directions @ structure.lattice_nm
    along = beam / np.linalg.norm(beam)
    right_flat, up_flat = (v - (v @ along) * along for v in (right, up))
    if abs(right_flat @ up_flat) > 1e-9 * np.linalg.norm(right_flat) * np.linalg.norm(up_flat):
        raise fail(
            "right and up",
            expected="directions at right angles as seen along the beam",
            got=(structure.right, structure.up),
            remedy="choose lattice directions that are",
        )
    cell = np.array([np.linalg.norm(right_flat), np.linalg.norm(up_flat)])
    # Every atom of the block spanned by beam, right and up, found among enough copies of the unit cell.
    reach = int(np.abs(directions).sum())
    shifts = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    copies = structure.positions[:, None, :] + shifts[None, :, :]
    inside_block = copies @ np.linalg.inv(directions)
    inside = np.all((inside_block > -1e-9) & (inside_block < 1 - 1e-9), axis=-1)
    places = copies[inside] @ structure.lattice_nm
    atom = np.nonzero(inside)[0]
    xy = np.stack([places @ right_flat / cell[0], places @ up_flat / cell[1]], axis=-1)
    weight_of = [sum(s * ATOMIC_NUMBER[el] ** gamma for el, s in occupant.items()) for occupant in structure.occupants]
    return np.mod(xy, cell), np.asarray(weight_of)[atom], cell, float(np.linalg.norm(beam))


@checked
def layer_spacing_nm(structure: Crystal) -> float:
    """Return the distance between neighboring cation layers, which lie level in the image.

    Parameters
    ----------
    structure : Crystal
        One of the three structures.

    Returns
    -------
    float
        Spacing, nm: c/6 of the layered cell, a/sqrt(12) of spinel, a/sqrt(3) of rock salt.

    Examples
    --------
    >>> [round(layer_spacing_nm(crystal(name)), 3) for name in ("layered", "spinel", "rock salt")]
    [0.237, 0.238, 0.248]
    """
    height = float(projected_atoms(structure)[2][1])
    return height / {"layered": 6, "spinel": 6, "rock salt": 3}[structure.name]
