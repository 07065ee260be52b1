"""The methods: one class each, with its settings, their checks and how it is run.

To add a method, write its class here, list it in `METHODS` and `MethodName`, and its new settings in `FitOptions`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Self, TypedDict

import numpy as np

from .._typing import Floats, Floats32
from .._validation import check_count, check_flag, check_option, check_positive, check_range, fail
from ..projection import Slices
from . import selection
from .filling import fill
from .genfire import genfire
from .iterative import cgls, sart, sirt
from .problem import Problem
from .selection import Selection
from .variation import fit_variation
from .wbp import weighted_back_projection

MethodName = Literal["wbp", "sirt", "sart", "cgls", "genfire", "tv"]


class FitOptions(TypedDict, total=False):
    """Settings of the methods, as keyword arguments; see the class of each method."""

    cutoff: float
    relaxation: float
    n_iterations: int | None
    oversampling: int
    interpolation_radius_px: float
    extension: bool
    r_free_rng: np.random.Generator | None
    weight: float | None
    noise: Literal["gaussian", "poisson"]
    supersampling: int | None
    n_passes: int


class Options(FitOptions, total=False):
    """The same, and how data are set aside to choose what is not given."""

    hold_out: Literal["tilts", "counts"]
    n_folds: int
    counts_per_unit: float | None
    rng: np.random.Generator | None


@dataclass(frozen=True, eq=False)
class Solution:
    """What a method gives.

    Parameters
    ----------
    volume : ndarray of float32, shape (z, y, x)
        In the unit of the problem.
    r_factor, r_free : ndarray, shape (iterations,) or empty
    settings : Method
        With what was chosen filled in.
    choices, notes : mapping of str to Selection, tuple of str
    """

    volume: Floats32
    r_factor: Floats
    settings: "Method"
    r_free: Floats = field(default_factory=lambda: np.empty(0))
    choices: Mapping[str, Selection] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Settings of a method, checked when they are made."""

    name: ClassVar[str]

    @abstractmethod
    def solve(self, problem: Problem, *, progress: bool = False) -> Solution:
        """Reconstruct a checked problem."""

    def as_dict(self) -> dict[str, Any]:
        """Return the name and every setting, ready for JSON."""
        settings = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {k: v if v is None or isinstance(v, str | int | float) else str(v) for k, v in settings.items()}
        return {"method": self.name, **plain}

    def _with(self, **changes: Any) -> Self:
        """Return a copy with some settings changed, checked again."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class _Choosing(Method):
    """A method whose missing settings are chosen on data set aside.

    Parameters
    ----------
    hold_out : {"tilts", "counts"}, default "tilts"
        Leave out some tilts, or thin the Poisson counts.
    n_folds : int, default 2
        How often; at most 4 with tilts.
    counts_per_unit : float, optional
        The images times this are counts; 1 by default.
    rng : numpy.random.Generator, optional
        For ``"counts"``.
    """

    hold_out: Literal["tilts", "counts"] = "tilts"
    n_folds: int = 2
    counts_per_unit: float | None = None
    rng: np.random.Generator | None = None

    def __post_init__(self) -> None:
        check_option(self.hold_out, "hold_out", ("tilts", "counts"))
        largest = selection.N_FOLDS if self.hold_out == "tilts" else None
        check_count(self.n_folds, "n_folds", largest=largest, remedy="each fold leaves out every fourth tilt")
        if self.counts_per_unit is not None:
            check_positive(self.counts_per_unit, "counts_per_unit")
        if self.hold_out == "counts" and not isinstance(self.rng, np.random.Generator):
            raise fail("rng", expected="a Generator", got=self.rng, remedy="give rng=numpy.random.default_rng(seed)")

    def _splits(self, problem: Problem) -> list[selection.Split]:
        if self.hold_out == "tilts":
            return selection.split_tilts(problem, self.n_folds)
        assert self.rng is not None
        return selection.split_counts(problem, self.n_folds, counts_per_unit=self.counts_per_unit or 1.0, rng=self.rng)

    def _selection(self, value: float, errors: Mapping[float, float], what: str) -> Selection:
        why = f"{what} predicts the {self.hold_out} set aside best (relative error {min(errors.values()):.3g})"
        return Selection(value, np.array(list(errors)), np.array(list(errors.values())), why)


@dataclass(frozen=True, kw_only=True)
class _Stepwise(_Choosing):
    """An algebraic method, stopped before it fits noise.

    Parameters
    ----------
    n_iterations : int, optional
        Chosen on data set aside if not given.
    """

    longest: ClassVar[int]
    n_iterations: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_iterations is not None:
            check_count(self.n_iterations, "n_iterations")

    @abstractmethod
    def _steps(self, slices: Slices) -> Iterator[tuple[Floats32, float]]:
        """Yield the cells and the R factor after every iteration."""

    def solve(self, problem: Problem, *, progress: bool = False) -> Solution:
        n, choices = self.n_iterations, {}
        if n is None:

            def volumes(train: Problem) -> Iterator[Floats32]:
                slices = train.slices()
                return (slices.to_volume(cells) for cells, _ in self._steps(slices))

            n, errors = selection.choose_stop(self._splits(problem), volumes, n_max=self.longest)
            choices["n_iterations"] = self._selection(n, errors, f"a stop after {n} iterations")
        slices = problem.slices()
        cells, history = _run(self._steps(slices), n, self.name, progress)
        settings = self._with(n_iterations=n)
        return Solution(slices.to_volume(cells), history[:, 0], settings, choices=choices, notes=problem.notes)


@dataclass(frozen=True, kw_only=True)
class WeightedBackProjection(Method):
    """Weighted back-projection.

    Over 180 degrees or more the mean inside the circle inscribed in (z, x) is right to 5e-5 of the density. Outside it
    some tilts do not see a voxel at all, so values there are too low.

    Parameters
    ----------
    cutoff : float, default 1
        Where the ramp ends, share of Nyquist.

    Examples
    --------
    >>> WeightedBackProjection().cutoff
    1.0
    """

    name: ClassVar[str] = "wbp"
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.cutoff, "cutoff")

    def solve(self, problem: Problem, *, progress: bool = False) -> Solution:  # noqa: ARG002, D102
        whole = fill(problem)
        slices = problem.slices()
        volume = weighted_back_projection(whole.projector, whole.images, cutoff=self.cutoff)
        cells = slices.constrain(slices.from_volume(volume))
        r_factor = np.array([slices.misfit(slices.forward(cells))])
        return Solution(slices.to_volume(cells), r_factor, self, notes=whole.notes)


@dataclass(frozen=True, kw_only=True)
class Sirt(_Stepwise):
    """Simultaneous iterative reconstruction.

    Parameters
    ----------
    relaxation : float, default 1
        Share of every correction that is made; it diverges from 2 on.

    Examples
    --------
    >>> Sirt(n_iterations=20).relaxation
    1.0
    """

    name: ClassVar[str] = "sirt"
    longest: ClassVar[int] = 400
    relaxation: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_relaxation(self.relaxation)

    def _steps(self, slices: Slices) -> Iterator[tuple[Floats32, float]]:
        return sirt(slices, relaxation=self.relaxation)


@dataclass(frozen=True, kw_only=True)
class Sart(_Stepwise):
    """Simultaneous algebraic reconstruction, tilt by tilt.

    Parameters
    ----------
    relaxation : float, default 0.3
        Share of every correction that is made; it diverges from 2 on.

    Examples
    --------
    >>> Sart(n_iterations=10).relaxation
    0.3
    """

    name: ClassVar[str] = "sart"
    longest: ClassVar[int] = 100
    relaxation: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_relaxation(self.relaxation)

    def _steps(self, slices: Slices) -> Iterator[tuple[Floats32, float]]:
        return sart(slices, relaxation=self.relaxation)


@dataclass(frozen=True, kw_only=True)
class Cgls(_Stepwise):
    """Conjugate gradients on the normal equations.

    Examples
    --------
    >>> Cgls(n_iterations=8).n_iterations
    8
    """

    name: ClassVar[str] = "cgls"
    longest: ClassVar[int] = 60

    def _steps(self, slices: Slices) -> Iterator[tuple[Floats32, float]]:
        return cgls(slices)


@dataclass(frozen=True, kw_only=True)
class Genfire(Method):
    """GENFIRE as published, with the paper's settings for ADF and EDS; for valence maps 2, 0.1 and 200.

    Parameters
    ----------
    oversampling : int, default 3
    interpolation_radius_px : float, default 0.1
        In oversampled Fourier pixels.
    n_iterations : int, default 1000
    extension : bool, default True
        Resolution extension and suppression.
    r_free_rng : numpy.random.Generator, optional
        Keep 5 % of the Fourier points out and report R_free.

    Examples
    --------
    >>> Genfire(oversampling=2).interpolation_radius_px
    0.1
    """

    name: ClassVar[str] = "genfire"
    oversampling: int = 3
    interpolation_radius_px: float = 0.1
    n_iterations: int = 1000
    extension: bool = True
    r_free_rng: np.random.Generator | None = None

    def __post_init__(self) -> None:
        check_count(self.oversampling, "oversampling")
        check_positive(self.interpolation_radius_px, "interpolation_radius_px")
        check_count(self.n_iterations, "n_iterations", remedy="give how many; the published algorithm has no stop")
        check_flag(self.extension, "extension")

    def solve(self, problem: Problem, *, progress: bool = False) -> Solution:  # noqa: D102
        whole = fill(problem)
        slices = whole.slices()
        steps = genfire(
            slices,
            n_iterations=self.n_iterations,
            oversampling=self.oversampling,
            radius_px=self.interpolation_radius_px,
            extension=self.extension,
            rng=self.r_free_rng,
        )
        cells, history = _run(steps, self.n_iterations, self.name, progress)
        r_free = history[:, 1] if self.r_free_rng is not None else np.empty(0)
        return Solution(slices.to_volume(cells), history[:, 0], self, r_free=r_free, notes=whole.notes)


@dataclass(frozen=True, kw_only=True)
class TotalVariation(_Choosing):
    """Least squares or Poisson likelihood with total variation.

    Parameters
    ----------
    weight : float, optional
        Of the total variation, 0 to 1. Chosen on data set aside if not given.
    noise : {"gaussian", "poisson"}
        What the images are fitted as.
    supersampling : int, optional
        Parts per voxel along z and x. If not given, 1 or 2, whichever predicts data set aside better: parts help where
        edges are sharp.
    n_iterations, n_passes : int, default 60 and 2
        Iterations of a pass, and passes.

    Examples
    --------
    >>> TotalVariation(weight=0.003, supersampling=1).n_iterations
    60
    """

    name: ClassVar[str] = "tv"
    weight: float | None = None
    noise: Literal["gaussian", "poisson"] = "gaussian"
    supersampling: int | None = None
    n_iterations: int = 60
    n_passes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight is not None:
            check_range(self.weight, "weight", 0, 1, remedy="with 1 the volume is flat; 0.001 to 0.1 are usual")
        check_option(self.noise, "noise", ("gaussian", "poisson"))
        if self.supersampling is not None:
            check_count(self.supersampling, "supersampling")
        check_count(self.n_iterations, "n_iterations")
        check_count(self.n_passes, "n_passes")

    def solve(self, problem: Problem, *, progress: bool = False) -> Solution:  # noqa: D102
        settings, choices = self._chosen(problem)
        slices = problem.slices(supersampling=settings.supersampling or 1)
        cells, history = _run(settings._steps(slices), self.n_iterations * self.n_passes, self.name, progress)
        return Solution(slices.to_volume(cells), history[:, 0], settings, choices=choices, notes=problem.notes)

    def _steps(self, slices: Slices) -> Iterator[tuple[Floats32, float]]:
        assert self.weight is not None
        return fit_variation(
            slices, weight=self.weight, noise=self.noise, n_iterations=self.n_iterations, n_passes=self.n_passes
        )

    def _chosen(self, problem: Problem) -> tuple[Self, dict[str, Selection]]:
        """Fill in weight and supersampling where they are not given."""
        choices: dict[str, Selection] = {}
        if self.weight is not None and self.supersampling is not None:
            return self, choices
        if self.weight is not None and self.hold_out == "tilts" and problem.n_tilts < 4:
            why = "too few tilts to set some aside: whole voxels"
            choices["supersampling"] = Selection(1, np.empty(0), np.empty(0), why)
            return self._with(supersampling=1), choices
        splits, settings = self._splits(problem), self
        if self.weight is None:
            prepared = {id(split.train): split.train.slices() for split in splits}
            # whole voxels and half the iterations rank the weights as the full fit does, in an eighth of the time
            quick = self._with(n_iterations=max(1, self.n_iterations // 2))

            def fit(train: Problem, weight: float) -> Floats32:
                *_, (cells, _) = quick._with(weight=weight)._steps(prepared[id(train)])
                return prepared[id(train)].to_volume(cells)

            weight, errors = selection.choose_on_grid(splits, fit, first=0.008)
            choices["weight"] = self._selection(weight, errors, f"weight {weight:.3g}")
            settings = settings._with(weight=weight)
        if self.supersampling is None:
            # all iterations, because parts of voxels fit noise later; one split, because they take their time
            errors = {}
            for supersampling in (1, 2):
                *_, (cells, _) = settings._steps(splits[0].train.slices(supersampling=supersampling))
                errors[float(supersampling)] = splits[0].error_of_cells(cells, supersampling=supersampling)
            best = int(min(errors, key=errors.__getitem__))
            choices["supersampling"] = self._selection(best, errors, f"a voxel in {best} x {best} parts")
            settings = settings._with(supersampling=best)
        return settings, choices


METHODS: Final[Mapping[str, type[Method]]] = MappingProxyType(
    {method.name: method for method in (WeightedBackProjection, Sirt, Sart, Cgls, Genfire, TotalVariation)}
)


def settings_of(method: MethodName | Method, options: Mapping[str, Any]) -> Method:
    """Return the checked settings of a method given by name with options, or by its settings alone."""
    if isinstance(method, Method):
        if options:
            remedy = "put them into the settings"
            raise fail("options", expected=f"none beside {type(method).__name__}", got=list(options), remedy=remedy)
        return method
    made = METHODS[check_option(method, "method", tuple(METHODS))]
    known = [f.name for f in fields(made)]
    for name in options:
        if name not in known:
            raise fail("option", expected=f"one of {', '.join(known)} for {method}", got=repr(name), remedy="drop it")
    return made(**options)


def _check_relaxation(value: float) -> None:
    check_positive(value, "relaxation")
    if value >= 2:
        raise fail("relaxation", expected="a number below 2", got=value, remedy="from 2 on the iteration diverges")


def _run(steps: Iterator[Any], n: int, name: str, progress: bool) -> tuple[Floats32, Floats]:
    """Take n steps; return the last cells and the numbers of all steps."""
    from tqdm.auto import tqdm

    history = []
    for cells, *numbers in tqdm(islice(steps, n), total=n, desc=name, disable=not progress):
        history.append(numbers)
        last = cells
    return last, np.array(history)
