"""Registry, keys and storage of products."""

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._validation import fail
from ..store import fingerprint, results
from ..store.results import Arrays, Stored

Report = Callable[[float, str], None]
COMMITTED = fingerprint.PACKAGE / "data" / "products"
COMMITTED_LIMIT_BYTES = 10_000_000
STUDY = "study/"
"""Names of the tables of the study begin with it: they take an hour together, so that no page computes them."""
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
    after: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Digest of data, parameters and all code that is reached: what the cache goes by."""
        return fingerprint.digest(self.made_of())

    @property
    def recipe_key(self) -> str:
        """Digest of parameters, data and the function itself, without the modules that it calls.

        A result that is part of the package is held to this and to `data`. Were it held to `key`, every edit of a
        module far below would ask for a new binary file, although the numbers stay the same; whether they do, the
        acceptance tests find out by computing it again.
        """
        from .. import datasets

        generated = {name: datasets.dataset(name).generated for name in self.datasets}
        files = {name: self.data()[name] for name in self.datasets if generated[name] is None}
        own = _code(self.make)[self.make.__module__]
        asked = {"generated": {n: dict(g) for n, g in generated.items() if g}, "parts": self._parts(), "files": files}
        if self.after:
            asked["after"] = {name: _find(name).recipe_key for name in self.after}
        return fingerprint.digest({"name": self.name, "code": own, "parameters": dict(self.parameters), **asked})

    def data(self) -> dict[str, list[str]]:
        """Return what tells the data from others: checksums, and for a simulated dataset what its arrays depend on."""
        from .. import datasets

        return {name: list(datasets.identity(name)) for name in self.datasets}

    def made_of(self) -> dict[str, Any]:
        """Return name, code, data and parameters, as JSON gives them back."""
        return {
            "name": self.name,
            "code": _code(self.make),
            "data": self.data(),
            "parts": self._parts(),
            "parameters": dict(self.parameters),
            **({"after": {name: _find(name).key for name in self.after}} if self.after else {}),
        }

    @property
    def in_study(self) -> bool:
        """Whether it is a table of the study: computed by ``make study`` alone, and read as it is until then."""
        return self.name.startswith(STUDY)

    def is_made_by(self, source: Mapping[str, Any]) -> bool:
        """Whether a result with this provenance is of the data, the parameters and the function of today."""
        return bool(source.get("recipe_key") == self.recipe_key and source.get("data") == self.data())

    def _parts(self) -> dict[str, list[str]]:
        return {name: list(roles) for name, roles in self.parts.items()}


@functools.cache
def _code(make: Callable[..., Arrays]) -> dict[str, str]:
    return fingerprint.parts(make)


def product(
    name: str,
    *,
    datasets: tuple[str, ...] = (),
    parts: Mapping[str, Sequence[str]] | None = None,
    tolerance: Mapping[str, float] | None = None,
    after: tuple[str, ...] = (),
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
    after : tuple of str, optional
        Products that the function reads with `get`.
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
        _REGISTRY[name] = Product(name, make, tuple(datasets), parameters, parts or {}, tolerance or {}, after)
        return make

    return register


def products() -> dict[str, Product]:
    """Return every product by name.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> products.products()["study/planning-check"].in_study
    True
    """
    return dict(_REGISTRY)


def _find(name: str) -> Product:
    if name not in _REGISTRY:
        names = ", ".join(_REGISTRY) or "(none yet)"
        raise fail("product", expected=f"one of {names}", got=repr(name), remedy="check the spelling")
    return _REGISTRY[name]


def cache_folder() -> Path:
    """Return the folder where computed products are kept, beside the downloaded data."""
    from .. import datasets

    return datasets.data_dir() / "products"


def cache_path(known: Product) -> Path:
    """Return where the result of a product is kept by this code."""
    return cache_folder() / f"{known.name}-{known.key[:16]}.npz"


def committed_path(known: Product) -> Path:
    """Return where the result of a product is, if it is part of the package."""
    return COMMITTED / f"{known.name}.npz"


def _read(path: Path, *, aside: bool, **expected: Any) -> Stored | None:
    """Return arrays and provenance if `path` holds a result whose provenance says what is expected."""
    stored = results.read_if_intact(path, aside=aside)
    return stored if stored and all(stored[1].get(name) == value for name, value in expected.items()) else None


def compute(name: str) -> Stored:
    """Compute a product anew, with a progress bar on stderr, and return it with its provenance; nothing is stored."""
    import tqdm

    from .. import datasets

    known = _find(name)
    files = {entry: datasets.fetch(entry, parts=known.parts.get(entry)) for entry in known.datasets}
    start = time.perf_counter()
    # A page of the book is no place for a progress bar.
    quiet = os.environ.get("TRITOMO_BOOK_BUILD") == "1"
    with tqdm.tqdm(total=100, desc=name, unit="%", file=sys.stderr, disable=quiet, leave=False) as bar:

        def report(fraction: float, text: str = "") -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.n = round(100 * fraction)
            bar.refresh()

        arrays = {key: np.asarray(value) for key, value in known.make(report, files, **known.parameters).items()}
        report(1.0)
    source = {
        **known.made_of(),
        "key": known.key,
        "recipe_key": known.recipe_key,
        **results.environment(),
        "seconds": round(time.perf_counter() - start, 1),
        "command": f"python -m tritomo_helpers.products {name}",
    }
    return arrays, source


def cached(name: str, *, make: bool = True) -> Stored | None:
    """Return what this very code computed: from the cache, or (with `make`) computed now and kept there."""
    known = _find(name)
    stored = _read(cache_path(known), aside=True, key=known.key)
    if stored is None and make:
        stored = compute(name)
        results.write(cache_path(known), *stored)
    return stored


def committed(name: str) -> Stored | None:
    """Return the result that is part of the package, if its data, parameters and function are those of today.

    The modules that the function calls may have changed since; the simulation that the data come from may not.
    """
    known = _find(name)
    return _read(committed_path(known), aside=False, recipe_key=known.recipe_key, data=known.data())


def verify(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each file of some products, in the cache or part of the package, and whether it is as it should be.

    Returns
    -------
    iterator of (str, str)
        ``"intact"``, ``"damaged"``, or ``"outdated"``: made of data or by a function that are no longer those of today,
        so that it is not used.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> dict(products.verify(["study/planning-check"]))["study/planning-check (package)"]
    'intact'
    """
    for name in names:
        known = _find(name)
        for where, path in (("cache", cache_path(known)), ("package", committed_path(known))):
            if path.exists():
                yield f"{name} ({where})", _state(path, known)


