"""Command line: ``python -m tritomo_helpers.products [NAME ...]`` computes what is missing (``make products``)."""

import argparse
import sys

from ..store import results
from . import registry


def main(arguments: list[str] | None = None) -> int:
    """Compute the named products, or all, unless the cache or the package has them."""
    parser = argparse.ArgumentParser(prog="python -m tritomo_helpers.products", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument(
        "--commit",
        action="store_true",
        help="make the result of today's code part of the package (10 MB in all)",
    )
    options = parser.parse_args(arguments)
    for name in options.names or sorted(registry.products()):
        if options.commit:
            stored = registry.cached(name)
            assert stored is not None
            results.write(registry.committed_path(registry.products()[name]), *stored)
        source = registry.provenance(name)
        where = "in the cache" if registry.cached(name, make=False) else "part of the package"
        age = (
            ""
            if source["same_code"]
            else f", by earlier code of {', '.join(source['changed_code'])}; --commit renews it"
        )
        sys.stdout.write(f"{name}: {where}, computed in {source['seconds']} s, key {source['key'][:16]}{age}\n")
    sys.stdout.write(f"The cache is {registry.cache_folder()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
