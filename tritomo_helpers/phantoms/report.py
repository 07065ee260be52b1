"""The truth of a phantom in the form in which experiments report theirs: means and rich fractions."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from .._typing import Floats
from .._validation import check_option, checked, fail
from ..constants import SCAN_STEP_NM
from .balance import METALS
from .phantom import Phantom
from .stages import RICH_THRESHOLD_AT_PERCENT

if TYPE_CHECKING:
    import pandas as pd


def _percent(phantom: Phantom) -> dict[str, Floats]:
    """Return at% and valence percentages of the voxels inside."""
    keys = ["O", *METALS, "Mn4", "Mn3", "Mn2", "Co3", "Co2", "rock_salt", "spinel", "layered"]
    arrays = phantom.arrays()
    keys += ["F"] if "F" in arrays else []
    return {key: 100 * arrays[key][phantom.mask] for key in keys}


@checked
def truth_table(phantoms: Iterable[Phantom], *, by: str = "stage") -> "pd.DataFrame":
    """Recompute what the paper reports, from voxels alone.

    Parameters
    ----------
    phantoms : iterable of Phantom
        Particles; those of one column are averaged. A generator keeps one in memory at a time.
    by : {"stage", "name", "control"}, default "stage"
        What makes a column; the paper averages the particles of a stage.

    Returns
    -------
    pandas.DataFrame
        One column per stage, name or control, in the order given. Rows: O, Mn, Co, Ni (at%); valence states (% of the
        element); rock salt, spinel-like, layered (% of the atoms); the share of voxels above 16.67 at% of each metal,
        in the particle and in its outermost 4.63 nm (%); lithium per metal atom; mean valence of Ni.

    Raises
    ------
    ValueError
        If there is no phantom, or no such kind of column.

    Examples
    --------
    >>> from tritomo_helpers.phantoms import particle
    >>> table = truth_table([particle("cycled-200-1", shape=16), particle("cycled-200-2", shape=16)])
    >>> round(float(table.loc["O (at%)", "cycled-200"]), 1)
    61.0
    """
    import pandas as pd

    check_option(by, "by", ("stage", "name", "control"))
    rows: dict[str, list[dict[str, float]]] = {}
    for phantom in phantoms:
        values = _percent(phantom)
        at_surface = phantom.depth_nm[phantom.mask] < SCAN_STEP_NM
        row = {f"{el} (at%)": values[el].mean() for el in ("O", *METALS)}
        for state in ("Mn4", "Mn3", "Mn2", "Co3", "Co2"):
            row[f"{state}+ (% of {state[:2]})"] = values[state].mean()
        for phase, label in (("layered", "layered"), ("spinel", "spinel-like"), ("rock_salt", "rock salt")):
            row[f"{label} (% of atoms)"] = values[phase].mean()
        for where, counted in (("", np.ones_like(at_surface)), (" at the surface", at_surface)):
            for el in METALS:
                rich = values[el][counted] > RICH_THRESHOLD_AT_PERCENT
                row[f"{el}-rich{where} (% of voxels)"] = 100 * rich.mean()
        metals = sum(phantom.atomic_fractions[el][phantom.mask] for el in METALS)
        row["Li per metal atom"] = (phantom.lithium[phantom.mask] / metals).mean()
        row["Ni valence (mean)"] = phantom.ni_valence[phantom.mask].mean()
        rows.setdefault(getattr(phantom, by), []).append({key: float(value) for key, value in row.items()})
    if not rows:
        raise fail("phantoms", expected="at least one", got="none", remedy="give a list of particles")
    return pd.DataFrame({column: pd.DataFrame(particles).mean() for column, particles in rows.items()})