def _state(path: Path, known: Product) -> str:
    try:
        source = results.read(path)[1]
    except results.DamagedResult:
        return "damaged"
    return "intact" if known.is_made_by(source) else "outdated"


def stale_files() -> list[Path]:
    """Return what today's code would not use: files in the cache, also damaged ones set aside, and runs of the study.

    A particle of the study is processed in a folder of its own, so that a killed run goes on: of no use any more once
    its table is there.
    """
    current = {cache_path(known) for known in products().values()}
    files = [path for path in cache_folder().rglob("*.npz*") if path not in current]
    tables = {
        f"{p['particle']}-{p['method']}": n
        for n, k in products().items()
        if {"particle", "method"} <= (p := k.parameters).keys()
    }
    runs = (cache_folder().parent / "study").glob("*/")
    return sorted([*files, *(run for run in runs if run.name not in tables or _is_there(tables[run.name]))])


def _is_there(name: str) -> bool:
    return (cached(name, make=False) or committed(name)) is not None


def packaged(name: str) -> Arrays | None:
    """Return a product as it is in the package, whatever code made it, or None: nothing is computed."""
    stored = _read(committed_path(_find(name)), aside=False)
    return stored[0] if stored else None


def _stored(name: str) -> Stored:
    known = _find(name)
    stored = cached(name, make=False) or committed(name)
    if stored is None and known.in_study:
        stored = _read(committed_path(known), aside=False)
    stored = stored or cached(name)
    assert stored is not None
    return stored


def get(name: str) -> Arrays:
    """Return a product: from the cache, from the package, or computed now (with a progress bar) and kept.

    A table of the study that is part of the package is returned even if it was made by earlier code: see `provenance`.

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

    Warns
    -----
    UserWarning
        If a stored result is damaged: it is set aside, and the product is computed again.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> products.get("study/planning-check")["names"].size
    6
    """
    return _stored(name)[0]


def provenance(name: str) -> dict[str, Any]:
    """Return where a product comes from: key, code, data, parameters, versions, seconds, command.

    ``same_code`` is false for a result that is part of the package and was made before a module below it changed;
    ``changed_code`` names these modules. ``current`` is false for a table of the study whose data, parameters or
    function have changed since: run ``make study``. Computes the product if it is not there.

    Examples
    --------
    >>> from tritomo_helpers import products
    >>> products.provenance("study/planning-check")["command"]
    'python -m tritomo_helpers.products study/planning-check'
    """
    source = _stored(name)[1]
    known = _find(name)
    now = _code(known.make)
    return {
        **source,
        "current": known.is_made_by(source),
        "same_code": source["key"] == known.key,
        "changed_code": fingerprint.changed(source["code"], now),
    }
