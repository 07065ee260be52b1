"""Read and check data_manifest.yaml."""

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from .._validation import fail


@dataclass(frozen=True)
class ArchiveMember:
    """A file inside a zip or tar archive: the link of the archive and the path of the member."""

    archive: str
    member: str


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset: its name on disk, what it is for, where it comes from, and how it is checked."""

    role: str
    file: str
    urls: tuple[str | ArchiveMember, ...]
    checksum: str
    size_bytes: int


@dataclass(frozen=True)
class Dataset:
    """One entry of the manifest; `generated` holds parameters when the dataset is simulated instead of downloaded.

    `settings` is what a ``tritomo.yaml`` beside these files would say.
    """

    name: str
    title: str
    description: str
    source: str
    technique: tuple[str, ...]
    license: str
    citation: str
    chapters: tuple[str, ...]
    read: str
    doi: str = ""
    files: tuple[DataFile, ...] = ()
    generated: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes to download (0 for a simulated dataset)."""
        return sum(file.size_bytes for file in self.files)


def manifest_path() -> Path:
    """Return where data_manifest.yaml is: beside the package in a checkout, inside it once installed."""
    package = Path(str(resources.files(__package__.split(".")[0])))
    in_checkout = package.parent / "data_manifest.yaml"
    return in_checkout if in_checkout.is_file() else package / "data" / "data_manifest.yaml"


def read_manifest(path: Path, *, check: bool = True) -> dict[str, Dataset]:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        A YAML file as described by ``tritomo_helpers/data/manifest_schema.json``.
    check : bool, default True
        Compare it with the schema first. Without, that is done only for a manifest with a name, role, file, link or
        checksum that the schema's patterns do not allow, or an entry that cannot be used.

    Returns
    -------
    dict of str to Dataset
        In the order of the file.

    Raises
    ------
    ValueError
        If an entry is not as the schema says; the message names the entry and the field.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise fail(str(path.name), expected="YAML", got=str(error), remedy="correct the line named") from error
    if check or not _is_plain(document):
        check_document(document)
    try:
        return {entry.name: entry for name, fields in document.items() for entry in _datasets(name, fields)}
    except (AttributeError, KeyError, TypeError):
        check_document(document)  # says what is wrong, and where
        raise


def _schema() -> Any:
    return json.loads(resources.files("tritomo_helpers").joinpath("data", "manifest_schema.json").read_text("utf-8"))


def _is_plain(document: Any) -> bool:
    """Whether all that becomes a path, a link or a checksum has the form that the schema asks for.

    The patterns are those of the schema; comparing all of it would cost every process seconds of imports.
    """
    schema = _schema()
    of_file = schema["$defs"]["file"]["properties"]
    link, member = schema["$defs"]["link"], schema["$defs"]["source"]["oneOf"][1]["properties"]["member"]

    def fits(value: Any, rule: Mapping[str, Any]) -> bool:
        return isinstance(value, str) and re.search(rule["pattern"], value) is not None

    def source_fits(url: Any) -> bool:
        if isinstance(url, Mapping):
            return set(url) == {"archive", "member"} and fits(url["archive"], link) and fits(url["member"], member)
        return fits(url, link)

    def file_fits(file: Any) -> bool:
        urls = file["url"] if isinstance(file["url"], list) else [file["url"]]
        plain = all(fits(file[key], of_file[key]) for key in ("role", "file", "checksum"))
        return plain and type(file["size_bytes"]) is int and all(source_fits(url) for url in urls)

    try:
        return all(
            fits(name, schema["propertyNames"]) and all(file_fits(file) for file in entry.get("files", ()))
            for name, entry in document.items()
        )
    except (AttributeError, KeyError, TypeError):
        return False


def check_document(document: Any) -> None:
    """Raise ValueError unless `document` agrees with the schema and no role or file name is used twice."""
    import jsonschema

    schema = _schema()
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(document))
    if error is not None:
        where = " / ".join(map(str, error.absolute_path)) or "the top level"
        raise fail(
            f"data_manifest.yaml, {where}",
            expected=f"what manifest_schema.json says ({error.validator}: {error.validator_value})",
            got=error.message,
            remedy="correct the entry; the comment at the top of data_manifest.yaml explains the fields",
        )
    for name, entry in document.items():
        for key in ("role", "file"):
            values = [file[key] for file in entry.get("files", ())]
            if len(set(values)) < len(values):
                raise fail(f"data_manifest.yaml, {name}", expected=f"each {key} once", got=values, remedy="rename one")


def _datasets(name: str, entry: Mapping[str, Any]) -> Iterator[Dataset]:
    """Yield the dataset of one entry, and of each control that a simulated one offers."""
    generated = dict(entry.get("generated", {}))
    controls = generated.pop("controls", [])
    plain = _dataset(name, entry)
    if not generated:
        yield plain
        return
    yield replace(plain, generated=generated)
    for control in controls:
        title = f"{plain.title}, control: {control}"
        yield replace(plain, name=f"{name}-{control}", title=title, generated=generated | {"control": control})


def _dataset(name: str, entry: Mapping[str, Any]) -> Dataset:
    fields = dict(entry)
    fields["technique"] = tuple(entry["technique"])
    fields["chapters"] = tuple(entry["chapters"])
    fields["files"] = tuple(_file(file) for file in entry.get("files", ()))
    return Dataset(name=name, **fields)


def _file(entry: Mapping[str, Any]) -> DataFile:
    urls = entry["url"] if isinstance(entry["url"], list) else [entry["url"]]
    return DataFile(
        role=entry["role"],
        file=entry["file"],
        urls=tuple(ArchiveMember(**url) if isinstance(url, dict) else url for url in urls),
        checksum=entry["checksum"],
        size_bytes=entry["size_bytes"],
    )


@functools.lru_cache(maxsize=4)
def _cached(path: Path, modified_ns: int) -> dict[str, Dataset]:
    del modified_ns  # part of the key only: an edited manifest is read again
    # The tests compare the manifest with its schema; doing so here would cost every process seconds of imports.
    return read_manifest(path, check=False)


def manifest() -> dict[str, Dataset]:
    """Return every dataset by name.

    Returns
    -------
    dict of str to Dataset
        Fields as in data_manifest.yaml.

    Examples
    --------
    >>> manifest()["NMC_EELS_linescan_Jia"].license
    'MIT'
    """
    path = manifest_path()
    return dict(_cached(path, path.stat().st_mtime_ns))


def dataset(name: str) -> Dataset:
    """Return one dataset of the manifest, or raise ValueError that suggests similar names."""
    entries = manifest()
    if name not in entries:
        by_folded = {entry.casefold(): entry for entry in entries}
        wanted = name.casefold()
        close = [by_folded[key] for key in by_folded if wanted and wanted in key][:3]
        close = close or [by_folded[key] for key in difflib.get_close_matches(wanted, by_folded, cutoff=0.5)]
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise fail(
            "dataset",
            expected="a name in data_manifest.yaml",
            got=repr(name),
            remedy=f"{hint}see `python -m tritomo_helpers data list`",
        )
    return entries[name]


def size_text(size_bytes: int) -> str:
    """Return a size as people read it.

    Examples
    --------
    >>> size_text(616), size_text(68_657), size_text(10_225_256)
    ('616 B', '69 kB', '10.2 MB')
    """
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1e3:.0f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:.1f} MB"
