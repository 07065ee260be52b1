"""Programs that the build starts, which end when the build does, however it ends."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def run(command: Sequence[Any], *, cwd: Path, env: Mapping[str, str] | None = None) -> int:
    """Run a program to its end and return its exit code; it is ended when this process is interrupted or killed."""
    with subprocess.Popen(list(map(str, command)), cwd=cwd, env=env, preexec_fn=_before_start()) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            raise


def end_when_told_to() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it started and wrote half is cleared away."""

    def leave(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def _before_start() -> Callable[[], object] | None:
    """Return what a child does first: ask Linux to be killed with its parent, as no handler sees SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_DIE_WITH_PARENT, signal.SIGKILL)
