"""Command line: ``python -m tritomo_helpers.products [NAME ...]`` computes what is missing (``make products``)."""

import argparse
import fnmatch
import subprocess
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

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
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="compute N at a time, each in a process")
    options = parser.parse_args(arguments)
    names = _chosen(options.names)
    failed = _in_processes(names, options) if options.jobs > 1 else _one_by_one(names, options)
    sys.stdout.write(f"The cache is {registry.cache_folder()}\n")
    if failed:
        sys.stdout.write(f"Not computed: {', '.join(failed)}\n")
    return 1 if failed else 0


def _one_by_one(names: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Compute each and return those that failed."""
    failed = []
    for name in names:
        try:
            sys.stdout.write(f"{name}: {_computed(name, commit=options.commit)}\n")
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return failed


def _in_processes(names: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Compute several at a time, each as soon as those that it reads are done, and return those that failed."""
    command = [sys.executable, "-m", "tritomo_helpers.products", *(["--commit"] if options.commit else [])]
    waiting, failed = list(names), []
    running: dict[Future[int], str] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        while waiting or running:
            open_names = {*waiting, *running.values()}
            ready = [n for n in waiting if open_names.isdisjoint(registry.products()[n].after)]
            for name in ready[: options.jobs - len(running)]:
                waiting.remove(name)
                running[pool.submit(subprocess.call, [*command, name])] = name
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            failed += [name for future in done if future.result() for name in [running[future]]]
            running = {future: name for future, name in running.items() if future not in done}
    return failed


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
