"""What the book adds to Sphinx: roles for numbers that no cell computed, and links to the glossary.

``{quoted}`34.3 %``` is a value from the literature, ``{given}`0.15 eV``` a setting, a definition or the text of an
exercise. ``prose.typed_numbers`` finds a number with a decimal point or a unit that stands outside them; a number that
a cell computed comes in through ``{glue:text}``.

A term of the glossary is linked where it first appears on a page, unless the author has done so.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxRole

from tools.book import terms


class MarkedNumber(SphinxRole):
    """Text with the class ``tt-quoted`` or ``tt-given``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the marked text."""
        return [nodes.inline(self.rawtext, self.text, classes=[f"tt-{self.name}"])], []


# Texts that are no place for a link, and pages that are.
_NO_PLACE = (nodes.title, nodes.FixedTextElement, nodes.literal, nodes.reference, nodes.raw, nodes.math, nodes.comment)
_NO_PLACE += (nodes.Invisible, nodes.math_block, nodes.term, nodes.system_message, addnodes.desc, addnodes.pending_xref)
NO_PAGE = ("glossary", "api", "reference", "bibliography", "data-and-licences")


class LinkTerms(SphinxTransform):
    """Turns the first appearance of each term of the glossary on a page into a link."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        """Link the terms of one page."""
        if self.env.docname.startswith(NO_PAGE) or "glossary" not in self.env.found_docs:
            return
        waiting = sorted(terms.glossary(), key=len, reverse=True)
        for node in list(self.document.findall()):
            if isinstance(node, addnodes.pending_xref) and node.get("reftype") == "term":
                target = node["reftarget"].lower()
                waiting = [term for term in waiting if term.lower() != target]
            elif isinstance(node, nodes.Text) and not _stands_in(node, _NO_PLACE):
                places = list(terms.first_appearances(str(node), waiting))
                if places:
                    node.parent.replace(node, list(self._parts(str(node), places)))
                    linked = {term for _, _, term in places}
                    waiting = [term for term in waiting if term not in linked]

    def _parts(self, text: str, places: list[tuple[int, int, str]]) -> Any:
        """Yield the pieces of a text with its terms linked."""
        last = 0
        for start, end, term in places:
            yield nodes.Text(text[last:start])
            link = addnodes.pending_xref(
                "", refdomain="std", reftype="term", reftarget=term, refdoc=self.env.docname, refwarn=True
            )
            link += nodes.inline("", text[start:end], classes=["xref", "std", "std-term"])
            yield link
            last = end
        yield nodes.Text(text[last:])


def _stands_in(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, kinds):
            return True
        parent = parent.parent
    return False


def setup(app: Any) -> dict[str, Any]:
    """Register roles and links."""
    for name in ("quoted", "given"):
        app.add_role(name, MarkedNumber())
    app.add_transform(LinkTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
