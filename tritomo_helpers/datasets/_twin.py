"""The digital twin as a dataset: simulated on first use, kept under a key of everything that it depends on."""

import errno
import functools
import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .._validation import fail
from ._download import data_dir
from ._lock import locked
from ._manifest import Dataset

SIGNAL_OF_ROLE = {"adf": "adf", "eds": "eds", "low_loss": "eels", "core_loss": "eels", "repeats": "", "truth": ""}
"""Which detector has to run for which role; the last two come with any of them."""

CODE = ("constants", "phantoms", "spectroscopy", "simulation")
"""Modules whose source decides what the arrays are."""

_ABOUT = "about.json"


def roles() -> list[str]:
    """Return the roles that the simulation can fill today."""
    offered = _signals()
    return [role for role, signal in SIGNAL_OF_ROLE.items() if not signal or signal in offered]


def fetch_twin(dataset: Dataset, parts: Sequence[str], *, progress: bool = True) -> dict[str, Path]:
    """Return the files of a simulated dataset, simulating only the signals that `parts` need.

    Raises
    ------
    PermissionError
        If it has to be simulated and the cache cannot be written.
    """
    # Truth and repeats alone need some detector; ADF is the quickest.
    needed = {SIGNAL_OF_ROLE[part] for part in parts} - {""} or {"adf"}
    folder = _find(dataset, needed)
    if folder is None:
        place = _place(dataset)
        try:
            place.mkdir(parents=True, exist_ok=True)
            with locked(place / ".lock"):
                folder = _find(dataset, needed) or _build(dataset, needed, place, progress=progress)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise fail(
                f"dataset {dataset.name}",
                expected=f"its files in {place}, or a folder that can be written",
                got=f"no files and: {error}",
                remedy="set TRITOMO_DATA_DIR to a folder of yours",
                error=PermissionError,
            ) from error
    return {part: folder / _file_name(part) for part in roles() if part in parts}


def present_twin(dataset: Dataset) -> dict[str, bool]:
    """Return, for each file that the simulation can make, whether it has been made with this code and seed."""
    return {_file_name(role): bool(_find(dataset, {SIGNAL_OF_ROLE[role]} - {""})) for role in roles()}


def verify_twin(dataset: Dataset) -> dict[str, str]:
    """Compare what has been simulated with the checksums taken when it was written."""
    import pooch

    states = dict.fromkeys(present_twin(dataset), "missing")
    for folder in _complete(dataset):
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        for name, checksum in about["checksums"].items():
            path = folder / name
            intact = path.is_file() and pooch.file_hash(str(path)) == checksum
            if states.get(name) != "damaged":
                states[name] = "intact" if intact else "damaged"
    return states


def stale_folders() -> list[Path]:
    """Return the folders of simulated datasets that this version of the package would not use."""
    from ._manifest import manifest

    current = {_place(entry) for entry in manifest().values() if entry.generated is not None}
    places = (data_dir() / "twin").glob("*/*")
    return sorted(place for place in places if place.is_dir() and place not in current)


def key(dataset: Dataset) -> str:
    """Return a digest of version, code, seed and parameters: what the arrays depend on."""
    made_of = {
        "version": version("tritomo-helpers"),
        "code": _code_digest(),
        "parameters": dict(dataset.generated or {}),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def _code_digest() -> str:
    package = Path(str(resources.files("tritomo_helpers")))
    found = [package / f"{name}.py" for name in CODE]
    # Tables that the simulation reads, such as the reference spectra, count as code.
    found += [file for name in CODE for file in sorted((package / name).rglob("*")) if file.suffix != ".pyc"]
    digest = hashlib.sha256()
    for file in filter(Path.is_file, found):
        digest.update(file.relative_to(package).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _signals() -> list[str]:
    from ..simulation.acquisition import DETECTORS

    return list(DETECTORS)


def _file_name(role: str) -> str:
    return f"{role}.h5" if role in ("repeats", "truth") else f"{role}.hspy"


def _place(dataset: Dataset) -> Path:
    return data_dir() / dataset.name / key(dataset)


def _complete(dataset: Dataset) -> list[Path]:
    """Return the finished folders, largest first; each is named after the signals in it."""
    found = [about.parent for about in _place(dataset).glob(f"*/{_ABOUT}") if not about.parent.name.startswith(".")]
    return sorted(found, key=lambda folder: -len(folder.name))


def _find(dataset: Dataset, signals: set[str]) -> Path | None:
    return next((folder for folder in _complete(dataset) if signals <= set(folder.name.split("+"))), None)


def _build(dataset: Dataset, signals: set[str], place: Path, *, progress: bool) -> Path:
    from .. import io

    chosen = [signal for signal in _signals() if signal in signals]
    target = place / "+".join(chosen)
    # Written aside and renamed when complete, so that nobody sees half a dataset.
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=place))
    raw = building / "raw"
    try:
        acquired = _simulate(dataset, chosen, raw=raw, progress=progress)
        for role in ("adf", "eds", "low_loss", "core_loss"):
            series = getattr(acquired, role)
            if series is not None:
                io.save(series, building / _file_name(role))
                _release(series)
        io.save(acquired.repeats, building / _file_name("repeats"))
        io.save(acquired.truth, building / _file_name("truth"))
        del acquired, series  # lets go of the memory maps below raw
        shutil.rmtree(raw, ignore_errors=True)
        _write_about(dataset, chosen, building)
        building.chmod(0o755)  # mkdtemp makes it private, and a cache may be shared
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
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
        "code": _code_digest(),
        "parameters": dict(dataset.generated or {}),
        "signals": list(signals),
        "checksums": {file.name: pooch.file_hash(str(file)) for file in sorted(folder.iterdir())},
    }
    (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
