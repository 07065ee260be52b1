"""Explanations of the low valence near the surface, each switched on alone.

All keep the published depth law of valence and generate the composition that they imply (see `balance`). Metals are
spread evenly, except where segregation is the explanation.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from .._typing import Floats
from .._validation import fail
from .chemistry import Chemistry, Coupling, calibrate, calibrate_coupling
from .fields import Waves
from .sampling import local

DEMANDED: Final = Coupling()
"""Whatever strength the depth law demands."""

# Half a wave makes a patch of about 40 nm.
_PATCH_WAVES_NM = (70.0, 90.0)
PATCH_AMPLITUDE = 0.15
"""Valence patches lie this share above and below the mean: all that there is room for below 100 % Mn4+."""


def explained(
    start: Chemistry,
    hypothesis: str,
    points_nm: Floats,
    depth_nm: Floats,
    *,
    coupling: Coupling,
    targets: dict[str, float],
) -> Chemistry:
    """Return the chemistry in which one hypothesis accounts for the valences.

    Parameters
    ----------
    start : Chemistry
        Of the pristine particle, before calibration.
    hypothesis : str
        One of `stages.HYPOTHESES`.
    points_nm, depth_nm : array, shapes (n, 3) and (n,)
        Points that sample the inside evenly.
    coupling : Coupling
        For ``"segregation-lowers-valence"``.
    targets : dict of str to float
        Means of the stage.

    Returns
    -------
    Chemistry
    """
    if hypothesis == "segregation-lowers-valence":
        return _lowered_by_segregation(start, coupling, points_nm, depth_nm, targets)
    even = replace(start, fluctuation={"Mn": 0.0, "Co": 0.0}, hypothesis=hypothesis)
    valences = {state: targets[state] for state in ("Mn4", "Mn3", "Co3")}
    if hypothesis == "valence-patches":
        even = _patched(even, points_nm, depth_nm)
    return calibrate(even, local(even, points_nm, depth_nm), valences)


def _lowered_by_segregation(
    start: Chemistry, coupling: Coupling, points_nm: Floats, depth_nm: Floats, targets: dict[str, float]
) -> Chemistry:
    here = local(start, points_nm, depth_nm)
    plain = calibrate(start, here, targets)
    # An excess can only lower: where nothing segregates, deep inside, valence is that of the core. A linear coupling
    # raises as much as it lowers, about the mean.
    to_core = start.mean_decay if coupling.rectified else 0.0
    core = replace(
        plain,
        hypothesis="segregation-lowers-valence",
        mn4=targets["Mn4"] + start.mn4_rise * to_core,
        co3=targets["Co3"] + start.co3_rise * to_core,
        mn3_of_rest=start.mn3_of_rest,
        mn4_rise=0.0,
        co3_rise=0.0,
        valence_noise=0.0,
        rectified=coupling.rectified,
    )
    if coupling.points_per_at_percent is not None:
        # Points per at% are shares per share of the visible atoms; the coupling acts on shares of the metals.
        strength = coupling.points_per_at_percent * (1 - targets["O"])
        return replace(core, mn4_coupling=strength, co3_coupling=strength)
    if not coupling.rectified:
        raise fail(
            "coupling",
            expected="a strength in points per at% beside rectified=False",
            got="none",
            remedy="give one: a linear coupling shifts no mean, so the depth law demands none",
        )
    return calibrate_coupling(replace(core, mn4_coupling=20.0, co3_coupling=20.0), here, targets)


def _patched(even: Chemistry, points_nm: Floats, depth_nm: Floats) -> Chemistry:
    waves = Waves.draw(np.random.default_rng(40), lengths_nm=_PATCH_WAVES_NM)
    patched = replace(even, waves=waves, mn4_rise=0.0, co3_rise=0.0, valence_noise=0.0, patches=PATCH_AMPLITUDE)
    here = local(patched, points_nm, depth_nm)
    values = patched.evaluate(here)
    # Few patches fit into a particle, so they happen to have a trend; take it out.
    slopes = [_slope(values.mn_valence[4], here.decay), _slope(values.co_valence[3], here.decay)]
    return replace(patched, mn4_rise=slopes[0], co3_rise=slopes[1])


def _slope(values: Floats, decay: Floats) -> float:
    return float(np.cov(values, decay)[0, 1] / np.var(decay, ddof=1))
