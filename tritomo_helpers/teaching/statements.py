"""What the paper states, each weighed against its null from the study's tables: nothing here knows a verdict."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import stats

from .. import phantoms, products
from .._typing import Floats
from ..particles import true_profile
from ..particles.phases import OXYGEN_BEFORE
from ..products.twelve import Twelve
from ..store.results import Arrays
from .verdicts import Weighed, null_interval, weigh

INNER = 8
"""Shells below the surface: the ninth lies some 30 nm deep."""
MN = 0
"""Manganese, in tables that have an axis of metals or of peaks."""
_OXYGEN_SPINEL = 4 / (2 + 4)
"""Share of oxygen in the visible atoms of Li(TM)2O4."""
EXPLANATIONS = {
    "oxygen vacancies": "oxygen-vacancy",
    "excess lithium": "lithium-excess",
    "a skin of rock salt": "surface-rock-salt",
    "segregation of metals": "segregation-lowers-valence",
}
"""The paper's four explanations of the low valence near a fresh surface, and the specimens that have them."""
WHAT_IF = {
    "axis-offset": "core-loss axis 0.5 eV too high",
    "dispersion": "channels 0.3 % wider than said",
    "reference-shape": "white lines of the other set",
    "exelfs": "fine structure of 5 %",
    "nickel-line": "nickel line 0.8 eV higher",
    "line-efficiency": "soft X-ray lines counted less",
    "absorption": "absorption left in",
    "channeling": "two tilts on a zone axis",
    "misalignment": "every image half a pixel off",
    "wedge": "tilts end at 50°",
}
"""The mismatches of ``study/what-if`` in words."""
_CONCLUSIONS = {
    "O mean": "O",
    "Mn mean": "Mn",
    "Co mean": "Co",
    "Ni mean": "Ni",
    "O trend": "O inward",
    "rich": "rich voxels",
    "Mn spread": "spread of Mn",
    "Mn4 mean": "Mn⁴⁺",
    "Co3 mean": "Co³⁺",
    "Mn4 trend": "Mn⁴⁺ inward",
    "Mn2 trend": "Mn²⁺ inward",
    "Co3 trend": "Co³⁺ inward",
}
WHAT_IF_COLUMNS = {"composition": tuple(_CONCLUSIONS)[:7], "valence": tuple(_CONCLUSIONS)[7:]}
"""Conclusions of ``study/what-if`` that each kind of table shows."""
MASS_ABSORPTION_ERROR = 0.1
"""Relative, of tabulated mass absorption coefficients for soft X-rays: that of the mismatch "absorption 10 % wrong"."""
TWO_SIDED = 1.96
"""Standard errors on either side of a number that make its 95 % interval."""


def composition_statements(study: Twelve, spread: Arrays, absorption: Arrays) -> list[Weighed]:
    """Weigh what the paper states on composition.

    Parameters
    ----------
    study : Twelve
    spread, absorption : dict of str to ndarray
        ``story/inhomogeneity`` and ``composition/depth-profiles``.

    Returns
    -------
    list of Weighed
    """
    # The prior of the best method asks for flat profiles, so that its flatness would prove nothing.
    bend = -study.rises("O_at_percent_mean", inner=INNER, method="paper")
    excess = np.mean(
        [
            study.values(f"{el}_rich_percent", method="paper") - study.values(f"{el}_null_rich_percent", method="paper")
            for el in ("Mn", "Co", "Ni")
        ],
        axis=0,
    )
    co_over_mn = study.values("Co_rich_percent", method="paper") - study.values("Mn_rich_percent", method="paper")
    surface = study.at_surface("Mn_at_percent", method="paper", column="sd")
    oxygen = study.values("O_at_percent")
    return [
        *_between("oxygen falls by 200 cycles", study, oxygen, (0, 200), effect="below", unit="at%"),
        *_between("oxygen is lost at the surface as inside", study, bend, (0, 200), effect="within", unit="at%"),
        weigh(
            "oxygen flat within 1 at% excludes vacancies: absorption bends it less",
            absorption_bend(absorption),
            null=(-1.0, 1.0),
            effect="within",
            error=MASS_ABSORPTION_ERROR * abs(absorption_bend(absorption)),
            unit="at%",
        ),
        *_among("after 200 cycles more rich voxels than the null of that mean and dose", study, excess, 200),
        *_at_rim(spread),
        *_among("more Co-rich than Mn-rich voxels after 200 cycles", study, co_over_mn, 200, effect="above"),
        *_between("metals vary less after 50 cycles than before", study, surface, (0, 50), effect="below", unit="at%"),
        *_between("and more at 200 cycles than at 50", study, surface, (50, 200), effect="above", unit="at%"),
        _sloping_mean(study),
        weigh(
            "composition sees the step from layered to spinel",
            100 * (_OXYGEN_SPINEL - OXYGEN_BEFORE),
            null=_spread_of(study, oxygen, 100),
            effect="below",
            unit="at%",
        ),
    ]


