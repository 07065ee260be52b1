"""What the study has found once and for all: k-factors of the pristine twins, and the null of the paper's chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from .. import composition
from .._typing import Floats
from ..store import results

TABLES = Path(__file__).resolve().parents[1] / "data" / "products" / "study"


@dataclass(frozen=True, eq=False)
class Null:
    """A particle without any segregation after the paper's chain.

    ``rich`` (dose, mean) is the share of voxels of a metal above 16.7 at%, by ``counts_per_nm3`` of all metals and by
    the metal's ``mean``; ``spread`` (dose, shell) the standard deviation of a metal within each shell.
    """

    counts_per_nm3: Floats
    mean: Floats
    rich: Floats
    spread: Floats

    def rich_share(self, mean: float, *, counts_per_nm3: float) -> float:
        """Share of rich voxels at a mean and a dose; the nearest where the table ends."""
        at = (self._dose(counts_per_nm3), float(np.clip(mean, self.mean[0], self.mean[-1])))
        return float(RegularGridInterpolator((np.log(self.counts_per_nm3), self.mean), self.rich)([at])[0])

    def _dose(self, counts_per_nm3: float) -> float:
        return float(np.log(np.clip(counts_per_nm3, self.counts_per_nm3[0], self.counts_per_nm3[-1])))


def null_of_paper() -> Null | None:
    """Return the study's null of the paper's chain, if the package has it."""
    stored = results.read_if_intact(TABLES / "paper-null.npz", aside=False, then="it is left out")
    return results.from_arrays(Null, stored[0]) if stored else None


def k_factors(
    elements: Sequence[str],
    *,
    twin: bool,
    corrected: bool,
    window_ev: tuple[float, float] = (350.0, 1200.0),
    beam_energy_kev: float = 300.0,
) -> tuple[dict[str, float], str]:
    """Return k-factors and where they come from: for the twin those of its four pristine particles.

    `corrected` says whether the intensities are without absorption. Other microscopes have other detectors: for them,
    and for other elements, k-factors are computed from cross-sections.
    """
    stored = None
    if twin:
        stored = results.read_if_intact(TABLES / "k-factors.npz", aside=False, then="cross-sections are used")
    if stored is None or not set(elements) <= set(stored[0]["elements"].tolist()):
        k = composition.k_factors_from_cross_sections(elements, window_ev=window_ev, beam_energy_kev=beam_energy_kev)
        return k, "computed from cross-sections"
    names = stored[0]["elements"].tolist()
    table = stored[0]["corrected" if corrected else "uncorrected"]
    mean = np.exp(np.log(table).mean(axis=0))
    what = "without absorption" if corrected else "absorption left in"
    k = {el: float(mean[names.index(el)] / mean[names.index(elements[0])]) for el in elements}
    return k, f"of the four pristine particles of the twin, {what} (study/k-factors)"
