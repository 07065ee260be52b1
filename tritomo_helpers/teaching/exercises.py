"""Exercises that answer: right, a hint for a usual wrong answer, or not yet.

Some slips are common to all exercises and need no entry: a unit typed with the number, the wrong sign, a power of ten,
percent against fractions, radians for degrees, and a number that the chapter states just above.

The right answers and hints are in ``exercises/<chapter>.yaml``, one entry per exercise::

    onset-of-oxygen:
      answer: 529.0            # a number, a word, or a list of either
      tolerance: 2.0           # in the unit of the answer; `relative: 0.05` for a fraction of it; neither: exact
      unit: eV
      right: "The onset is where the intensity starts to rise, not where it peaks."   # optional
      hints:
        - when: 532.0          # this answer, within the tolerance of the exercise or of the hint
          say: "That is the peak. Look for the first channel above the background."
        - above: 600           # or any answer above / below a value
          say: "Is your axis in channels?"
        - slip: degrees as radians   # a function of radians was given degrees, which makes this answer
          when: -71.4
      asks: prediction         # optional: it changes a setting and asks what will happen, before it is computed
"""

import functools
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .._validation import fail
from ._output import box, publish
from .claims import STATED

FOLDER = Path(__file__).parent / "exercises"
SLIPS = {
    "degrees as radians": "A function took your degrees for radians. Convert with np.deg2rad first.",
    "radians as degrees": "That is the angle in radians. Convert with np.rad2deg.",
}
TITLES = {"right": "Right.", "wrong": "Not this.", "not yet": "Not yet."}


@dataclass(frozen=True)
class Verdict:
    """What `judge` says about an answer: ``kind`` is ``"right"``, ``"wrong"`` or ``"not yet"``; ``text`` says more."""

    kind: str
    text: str


@functools.cache
def exercises() -> dict[str, dict[str, Any]]:
    """Return all exercises by id, each with the ``chapter`` it belongs to."""
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
            if name in entries:
                raise fail("exercise id", expected="each id once", got=name, remedy=f"rename it in {path.name}")
            entries[name] = {**entry, "chapter": path.stem}
    return entries


def _equal(answer: Any, wanted: Any, tolerance: float, relative: float) -> bool:
    """Return whether two answers agree: words without regard to case, numbers within the tolerance, shape by shape."""
    given, wanted = np.asarray(answer), np.asarray(wanted)
    if given.shape != wanted.shape:
        return False
    if wanted.dtype.kind in "US" or given.dtype.kind not in "iufb":
        return given.dtype.kind == wanted.dtype.kind and bool(
            np.all(np.char.strip(np.char.lower(given)) == np.char.strip(np.char.lower(wanted)))
        )
    # Decimal answers are compared with room for rounding in binary.
    return bool(np.all(np.abs(given.astype(float) - wanted) <= tolerance + (relative + 1e-12) * np.abs(wanted)))


def _number_with_unit(answer: Any) -> float | None:
    """Return the number at the head of a text such as ``"37.5 nm"``, or None."""
    match = re.match(r"\s*([-+\u2212]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)", answer) if isinstance(answer, str) else None
    return float(match[1].replace(",", ".").replace("\N{MINUS SIGN}", "-")) if match else None


def _common_slip(answer: float, entry: dict[str, Any], near: Callable[[float, float], bool]) -> str:
    """Return what to say about a wrong number that comes from a slip common to all exercises, or ""."""
    wanted, unit = float(entry["answer"]), entry.get("unit", "")
    slips = {
        SLIPS["radians as degrees"]: unit in ("deg", "°") and near(np.rad2deg(answer), wanted),
        "That is the fraction. The answer is in percent.": unit in ("%", "percent") and near(100 * answer, wanted),
        "That is in percent. The answer is a fraction.": not unit and near(answer / 100, wanted),
        "The size is right. Look at the sign.": near(-answer, wanted),
    }
    for power in (1, 2, 3, 6, 9):
        off = near(answer / 10.0**power, wanted) or near(answer * 10.0**power, wanted)
        slips[
            f"You are off by a factor of {10**power:,}: mind the unit{f'; the answer is in {unit}' * bool(unit)}."
        ] = off
    for value, shown in STATED.values():
        slips[f"{shown} is a number that the chapter states above. The question asks for another one."] = near(
            answer, value
        )
    # Anything is near zero when it is divided often enough.
    return next((say for say, applies in slips.items() if applies), "") if wanted else ""