def absorption_bend(profiles: Arrays) -> float:
    """Return by how much absorption bends the flat oxygen of a fresh particle, core minus surface, at%."""
    added = profiles["without"][0] - profiles["corrected"][0]
    return float(added[-1] - added[0])


def _at_rim(spread: Arrays) -> Iterator[Weighed]:
    """Weigh the two statements on the surface by the published chain with an early stop, after 200 cycles."""
    n = np.nan_to_num(spread["n"][1])
    rich, null = np.nan_to_num(spread["measured_rich"][1, MN]), np.nan_to_num(spread["null_rich"][1, :, MN])
    yield weigh(
        "twice as many rich voxels at the surface as in the whole",
        float(rich[0] / np.average(rich, weights=n)),
        null=null_interval(null[:, 0] / np.average(null, weights=n, axis=1)),
        unit="times",
        fmt=".1f",
    )
    measured, nulls = spread["measured_sd"][1, MN], spread["null_sd"][1, :, MN]
    yield weigh(
        "metals vary most at the surface and ever less inward",
        float(measured[0] / measured[INNER + 1]),
        null=null_interval(nulls[:, 0] / nulls[:, INNER + 1]),
        unit="times the core",
        fmt=".1f",
    )


def _sloping_mean(study: Twelve) -> Weighed:
    """Weigh whether cobalt depends on depth *within* particles after 100 cycles."""
    claim = "after 100 cycles cobalt is flat within the particles"
    slopes = study.rises("Co_at_percent_mean", inner=INNER, method="paper")[study.members(100)]
    slopes = slopes[np.isfinite(slopes)]
    if slopes.size < 2:
        return _unknown(claim)
    half = _half_width(slopes)
    return weigh(claim, float(slopes.mean()), null=(-half, half), effect="within", unit="at%")


def valence_statements(study: Twelve) -> list[Weighed]:
    """Weigh what the paper states on valence, alone and together with composition.

    Depth trends are held against homogeneous particles, whose counts went through the same estimate (`pipeline`).
    """
    mn4, mn2, co2 = (study.values(f"{state}_percent") for state in ("Mn4", "Mn2", "Co2"))
    surface = study.at_surface("Mn_at_percent", method="paper", column="sd")
    metals = sum(study.values(f"{el}_at_percent") for el in ("Mn", "Co", "Ni"))
    manganese = 100 * study.values("Mn_at_percent") / metals
    # Rock salt holds its metals as M2+: it brings as many points of them as it has metal of those of higher valence.
    salt = study.values("rock_salt_percent_of_metal")
    return [
        _trend("Mn⁴⁺ grows inward before cycling", study, "Mn4 depth trend", 0, "above"),
        _trend("Co³⁺ grows inward before cycling", study, "Co3 depth trend", 0, "above"),
        _trend("Mn⁴⁺ falls inward after 200 cycles", study, "Mn4 depth trend", 200, "below"),
        _trend("Co³⁺ falls inward after 200 cycles", study, "Co3 depth trend", 200, "below"),
        *_between("Mn⁴⁺ falls over the first 50 cycles", study, mn4, (0, 50), effect="below"),
        *_between("Mn⁴⁺ rises from 50 to 100 cycles", study, mn4, (50, 100), effect="above"),
        *_between("and the variation of Mn with it", study, surface, (50, 100), effect="above", unit="at%"),
        *_between("Mn⁴⁺ falls from 100 to 200 cycles", study, mn4, (100, 200), effect="below"),
        *_between(
            "disproportionation: less Mn among the metals",
            study,
            manganese,
            (50, 100),
            effect="below",
            unit="% of metal",
        ),
        *_against_rock_salt("Mn²⁺ grows as rock salt does, by metal", study, mn2, salt),
        *_against_rock_salt("Co²⁺ grows as rock salt does, by metal", study, co2, salt),
    ]


