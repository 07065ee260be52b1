"""What the published background subtraction tries, and how it judges.

References
----------
The paper's Methods, "EELS drift correction and background subtraction".
"""

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Self

from .._validation import check_increasing, check_option, check_positive, checked, fail
from ..spectroscopy import parse_edge

Window = tuple[float, float]


class Candidate(NamedTuple):
    """One way to subtract the background."""

    function: int
    """1: a x^-b + c on the pre-edge window; 2: a x^-b + c x^-d + f on both, with a line of its own after the edge."""
    pre_window_ev: Window
    post_window_ev: Window
    weight: float
    """Of a post-edge channel relative to a pre-edge channel; 0 for function 1, which does not look at the former."""


@checked
@dataclass(frozen=True)
class SweepSettings:
    """What the sweep tries and how it judges; `for_edge` gives the published values.

    Parameters
    ----------
    range_ev : (float, float)
        Selected part of the spectra, eV.
    pre_windows_ev, post_windows_ev : sequence of (float, float)
        Fitting windows, eV. Published: the latter begin more than 70 eV after the onset. Sizes and positions are ours:
        nearly all of the range before the edge; a window of half that width leaves slope and curvature to noise.
    cutoff_per_ev : float
        Of the low-pass filter, 1/eV.
    slope_weight : float
        C_w of the score.
    max_pre_slope : float
        T_slope, barn/eV/atom per eV: spectra are compared after their integral has been made that of the model.
    weights : sequence of float
        Of a post-edge channel relative to a pre-edge channel in function 2 (ours).
    exponents : sequence of float
        Grid of the exponents b and d (ours: what outer shells and the tails of earlier edges have). Its ends matter:
        at this dose most fits run into them.
    intercept : bool
        Give the linear term of function 2 an intercept. Published is e x alone, which forces the continuum
        under a line through zero energy, so that it must rise: the result is a third too high.

    Raises
    ------
    ValueError
        If a window is empty or a number is not positive.

    Examples
    --------
    >>> manganese = SweepSettings.for_edge("Mn L")
    >>> manganese.cutoff_per_ev, manganese.slope_weight, manganese.max_pre_slope, len(manganese.candidates)
    (0.36, 20.0, 0.15, 54)
    """

    range_ev: Window
    pre_windows_ev: tuple[Window, ...]
    post_windows_ev: tuple[Window, ...]
    cutoff_per_ev: float
    slope_weight: float
    max_pre_slope: float
    weights: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    exponents: tuple[float, ...] = (2.0, 3.0, 4.0)
    intercept: bool = True

    def __post_init__(self) -> None:
        for name in ("pre_windows_ev", "post_windows_ev"):
            windows = tuple((float(a), float(b)) for a, b in getattr(self, name))
            for a, b in windows:
                if not a < b:
                    raise fail(name, expected="windows from low to high", got=(a, b), remedy="swap the two energies")
            object.__setattr__(self, name, windows)
        for name in ("cutoff_per_ev", "max_pre_slope"):
            check_positive(getattr(self, name), name)
        check_positive(self.slope_weight, "slope_weight", zero_ok=True)
        for weight in self.weights:
            check_positive(weight, "weights")
        object.__setattr__(self, "exponents", tuple(check_increasing(self.exponents, "exponents").tolist()))
        if len(self.exponents) < 2:
            raise fail("exponents", expected="two or more", got=self.exponents, remedy="give a grid such as 1 to 6")

    @classmethod
    def for_edge(cls, edge: str) -> Self:
        """Return the published settings of ``"Mn L"`` or ``"Co L"``."""
        element = parse_edge(edge).element
        check_option(element, "edge", tuple(_PUBLISHED))
        return cls(**_PUBLISHED[element])

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked again."""
        return replace(self, **changes)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All combinations of function, windows and weight."""
        windows = [(pre, post) for pre in self.pre_windows_ev for post in self.post_windows_ev]
        first = [Candidate(1, pre, post, 0.0) for pre, post in windows]
        return (*first, *(Candidate(2, pre, post, w) for pre, post in windows for w in self.weights))


_PUBLISHED: Final[dict[str, dict[str, Any]]] = {
    "Mn": {
        "range_ev": (600.0, 766.65),
        "pre_windows_ev": ((600, 630), (600, 634), (602, 632)),
        "post_windows_ev": ((711, 756), (711, 766.5), (716, 766.5)),
        "cutoff_per_ev": 0.36,
        "slope_weight": 20.0,
        "max_pre_slope": 0.15,
    },
    "Co": {
        "range_ev": (718.5, 907.05),
        "pre_windows_ev": ((719, 762), (719, 768), (725, 768)),
        "post_windows_ev": ((850, 895), (850, 905), (855, 905)),
        "cutoff_per_ev": 0.32,
        "slope_weight": 1.0,
        "max_pre_slope": 0.025,
    },
}
