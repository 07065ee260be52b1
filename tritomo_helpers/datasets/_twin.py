"""The digital twin as a dataset: simulated on first use, kept under a key of everything that it depends on."""

import errno
import functools
import json
import mmap
import shutil
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .._validation import fail
from ..store import files, fingerprint
from ._download import data_dir, is_no_room, no_room
from ._manifest import Dataset

SIGNAL_OF_ROLE = {"adf": "adf", "eds": "eds", "low_loss": "eels", "core_loss": "eels", "repeats": "", "truth": ""}
"""Which detector has to run for which role; the last two come with any of them."""

_ABOUT = "about.json"
_ABOUT_BYTES = 600_000_000  # a particle with all signals, while it is written


def roles() -> list[str]:
    """Return the roles that the simulation can fill today."""
    offered = _signals()
    return [role for role, signal in SIGNAL_OF_ROLE.items() if not signal or signal in offered]


def fetch_twin(
    dataset: Dataset, parts: Sequence[str], *, progress: bool = True, thorough: bool = False
) -> dict[str, Path]:
    """Return the files of a simulated dataset, simulating only the signals that `parts` need.

    A file that is not what was written is simulated again, with a warning. A file that nobody touched since is taken
    for intact, unless `thorough` compares its bytes with the checksum.

    Raises
    ------
    PermissionError, OSError
        If it has to be simulated and the cache cannot be written, or is full.
    """
    folder = _find(dataset, parts, thorough=thorough)
    if folder is None:
        place = _place(dataset)
        try:
            place.mkdir(parents=True, exist_ok=True)
            with files.locked(place / ".lock"):
                folder = _find(dataset, parts, thorough=thorough) or _build(dataset, parts, progress=progress)
        except OSError as error:
            if is_no_room(error):
                raise no_room(dataset.name, place, error, size_bytes=_ABOUT_BYTES) from error
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise fail(
                f"dataset {dataset.name}",
                expected=f"its files, intact, in {place}, or a folder that can be written",
                got=f"no such files and: {error}",
                remedy="set TRITOMO_DATA_DIR to a folder of yours",
                error=PermissionError,
            ) from error
    return {role: folder / _file_name(role) for role in roles() if role in parts}


def present_twin(dataset: Dataset) -> dict[str, bool]:
    """Return, for each file that the simulation can make, whether this code has made it; its bytes are not checked."""
    folders = _complete(dataset)
    names = [_file_name(role) for role in roles()]
    return {name: any((folder / name).is_file() for folder in folders) for name in names}


def verify_twin(dataset: Dataset) -> dict[str, str]:
    """Compare what has been simulated with the checksums taken when it was written."""
    states = dict.fromkeys((_file_name(role) for role in roles()), "missing")
    for folder in _complete(dataset):
        kept = _about(folder).get("files", {})
        for name in kept or [name for name in states if (folder / name).exists()]:
            if states.get(name) != "damaged":
                states[name] = "intact" if _is_intact(folder / name, kept.get(name), thorough=True) else "damaged"
    return states


def stale_folders() -> list[Path]:
    """Return the folders of simulated datasets that this version of the package would not use."""
    from ._manifest import manifest

    current = {_place(entry) for entry in manifest().values() if entry.generated is not None}
    places = (data_dir() / "twin").glob("*/*")
    return sorted(place for place in places if place.is_dir() and place not in current)


def key(dataset: Dataset) -> str:
    """Return a digest of code, tables, seed and parameters: what the arrays depend on."""
    return fingerprint.digest({"code": _code(), "parameters": dict(dataset.generated or {})})[:16]


@functools.cache
def _code() -> dict[str, str]:
    return fingerprint.parts(_simulate)


def _signals() -> list[str]:
    from ..simulation.acquisition import DETECTORS

    return list(DETECTORS)


def _file_name(role: str) -> str:
    return f"{role}.h5" if role in ("repeats", "truth") else f"{role}.hspy"


def _place(dataset: Dataset) -> Path:
    return data_dir() / dataset.name / key(dataset)


def _complete(dataset: Dataset) -> list[Path]:
    """Return the finished folders, largest first; each is named after the signals in it."""
    folders = [about.parent for about in _place(dataset).glob(f"*/{_ABOUT}") if not about.parent.name.startswith(".")]
    return sorted(folders, key=lambda folder: -len(folder.name))


