"""Registry, keys and storage of products."""

import ast
import hashlib
import inspect
import json
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail

Arrays = dict[str, NDArray[Any]]
Stored = tuple[Arrays, dict[str, Any]]
Report = Callable[[float, str], None]
PACKAGE = Path(__file__).resolve().parents[1]
COMMITTED = PACKAGE / "data" / "products"
COMMITTED_LIMIT_BYTES = 10_000_000
_REGISTRY: dict[str, "Product"] = {}


@dataclass(frozen=True)
class Product:
    """A named result: the function that makes it, its datasets and parameters, how exactly it can be made again."""

    name: str
    make: Callable[..., Arrays]
    datasets: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Digest of data, parameters and all code: what the cache goes by."""
        return _digest(self._made_of())

    @property
    def recipe_key(self) -> str:
        """Digest of data, parameters and the function itself, without the modules that it calls.

        A result that is part of the package is held to this. Were it held to `key`, every edit of a module far below
        would ask for a new binary file, although the numbers stay the same; whether they do, the acceptance tests find
        out by computing it again.
        """
        return _digest({**self._made_of(), "code": _text_digest(_bare(_source(self.make)))})

    def _made_of(self) -> dict[str, Any]:
        from .. import datasets

        entries = {name: datasets.dataset(name) for name in self.datasets}
        data = {
            n: [*([f.checksum for f in e.files] or [repr(e.generated)]), *self.parts.get(n, ())]
            for n, e in entries.items()
        }
        return {"name": self.name, "code": code_digest(self.make), "data": data, "parameters": dict(self.parameters)}


def _digest(made_of: Mapping[str, Any]) -> str:
    return _text_digest(json.dumps(made_of, sort_keys=True))


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def product(
    name: str,
    *,
    datasets: tuple[str, ...] = (),
    parts: Mapping[str, Sequence[str]] | None = None,
    tolerance: Mapping[str, float] | None = None,
    **parameters: Any,
) -> Callable[[Any], Any]:
    """Register a function as the maker of a product.

    Parameters
    ----------
    name : str
        Unique; also the file name. A slash makes a folder.
    datasets : tuple of str
        Names in data_manifest.yaml; the function gets them as ``files[dataset][role]``.
    parts : mapping of str to sequence of str, optional
        Dataset to the roles needed, where not all are: a simulated dataset then makes no spectra for nothing.
    tolerance : mapping of str to float, optional
        Array to the largest difference that another machine may make, in the unit of the array. 1e-6 of the largest
        value for arrays that are not named.
    **parameters
        Passed to the function by keyword, and part of the key. Numbers, strings, lists.

    Returns
    -------
    callable
        A decorator for ``make(report, files, **parameters) -> dict of arrays``; ``report(fraction, text)`` moves the
        progress bar.
    """

    def register(make: Callable[..., Arrays]) -> Callable[..., Arrays]:
        if name in _REGISTRY:
            raise fail("product", expected="a new name", got=repr(name), remedy="rename one of the two")
        _REGISTRY[name] = Product(name, make, tuple(datasets), parameters, parts or {}, tolerance or {})
        return make

    return register


def products() -> dict[str, Product]:
    """Return every product by name."""
    return dict(_REGISTRY)


def _find(name: str) -> Product:
    if name not in _REGISTRY:
        names = ", ".join(_REGISTRY) or "(none yet)"
        raise fail("product", expected=f"one of {names}", got=repr(name), remedy="check the spelling")
    return _REGISTRY[name]


def _source(make: Callable[..., Any]) -> ast.Module:
    """Return a function as a tree, without its decorator: name, parameters and tolerance are no code."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(make)))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    return tree


