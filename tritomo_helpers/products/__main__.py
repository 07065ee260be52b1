"""Command line: ``python -m tritomo_helpers.products [NAME ...]`` computes what is missing (``make products``)."""

import argparse
import sys

from . import registry


def main(arguments: list[str] | None = None) -> int:
    """Compute the named products, or all; ``--commit`` also puts them among the files of the package."""
    parser = argparse.ArgumentParser(prog="python -m tritomo_helpers.products", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--commit", action="store_true", help="store in the package as well (10 MB in all)")
    options = parser.parse_args(arguments)
    for name in options.names or sorted(registry.products()):
        source = registry.provenance(name)
        sys.stdout.write(f"{name}: computed in {source['seconds']} s, key {source['key'][:16]}\n")
        if options.commit:
            registry.write(registry.COMMITTED / f"{name}.npz", registry.get(name), source)
    sys.stdout.write(f"The products are in {registry.cache_folder()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
