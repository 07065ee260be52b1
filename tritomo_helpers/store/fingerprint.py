"""What a result depends on: the statements that its code reaches in this package, and the data files beside them.

Followed are names, statement by statement: ``from .constants import BARN_NM2`` depends on the statement that binds
``BARN_NM2`` and on what that one names, and not on the colors in the same file. Where a module is touched, so are the
statements in it that act when it is loaded, and every file in its package that is no code (reference spectra, tables,
scripts of a page). Comments, layout, docstrings and annotations of functions do not count; nor does a decorator that
only refuses arguments (`_validation.checked`): where it lets a call through, the result is the same.

What cannot be seen: imports by a name that is computed, and functions handed in from elsewhere. A module that is used
otherwise than by ``module.name`` counts whole.
"""

import ast
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
_CODE_SUFFIXES = (".py", ".pyc", ".pyi")
_COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_GUARDS = {("_validation", "checked")}  # a decorator changes no result: its module and its name
_Need = tuple[str, str | None]  # a module, and a name in it or None for all of it


def of(function: Callable[..., Any], *, package: Path = PACKAGE) -> str:
    """Return a digest of the code and the data files that a function depends on.

    Parameters
    ----------
    function : callable
        Defined with ``def`` in a file; its decorators do not count.
    package : Path, optional
        Folder of the package within which imports are followed; ours by default.

    Returns
    -------
    str
        64 hexadecimal digits, the same on every machine for the same code.

    Examples
    --------
    >>> from tritomo_helpers.metrics import nrmse, r_factor
    >>> of(nrmse) == of(nrmse) != of(r_factor)
    True
    """
    return digest(parts(function, package=package))


def parts(function: Callable[..., Any], *, package: Path = PACKAGE) -> dict[str, str]:
    """Return what `of` digests: each module and data file with a digest of what of it counts.

    Examples
    --------
    >>> from tritomo_helpers.spectroscopy import references
    >>> [name for name in parts(references.load) if name.endswith("crystal-field-Mn.csv")]
    ['spectroscopy/data/crystal-field-Mn.csv']
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in tree.body:
        if isinstance(node, _DEFINITIONS):
            node.decorator_list = []
    surroundings = _surroundings(function, package)
    return _closure(tree.body, surroundings, package)


def of_source(source: str, *, package: Path = PACKAGE) -> dict[str, str]:
    """Return, like `parts`, what a script or the code of a notebook depends on, itself included.

    Parameters
    ----------
    source : str
        Python, with absolute imports.
    package : Path, optional
        As for `of`.

    Examples
    --------
    >>> list(of_source("x = 1"))
    ['(source)']
    """
    body = ast.parse(source).body
    return _closure(body, _Module("(source)", "", body), package)


def digest(made_of: Any) -> str:
    """Return a digest of anything that JSON can hold; the order of keys does not count.

    Examples
    --------
    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the modules and files that differ between two results of `parts`, to say why something is stale.

    Examples
    --------
    >>> changed({"eels": "1", "adf": "2"}, {"adf": "3", "eels": "1", "eds": "4"})
    ['adf', 'eds']
    """
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


# --- modules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Module:
    """A parsed file: its full name, the package that its relative imports start from, and its statements."""

    name: str
    package: str
    body: list[ast.stmt]

    @functools.cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """Statements of the top level by the names that they bind."""
        binding: dict[str, list[ast.stmt]] = {}
        for statement in self.body:
            for name in _bound(statement):
                binding.setdefault(name, []).append(statement)
        return binding

    @functools.cached_property
    def effects(self) -> list[ast.stmt]:
        """Statements that act when the module is loaded instead of binding a name."""
        ours = {name for name, made in self.bindings.items() if any(_is_own(s, self) for s in made)}
        return [statement for statement in self.body if _acts(statement, ours)]


@functools.cache
def _parsed(path: Path, name: str, package: str, modified_ns: int) -> _Module:
    del modified_ns  # part of the key only: an edited file is read again
    body = _without_type_checking(ast.parse(path.read_text(encoding="utf-8")).body)
    return _Module(name, package, _without_guards(body))


def _module(name: str, package: Path) -> _Module | None:
    """Return a module of the package, or None if there is no such file."""
    path = package.joinpath(*name.split(".")[1:])
    file, base = (path / "__init__.py", name) if path.is_dir() else (path.with_suffix(".py"), name.rpartition(".")[0])
    if not file.is_file() or name.split(".")[0] != package.name:
        return None
    return _parsed(file, name, base, file.stat().st_mtime_ns)


def _surroundings(function: Callable[..., Any], package: Path) -> _Module:
    """Return the module in which a function stands, in the package or not (a test, a script)."""
    known = _module(function.__module__, package)
    if known is not None:
        return known
    file = inspect.getsourcefile(function)
    body = ast.parse(Path(file).read_text(encoding="utf-8")).body if file and Path(file).is_file() else []
    return _Module(function.__module__, function.__module__.rpartition(".")[0], body)


def _without_type_checking(body: list[ast.stmt]) -> list[ast.stmt]:
    return [s for s in body if not (isinstance(s, ast.If) and ast.unparse(s.test).endswith("TYPE_CHECKING"))]


def _without_guards(body: list[ast.stmt]) -> list[ast.stmt]:
    """Take the decorators that only refuse arguments off all functions, where they are imported as such."""
    guards = {
        alias.asname or alias.name
        for statement in body
        if isinstance(statement, ast.ImportFrom) and statement.level
        for alias in statement.names
        if (statement.module, alias.name) in _GUARDS
    }
    for node in (node for statement in body for node in ast.walk(statement) if isinstance(node, _DEFINITIONS)):
        node.decorator_list = [d for d in node.decorator_list if not (isinstance(d, ast.Name) and d.id in guards)]
    return body


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of the top level binds."""
    if isinstance(statement, _DEFINITIONS):
        yield statement.name
    elif isinstance(statement, _IMPORTS):
        for alias in statement.names:
            yield alias.asname or (alias.name if isinstance(statement, ast.ImportFrom) else alias.name.split(".")[0])
    elif isinstance(statement, _COMPOUND):
        if isinstance(statement, ast.For):
            yield from (n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name))
        for inner in ast.iter_child_nodes(statement):
            for deeper in [inner, *getattr(inner, "body", [])]:  # the handlers of a try hold statements of their own
                if isinstance(deeper, ast.stmt):
                    yield from _bound(deeper)
    else:
        yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _acts(statement: ast.stmt, ours: set[str]) -> bool:
    if isinstance(statement, _COMPOUND):
        return True
    if isinstance(statement, _DEFINITIONS):  # a decorator of our own may register what it decorates
        return any(_root(decorator) in ours for decorator in statement.decorator_list)
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    return not isinstance(statement, _IMPORTS) and not any(True for _ in _bound(statement))