def _bare(tree: ast.AST) -> str:
    """Return code as text without comments, layout and docstrings."""
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(value=ast.Constant()), *rest]:
                node.body = rest  # type: ignore[attr-defined]
    return ast.dump(tree)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the full names that code of `package` imports from tritomo_helpers, wherever in the code that stands."""
    top = package.split(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == top)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])])
            if full.split(".")[0] == top:
                yield full
                yield from (f"{full}.{alias.name}" for alias in node.names)


def _module_file(name: str) -> tuple[Path, str] | None:
    """Return the file of a module of this package and the package that its relative imports start from."""
    path = PACKAGE.joinpath(*name.split(".")[1:])
    if path.is_dir():
        return path / "__init__.py", name
    return (path.with_suffix(".py"), name.rpartition(".")[0]) if path.with_suffix(".py").is_file() else None


def code_digest(make: Callable[..., Any]) -> str:
    """Return a digest of a function and of every module of this package that it imports, directly or not.

    Comments, layout and docstrings do not count. The package's own ``__init__`` only loads modules by name and is left
    out, so that an import of one module does not draw in the others.
    """
    tree = _source(make)
    todo = list(_imported(tree, make.__module__.rpartition(".")[0] or PACKAGE.name))
    seen: dict[str, str] = {}
    while todo:
        name = todo.pop()
        found = _module_file(name) if name != PACKAGE.name else None
        if found is None or name in seen:
            continue
        module = ast.parse(found[0].read_text(encoding="utf-8"))
        seen[name] = _bare(module)
        todo += _imported(module, found[1])
    return _text_digest(_bare(tree) + "".join(f"{name}\0{seen[name]}\0" for name in sorted(seen)))


def cache_folder() -> Path:
    """Return the folder where computed products are kept, beside the downloaded data."""
    from .. import datasets

    return datasets.data_dir() / "products"


def cache_path(found: Product) -> Path:
    """Return where the result of a product is kept by this code."""
    return cache_folder() / f"{found.name}-{found.key[:16]}.npz"


def committed_path(found: Product) -> Path:
    """Return where the result of a product is, if it is part of the package."""
    return COMMITTED / f"{found.name}.npz"


def _read(path: Path, **expected: str) -> Stored | None:
    """Return arrays and provenance if `path` holds a result whose provenance says what is expected."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    source = json.loads(str(arrays.pop("provenance_json")))
    return (arrays, source) if all(source.get(name) == value for name, value in expected.items()) else None


def write(path: Path, arrays: Mapping[str, NDArray[Any]], source: Mapping[str, Any]) -> None:
    """Write a product: all of it appears under `path` at once, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(stream, **arrays, provenance_json=np.array(json.dumps(source)))  # type: ignore[arg-type]
        Path(part).chmod(0o644)  # mkstemp makes it private, and a cache may be shared
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


def compute(name: str) -> Stored:
    """Compute a product anew, with a progress bar on stderr, and return it with its provenance; nothing is stored."""
    import tqdm

    from .. import __version__, datasets

    found = _find(name)
    files = {entry: datasets.fetch(entry, parts=found.parts.get(entry)) for entry in found.datasets}
    start = time.perf_counter()
    # A page of the book is no place for a progress bar.
    quiet = os.environ.get("TRITOMO_BOOK_BUILD") == "1"
    with tqdm.tqdm(total=100, desc=name, unit="%", file=sys.stderr, disable=quiet, leave=False) as bar:

        def report(fraction: float, text: str = "") -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.n = round(100 * fraction)
            bar.refresh()

        arrays = {key: np.asarray(value) for key, value in found.make(report, files, **found.parameters).items()}
        report(1.0)
    source = {
        **found._made_of(),
        "key": found.key,
        "recipe_key": found.recipe_key,
        "version": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "seconds": round(time.perf_counter() - start, 1),
        "command": f"python -m tritomo_helpers.products {name}",
    }
    return arrays, source


def cached(name: str, *, make: bool = True) -> Stored | None:
    """Return what this very code computed: from the cache, or (with `make`) computed now and kept there."""
    found = _find(name)
    stored = _read(cache_path(found), key=found.key)
    if stored is None and make:
        stored = compute(name)
        write(cache_path(found), *stored)
    return stored


def committed(name: str) -> Stored | None:
    """Return the result that is part of the package, if its data, parameters and function are those of today."""
    found = _find(name)
    return _read(committed_path(found), recipe_key=found.recipe_key)


def _stored(name: str) -> Stored:
    stored = cached(name, make=False) or committed(name) or cached(name)
    assert stored is not None
    return stored


def get(name: str) -> Arrays:
    """Return a product: from the cache, from the package, or computed now (with a progress bar) and kept.

    Parameters
    ----------
    name : str
        Name of the product, see `products`.

    Returns
    -------
    dict of str to ndarray
        As its function documents it.

    Raises
    ------
    ValueError
        If there is no product of that name.
    """
    return _stored(name)[0]


def provenance(name: str) -> dict[str, Any]:
    """Return where a product comes from: key, code, data, parameters, versions, seconds, command.

    ``same_code`` is false for a result that is part of the package and was made before a module below it changed.
    Computes the product if it is not there.
    """
    source = _stored(name)[1]
    return {**source, "same_code": source["key"] == _find(name).key}
