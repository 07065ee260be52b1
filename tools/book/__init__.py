"""The machinery of the book: run the chapters, stage the pages, build, check.

``execute`` runs a notebook in a fresh kernel, measures it and keeps the result under a key of everything it depends on.
``lineage`` reads from the code which statements made what a figure shows.
``stage`` copies ``book/`` with these results, the cost lines, the provenance boxes and the generated pages.
``checks`` reads notebooks and built pages and lists what is wrong with them; the build and ``tests/book`` both call it.
``vendor`` gets the few scripts that a page would otherwise load from a server. ``cli`` puts them in order.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
HTML = BUILD / "html"
EXECUTED = BUILD / "executed"
