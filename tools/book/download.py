"""The notebooks that a page offers to download: as their authors wrote them, with what they need in the first cell."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import yaml

from tools.book import ROOT, stage
from tools.book.execute import Run

PYTHONS = "3.11, 3.12 or 3.13"


def with_needs(notebook: Any, run: Run, *, clone: str) -> Any:
    """Return a notebook that begins with what it needs to run.

    Parameters
    ----------
    notebook : NotebookNode
        As written, without outputs.
    run : Run
        What it cost when the page was built.
    clone : str
        The command that gets the repository, as Markdown.
    """
    datasets = dict.fromkeys(name for name, _ in stage.calls(notebook, "teaching.data"))
    lines = [
        "> **To run this notebook** you need the repository that it comes from, Python "
        f"{PYTHONS}, git and make. Get it with {clone}, then type `make lab` in it: that installs the package "
        "`tritomo_helpers` and everything else in the tested versions, and opens this chapter among the others.",
    ]
    if datasets:
        names = ", ".join(f"`{name}`" for name in datasets)
        lines.append(
            f"> Its data are {names}. What is not there yet, {stage.size_text(run.download_mb)}, is downloaded to the "
            "folder that `TRITOMO_DATA_DIR` names."
        )
    if not run.unavailable:
        time, memory = stage.time_text(run.seconds), stage.size_text(run.peak_mb)
        lines.append(f"> It took {time} and {memory} of memory when its page was built.")
    lines.append("> Numbers and terms in the text, such as `{glue:text}`, are filled in on the page only.")
    needs = nbformat.v4.new_markdown_cell("\n>\n".join(lines))
    needs["id"] = "what-it-needs"
    whole = nbformat.from_dict(notebook)
    return nbformat.from_dict({**whole, "cells": [needs, *whole.cells]})


def offer(pages: Path, book: Path, runs: Iterable[Run]) -> None:
    """Put the notebooks as written, with their needs, where the download button of each page leads."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    clone = stage.clone_command(settings["repository"]["url"] or "")
    for run in runs:
        target = pages / "_sources" / f"{run.name}.ipynb"
        if target.exists():
            notebook = nbformat.read(book / f"{run.name}.ipynb", as_version=4)
            nbformat.write(with_needs(notebook, run, clone=clone), target)
