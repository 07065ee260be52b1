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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail

Arrays = dict[str, NDArray[Any]]
Report = Callable[[float, str], None]
PACKAGE = Path(__file__).resolve().parents[1]
COMMITTED = PACKAGE / "data" / "products"
COMMITTED_LIMIT_BYTES = 10_000_000
_REGISTRY: dict[str, "Product"] = {}


@dataclass(frozen=True)
class Product:
    """A named result: the function that makes it, its datasets and its parameters."""

    name: str
    make: Callable[..., Arrays]
    datasets: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Digest of code, data and parameters."""
        return hashlib.sha256(json.dumps(self._made_of(), sort_keys=True).encode()).hexdigest()

    def _made_of(self) -> dict[str, Any]:
        from .. import datasets

        entries = {name: datasets.dataset(name) for name in self.datasets}
        data = {n: [f.checksum for f in e.files] or repr(e.generated) for n, e in entries.items()}
        return {"name": self.name, "code": code_digest(self.make), "data": data, "parameters": dict(self.parameters)}


def product(name: str, *, datasets: tuple[str, ...] = (), **parameters: Any) -> Callable[[Any], Any]:
    """Register a function as the maker of a product.

    Parameters
    ----------
    name : str
        Unique; also the file name.
    datasets : tuple of str
        Names in data_manifest.yaml; the function gets them as ``files[dataset][role]``.
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
        _REGISTRY[name] = Product(name, make, tuple(datasets), parameters)
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
    tree = ast.parse(textwrap.dedent(inspect.getsource(make)))
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
    text = _bare(tree) + "".join(f"{name}\0{seen[name]}\0" for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder where computed products are kept, beside the downloaded data."""
    from .. import datasets

    return datasets.data_dir() / "products"


def _paths(found: Product) -> list[Path]:
    """Return where a current result of a product may be."""
    return [cache_folder() / f"{found.name}-{found.key[:16]}.npz", COMMITTED / f"{found.name}.npz"]


def _read(path: Path, key: str) -> tuple[Arrays, dict[str, Any]] | None:
    """Return arrays and provenance if `path` holds the result with this key."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    source = json.loads(str(arrays.pop("provenance_json")))
    return (arrays, source) if source["key"] == key else None


def write(path: Path, arrays: Mapping[str, NDArray[Any]], source: Mapping[str, Any]) -> None:
    """Write a product: all of it appears under `path` at once, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(stream, **arrays, provenance_json=np.array(json.dumps(source)))  # type: ignore[arg-type]
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


def compute(name: str) -> tuple[Arrays, dict[str, Any]]:
    """Compute a product anew, with a progress bar on stderr, and return it with its provenance; nothing is stored."""
    import tqdm

    from .. import __version__, datasets

    found = _find(name)
    files = {entry: datasets.fetch(entry) for entry in found.datasets}
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
        "version": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "seconds": round(time.perf_counter() - start, 1),
        "command": f"python -m tritomo_helpers.products {name}",
    }
    return arrays, source


def _stored(name: str) -> tuple[Arrays, dict[str, Any]] | None:
    found = _find(name)
    for path in _paths(found):
        stored = _read(path, found.key)
        if stored:
            return stored
    return None


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
    stored = _stored(name)
    if stored is None:
        stored = compute(name)
        write(_paths(_find(name))[0], *stored)
    return stored[0]


def provenance(name: str) -> dict[str, Any]:
    """Return where a product comes from: key, code, data, parameters, versions, seconds, command.

    Computes the product if it is not there.
    """
    stored = _stored(name)
    if stored is None:
        get(name)
        stored = _stored(name)
    assert stored is not None
    return stored[1]