def _needed(parts: Sequence[str]) -> set[str]:
    """Return the detectors that have to run; truth and repeats alone need some detector, and ADF is the quickest."""
    return {SIGNAL_OF_ROLE[role] for role in parts} - {""} or {"adf"}


def _find(dataset: Dataset, parts: Sequence[str], *, thorough: bool) -> Path | None:
    """Return a finished folder in which every file of some roles is intact."""
    for folder in _complete(dataset):
        if _needed(parts) <= set(folder.name.split("+")) and not _damaged(folder, parts, thorough=thorough):
            return folder
    return None


def _damaged(folder: Path, parts: Sequence[str], *, thorough: bool) -> list[str]:
    kept = _about(folder).get("files", {})
    names = [_file_name(role) for role in parts]
    return [name for name in names if not _is_intact(folder / name, kept.get(name), thorough=thorough)]


def _is_intact(path: Path, kept: dict[str, Any] | None, *, thorough: bool) -> bool:
    """Whether a file holds what was written: by its size and time where these are as they were, else by its bytes."""
    import pooch

    if kept is None or not path.is_file() or path.stat().st_size != kept["size_bytes"]:
        return False
    untouched = path.stat().st_mtime_ns == kept["modified_ns"]
    return (untouched and not thorough) or pooch.file_hash(str(path)) == kept["checksum"]


def _about(folder: Path) -> dict[str, Any]:
    """Return what a folder says about itself; nothing if that is damaged, so that all in it counts as damaged."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _build(dataset: Dataset, parts: Sequence[str], *, progress: bool) -> Path:
    from .. import io

    needed = _needed(parts)
    signals = [signal for signal in _signals() if signal in needed]
    for folder in _complete(dataset):
        damaged = _damaged(folder, parts, thorough=True) if needed <= set(folder.name.split("+")) else []
        if damaged:
            names = ", ".join(damaged)
            warnings.warn(f"{names} in {folder} is not what was written and is simulated again", stacklevel=4)
            shutil.rmtree(folder)
    target = _place(dataset) / "+".join(signals)
    with files.atomic_folder(target) as building:
        raw = building / "raw"
        acquired = _simulate(dataset, signals, raw=raw, progress=progress)
        for role in ("adf", "eds", "low_loss", "core_loss"):
            series = getattr(acquired, role)
            if series is not None:
                io.save(series, building / _file_name(role))
                _release(series)
        io.save(acquired.repeats, building / _file_name("repeats"))
        io.save(acquired.truth, building / _file_name("truth"))
        del acquired, series  # lets go of the memory maps below raw
        shutil.rmtree(raw, ignore_errors=True)
        _write_about(dataset, signals, building)
    return target


def _release(series: Any) -> None:
    """Let the system take back the memory of spectra that lie in a file anyway."""
    mapped = getattr(getattr(series, "counts", None), "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _simulate(dataset: Dataset, signals: Sequence[str], *, raw: Path, progress: bool) -> Any:
    import numpy as np
    from tqdm import tqdm

    from .. import phantoms, simulation

    generated = dict(dataset.generated or {})
    tiny = generated.get("preset") == "tiny"
    phantom = phantoms.particle(
        generated["particle"], shape=16 if tiny else 64, control=generated.get("control", "none")
    )
    preset = simulation.Acquisition.tiny if tiny else simulation.Acquisition
    with tqdm(desc=f"simulating {dataset.name}", unit="tilt", delay=1, leave=False, disable=not progress) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return simulation.acquire(
            phantom,
            preset(signals=tuple(signals)),
            rng=np.random.default_rng(generated["seed"]),
            out=raw,  # spectra go to disk exposure by exposure, so that memory holds one
            progress=report,
        )


def _write_about(dataset: Dataset, signals: Sequence[str], folder: Path) -> None:
    import pooch

    about = {
        "name": dataset.name,
        "version": version("tritomo-helpers"),
        "code": _code(),
        "parameters": dict(dataset.generated or {}),
        "signals": list(signals),
        "files": {
            file.name: {
                "checksum": pooch.file_hash(str(file)),
                "size_bytes": file.stat().st_size,
                "modified_ns": file.stat().st_mtime_ns,
            }
            for file in sorted(folder.iterdir())
        },
    }
    (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
