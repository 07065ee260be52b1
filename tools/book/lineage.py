"""Which statements of a notebook made what a cell shows: read from the code, nothing is run."""

import ast
import re
from typing import Any

# Calls whose result is simulated, so that a reader wants to see what they were given.
SIMULATES = re.compile(r"\b(?:(?:phantoms|simulation|crystals)\.\w+(?:\.\w+)*|default_rng)\(")
# Calls that only show or state something: they change nothing that a later cell uses.
_SHOWS = ("teaching.", "plotting.", "viewer.", "print", "warnings.")


def statements(cell: Any) -> list[ast.stmt]:
    """Return the statements of a code cell, without magics; nothing for a cell that is not Python."""
    source = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _names(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}


def _own(statement: ast.stmt) -> set[str]:
    """Return the names that live in a statement alone: those of comprehensions and of functions without a name."""
    own: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.comprehension):
            own |= _names(node.target, ast.Store)
        elif isinstance(node, ast.Lambda):
            own |= {argument.arg for argument in node.args.args}
    return own


def _used(statement: ast.stmt) -> set[str]:
    """Return the names whose value from before a statement needs; a loop sets its own variables."""
    loops = [node.target for node in ast.walk(statement) if isinstance(node, ast.For)]
    return _names(statement, ast.Load) - _own(statement) - {n for t in loops for n in _names(t, ast.Store)}


def _changed(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds (``x =``) or may change (``x[0] =``, ``x.append()``, ``f(x)``)."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    changed = _names(statement, ast.Store)
    for node in ast.walk(statement):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            changed |= _names(node, ast.Load)
        if isinstance(node, ast.Expr) and not ast.unparse(node).startswith(_SHOWS):
            called = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
            changed |= _names(node, ast.Load) - called
    return changed - _own(statement)


def made_by(earlier: list[ast.stmt], shown: list[ast.stmt]) -> list[ast.stmt]:
    """Return those of the `earlier` statements, in order, on which the `shown` ones depend; no imports.

    Examples
    --------
    >>> earlier = ast.parse("import numpy as np; a = np.ones(3); b = 5; a[0] = b; c = 1; b = 7").body
    >>> [ast.unparse(s) for s in made_by(earlier, ast.parse("plot(a)").body)]
    ['a = np.ones(3)', 'b = 5', 'a[0] = b']
    """
    imports = [s for s in earlier if isinstance(s, ast.Import | ast.ImportFrom)]
    modules = {alias.asname or alias.name.split(".")[0] for s in imports for alias in s.names}
    needed: set[str] = set()
    statements = []
    shown_ids = set(map(id, shown))
    for statement in reversed([*earlier, *shown]):
        is_shown = id(statement) in shown_ids
        if not (is_shown or _changed(statement) & needed):
            continue
        if isinstance(statement, ast.Assign):  # what was in a name before no longer matters
            needed -= {t.id for target in statement.targets for t in _flat(target) if isinstance(t, ast.Name)}
        needed |= _used(statement) - modules
        if not is_shown:
            statements.append(statement)
    return statements[::-1]


def _flat(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, ast.Tuple) else [target]


def simulated(lineage: list[ast.stmt]) -> str:
    """Return the code that simulated something for a figure, with the settings that it used; "" if nothing did."""
    last = max((i for i, s in enumerate(lineage) if SIMULATES.search(ast.unparse(s))), default=None)
    if last is None:
        return ""
    used = [*made_by(lineage[:last], [lineage[last]]), lineage[last]]
    # Several specimens or scans may have gone into one figure; each keeps what it needs.
    for index, statement in enumerate(lineage[:last]):
        if SIMULATES.search(ast.unparse(statement)):
            used += [*made_by(lineage[:index], [statement]), statement]
    return "\n".join(ast.unparse(s) for s in lineage if s in used)


READ_BY = {"twelve.load": "study/particles"}
"""Functions of the package that read a product themselves."""


def products_used(code: str) -> list[str]:
    """Return the products that code asks for by ``products.get`` or ``products.provenance``, composed names included.

    Those of `READ_BY` count as well.

    Examples
    --------
    >>> products_used('a = products.get("needle/alignment")')
    ['needle/alignment']
    >>> products_used('v = [products.get(f"twin/{p}/valence") for p in names]')
    ['twin/cycled-200-1/valence', 'twin/pristine-1/valence']
    """
    from tritomo_helpers import products

    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and node.args]
    asked = [c.args[0] for c in calls if ast.unparse(c.func).endswith(("products.get", "products.provenance"))]
    patterns = [_pattern(name) for name in asked]
    patterns += [re.escape(name) for function, name in READ_BY.items() if f"{function}(" in code]
    return sorted(name for name in products.products() if any(re.fullmatch(pattern, name) for pattern in patterns))


def _pattern(name: ast.expr) -> str:
    """Return what a name of a product can be: itself, or anything where it is filled in."""
    if isinstance(name, ast.Constant):
        return re.escape(str(name.value))
    if isinstance(name, ast.JoinedStr):
        return "".join(_pattern(piece) for piece in name.values)
    return ".+"