def damage_statements(exposures: Arrays) -> list[Weighed]:
    """Weigh whether the L3 maps before, during and after a series show damage that is there (``twin/...exposures``)."""
    labels = ("damage of manganese shows in its L₃ maps", "damage of cobalt shows in its L₃ maps")
    rows = []
    for peak, claim in enumerate(labels):
        half = 196 * float(exposures["standard_error"][1, peak])
        change = 100 * float(exposures["change"][1, peak])
        rows.append(weigh(claim, change, null=(-half, half), effect="below", unit="%", fmt=".1f"))
    return rows


def statements(study: Twelve) -> list[Weighed]:
    """Weigh every statement of the paper that this book looks at, from the tables as they are now."""
    tables = (products.get(name) for name in ("story/inhomogeneity", "composition/depth-profiles"))
    return [
        *composition_statements(study, *tables),
        *valence_statements(study),
        *damage_statements(products.get("twin/damaged-exposures")),
    ]


def in_errors(table: Arrays) -> Floats:
    """Return the effect of every mismatch in standard errors of each conclusion, (particle, mismatch, conclusion).

    Parameters
    ----------
    table : dict of str to ndarray
        ``study/what-if``. Infinite where a conclusion without scatter moves, such as a map that was kept constant.
    """
    errors = np.broadcast_to(table["standard_error"][:, None], table["effect"].shape)
    still = np.abs(table["effect"]) < 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(still, 0.0, np.abs(table["effect"]) / errors)


def what_if_head(kind: str) -> tuple[str, ...]:
    """Return what a table of mismatches names: the mismatch, the particle, and the conclusions of one kind."""
    return ("if", "particle", *(_CONCLUSIONS[name] for name in WHAT_IF_COLUMNS[kind]))


def changes_of_fall(table: Arrays, conclusion: str) -> Mapping[str, float]:
    """Return by how much each mismatch changes the fall of a conclusion from the first particle to the second."""
    column = table["conclusion"].tolist().index(conclusion)
    before, after = table["effect"][:, :, column]
    return {WHAT_IF[str(name)]: float(change) for name, change in zip(table["mismatch"], after - before, strict=True)}


def turned(table: Arrays) -> list[tuple[str, str]]:
    """Return (mismatch, conclusion) where a mismatch turns what would be concluded.

    Judged are the changes from the first particle to the second of the means, and the depth trends of each: up, down,
    or not beyond the 95 % interval of counting noise.
    """
    names = table["conclusion"].tolist()
    conclusions = []
    for m, mismatch in enumerate(table["mismatch"].tolist()):
        for c, name in enumerate(names):
            value, error = table["value"][:, c], table["standard_error"][:, c]
            effect = table["effect"][:, m, c]
            if name.endswith(" mean"):
                both = float(np.hypot(*error))
                pairs = [(value[1] - value[0], effect[1] - effect[0], both, f"{_CONCLUSIONS[name]} over the cycles")]
            elif name.endswith(" trend"):
                pairs = [
                    (*numbers, f"{_CONCLUSIONS[name]}, {particle}")
                    for *numbers, particle in zip(value, effect, error, table["particle"].tolist(), strict=True)
                ]
            else:
                continue
            for alone, added, scatter, words in pairs:
                if _direction(alone, scatter) != _direction(alone + added, scatter):
                    conclusions.append((WHAT_IF[mismatch], words))
    return conclusions


def _direction(value: float, error: float) -> int:
    """1 for up, -1 for down, 0 where the interval holds no change."""
    return int(np.sign(value)) if abs(value) > TWO_SIDED * error + 1e-9 else 0


