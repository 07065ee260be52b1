"""Notebooks as if they had been run, and cells with what a run records."""

import nbformat

from tools.book import execute

code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


CLAIM = """import numpy as np
from tritomo_helpers import teaching
counts = np.random.default_rng({seed}).poisson(100, 60)
teaching.claim("fano", {method}, low=0.75, high=1.25, why="a Poisson process has variance / mean = 1; scatter 0.18")"""
GOOD = {"seed": 0, "method": "counts.var() / counts.mean()"}
MISSING = 'from tritomo_helpers import teaching\nfiles = teaching.data("NMC_EELS_linescan_Jia")'


def write(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return path


def ran(*cells, **options):
    """A run as if the cells had been executed."""
    return execute.Run("chapter", nbformat.v4.new_notebook(cells=list(cells)), **options)


def recorded(what, source="x", page="", **record):
    data = {"text/html": page} if page else {"application/vnd.tritomo": ""}
    return code(
        source, outputs=[nbformat.v4.new_output("display_data", data=data, metadata={"tritomo": {what: record}})]
    )
