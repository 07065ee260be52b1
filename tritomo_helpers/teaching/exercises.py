"""Exercises that answer: right, a hint for a usual wrong answer, or not yet.

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
"""

import functools
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .._validation import fail
from ._output import box, publish

FOLDER = Path(__file__).parent / "exercises"
TITLES = {"right": "Right.", "wrong": "Not this.", "not yet": "Not yet."}


@dataclass(frozen=True)
class Verdict:
    """What `judge` says about an answer: ``kind`` is ``"right"``, ``"wrong"`` or ``"not yet"``; ``text`` says more."""

    kind: str
    text: str


@functools.cache
def exercises() -> dict[str, dict[str, Any]]:
    """Return all exercises by id, each with the ``chapter`` it belongs to."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
            if name in found:
                raise fail("exercise id", expected="each id once", got=name, remedy=f"rename it in {path.name}")
            found[name] = {**entry, "chapter": path.stem}
    return found


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
    if np.shape(answer) != np.shape(entry["answer"]):
        wanted = "a single value" if np.shape(entry["answer"]) == () else f"{np.shape(entry['answer'])[0]} values"
        return Verdict("wrong", f"The answer is {wanted}{unit}; yours has the shape {np.shape(answer)}.")
    if _equal(answer, entry["answer"], tolerance, relative):
        return Verdict("right", entry.get("right", ""))
    for hint in entry.get("hints", []):
        slack = float(hint.get("tolerance", tolerance)), float(hint.get("relative", relative))
        numeric = np.asarray(answer).dtype.kind in "iuf"
        if (
            ("when" in hint and _equal(answer, hint["when"], *slack))
            or (numeric and "above" in hint and np.all(np.asarray(answer) > hint["above"]))
            or (numeric and "below" in hint and np.all(np.asarray(answer) < hint["below"]))
        ):
            return Verdict("wrong", str(hint["say"]))
    return Verdict("wrong", entry.get("otherwise", f"Go through the steps again{', and mind the unit' * bool(unit)}."))


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
