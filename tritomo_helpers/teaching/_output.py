"""How the functions of this folder write to a notebook."""

import html
import os
import sys
from typing import Any


def building() -> bool:
    """Return whether the book is being built."""
    return os.environ.get("TRITOMO_BOOK_BUILD") == "1"


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this process."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def publish(text: str, page: str = "", *, record: dict[str, Any] | None = None, glue: str = "") -> None:
    """Show `page` (HTML) in a notebook, `text` elsewhere; add what the build wants to know.

    Parameters
    ----------
    text, page : str
        The message in plain text and as HTML; nothing is shown in a notebook when `page` is empty.
    record : dict, optional
        ``{kind: {...}}``, kept in the metadata of the output when the book is built.
    glue : str, optional
        Name under which ``{glue:text}`` finds `text`.
    """
    if not _in_notebook():
        if text:
            sys.stdout.write(text + "\n")
        return
    data: dict[str, Any] = {"text/html": page, "text/plain": text} if page else {}
    metadata: dict[str, Any] = {}
    if building():
        metadata["tritomo"] = record or {}
        if glue:
            # The layout of myst_nb.glue. The quotes of repr keep "0.10" from being read as 0.1.
            data = {"application/papermill.record/text/plain": repr(text)}
            metadata["scrapbook"] = {"name": glue, "mime_prefix": "application/papermill.record/"}
        elif not page:
            data = {"application/vnd.tritomo": ""}  # the build takes these outputs away again
    if data:
        from IPython.display import publish_display_data

        publish_display_data(data, metadata)


def box(title: str, body: str, kind: str) -> str:
    """Return a bordered box as HTML; `body` is HTML, `title` is plain text."""
    style = "border-left:.25rem solid;padding:.4rem .8rem;margin:.6rem 0"  # for notebooks without the book's styles
    return (
        f'<div class="tt-box tt-{kind}" role="note" style="{style}"><strong>{html.escape(title)}</strong> {body}</div>'
    )
