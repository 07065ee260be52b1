"""Claim, evidence, null, verdict: a table that is computed, so that a correction upstream changes its words."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .._validation import check_finite, check_ndim, check_option, check_positive, fail
from .claims import number_text
from .tables import show_table

SAYS = {"above": "more than noise", "below": "less than noise", "within": "no more than noise"}


@dataclass(frozen=True)
class Weighed:
    """One claim with what speaks for it and what the null shows.

    Parameters
    ----------
    claim : str
        A sentence of the paper, in short.
    evidence, null : str
        What was measured, and what specimens without the effect gave, as text.
    verdict : str
        ``"holds"``, ``"is not shown"``, ``"is contradicted"`` or ``"is not tested"``.
    distance : float
        Of the measured number from the middle of the null, in half widths of it: beyond 1 chance rarely gets. NaN
        without a null.
    absence : bool
        Whether the claim is that nothing differs: it holds *inside* the null.
    """

    claim: str
    evidence: str
    null: str
    verdict: str
    distance: float = field(default=np.nan, repr=False)
    absence: bool = field(default=False, repr=False)

    @property
    def sentence(self) -> str:
        """The claim; one that nothing differs with the null beside it, since it can say no more than that."""
        low, _, high = self.null.partition(" to ")
        even = self.absence and low == "\N{MINUS SIGN}" + high.partition(" ")[0]
        return f"{self.claim} (no difference larger than ±{high})" if even else self.claim


def weigh(
    claim: str,
    measured: float,
    *,
    null: Sequence[float] | None,
    effect: str = "above",
    error: float = 0.0,
    unit: str = "",
    fmt: str = ".2f",
) -> Weighed:
    """Compare a number with its null, and say what follows for the claim.

    Parameters
    ----------
    claim : str
    measured : float
        The effect, in `unit`.
    null : (float, float) or None
        Interval of the same number where there is no effect, 95 % unless said otherwise; None where nobody made one.
    effect : {"above", "below", "within"}
        Where the number has to lie, against the null, if the claim is right; ``"within"`` is for claims of absence.
    error : float, default 0
        Of the measured number, where the null does not hold it: a verdict that turns within it "is not shown".
    unit, fmt : str
        For the text.

    Returns
    -------
    Weighed
        ``"holds"`` where the number lies where the claim has it; ``"is not shown"`` where it lies within the null and
        should not, ``"is contradicted"`` where it lies on the wrong side, or outside for a claim of absence.

    Raises
    ------
    ValueError
        If a number is not finite, the null is no interval, or `effect` is not as above.

    Notes
    -----
    A claim of absence that holds is only as good as the null is narrow: its width is what could have been seen.

    Examples
    --------
    >>> weigh("clusters at the surface", 1.8, null=(1.7, 1.9), unit="at%").verdict
    'is not shown'
    >>> weigh("Mn4+ rises inward", 19.0, null=(-1, 1), unit="points", fmt=".0f")
    Weighed(claim='Mn4+ rises inward', evidence='19 points', null='−1 to 1 points', verdict='holds')
    """
    check_option(effect, "effect", tuple(SAYS))
    check_finite(measured, "measured")
    check_positive(error, "error", zero_ok=True)
    evidence = number_text(measured, unit=unit, fmt=fmt)
    if error:
        evidence = f"{number_text(measured, fmt=fmt)} ± {number_text(error, unit=unit, fmt=fmt)}"
    evidence = evidence.replace("\N{NO-BREAK SPACE}", " ")
    if null is None:
        return Weighed(claim, evidence, "none", "is not tested", absence=effect == "within")
    check_finite(null, "null")
    low, high = null
    if low > high:
        raise fail("null", expected="(low, high)", got=tuple(null), remedy="swap the two")
    verdicts = {_verdict(measured + off, low, high, effect) for off in (-error, error)}
    verdict = verdicts.pop() if len(verdicts) == 1 else "is not shown"
    ends = [number_text(end, fmt=fmt) for end in (low, high)]
    half = (high - low) / 2
    distance = (measured - low - half) / half if half > 0 else np.nan
    null_text = f"{ends[0]} to {ends[1]} {unit}".rstrip()
    return Weighed(claim, evidence, null_text, verdict, distance, absence=effect == "within")


def _verdict(measured: float, low: float, high: float, effect: str) -> str:
    where = "above" if measured > high else "below" if measured < low else "within"
    return "holds" if where == effect else "is not shown" if where == "within" else "is contradicted"


def show_verdicts(weighed: Sequence[Weighed]) -> None:
    """Show claims as a table: claim, verdict, evidence, null; the verdict stays in view on a narrow page.

    Parameters
    ----------
    weighed : sequence of Weighed

    Examples
    --------
    >>> show_verdicts([weigh("Mn4+ rises inward", 19.0, null=(-1, 1), unit="points", fmt=".0f")])
    claim | verdict | measured | null
    Mn⁴⁺ rises inward | holds | 19 points | −1 to 1 points
    """
    show_table(
        ("claim", "verdict", "measured", "null"),
        [(row.sentence, row.verdict, row.evidence, row.null) for row in weighed],
        bold=("verdict",),
    )


def null_interval(draws: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    r"""Return the interval that holds one more draw of a null with a given probability.

    .. math:: \bar x \pm t_{n-1}\, s \sqrt{1 + 1/n}

    Parameters
    ----------
    draws : array_like, shape (n,)
        The number in two or more draws; taken as normally distributed. Few draws make it wide.
    level : float, default 0.95

    Returns
    -------
    (float, float)

    Examples
    --------
    >>> low, high = null_interval([1.0, 1.1, 0.9, 1.05, 0.95, 1.0])
    >>> round(low, 2), round(high, 2)
    (0.8, 1.2)
    """
    values = np.asarray(draws, dtype=np.float64)
    check_ndim(values, "draws", "draw")
    if values.size < 2 or not 0 < level < 1:
        got = f"{values.size} draws, level {level}"
        raise fail("draws", expected="two or more, and a level between 0 and 1", got=got, remedy="draw the null again")
    half = special.stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) * np.sqrt(1 + 1 / values.size)
    return float(values.mean() - half), float(values.mean() + half)
