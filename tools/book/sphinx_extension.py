"""Two roles for numbers in prose that no cell computed.

``{quoted}`34.3 %``` is a value from the literature, ``{given}`0.15 eV``` a setting, a definition or the text of an
exercise. ``checks.typed_numbers`` fails on a number with a decimal point or a unit that stands outside them; a number
that a cell computed comes in through ``{glue:text}``.
"""

from typing import Any

from docutils import nodes


def _role(css_class: str) -> Any:
    def role(
        name: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = ()
    ) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.inline(rawtext, text, classes=[css_class])], []

    return role


def setup(app: Any) -> dict[str, Any]:
    """Register the roles."""
    for name in ("quoted", "given"):
        app.add_role(name, _role(f"tt-{name}"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
