"""What killed downloads, simulations and products left in the cache."""

from contextlib import ExitStack
from pathlib import Path

from ..store import files
from ._download import data_dir
from ._manifest import manifest


def remove_leftovers() -> list[Path]:
    """Remove what killed runs left in the cache, never what a living process is writing; return what was there.

    These are half-written folders of simulations and products, incomplete downloads, which would have been resumed, and
    the temporary files that they were to become.

    Examples
    --------
    >>> remove_leftovers()
    []
    """
    cache = data_dir()
    rooms = {room.parent for room in cache.rglob(f"{files.WRITING}*")} if cache.is_dir() else set()
    removed = [room for parent in sorted(rooms) for room in files.sweep(parent)]
    for entry in manifest().values():
        folder = cache / entry.name
        if entry.files and folder.is_dir():
            removed += _of_downloads(folder, [file.file for file in entry.files])
    return removed


def _of_downloads(folder: Path, names: list[str]) -> list[Path]:
    """Remove incomplete downloads that no process is at work on."""
    with ExitStack() as stack:
        free = {name: stack.enter_context(files.locked_if_free(folder / f".{name}.lock")) for name in names}
        ours = [f".{name}{ending}" for name in names if free[name] for ending in (".part", ".archive.part")]
        temporary = [path.name for path in folder.glob("tmp*") if path.name not in names and all(free.values())]
        removed = [folder / name for name in (*ours, *temporary)]
        removed = [path for path in removed if path.is_symlink() or path.is_file()]
        for path in removed:
            path.unlink()
    return removed
