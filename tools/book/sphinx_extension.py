"""Two roles for numbers in prose that no cell computed.

``{quoted}`34.3 %``` is a value from the literature, ``{given}`0.15 eV``` a setting, a definition or the text of an
exercise. ``checks.typed_numbers`` fails on a number with a decimal point or a unit that stands outside them; a number
that a cell computed comes in through ``{glue:text}``.
"""

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxRole


class MarkedNumber(SphinxRole):
    """Text with the class ``tt-quoted`` or ``tt-given``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the marked text."""
        return [nodes.inline(self.rawtext, self.text, classes=[f"tt-{self.name}"])], []


def setup(app: Any) -> dict[str, Any]:
    """Register the roles."""
    for name in ("quoted", "given"):
        app.add_role(name, MarkedNumber())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
