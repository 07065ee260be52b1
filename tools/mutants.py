"""By hand, now and then: change lines of the package one by one, and see that a test fails.

``make mutants`` works in a copy. A line of `mutants.txt` has four parts, with " ~ " between: file of the package, what
stands there, what is put there instead, and the arguments of pytest that must pass before and fail then.
``ONLY="composition 12"`` picks lines that contain one of the words, or by number.
"""

import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_name("mutants.txt")
MOST_CPU_SECONDS = 120
"""A change that makes tests hang is noticed, too; a busy machine is not a change."""
MOST_SECONDS = 1200
"""For tests that wait for nothing."""
HEAVY = "dask.array h5py hyperspy.api matplotlib.pyplot pandas pint pytest scipy.optimize scipy.stats skimage xraylib"


def main() -> int:
    """Try the changes and say which ones nothing noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="words or numbers of lines; all by default")
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    lines = options.table.read_text(encoding="utf-8").splitlines()
    changes = [
        (number, line.split(" ~ "))
        for number, line in enumerate(lines, start=1)
        if not line.startswith("#")
        and (not options.only or {*options.only} & {str(number), *re.findall(r"[a-z_]+", line)})
    ]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        copy_sources(place)
        os.chdir(place)
        sys.path.insert(0, str(place))
        for name in HEAVY.split():
            __import__(name)  # once; the tests run in forks
        before: dict[str, str] = {}
        for number, (file, old, new, tests) in changes:
            if tests not in before:
                sys.dont_write_bytecode = False
                before[tests] = run_tests(tests)
                sys.dont_write_bytecode = True  # what is compiled of a change must not outlive it
            started = time.monotonic()
            outcome = f"{before[tests]} before"
            if before[tests] == "passes":
                outcome = try_change(place / "tritomo_helpers" / file, old, new, tests)
            print(f"{number:3} {file}: {old!r} -> {new!r}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)
            if outcome not in ("fails", "hangs"):
                survivors.append(number)
    print(f"{len(changes) - len(survivors)} of {len(changes)} changes noticed" + f"; not {survivors}" * bool(survivors))
    return bool(survivors)


def copy_sources(place: Path) -> None:
    """Copy what is under version control, as it stands."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, place / name)


def try_change(path: Path, old: str, new: str, tests: str) -> str:
    """Return what the tests do with the change."""
    source = path.read_text(encoding="utf-8")
    if source.count(old) != 1:
        return f"stands there {source.count(old)} times"
    path.write_text(source.replace(old, new), encoding="utf-8")
    try:
        return run_tests(tests)
    finally:
        path.write_text(source, encoding="utf-8")


def run_tests(arguments: str) -> str:
    """Run pytest in a fork of this process, which has not imported the package."""
    import pytest

    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS + 5))
        with Path("mutants.log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            code = pytest.main(["-qx", "-p", "no:cacheprovider", "-m", "not acceptance", *arguments.split()])
        os._exit(int(code))
    for _ in range(10 * MOST_SECONDS):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            known = {0: "passes", 1: "fails", 5: "finds no test", -signal.SIGXCPU: "hangs"}
            return known.get(code, f"pytest ends with {code}")
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


if __name__ == "__main__":
    sys.exit(main())
