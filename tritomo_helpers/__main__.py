"""The command line: ``python -m tritomo_helpers process | study | data list | fetch | verify | clean``."""

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from . import datasets, products

INTERRUPTED = 130
EXIT_CODES = """exit codes: 0 done; 1 not done, standard error says why; 2 the command was not understood;
3 done, with warnings; 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, as `EXIT_CODES` lists them."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last stage that was complete", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, datasets.DatasetUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tritomo_helpers", description="Helpers for the tritomo book.", epilog=EXIT_CODES
    )
    commands = parser.add_subparsers(title="commands", required=True)
    _add_pipeline(commands)
    data = commands.add_parser("data", help="the datasets of the book")
    actions = data.add_subparsers(title="what to do", required=True)

    lister = actions.add_parser("list", help="show every dataset, its size and whether you have it")
    lister.set_defaults(run=_list)

    fetch = actions.add_parser("fetch", help="have datasets or products; what is damaged is made anew")
    which = fetch.add_mutually_exclusive_group(required=True)
    which.add_argument("names", nargs="*", default=[], metavar="NAME", help="as `data list` shows it")
    which.add_argument("--all", action="store_true", help="every real dataset; the simulated ones are left out")
    fetch.set_defaults(run=_fetch)

    verify = actions.add_parser("verify", help="check what you have against the manifest, without the network")
    verify.add_argument("names", nargs="*", metavar="NAME", help="all that you have, products too, if not given")
    verify.set_defaults(run=_verify)

    clean = actions.add_parser("clean", help="remove what an older version or a killed run left in the cache")
    clean.set_defaults(run=_clean)
    return parser


def _add_pipeline(commands: Any) -> None:
    single = commands.add_parser(
        "process", help="from the files of one particle to a folder of results", epilog=EXIT_CODES
    )
    single.add_argument("source", metavar="NAME|PATH", help="a dataset's name, or a folder from the microscope")
    single.add_argument(
        "--dry-run", action="store_true", help="say what was understood and what is missing, run nothing"
    )
    single.set_defaults(run=_process)
    several = commands.add_parser("study", help="several particles: one table, one report", epilog=EXIT_CODES)
    several.add_argument("sources", nargs="+", metavar="NAME|PATH")
    several.add_argument(
        "--stages", nargs="+", metavar="STAGE", help="what each has been through, one a source; after the sources"
    )
    several.set_defaults(run=_study)
    for parser in (single, several):
        parser.add_argument("--out", required=parser is several, metavar="DIR", help="folder of the results")
        parser.add_argument("--method", choices=("best", "paper"), default="best")


def _process(arguments: argparse.Namespace) -> int:
    from . import pipeline

    if arguments.dry_run or not arguments.out:
        understood = pipeline.understand(arguments.source)
        print(understood.table())
        if not arguments.dry_run:
            print("error: --out DIR: where should the results go?", file=sys.stderr)
        return 1 if understood.problems or not arguments.dry_run else 0
    folder = pipeline.process(arguments.source, out=arguments.out, method=arguments.method, progress=True)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for warning in summary["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{folder / 'report.html'}")
    return pipeline.WARNINGS if summary["warnings"] else pipeline.DONE


def _study(arguments: argparse.Namespace) -> int:
    from . import pipeline

    folder = pipeline.study(
        arguments.sources, out=arguments.out, method=arguments.method, stages=arguments.stages, progress=True
    )
    with (folder / "particles.csv").open(encoding="utf-8", newline="") as table:
        states = [row["state"] for row in csv.DictReader(table)]
    print(f"{folder / 'report.html'}: {', '.join(f'{states.count(s)} {s}' for s in dict.fromkeys(states))}")
    return 1 if "failed" in states else pipeline.WARNINGS if "warnings" in states else pipeline.DONE


def _list(_: argparse.Namespace) -> int:
    entries = [entry for entry in datasets.manifest().values() if "control" not in (entry.generated or {})]
    width = max(len(entry.name) for entry in entries)
    print(f"{'name':<{width}}  {'download':>9}  have  what")
    for entry in entries:
        size = "simulated" if entry.generated is not None else datasets.size_text(entry.size_bytes)
        print(f"{entry.name:<{width}}  {size:>9}  {_have(entry.name):<4}  {entry.title}")
    print("\nEach simulated particle also as control, such as NAME-null; `phantoms.particle` says which there are.")
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
            print(_had(name))
        except (ValueError, OSError, datasets.DatasetUnavailable) as error:  # the others may still be had
            print(f"error: {error}", file=sys.stderr)
            problems += 1
    return 1 if problems else 0


def _had(name: str) -> str:
    """Have a product or a dataset, and return what to say of it."""
    if name in products.products():
        return f"{name}: {len(products.get(name))} arrays"
    files = datasets.fetch(name, thorough=True)
    return f"{name}: {len(files)} file{'s' if len(files) > 1 else ''} in {next(iter(files.values())).parent}"


def _verify(arguments: argparse.Namespace) -> int:
    wrong = intact = 0
    for what, state in _states(arguments.names):
        intact += state == "intact"
        wrong += state in ("damaged", "missing")
        if state != "intact":
            print(f"{what}: {state}", file=sys.stderr)
    if wrong:
        print(
            f"{wrong} of {wrong + intact} files are not as they should be; `data fetch` replaces them.", file=sys.stderr
        )
        return 1
    print(f"{intact} files intact in {datasets.data_dir()}")
    return 0


def _states(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what to call each file and the state it is in; without names, those that there are."""
    known = products.products()
    for name in [n for n in names if n not in known] or ([] if names else list(datasets.manifest())):
        for file, state in datasets.verify(name).items():
            if names or state != "missing":
                yield f"{name}/{file}", state
    yield from products.verify([name for name in names if name in known] if names else known)


def _clean(_: argparse.Namespace) -> int:
    leftovers = datasets.remove_leftovers()
    folders, files = datasets.stale_folders(), products.stale_files()
    for folder in folders:
        shutil.rmtree(folder)
    for file in files:
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    removed = f"{len(folders)} outdated folder{'' if len(folders) == 1 else 's'}"
    if files:
        removed += f" and {len(files)} outdated product{'' if len(files) == 1 else 's'}"
    if leftovers:
        removed += f" and {len(leftovers)} unfinished file{'' if len(leftovers) == 1 else 's'} or folders"
    print(f"{removed} removed from {datasets.data_dir()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
