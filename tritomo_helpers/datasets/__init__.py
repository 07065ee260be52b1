"""Datasets by name: fetched, checked, kept, or (the digital twin) simulated on first use.

``fetch(name)`` returns a dict from role to path. Real data come from ``TRITOMO_DATA_MIRROR`` (a folder or http address
laid out ``<dataset>/<file>``) if set, then from their sources, into ``TRITOMO_DATA_DIR`` (default: the user's cache);
``TRITOMO_OFFLINE=1`` never touches the network. ``fetch`` gives paths; ``tritomo_helpers.io`` reads them.
"""

from collections.abc import Sequence
from pathlib import Path

from .._validation import fail
from ._download import DatasetUnavailable, data_dir, fetch_file, is_intact, offline
from ._leftovers import remove_leftovers
from ._manifest import (
    ArchiveMember,
    DataFile,
    Dataset,
    check_document,
    dataset,
    manifest,
    manifest_path,
    read_manifest,
    size_text,
)
from ._twin import fetch_twin, key, present_twin, roles, stale_folders, verify_twin

__all__ = [
    "ArchiveMember",
    "DataFile",
    "Dataset",
    "DatasetUnavailable",
    "check_document",
    "data_dir",
    "dataset",
    "fetch",
    "identity",
    "manifest",
    "manifest_path",
    "offline",
    "present",
    "read_manifest",
    "remove_leftovers",
    "size_text",
    "stale_folders",
    "verify",
]


def fetch(
    name: str, *, parts: Sequence[str] | None = None, progress: bool = True, thorough: bool = False
) -> dict[str, Path]:
    """Return the files of a dataset, downloading or simulating what is not there yet or damaged.

    Parameters
    ----------
    name : str
        A name in data_manifest.yaml, such as ``"NMC_EELS_linescan_Jia"`` or ``"twin/pristine-1"``.
    parts : sequence of str, optional
        Roles to fetch; all by default. ``parts=("adf", "truth")`` simulates no spectra.
    progress : bool, default True
        Show a bar on standard error for what takes longer than a second.
    thorough : bool, default False
        Compare every byte of simulated files with their checksums too. Otherwise those that nobody touched since they
        were written, by size and time, are taken for intact: they can be gigabytes.

    Returns
    -------
    dict of str to Path
        Role to path, in the order of the manifest. Every downloaded file has been checked against its SHA-256.

    Warns
    -----
    UserWarning
        If a file was there but damaged, and has been fetched or simulated again.

    Raises
    ------
    ValueError
        If the name or a part is not known.
    DatasetUnavailable
        If a file is not in the cache and no source delivers it. The message names the two ways out.
    PermissionError
        If the cache is read-only and incomplete.

    Examples
    --------
    >>> files = fetch("twin/tiny", parts=["adf", "truth"])
    >>> {role: path.name for role, path in files.items()}
    {'adf': 'adf.hspy', 'truth': 'truth.h5'}
    """
    entry = dataset(name)
    if entry.generated is not None:
        return fetch_twin(entry, check_parts(name, parts, roles()), progress=progress, thorough=thorough)
    wanted = check_parts(name, parts, [file.role for file in entry.files])
    return {file.role: fetch_file(entry, file, progress=progress) for file in entry.files if file.role in wanted}


def check_parts(name: str, parts: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the chosen roles, or raise ValueError that lists those there are."""
    if parts is None:
        return list(known)
    wanted = [parts] if isinstance(parts, str) else list(parts)
    unknown = [role for role in wanted if role not in known]
    if unknown:
        raise fail(f"parts of {name}", expected=f"some of {', '.join(known)}", got=unknown, remedy="choose among these")
    return wanted


def identity(name: str) -> tuple[str, ...]:
    """Return what tells the bytes of a dataset from others: checksums, or for the twin code, tables, seed, parameters.

    Examples
    --------
    >>> [text[:14] for text in identity("LSMO_linescan_dualEELS")]
    ['sha256:94a5e28', 'sha256:cd6c283']
    """
    entry = dataset(name)
    return tuple(file.checksum for file in entry.files) if entry.generated is None else (f"twin:{key(entry)}",)


def present(name: str) -> dict[str, bool]:
    """Return, for each file of a dataset, whether the cache has a file of that name; its bytes are not checked.

    Examples
    --------
    >>> list(present("LSMO_linescan_dualEELS"))
    ['LSMO_linescan.hspy', 'LSMO_linescan_low_loss.hspy']
    """
    entry = dataset(name)
    if entry.generated is not None:
        return present_twin(entry)
    return {file.file: (data_dir() / name / file.file).is_file() for file in entry.files}


def verify(name: str) -> dict[str, str]:
    """Check what the cache holds of a dataset, without fetching anything.

    Parameters
    ----------
    name : str
        A name in data_manifest.yaml.

    Returns
    -------
    dict of str to str
        File name to ``"intact"``, ``"missing"`` or ``"damaged"``.

    Examples
    --------
    >>> set(verify("LSMO_linescan_dualEELS").values()) <= {"intact", "missing", "damaged"}
    True
    """
    entry = dataset(name)
    if entry.generated is not None:
        return verify_twin(entry)
    folder = data_dir() / name
    return {
        file.file: "missing"
        if not (folder / file.file).exists()
        else ("intact" if is_intact(folder / file.file, file) else "damaged")
        for file in entry.files
    }
