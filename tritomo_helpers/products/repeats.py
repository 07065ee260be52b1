"""The repeated experiments of the study on valence, read: errors of shells and voxels, intervals, trends found."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import check_option
from ..constants import SCAN_STEP_NM
from ..containers import Tomogram
from ..plotting import StageCurves
from ..store.results import Arrays

_TWO_SIDED = 1.96
_OUTSIDE = -128


@dataclass(frozen=True, eq=False)
class Repeats:
    """One table ``study/valence-shells-...``: the same particle, counted and reconstructed many times.

    Arrays have shape (state,), in the order of `states`.

    Parameters
    ----------
    table : dict of str to ndarray
        As its recipe describes it, see `products.valence_volumes`.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> fresh = Repeats(products.get("study/valence-shells-pristine-1"))
    >>> fresh.states
    ('Mn4', 'Mn3', 'Mn2', 'Co3')
    >>> bool((fresh.voxel_error < 1)[[0, 2, 3]].all())  # better than a constant map, but for the rare Mn3+
    True
    """

    table: Arrays

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the valence states."""
        return tuple(self.table["state"].tolist())

    @property
    def shell_rms(self) -> Floats:
        """Root mean square error of a shell's mean over repeats and shells, points."""
        return np.asarray(np.sqrt(np.mean(self.table["shell_error"] ** 2, axis=(0, 2))))

    @property
    def coverage(self) -> float:
        """Share of all means of shells whose 95 % interval holds the truth."""
        return float(np.mean(np.abs(self.table["shell_error"]) <= _TWO_SIDED * self.table["shell_sd"]))

    @property
    def voxel_error(self) -> Floats:
        """Root mean square error of a voxel over that of the best constant map."""
        return np.asarray(np.sqrt(np.mean(self.table["rms"] ** 2, axis=0)) / self.table["constant"])

    @property
    def trends_found(self) -> NDArray[np.int64]:
        """Repeats in which the inner half differs from the surface with the true sign, outside its 95 % interval."""
        difference, error = np.moveaxis(self.table["trend"], -1, 0)
        seen = difference * np.sign(self.table["true_trend"]) > _TWO_SIDED * error
        return np.asarray(np.count_nonzero(seen, axis=0), dtype=np.int64)

    def tomogram(self, state: str) -> Tomogram:
        """Return what the first repeat made of one state, shape (z, y, x), percent of the element; NaN outside."""
        percent = self.table["volume"][self.states.index(check_option(state, "state", self.states))]
        values = np.where(percent > _OUTSIDE, percent, np.nan).astype(np.float32)
        return Tomogram(values, SCAN_STEP_NM, f"{state}+ (% of {state[:2]})")


def stage_curves(stages: Mapping[str, Repeats]) -> list[StageCurves]:
    """Return mean and standard deviation over the repeats against depth, beside the truth, for `show_stage_curves`.

    Parameters
    ----------
    stages : mapping of str to Repeats
        By the name that the figure shows.

    Returns
    -------
    list of StageCurves
        One a state, percent against nm.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> fresh = Repeats(products.get("study/valence-shells-pristine-1"))
    >>> [curves.name for curves in stage_curves({"fresh": fresh})]
    ['Mn4 (%)', 'Mn3 (%)', 'Mn2 (%)', 'Co3 (%)']
    """
    tables = [repeats.table for repeats in stages.values()]
    depth_nm = [table["depth_nm"] for table in tables]
    first, *_ = stages.values()
    return [
        StageCurves(
            f"{state} (%)",
            tuple(stages),
            depth_nm,
            [table["truth"][i] + table["shell_error"][:, i].mean(axis=0) for table in tables],
            [table["shell_error"][:, i].std(axis=0) for table in tables],
            [(table["depth_nm"], table["truth"][i]) for table in tables],
        )
        for i, state in enumerate(first.states)
    ]