def _is_own(statement: ast.stmt, module: _Module) -> bool:
    """Whether what a statement binds is made in this package."""
    if isinstance(statement, _IMPORTS):
        return any(target.startswith(module.name.split(".")[0] + ".") for _, target, _ in _imported(statement, module))
    return True


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _imported(statement: ast.stmt, module: _Module) -> Iterator[tuple[str, str, str | None]]:
    """Yield (name bound here, module, name in that module or None for the module itself) of an import."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield (
                alias.asname or alias.name.split(".")[0],
                alias.name if alias.asname else alias.name.split(".")[0],
                None,
            )
    elif isinstance(statement, ast.ImportFrom):
        parents = module.package.split(".")
        base = parents[: len(parents) - statement.level + 1] if statement.level else []
        source = ".".join([*base, *([statement.module] if statement.module else [])])
        for alias in statement.names:
            yield alias.asname or alias.name, source, alias.name


# --- the closure ---------------------------------------------------------------------------------------------------


def _closure(body: list[ast.stmt], start: _Module, package: Path) -> dict[str, str]:
    """Return a digest of every module and data file reached from `body`, whose names are looked up in `start`."""
    texts: dict[str, dict[str, None]] = {start.name: dict.fromkeys(map(_bare, body))}
    todo = [need for statement in body for need in _needs(statement, start, package)]
    done: set[_Need] = set()
    while todo:
        need = todo.pop()
        if need in done:
            continue
        done.add(need)
        module = start if need[0] == start.name else _module(need[0], package)
        if module is None:
            continue
        for statement in _selected(module, need[1], acting=module is not start):
            if isinstance(statement, _IMPORTS):
                todo += _needs_of_import(statement, module, need[1], package)
            elif (text := _bare(statement)) not in texts.setdefault(module.name, {}):
                texts[module.name][text] = None
                todo += _needs(statement, module, package)
    code = {name: _hash("\0".join(sorted(lines))) for name, lines in texts.items()}
    return dict(sorted({**code, **_data_files(texts, package)}.items()))


def _selected(module: _Module, name: str | None, *, acting: bool) -> list[ast.stmt]:
    """Return the statements that give a name its value, and those that act; all for None or an unknown name.

    The neighbors of the function asked about do not act on it: a file of recipes registers many.
    """
    if name is None or name not in module.bindings:
        hands_on = module.name == module.package  # what the __init__ of a package imports is offered as its own
        return [s for s in module.body if hands_on or not isinstance(s, _IMPORTS)]
    return [*module.bindings[name], *(module.effects if acting else ())]


@functools.cache
def _needs(statement: ast.stmt, module: _Module, package: Path) -> tuple[_Need, ...]:
    """Return what a statement names: of its own module, and through imports in it of others."""
    return tuple(_named(statement, module, package))


def _named(statement: ast.stmt, module: _Module, package: Path) -> Iterator[_Need]:
    inner = {
        name: (source, target)
        for node in ast.walk(statement)
        if isinstance(node, _IMPORTS)
        for name, source, target in _imported(node, module)
    }
    for chain in _chains(statement):
        if chain[0] in inner:
            yield from _follow(*inner[chain[0]], chain[1:], package)
        elif chain[0] in module.bindings:
            imports = [s for s in module.bindings[chain[0]] if isinstance(s, _IMPORTS)]
            for made in imports:
                for name, source, target in _imported(made, module):
                    if name == chain[0]:
                        yield from _follow(source, target, chain[1:], package)
            if len(imports) < len(module.bindings[chain[0]]):
                yield module.name, chain[0]


def _needs_of_import(statement: ast.stmt, module: _Module, name: str | None, package: Path) -> Iterator[_Need]:
    """Yield what is behind an import that hands a name on, or behind each of them for None."""
    for bound, source, target in _imported(statement, module):
        if name is None or bound == name:
            yield from _follow(source, target, (), package)


def _follow(source: str, target: str | None, attributes: tuple[str, ...], package: Path) -> Iterator[_Need]:
    """Yield what ``source.target.attributes...`` needs: the last part of it that is a module, and the name in it."""
    if source.split(".")[0] != package.name:
        return
    here, names = source, [*([target] if target else []), *attributes]
    while names and _module(f"{here}.{names[0]}", package) is not None:
        here = f"{here}.{names.pop(0)}"
    if here == package.name and not names:
        return  # the package itself only loads its modules by name
    if names == ["*"]:
        names = []
    yield here, names[0] if names else None


def _chains(statement: ast.stmt) -> Iterator[tuple[str, ...]]:
    """Yield every name that is read, with the attributes that follow it: ``np.linalg.norm`` as three words."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        words: list[str] = []
        while isinstance(node, ast.Attribute):
            words.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield node.id, *words
        todo += [child for child in ast.iter_child_nodes(node) if not _annotates(node, child)]


