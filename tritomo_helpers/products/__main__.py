"""Command line: ``python -m tritomo_helpers.products [NAME ...]`` computes what is missing (``make products``)."""

import argparse
import fnmatch
import sys
import traceback
from collections.abc import Sequence

from ..store import results
from . import registry


def main(arguments: list[str] | None = None) -> int:
    """Compute the named products, or all but the study, unless the cache or the package has them.

    Each is kept as soon as it is done: a run that was ended goes on where it stopped. One that fails does not keep the
    others from being computed; the exit code is 1 then.
    """
    parser = argparse.ArgumentParser(prog="python -m tritomo_helpers.products", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="or a pattern, such as 'study/*'")
    parser.add_argument(
        "--commit",
        action="store_true",
        help="make the result of today's code part of the package (10 MB in all)",
    )
    options = parser.parse_args(arguments)
    failed = []
    for name in _chosen(options.names):
        try:
            sys.stdout.write(f"{name}: {_computed(name, commit=options.commit)}\n")
        except Exception:
            traceback.print_exc()
            failed.append(name)
    sys.stdout.write(f"The cache is {registry.cache_folder()}\n")
    if failed:
        sys.stdout.write(f"Not computed: {', '.join(failed)}\n")
    return 1 if failed else 0


def _chosen(patterns: Sequence[str]) -> list[str]:
    """Return names that match, those of the study in the order of their recipes: one may read what another made."""
    known = registry.products()
    if not patterns:
        return sorted(name for name, product in known.items() if not product.in_study)
    # A name that nothing matches is left as it is, for the message that lists the names.
    matching = [fnmatch.filter(known, pattern) or [pattern] for pattern in patterns]
    return list(dict.fromkeys(name for names in matching for name in names))


def _computed(name: str, *, commit: bool) -> str:
    """Compute a product unless it is there, and say where it is."""
    if commit:
        stored = registry.cached(name)
        assert stored is not None
        results.write(registry.committed_path(registry.products()[name]), *stored)
    source = registry.provenance(name)
    where = "in the cache" if registry.cached(name, make=False) else "part of the package"
    earlier = f", by earlier code of {', '.join(source['changed_code'])}; --commit renews it"
    age = "" if source["same_code"] else earlier
    return f"{where}, computed in {source['seconds']} s, key {source['key'][:16]}{age}"


if __name__ == "__main__":
    sys.exit(main())
