"""The command line: ``python -m tritomo_helpers data list | fetch | verify | page``."""

import argparse
import shutil
import sys
from collections.abc import Sequence

from . import datasets


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 not (said why on standard error), 2 not understood."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ValueError, OSError, datasets.DatasetUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tritomo_helpers", description="Helpers for the tritomo book.")
    data = parser.add_subparsers(title="commands", required=True).add_parser("data", help="the datasets of the book")
    actions = data.add_subparsers(title="what to do", required=True)

    lister = actions.add_parser("list", help="show every dataset, its size and whether you have it")
    lister.set_defaults(run=_list)

    fetch = actions.add_parser("fetch", help="download or simulate datasets")
    which = fetch.add_mutually_exclusive_group(required=True)
    which.add_argument("names", nargs="*", default=[], metavar="NAME", help="as `data list` shows it")
    which.add_argument("--all", action="store_true", help="every real dataset; the simulated ones are left out")
    fetch.set_defaults(run=_fetch)

    verify = actions.add_parser("verify", help="check what you have against the manifest, without the network")
    verify.add_argument("names", nargs="*", metavar="NAME", help="all that you have, if not given")
    verify.set_defaults(run=_verify)

    clean = actions.add_parser("clean", help="remove simulated datasets that an older version of the package made")
    clean.set_defaults(run=_clean)

    page = actions.add_parser("page", help="print the page 'Data and licenses' as Markdown")
    page.set_defaults(run=_page)
    return parser


def _list(_: argparse.Namespace) -> int:
    entries = [entry for entry in datasets.manifest().values() if "control" not in (entry.generated or {})]
    width = max(len(entry.name) for entry in entries)
    print(f"{'name':<{width}}  {'download':>9}  have  what")
    for entry in entries:
        size = "simulated" if entry.generated is not None else datasets.size_text(entry.size_bytes)
        print(f"{entry.name:<{width}}  {size:>9}  {_have(entry.name):<4}  {entry.title}")
    print("\nEach simulated particle also as control: NAME-null, NAME-valence-only, NAME-segregation-only.")
    print(f"Kept in {datasets.data_dir()}")
    return 0


def _have(name: str) -> str:
    present = datasets.present(name)
    return "yes" if all(present.values()) else "part" if any(present.values()) else "no"


def _fetch(arguments: argparse.Namespace) -> int:
    names = arguments.names
    if arguments.all:
        names = [entry.name for entry in datasets.manifest().values() if entry.generated is None]
    problems = 0
    for name in names:
        try:
            files = datasets.fetch(name)
        except (ValueError, OSError, datasets.DatasetUnavailable) as error:  # the others may still be had
            print(f"error: {error}", file=sys.stderr)
            problems += 1
            continue
        print(f"{name}: {len(files)} file{'s' if len(files) > 1 else ''} in {next(iter(files.values())).parent}")
    return 1 if problems else 0


def _verify(arguments: argparse.Namespace) -> int:
    named = bool(arguments.names)
    names = arguments.names or [name for name in datasets.manifest() if any(datasets.present(name).values())]
    damaged = intact = 0
    for name in names:
        for file, state in datasets.verify(name).items():
            intact += state == "intact"
            if state == "damaged" or (state == "missing" and named):
                damaged += 1
                print(f"{name}/{file}: {state}", file=sys.stderr)
    if damaged:
        print(
            f"{damaged} of {damaged + intact} files are not as they should be; `data fetch` replaces them.",
            file=sys.stderr,
        )
        return 1
    print(f"{intact} files intact in {datasets.data_dir()}")
    return 0


def _clean(_: argparse.Namespace) -> int:
    stale = datasets.stale_folders()
    for folder in stale:
        shutil.rmtree(folder)
    print(f"{len(stale)} outdated folder{'' if len(stale) == 1 else 's'} removed from {datasets.data_dir()}")
    return 0


def _page(_: argparse.Namespace) -> int:
    print(datasets.markdown_page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
