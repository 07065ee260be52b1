"""The twelve particles of the study, read: values, stages, profiles against depth, and one table of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .. import particles
from .._typing import Bools, Floats
from .._validation import check_option
from ..particles import DepthProfile, StageProfile
from ..plotting import StageCurves, StageSeries
from ..store.results import Arrays
from . import registry, study_tables
from .quoted import CYCLES, quoted
from .study import PARTICLES

METHODS = ("truth", "best", "paper")
MIN_VOXELS = 30
"""Shells with fewer voxels are left out: deep inside, a mean of a few voxels says nothing."""
_UNITS = {"at_percent": "at%", "rich_percent": "% of voxels"}


@dataclass(frozen=True, eq=False)
class StageMeans:
    """Means over the particles of each stage; arrays have shape (stage,).

    Parameters
    ----------
    mean : ndarray
    sd : ndarray
        Standard deviation between the particles (divided by n - 1); NaN with fewer than two.
    n : ndarray of int
        Particles that have a value.
    half_width : ndarray
        Of the 95 % interval of the mean, from Student's t: with two particles it is nine standard deviations wide.
    """

    mean: Floats
    sd: Floats
    n: NDArray[np.int64]
    half_width: Floats


@dataclass(frozen=True, eq=False)
class Twelve:
    """The table ``study/particles``, asked by the names of its quantities.

    Parameters
    ----------
    table : mapping of str to ndarray
        As `study.study_particles` documents it.
    """

    table: Arrays

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in the order of cycles, for people."""
        return tuple("pristine" if cycles == 0 else f"{cycles} cycles" for cycles in CYCLES)

    @property
    def cycles(self) -> Floats:
        """Number of cycles of each stage."""
        return np.array(CYCLES, dtype=np.float64)

    def members(self, cycles: int) -> Bools:
        """Return which particles have had so many cycles, shape (particle,)."""
        return np.asarray(self.table["cycles"] == check_option(int(cycles), "cycles", CYCLES))

    def values(self, quantity: str, *, method: str = "best") -> Floats:
        """Return a quantity of every particle, shape (particle,); NaN where it was not computed."""
        table = self.table[check_option(method, "method", METHODS)]
        names = self.table["quantities"].tolist()
        if quantity not in names and not np.isfinite(table).any():
            return np.full(len(table), np.nan)
        return np.asarray(table[:, names.index(check_option(quantity, "quantity", names))], dtype=np.float64)

    def intervals(self, quantity: str) -> Floats:
        """Return the 95 % interval of the best method for every particle, shape (particle, 2)."""
        column = self.table["quantities"].tolist().index(quantity)
        return np.stack([self.table[f"best_{end}"][:, column] for end in ("low", "high")], axis=-1).astype(np.float64)

    def by_stage(self, values: Floats) -> StageMeans:
        """Average a value of every particle, shape (particle,), over the particles of each stage."""
        mean, sd, n, half = np.full((4, len(CYCLES)), np.nan)
        for at, cycles in enumerate(CYCLES):
            here = values[self.members(cycles)]
            here = here[np.isfinite(here)]
            n[at] = here.size
            if here.size:
                mean[at] = here.mean()
            if here.size > 1:
                sd[at] = here.std(ddof=1)
                half[at] = stats.t.ppf(0.975, here.size - 1) * sd[at] / np.sqrt(here.size)
        return StageMeans(mean, sd, n.astype(np.int64), half)

    def band(self, quantity: str, *, method: str = "paper") -> Floats:
        """Return the least and the largest value of the particles of each stage, shape (stage, 2)."""
        values = self.values(quantity, method=method)
        ends = np.full((len(CYCLES), 2), np.nan)
        for at, cycles in enumerate(CYCLES):
            here = values[self.members(cycles)]
            here = here[np.isfinite(here)]
            if here.size:
                ends[at] = here.min(), here.max()
        return ends

    def at_surface(self, quantity: str, *, method: str = "best", column: str = "mean") -> Floats:
        """Return a column of the profiles in the outermost shell of every particle, shape (particle,)."""
        profiles = self.profiles(f"{quantity}_{column}", method=method)
        return np.array([profile.mean[0] if profile.n.size else np.nan for profile in profiles])

    def rises(self, column: str, *, inner: int, method: str = "best") -> Floats:
        """Return the shell `inner` steps below the surface minus the outermost one, shape (particle,)."""
        profiles = self.profiles(column, method=method)
        return np.array([p.mean[inner] - p.mean[0] if p.n.size > inner else np.nan for p in profiles])

    def profiles(self, column: str, *, method: str = "best", cycles: int | None = None) -> list[DepthProfile]:
        """Return a column of the profiles of every particle, or of those of one stage, against depth.

        Shells of a measured profile with fewer than `MIN_VOXELS` voxels are left out; ``sd`` and ``standard_error`` of
        a mean are filled where the table has them.
        """
        names = self.table["true_columns" if method == "truth" else "columns"].tolist()
        shown = np.ones(len(self.table["particles"]), dtype=bool) if cycles is None else self.members(cycles)
        rows = self.table["true_profiles" if method == "truth" else f"{method}_profiles"][shown]
        if not np.isfinite(rows).any():
            nothing = np.array([])
            return [DepthProfile(nothing, nothing, nothing, nothing.astype(np.int64), nothing)] * len(rows)
        check_option(column, "column", names)
        stem = column.removesuffix("_mean")

        def of(row: Floats, name: str) -> Floats:
            return np.asarray(row[names.index(name)] if name in names else np.full(row.shape[1], np.nan), float)

        profiles = []
        for row in rows:
            depth = of(row, "depth_nm")
            n = np.where(np.isfinite(depth), 1.0, 0.0) if method == "truth" else np.nan_to_num(of(row, "n_voxels"))
            kept = np.isfinite(depth) & (n >= (1 if method == "truth" else MIN_VOXELS))
            columns = (depth, of(row, column), of(row, f"{stem}_sd"), n, of(row, f"{stem}_standard_error"))
            depth, mean, sd, n, error = (values[kept] for values in columns)
            profiles.append(DepthProfile(depth, mean, sd, n.astype(np.int64), error))
        return profiles

    def stage_profile(self, column: str, *, method: str, cycles: int) -> StageProfile:
        """Average a column over the particles of a stage shell by shell, as the paper does."""
        there = [profile for profile in self.profiles(column, method=method, cycles=cycles) if profile.n.size]
        nothing = np.array([])
        return (
            particles.average(there)
            if there
            else StageProfile(nothing, nothing, nothing, nothing.astype(np.int64), nothing)
        )

    def trend(self, statement: str, *, cycles: int) -> tuple[float, float]:
        """Return the slope of the particle of a stage that has the smallest, and the largest end of their nulls.

        The slope is above zero where it has the sign that most of the stage have; the end is without sign. NaN where
        nothing was computed; see `pipeline.volumes.judge`.
        """
        names = self.table["statements"].tolist()
        if statement not in names:
            return np.nan, np.nan
        here, at = self.members(cycles), names.index(statement)
        slopes, nulls = self.table["best_measured"][here, at], np.abs(self.table["best_null"][here, at])
        if not np.isfinite(slopes).any():
            return np.nan, np.nan
        return float(np.nanmin(slopes * np.sign(np.nanmedian(slopes)))), float(np.nanmax(nulls))

    def series(self, quantity: str, *, surface: bool = False, null: Floats | None = None) -> StageSeries:
        """Return a quantity against cycles, of the particles or of their outermost shells, for a figure."""

        def of(method: str) -> StageMeans:
            kind = self.at_surface if surface else self.values
            return self.by_stage(kind(quantity, method=method))

        measured = {method: of(method) for method in ("best", "paper")}
        nothing = np.full((len(CYCLES), 2), np.nan)
        return StageSeries(
            label(quantity),
            self.cycles,
            of("truth").mean,
            {method: np.stack([means.mean, means.sd], axis=-1) for method, means in measured.items()},
            nothing if surface else quoted(quantity),
            null,
        )

    def by_particle(
        self, columns: Sequence[str], *, method: str
    ) -> dict[str, dict[str, list[tuple[Floats, Floats, Floats]]]]:
        """Return means of every particle against depth, with the spread of each shell's voxels, for a figure.

        Parameters
        ----------
        columns : sequence of str
            Quantities such as ``"O_at_percent"``.
        method : {"best", "paper", "truth"}

        Returns
        -------
        dict of quantity to dict of stage to list of (depth_nm, mean, sd)
        """
        stages = dict(zip(self.stages, CYCLES, strict=True))
        return {
            label(column): {
                stage: [
                    (profile.depth_nm, profile.mean, profile.sd)
                    for profile in self.profiles(f"{column}_mean", method=method, cycles=cycles)
                ]
                for stage, cycles in stages.items()
            }
            for column in columns
        }

    def curves(self, column: str, *, method: str, name: str = "", true_column: str = "") -> StageCurves:
        """Return a column against depth, a curve for each stage with the spread between particles, for a figure."""
        every = [self.stage_profile(column, method=method, cycles=cycles) for cycles in CYCLES]
        true = [self.stage_profile(true_column or column, method="truth", cycles=cycles) for cycles in CYCLES]
        return StageCurves(
            name or label(column.removesuffix("_mean")),
            self.stages,
            [profile.depth_nm for profile in every],
            [profile.mean for profile in every],
            [profile.sd for profile in every],
            [(profile.depth_nm, profile.mean) for profile in true],
        )

    def curves_by_method(self, columns: Sequence[str]) -> dict[str, list[StageCurves]]:
        """Return columns against depth by both methods, as `plotting.show_stage_curves` takes them."""
        return {
            f"{method} method": [self.curves(column, method=method) for column in columns]
            for method in ("paper", "best")
        }