def judge(name: str, answer: Any) -> Verdict:
    """Judge an answer to an exercise without showing anything.

    Parameters
    ----------
    name : str
        Id of the exercise.
    answer : number, str, array_like, None or ...
        ``None`` and ``...`` mean that nothing was answered yet.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If there is no exercise of that name.

    Examples
    --------
    >>> judge("how-to-answer", 4)
    Verdict(kind='right', text='Two squared is four.')
    >>> judge("how-to-answer", 2).text
    'That is two times one. Square it.'
    >>> judge("how-to-answer", ...).kind
    'not yet'
    """
    if name not in exercises():
        known = ", ".join(exercises())
        raise fail("exercise id", expected=f"one of {known}", got=repr(name), remedy="check the spelling")
    entry = exercises()[name]
    unit = f" in {entry['unit']}" if entry.get("unit") else ""
    if answer is None or answer is ...:
        return Verdict("not yet", f"Replace the ... by your answer{unit}, then run the cell again.")
    tolerance, relative = float(entry.get("tolerance", 0)), float(entry.get("relative", 0))
    a_number = np.asarray(entry["answer"]).dtype.kind in "if"
    if a_number and np.shape(entry["answer"]) == () and _number_with_unit(answer) is not None:
        return Verdict(
            "wrong", f"Answer with the number alone, without quotes and unit; it is taken{unit or ' as it is'}."
        )
    if np.shape(answer) != np.shape(entry["answer"]):
        wanted = "a single value" if np.shape(entry["answer"]) == () else f"{np.shape(entry['answer'])[0]} values"
        return Verdict("wrong", f"The answer is {wanted}{unit}; yours has the shape {np.shape(answer)}.")
    if _equal(answer, entry["answer"], tolerance, relative):
        return Verdict("right", entry.get("right", ""))
    said = _hint(answer, entry, tolerance, relative)
    if not said and a_number and np.shape(answer) == () and np.asarray(answer).dtype.kind in "iuf":
        said = _common_slip(float(answer), entry, lambda x, wanted: _equal(x, wanted, tolerance, max(relative, 0.005)))
    return Verdict(
        "wrong", said or entry.get("otherwise", f"Go through the steps again{', and mind the unit' * bool(unit)}.")
    )


def _hint(answer: Any, entry: dict[str, Any], tolerance: float, relative: float) -> str:
    """Return the hint of an exercise for a wrong answer, or ""."""
    numeric = np.asarray(answer).dtype.kind in "iuf"
    for hint in entry.get("hints", []):
        slack = float(hint.get("tolerance", tolerance)), float(hint.get("relative", relative))
        if (
            ("when" in hint and _equal(answer, hint["when"], *slack))
            or (numeric and "above" in hint and np.all(np.asarray(answer) > hint["above"]))
            or (numeric and "below" in hint and np.all(np.asarray(answer) < hint["below"]))
        ):
            return str(hint["say"]) if "say" in hint else SLIPS[hint["slip"]]
    return ""


def check(name: str, answer: Any) -> None:
    """Say whether an answer to an exercise is right, give a hint for a usual wrong one, or wait for one.

    Parameters
    ----------
    name : str
        Id of the exercise.
    answer : number, str, array_like, None or ...
        ``None`` and ``...`` mean that nothing was answered yet.

    Examples
    --------
    >>> check("how-to-answer", ...)
    Not yet. Replace the ... by your answer, then run the cell again.
    >>> check("how-to-answer", 4)
    Right. Two squared is four.
    """
    verdict = judge(name, answer)
    title = TITLES[verdict.kind]
    record = {"id": name, "kind": verdict.kind}
    publish(
        f"{title} {verdict.text}".strip(),
        box(title, html.escape(verdict.text), verdict.kind.replace(" ", "-")),
        record={"check": record},
    )
