"""What the study has found once and for all: k-factors of the pristine twins."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import composition
from ..constants import BEAM_ENERGY_KEV
from ..store import results

TABLES = Path(__file__).resolve().parents[1] / "data" / "products" / "study"


def k_factors(
    elements: Sequence[str],
    *,
    twin: bool,
    corrected: bool,
    window_ev: tuple[float, float] = (350.0, 1200.0),
    beam_energy_kev: float = BEAM_ENERGY_KEV,
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
