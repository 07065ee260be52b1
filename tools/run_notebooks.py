"""Run the notebooks as a small cloud machine would: ``python tools/run_notebooks.py --memory 2G --cores 1``.

The limits are the kernel's own (``prlimit``: address space, which is stricter than the resident memory that a container
counts; and the set of cores of ``taskset``), set on this process and inherited by each notebook's kernel.
"""

import argparse
import os
import re
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNITS = {"": 1, "M": 1024**2, "G": 1024**3}


def size(text: str) -> int:
    """Return bytes of ``2G`` or ``500M``.

    >>> size("2G")
    2147483648
    """
    match = re.fullmatch(r"(\d+)([MG]?)", text.upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 2G or 500M, got {text!r}")
    return int(match[1]) * UNITS[match[2]]


def limit(memory: int, cores: int) -> None:
    """Hold this process, and every kernel that it starts, to `memory` bytes and the first `cores` cores."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("Limits on memory and cores need Linux.")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks one after the other and report; return 1 if one of them failed."""
    from tools.book import BOOK
    from tools.book.execute import run_notebook

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every notebook in book/")
    parser.add_argument("--memory", type=size, default=size("2G"), help="default: 2G")
    parser.add_argument("--cores", type=int, default=1, help="default: 1")
    options = parser.parse_args(arguments)
    limit(options.memory, options.cores)
    failed = []
    for path in options.notebooks or sorted(BOOK.glob("*.ipynb")):
        run = run_notebook(path.resolve())
        why = run.error or ", ".join(f"{name} could not be had" for name in run.unavailable)
        failed += [path.stem] if why else []
        print(f"{path.stem:<40} {run.seconds:6.0f} s {run.peak_mb:6.0f} MB  {'FAILED' if why else 'ok'}", flush=True)
        if why:
            print(why, file=sys.stderr)
    print(f"{options.memory / 1024**3:.1f} GB, {options.cores} core(s): {len(failed)} notebook(s) failed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