def _data_files(modules: Mapping[str, Any], package: Path) -> dict[str, str]:
    """Return the files that are no code in the packages of some modules, with their digests."""
    folders = set()
    for name in modules:
        words = name.split(".")[1:] if name.split(".")[0] == package.name else []
        if words and (package / words[0]).is_dir():
            folders.add(package / words[0])
    return {
        file.relative_to(package).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        for folder in sorted(folders)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix not in _CODE_SUFFIXES and not file.name.startswith(".")
    }


@functools.cache
def _bare(node: ast.AST) -> str:
    """Return code as text without comments, layout and docstrings, the same in every version of Python."""
    return json.dumps(_plain(node), separators=(",", ":"))


def _plain(node: Any) -> Any:
    if isinstance(node, ast.AST):
        fields = [[name, _plain(value)] for name, value in ast.iter_fields(node) if _counts(node, name, value)]
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_text(item)]
    return node if isinstance(node, str | bool | int | None) else repr(node)


def _counts(node: ast.AST, name: str, value: Any) -> bool:
    left_out = name in ("ctx", "kind", "type_comment") or value is None or value == []
    return not left_out and not _annotates(node, value)


def _annotates(node: ast.AST, child: Any) -> bool:
    """Whether `child` is the annotation of a parameter or of what a function returns."""
    if not isinstance(child, ast.AST):
        return False
    return child is getattr(node, "returns", None) or (isinstance(node, ast.arg) and child is node.annotation)


def _is_text(item: Any) -> bool:
    """Whether a statement is nothing but a text or a number, as docstrings are."""
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and item.value.value is not Ellipsis


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
