"""Files and folders that appear whole or not at all, also when the process that writes them is killed."""

import ctypes
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = ".writing-"
"""Begins the names of folders that are being written."""
_LOCK = "lock"
DAMAGED = ".damaged"
"""What `tell_damaged` adds to a name."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` for the duration of the block; wait while another process holds it.

    The operating system lets the lock go when its holder ends, however it ends. The file stays afterwards: removing it
    would let a third process lock a new file of the same name while the second still waits for the old one.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold `path` for the duration of the block if no other process holds it, and say whether.

    Examples
    --------
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with locked(path), locked_if_free(path) as free:
    ...     free
    False
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _acquire(descriptor, wait=False)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Give a path to write to; what is there at the end of the block takes the place of `target` in one step.

    If the block fails nothing changes. The folder of `target` is made if it is not there, and what killed runs left in
    it is cleared away. The path has the name of `target`, for writers that go by the extension.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "new" / "table.csv"
    >>> with atomic_file(target) as path:
    ...     size = path.write_text("a,b")
    >>> target.read_text(), [file.name for file in target.parent.iterdir()]
    ('a,b', ['table.csv'])
    """
    with _writing_room(target.parent) as room:
        path = room / target.name
        yield path
        path.replace(target)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; at the end of the block it becomes `target` in one step, taking its place.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "results"
    >>> with atomic_folder(target) as folder:
    ...     size = (folder / "one.txt").write_text("1")
    >>> (target / "one.txt").read_text()
    '1'
    """
    with _writing_room(target.parent) as room:
        path = room / target.name
        path.mkdir()
        yield path
        if target.exists():  # an instant without a target; who must not see one holds a lock
            target.replace(room / f"{target.name}.old")
        path.replace(target)


def put_in_place(fresh: Path, target: Path) -> None:
    """Let a finished folder take the place of another; on Linux there is no instant without one of the two.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("old", "new"):
    ...     (folder / name / name).mkdir(parents=True)
    >>> put_in_place(folder / "new", folder / "old")
    >>> [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))]
    ['old', 'old/new']
    """
    if not target.exists():
        fresh.replace(target)
        return
    if not _exchange(fresh, target):
        aside = target.with_name(f".{target.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        target.replace(aside)
        fresh.replace(target)
        fresh = aside
    shutil.rmtree(fresh)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step, where the system can; return whether it did."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform.startswith("linux") else None
    if rename is None:
        return False
    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(first), here, os.fsencode(second), both) == 0)


def sweep(folder: Path) -> list[Path]:
    """Remove what killed runs left in a folder, never what a living process is writing, and return what was there.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".writing-of-a-killed-run").mkdir()
    >>> with atomic_file(folder / "a.txt") as path:
    ...     size, swept = path.write_text("a"), sweep(folder)
    >>> [file.name for file in folder.iterdir()]
    ['a.txt']
    """
    swept = []
    for room in folder.glob(f"{WRITING}*"):
        try:
            descriptor = os.open(room / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # gone by now, or not ours to remove
            continue
        try:
            if _acquire(descriptor, wait=False):
                shutil.rmtree(room, ignore_errors=True)
                swept.append(room)
        finally:
            os.close(descriptor)
    return swept


def tell_damaged(path: Path, why: str, *, aside: bool = True, then: str) -> None:
    """Warn of something damaged and of what happens `then`, and rename it to ``<name>.damaged``.

    Examples
    --------
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> size = path.write_text("no zip")
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     tell_damaged(path, "not a zip file", then="it is computed again")
    >>> str(said[0].message).partition(" is ")[2]
    'damaged (not a zip file): kept as a.npz.damaged, and it is computed again'
    """
    kept = f"kept as {path.name}{DAMAGED}, and " if aside and _set_aside(path) else ""
    warnings.warn(f"{path} is damaged ({why}): {kept}{then}", stacklevel=4)


def _set_aside(path: Path) -> bool:
    target = path.with_name(path.name + DAMAGED)
    try:
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    except OSError:  # read-only, or another process was faster: what counts is that nobody uses it
        return False
    return True


@contextmanager
def _writing_room(parent: Path) -> Iterator[Path]:
    """Make a folder to write in beside the target, locked so that `sweep` knows that its owner lives."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    room, descriptor = _new_room(parent)
    try:
        yield room
    finally:
        os.close(descriptor)
        shutil.rmtree(room, ignore_errors=True)


def _new_room(parent: Path) -> tuple[Path, int]:
    while True:
        room = Path(tempfile.mkdtemp(prefix=WRITING, dir=parent))
        try:
            descriptor = os.open(room / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # swept between the two lines by a process that took it for a leftover
            continue
        if _acquire(descriptor, wait=False) and (room / _LOCK).exists():
            return room, descriptor
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _acquire(descriptor: int, *, wait: bool) -> bool:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
                time.sleep(0.1)
            else:
                return True

else:
    import fcntl

    def _acquire(descriptor: int, *, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
