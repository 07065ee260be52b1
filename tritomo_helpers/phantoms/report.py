"""The truth of a phantom in the form in which experiments report theirs: means, rich fractions, depth profiles."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import check_option, check_positive, fail
from .balance import METALS
from .phantom import Phantom
from .stages import FIELD_OF_VIEW_NM, RICH_THRESHOLD_AT_PERCENT

if TYPE_CHECKING:
    import pandas as pd

VOXEL_NM = FIELD_OF_VIEW_NM / 64


def _percent(phantom: Phantom) -> dict[str, Floats]:
    """Return at% and valence percentages of the voxels inside."""
    keys = ["O", *METALS, "Mn4", "Mn3", "Mn2", "Co3", "Co2", "rock_salt", "spinel", "layered"]
    arrays = phantom.arrays()
    keys += ["F"] if "F" in arrays else []
    return {key: 100 * arrays[key][phantom.mask] for key in keys}


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
        at_surface = phantom.depth_nm[phantom.mask] < VOXEL_NM
        found = {f"{el} (at%)": values[el].mean() for el in ("O", *METALS)}
        for state in ("Mn4", "Mn3", "Mn2", "Co3", "Co2"):
            found[f"{state}+ (% of {state[:2]})"] = values[state].mean()
        for phase, label in (("layered", "layered"), ("spinel", "spinel-like"), ("rock_salt", "rock salt")):
            found[f"{label} (% of atoms)"] = values[phase].mean()
        for where, chosen in (("", np.ones_like(at_surface)), (" at the surface", at_surface)):
            for el in METALS:
                rich = values[el][chosen] > RICH_THRESHOLD_AT_PERCENT
                found[f"{el}-rich{where} (% of voxels)"] = 100 * rich.mean()
        metals = sum(phantom.atomic_fractions[el][phantom.mask] for el in METALS)
        found["Li per metal atom"] = (phantom.lithium[phantom.mask] / metals).mean()
        found["Ni valence (mean)"] = phantom.ni_valence[phantom.mask].mean()
        rows.setdefault(getattr(phantom, by), []).append({key: float(value) for key, value in found.items()})
    if not rows:
        raise fail("phantoms", expected="at least one", got="none", remedy="give a list of particles")
    return pd.DataFrame({column: pd.DataFrame(found).mean() for column, found in rows.items()})


def depth_profile(
    phantom: Phantom, quantity: str, *, shell_nm: float = VOXEL_NM, min_voxels: int = 200
) -> tuple[Floats, Floats, Floats]:
    """Return mean and spread of a quantity against the true depth below the surface.

    Parameters
    ----------
    phantom : Phantom
    quantity : {"O", "Mn", "Co", "Ni", "Mn4", "Mn3", "Mn2", "Co3", "Co2", "rock_salt", "spinel", "layered"}
        In at%, % of the element, or % of the atoms; also "F" where there is any.
    shell_nm : float, default 4.63
        Thickness of a shell. Shells follow the depth that the phantom knows; the paper peels voxels instead.
    min_voxels : int, default 200
        Shells with fewer voxels, deep inside, are left out: their mean and spread say little.

    Returns
    -------
    depth_nm, mean, spread : ndarray, shape (n_shells,)
        Mean depth; mean and standard deviation of the quantity in each shell. The paper calls the standard deviation of
        a metal its inhomogeneity.

    Raises
    ------
    ValueError
        If there is no such quantity, or no shell holds enough voxels.

    Examples
    --------
    >>> from tritomo_helpers.phantoms import particle
    >>> depth_nm, mean, spread = depth_profile(particle("pristine-2", shape=32), "Mn4")
    >>> bool(mean[-1] > mean[0])
    True
    """
    values = _percent(phantom)[check_option(quantity, "quantity", list(_percent(phantom)))]
    depth = phantom.depth_nm[phantom.mask]
    shell: NDArray[np.int64] = (depth / check_positive(shell_nm, "shell_nm")).astype(np.int64)
    sizes = np.bincount(shell)
    enough = np.flatnonzero(sizes >= min_voxels)
    if enough.size == 0:
        raise fail(
            "min_voxels",
            expected=f"at most {sizes.max()}, the largest shell",
            got=min_voxels,
            remedy="lower it, or sample the particle more finely",
        )

    def average(x: Any) -> Floats:
        return np.asarray(np.bincount(shell, weights=x)[enough] / sizes[enough])

    mean = average(values)
    variance = average(values**2) - mean**2
    return average(depth), mean, np.sqrt(np.maximum(variance, 0))


def mean_profile(phantoms: Sequence[Phantom], quantity: str, *, shell_nm: float = VOXEL_NM) -> tuple[Floats, Floats]:
    """Average depth profiles over particles, shell by shell, as the paper does: deep shells hold the big ones alone.

    Parameters
    ----------
    phantoms : sequence of Phantom
    quantity : str
        As for `depth_profile`.
    shell_nm : float, default 4.63
        Thickness of a shell.

    Returns
    -------
    depth_nm, mean : ndarray, shape (n_shells,)
        Middle of each shell, and the mean over the particles that reach it.

    Examples
    --------
    >>> from tritomo_helpers.phantoms import particle
    >>> pair = [particle(name, shape=32) for name in ("cycled-100-1", "cycled-100-4")]
    >>> depth_nm, mean = mean_profile(pair, "Co")
    >>> bool(mean[-1] - mean[0] > 1)  # each alone is flat
    True
    """
    profiles = [depth_profile(phantom, quantity, shell_nm=shell_nm)[1] for phantom in phantoms]
    n = max(len(profile) for profile in profiles)
    padded = np.full((len(profiles), n), np.nan)
    for row, profile in zip(padded, profiles, strict=True):
        row[: len(profile)] = profile
    middle: Floats = np.asarray((np.arange(n) + 0.5) * shell_nm, dtype=np.float64)
    return middle, np.asarray(np.nanmean(padded, axis=0))