def load() -> Twelve:
    """Read the study's table of all particles; where the package lacks it, join the particles that it has.

    Nothing is computed: what is missing is NaN.

    Examples
    --------
    >>> load().stages
    ('pristine', '50 cycles', '100 cycles', '200 cycles')
    """
    table = registry.packaged("study/particles")
    if table is None:
        stages = np.array([name.rsplit("-", 1)[0] for name in PARTICLES])
        table = study_tables.joined(PARTICLES, stages, read=registry.packaged)
    return Twelve(table)


def label(quantity: str) -> str:
    """Return the name of a quantity with its unit, for people.

    Examples
    --------
    >>> label("O_at_percent"), label("Mn4_percent"), label("Co_rich_percent")
    ('O (at%)', 'Mn4 (% of Mn)', 'Co-rich (% of voxels)')
    """
    stem, _, what = quantity.partition("_")
    if what == "rich_percent":
        return f"{stem}-rich ({_UNITS[what]})"
    return f"{stem} ({_UNITS[what]})" if what in _UNITS else f"{stem} (% of {stem[:2]})"


HEAD = ("quantity", "cycles", "truth", "paper's method", "best method", "paper")


def comparison(study: Twelve, quantities: Sequence[str]) -> list[tuple[str, ...]]:
    """Return rows for a table as `HEAD` names them: what is compared side by side, then quoted values.

    Measured values carry the standard deviation between the particles of the stage. No cell but the first breaks.
    """
    rows = []
    for quantity in quantities:
        means = {method: study.by_stage(study.values(quantity, method=method)) for method in METHODS}
        name = label(quantity).replace(f" of {quantity[:2]})", ")")  # the quantity says of what
        for at, cycles in enumerate(study.cycles):
            low, high = quoted(quantity)[at]
            cells = (
                f"{cycles:g}",
                _number(means["truth"].mean[at]),
                *(_with_spread(means[method], at) for method in ("paper", "best")),
                _range(low, high),
            )
            rows.append((name, *(cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells)))
    return rows


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}"


def _range(low: float, high: float) -> str:
    return _number(low) if low == high or not np.isfinite(low) else f"{_number(low)} to {_number(high)}"


def _with_spread(means: StageMeans, at: int) -> str:
    if not np.isfinite(means.mean[at]):
        return "–"
    if means.mean[at] == means.sd[at] == 0:
        return "0"
    return f"{_number(means.mean[at])} ± {_number(means.sd[at])}"


def largest_miss(study: Twelve, quantity: str, *, method: str) -> float:
    """Return how far the particle that is farthest off lies from its truth, in the unit of the quantity."""
    off = study.values(quantity, method=method) - study.values(quantity, method="truth")
    return float(np.nanmax(np.abs(off)))


def coverage(study: Twelve, quantity: str) -> float:
    """Return the share of particles whose 95 % interval holds their truth, 0 to 1."""
    low, high = study.intervals(quantity).T
    truth = study.values(quantity, method="truth")
    known = np.isfinite(low) & np.isfinite(truth)
    return float(np.mean((low <= truth) & (truth <= high), where=known))
