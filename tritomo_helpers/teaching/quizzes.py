"""Questions to choose an answer to; every answer then says why it is right or wrong.

The questions are in ``quizzes/<chapter>.yaml``, one entry per question::

    partly-spinel:
      question: "EDS finds O : TM = 2 : 1 everywhere. Can the particle be partly spinel?"
      options:
        - text: "No"
          why: "Layered and spinel have the same ratio, so the ratio cannot tell them apart."
        - text: "Yes"
          right: true
          why: "You need an image of the structure, or the valence, to see it."

Texts may hold ``code`` between backticks and *emphasis* between stars.
"""

import functools
import html
import re
from pathlib import Path
from typing import Any

import yaml

from .._validation import fail
from ._output import publish

FOLDER = Path(__file__).parent / "quizzes"
# What a notebook needs without the styles of the book: an answer's reason is hidden until the answer is chosen.
_STYLE = (
    ".tt-quiz{border:1px solid #8884;border-radius:.25rem;padding:.4rem .8rem;margin:.6rem 0}"
    ".tt-quiz legend{float:left;width:100%;font-weight:600;font-size:1em;margin:0 0 .3rem;padding:0}"
    ".tt-quiz div{clear:both;display:grid;grid-template-columns:1.6rem 1fr;align-items:baseline}"
    ".tt-quiz label{cursor:pointer;margin:0}.tt-quiz p{display:none;grid-column:2;margin:.1rem 0 .4rem}"
    ".tt-quiz input:checked~p{display:block}"
)


@functools.cache
def quizzes() -> dict[str, dict[str, Any]]:
    """Return all questions by id, each with the ``chapter`` it belongs to.

    Raises
    ------
    ValueError
        If an id is used twice, or a question does not have two to five options, each with a reason, one of them right.
    """
    known: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
            if name in known:
                raise fail("quiz id", expected="each id once", got=name, remedy=f"rename it in {path.name}")
            _check_entry(name, entry)
            known[name] = {**entry, "chapter": path.stem}
    return known


def _check_entry(name: str, entry: dict[str, Any]) -> None:
    options = entry.get("options", [])
    right = sum(bool(option.get("right")) for option in options)
    reasons = sum(bool(option.get("why")) for option in options)
    if not entry.get("question") or not 2 <= len(options) <= 5 or right != 1 or reasons != len(options):
        raise fail(
            f"quiz {name!r}",
            expected="a question and two to five options, each with a why, one of them right",
            got=f"{len(options)} options, {reasons} with a why, {right} right",
            remedy="complete the entry",
        )


def _inline(text: str) -> str:
    """Return text as HTML with its code and emphasis.

    Examples
    --------
    >>> _inline("*Not* `a < b`")
    '<em>Not</em> <code>a &lt; b</code>'
    """
    escaped = html.escape(text, quote=False)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _page(name: str, entry: dict[str, Any]) -> str:
    """Return a question as HTML that needs no script."""
    options = []
    for number, option in enumerate(entry["options"]):
        identity = f"tt-quiz-{name}-{number}"
        verdict, kind = ("Right.", "tt-yes") if option.get("right") else ("No.", "tt-no")
        options.append(
            f'<div><input type="radio" name="tt-quiz-{name}" id="{identity}" aria-describedby="{identity}-why">'
            f'<label for="{identity}">{_inline(option["text"])}</label>'
            f'<p id="{identity}-why" class="{kind}"><strong>{verdict}</strong> {_inline(option["why"])}</p></div>'
        )
    return (
        f'<style>{_STYLE}</style><fieldset class="tt-quiz"><legend>{_inline(entry["question"])}</legend>'
        f"{''.join(options)}</fieldset>"
    )


def quiz(name: str) -> None:
    """Ask a question with answers to choose from; the chosen one says whether it is right, and why.

    Parameters
    ----------
    name : str
        Id of the question.

    Raises
    ------
    ValueError
        If there is no question of that name.

    Examples
    --------
    >>> quiz("how-to-read-gray")
    A map is light gray in one corner. What was measured there?
      ( ) Zero
      ( ) Nothing
    """
    if name not in quizzes():
        known = ", ".join(quizzes())
        raise fail("quiz id", expected=f"one of {known}", got=repr(name), remedy="check the spelling")
    entry = quizzes()[name]
    text = "\n".join([entry["question"], *(f"  ( ) {option['text']}" for option in entry["options"])])
    publish(text, _page(name, entry), record={"quiz": {"id": name}})
