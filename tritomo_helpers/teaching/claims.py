"""A computed number that the prose quotes, and the range it must stay in."""

import html
import math
import re
from typing import Any

from .._validation import fail
from ._output import building, publish

STATED: dict[str, tuple[float, str]] = {}  # value and text of the numbers claimed in this session, by name
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number_text(value: Any, *, unit: str = "", digits: int = 3, fmt: str = "") -> str:
    """Write a number for a reader: `digits` significant digits, or Python's `fmt`, and a unit that stays on its line.

    Examples
    --------
    >>> number_text(0.1), number_text(1234.5), number_text(3.2e-7), number_text(-70, unit="deg")
    ('0.100', '1230', '3.20×10⁻⁷', '−70°')
    """
    if isinstance(value, str):
        return value
    if fmt:
        text = format(value, fmt)
        if not re.search("[1-9]", text):  # what rounds to nothing has no sign
            text = text.lstrip("-")
    elif isinstance(value, int):
        text = f"{value:,}"
    elif value == 0 or not math.isfinite(value):
        text = f"{value:g}"
    else:
        exponent = int(f"{value:.{digits - 1}e}".rpartition("e")[2])  # after rounding: 99.96 is 100
        text = f"{round(value, digits - 1 - exponent):,.{max(digits - 1 - exponent, 0)}f}"
        if not -4 <= exponent <= 6:
            text = f"{value / 10.0**exponent:.{digits - 1}f}×10{str(exponent).translate(SUPERSCRIPT)}"
    text = text.replace(",", "\N{NARROW NO-BREAK SPACE}" if abs(value) >= 10_000 else "").replace("-", "\N{MINUS SIGN}")
    if unit in ("deg", "°"):
        return text + "°"
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def in_range(value: Any, low: Any, high: Any) -> bool:
    """Return whether `value` lies in ``[low, high]``, an end of None being open; NaN never does.

    Examples
    --------
    >>> in_range(2.0, 1.0, 3.0), in_range(float("nan"), None, 3.0)
    (True, False)
    """
    return bool(value == value and (low is None or value >= low) and (high is None or value <= high))


def range_text(low: Any, high: Any) -> str:
    """Write an expected range for a reader.

    Examples
    --------
    >>> range_text(527, 531), range_text(None, 0.2), range_text("left", "left"), range_text(3, 3)
    ('527 to 531', 'at most 0.2', 'left', '3')
    """
    ends = [f"{end:.6g}" if isinstance(end, (int, float)) else str(end) for end in (low, high) if end is not None]
    bound = "at most " if low is None else "at least " if high is None else ""
    return bound + " to ".join(dict.fromkeys(ends))


def claim(
    name: str,
    value: Any,
    *,
    unit: str = "",
    digits: int = 3,
    fmt: str = "",
    low: float | None = None,
    high: float | None = None,
    why: str = "",
) -> None:
    """State a number that the chapter computed, for the prose to quote and for a test to hold to its range.

    The prose quotes it as ``{glue:text}`name```. ``tests/book`` and the build fail when the value of the executed
    notebook is not in ``[low, high]``; in a notebook of your own a value outside is only pointed out, because you may
    have changed the input on purpose.

    Parameters
    ----------
    name : str
        Name in the prose, unique in its chapter: letters, digits, ``-`` and ``_``.
    value : float, int, bool or str
        The number, in `unit`. A word (``"left"``) needs no range but must be held by ``low=high="left"``.
    unit : str, default ""
        Written after the number: ``"eV"``, ``"nm"``, ``"%"``, ``"deg"``.
    digits : int, default 3
        Significant digits shown; an int is shown whole.
    fmt : str, default ""
        Format specification such as ``".1f"``, instead of `digits`.
    low, high : float
        The expected range, both ends included, in `unit`; at least one of them. Wide enough for another machine or
        seed, and narrow enough that a wrong method falls outside.
    why : str
        Where the range comes from: theory, the truth of the twin, a paper, the scatter over seeds.

    Raises
    ------
    ValueError
        If no range or no reason is given, or the name cannot be quoted.

    Examples
    --------
    >>> claim("onset", 528.94, unit="eV", digits=4, low=527, high=531, why="tabulated O K onset")
    onset = 528.9 eV (expected 527 to 531: tabulated O K onset)
    >>> claim("onset", 540.2, unit="eV", digits=4, low=527, high=531, why="tabulated O K onset")
    onset = 540.2 eV, OUTSIDE THE EXPECTED RANGE (expected 527 to 531: tabulated O K onset)
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise fail("name", expected="letters, digits, - and _", got=repr(name), remedy="rename the claim")
    if low is None and high is None:
        raise fail(f"claim {name!r}", expected="low, high or both", got="no range", remedy="say which values are wrong")
    if not why:
        raise fail(f"claim {name!r}", expected="why", got="no reason", remedy="say where the range comes from")
    value = value.item() if hasattr(value, "item") else value
    shown = number_text(value, unit=unit, digits=digits, fmt=fmt)
    plain = value if isinstance(value, str) else float(value)
    if not isinstance(plain, str):
        STATED[name] = (plain, shown)
    record = {"name": name, "value": plain, "shown": shown, "unit": unit, "low": low, "high": high, "why": why}
    if building():
        publish(shown, record={"claim": record}, glue=name)
        return
    bounds = range_text(low, high)
    verdict = "" if in_range(value, low, high) else ", OUTSIDE THE EXPECTED RANGE"
    text = f"{name} = {shown}{verdict} (expected {bounds}: {why})".replace("\N{NO-BREAK SPACE}", " ")
    publish(text, f'<div class="tt-claim">{html.escape(text)}</div>')