def explanations(study: Twelve, *, particle: str = "pristine-1", shape: int = 32) -> list[tuple[str, ...]]:
    """Switch on each explanation of the fresh surface, and say which measurement would see it.

    Oxygen is held against the profiles of the pristine particles by the paper's method, which are flat in truth: how
    much they differ, beside the bend that absorption gives all of them, is what a flat profile may show.

    Returns
    -------
    list of (explanation, oxygen of the surface minus the inside, that of flat particles, verdict, rock salt in the
    particle for XRD, lithium per metal for ICP)
    """
    bends = study.rises("O_at_percent_mean", inner=INNER, method="paper")[study.members(0)]
    bends = bends[np.isfinite(bends)]
    flat = null_interval(bends - bends.mean()) if bends.size > 1 else None
    rows: list[tuple[str, ...]] = []
    for words, control in EXPLANATIONS.items():
        specimen = phantoms.particle(particle, shape=shape, control=control)
        oxygen = true_profile(specimen, "O", min_voxels=30).mean
        seen = weigh(words, float(oxygen[0] - oxygen[INNER]), null=flat, effect="below", unit="at%")
        inside = specimen.mask
        arrays = specimen.arrays()
        metals = sum(np.nansum(arrays[el][inside]) for el in ("Mn", "Co", "Ni"))
        salt = 100 * float(np.nanmean(arrays["rock_salt"][inside]))
        lithium = float(np.nansum(specimen.lithium[inside]) / metals)
        rows.append((words, seen.evidence, seen.null, seen.verdict, f"{salt:.1f} %", f"{lithium:.2f}"))
    return rows


# ---------------------------------------------------------------- nulls


def _half_width(values: Floats) -> float:
    """Half of the 95 % interval of a mean."""
    return float(stats.t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size))


def _spread_of(study: Twelve, values: Floats, cycles: int) -> tuple[float, float] | None:
    here = values[study.members(cycles)]
    here = here[np.isfinite(here)]
    if here.size < 2:
        return None
    half = _half_width(here)
    return -half, half


def _unknown(claim: str) -> Weighed:
    return Weighed(claim, "not computed", "none", "is not tested")


def _between(
    claim: str, study: Twelve, values: Floats, stages: tuple[int, int], *, effect: str, unit: str = "points"
) -> Iterator[Weighed]:
    """Weigh a change between stages against the spread between particles (Welch's interval of no change)."""
    before, after = (values[study.members(cycles)] for cycles in stages)
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if before.size < 2 or after.size < 2:
        yield _unknown(claim)
        return
    variance = np.array([x.var(ddof=1) / x.size for x in (before, after)])
    freedom = variance.sum() ** 2 / np.sum(variance**2 / np.array([before.size - 1, after.size - 1]))
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance.sum()))
    yield weigh(claim, float(after.mean() - before.mean()), null=(-half, half), effect=effect, unit=unit)


def _among(claim: str, study: Twelve, values: Floats, cycles: int, *, effect: str = "above") -> Iterator[Weighed]:
    """Weigh the mean of a stage against the spread of its particles about zero."""
    here = values[study.members(cycles)]
    here = here[np.isfinite(here)]
    if here.size < 2:
        yield _unknown(claim)
        return
    half = _half_width(here)
    yield weigh(claim, float(here.mean()), null=(-half, half), effect=effect, unit="%")


def _trend(claim: str, study: Twelve, statement: str, cycles: int, effect: str) -> Weighed:
    """Weigh a slope against the nulls of the particles of a stage: the widest ends count."""
    known = study.table["statements"].tolist()
    if statement not in known:
        return _unknown(claim)
    slope = study.table["best_measured"][study.members(cycles), known.index(statement)]
    null = study.table["best_null"][study.members(cycles), known.index(statement)]
    there = np.isfinite(slope)
    if not there.any():
        return _unknown(claim)
    ends = float(null[there, 0].min()), float(null[there, 1].max())
    # The particle that speaks least for the claim: it has to hold in each.
    weakest = slope[there].min() if effect == "above" else slope[there].max()
    return weigh(claim, float(weakest), null=ends, effect=effect, unit="points per nm")


def _against_rock_salt(claim: str, study: Twelve, divalent: Floats, salt: Floats) -> Iterator[Weighed]:
    """Weigh the gain of a divalent state against what the rock salt, counted by metal, would bring."""
    pristine = divalent[study.members(0)]
    if not np.isfinite(pristine).any():
        yield _unknown(claim)
        return
    of_others = 1 - np.nanmean(pristine) / 100
    surplus = divalent - np.nanmean(pristine) - salt * of_others
    yield from _between(claim, study, surplus, (0, 200), effect="within")
