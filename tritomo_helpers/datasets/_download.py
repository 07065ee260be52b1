"""Fetch one file: mirror first, then its sources in order; resumable, checked, and put in place in one step."""

import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from .._validation import fail
from ..store.files import locked
from ._manifest import ArchiveMember, DataFile, Dataset

RETRIES = 3
"""How often a source that breaks off is asked again, from where it stopped."""

TIMEOUT_S = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""


class DatasetUnavailable(RuntimeError):  # noqa: N818  (it names a state of the world, which chapters catch)
    """A dataset is neither in the cache nor in reach; the message says what, how large, and the two ways out."""


class _NotThere(Exception):  # noqa: N818
    """A source that will not have the file however often it is asked."""


def data_dir() -> Path:
    """Return the folder that keeps fetched data: ``TRITOMO_DATA_DIR``, else the user's cache folder."""
    import pooch

    given = os.environ.get("TRITOMO_DATA_DIR", "").strip()
    return Path(given).expanduser().absolute() if given else Path(pooch.os_cache("tritomo"))


def offline() -> bool:
    """Whether ``TRITOMO_OFFLINE`` forbids any use of the network."""
    return os.environ.get("TRITOMO_OFFLINE", "").strip().lower() not in ("", "0", "no", "false")


def is_intact(path: Path, file: DataFile) -> bool:
    """Whether `path` exists and holds exactly the bytes the manifest names."""
    import pooch

    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    return bool(pooch.file_hash(str(path), alg="sha256") == file.checksum.removeprefix("sha256:"))


def fetch_file(dataset: Dataset, file: DataFile, *, progress: bool = True) -> Path:
    """Return the path of one checked file, downloading it when the cache does not have it.

    Raises
    ------
    DatasetUnavailable
        If no source delivers the right bytes.
    PermissionError
        If the cache has no intact copy and cannot be written.
    """
    target = data_dir() / dataset.name / file.file
    if is_intact(target, file):  # before anything is written: a read-only cache that is complete works
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{file.file}.lock")):
            if is_intact(target, file):  # another process fetched it while this one waited
                return target
            if target.exists():
                warnings.warn(f"{target} is not what the manifest says (checksum) and is fetched again", stacklevel=2)
            return _from_any_source(dataset, file, target, progress=progress)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise _not_writable(dataset, file, target, error) from error
        if error.errno in _NO_ROOM:
            raise no_room(dataset.name, target.parent, error, size_bytes=file.size_bytes) from error
        raise


_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def no_room(name: str, folder: Path, error: OSError, *, size_bytes: int) -> Exception:
    """Build the error for a full disk."""
    return fail(
        f"dataset {name}",
        expected=f"room for {_megabytes(size_bytes)} in {folder}",
        got=str(error),
        remedy="free some space (`python -m tritomo_helpers data clean`), or set TRITOMO_DATA_DIR to a larger disk",
        error=OSError,
    )


def is_no_room(error: OSError) -> bool:
    """Whether a write failed because the disk, or one's share of it, is full."""
    return error.errno in _NO_ROOM


def _not_writable(dataset: Dataset, file: DataFile, target: Path, error: OSError) -> Exception:
    return fail(
        f"dataset {dataset.name}",
        expected=f"an intact {file.file} in {target.parent}, or a folder that can be written",
        got=f"a missing or damaged file and: {error}",
        remedy="set TRITOMO_DATA_DIR to a folder of yours, or fetch the data as the owner of this one",
        error=PermissionError,
    )


def _from_any_source(dataset: Dataset, file: DataFile, target: Path, *, progress: bool) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # one line per file says less than the progress bar
    problems = []
    for source in _sources(dataset, file):
        local = isinstance(source, Path)
        if not local and offline():
            problems.append(f"{_shown(source)}: not tried, TRITOMO_OFFLINE is set")
            continue
        client = pooch.create(
            path=target.parent,
            base_url="",
            registry={file.file: file.checksum},
            urls={file.file: _shown(source)},
            retry_if_failed=0 if local else RETRIES,
        )
        partial = target.with_name(f".{file.file}.part")
        try:
            client.fetch(file.file, downloader=_Downloader(source, file, partial, progress=progress))
        except (_NotThere, ValueError, requests.RequestException) as error:
            problems.append(f"{_shown(source)}: {error}")
        else:
            return target
    raise _unavailable(dataset, file, problems)


def _unavailable(dataset: Dataset, file: DataFile, problems: list[str]) -> DatasetUnavailable:
    tried = "".join(f"\n  - {problem}" for problem in problems)
    return DatasetUnavailable(
        f"dataset {dataset.name} ({_megabytes(dataset.size_bytes)}, from {dataset.source}) is not in the cache "
        f"{data_dir()} and could not be fetched: {file.file} failed.{tried}\n"
        f"Two ways out: go online (with TRITOMO_OFFLINE unset) and run "
        f"`python -m tritomo_helpers data fetch {dataset.name}`; "
        f"or set TRITOMO_DATA_MIRROR to a folder or http address that holds {dataset.name}/{file.file}."
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _shown(source: "str | Path | ArchiveMember") -> str:
    return f"{source.archive} ({source.member})" if isinstance(source, ArchiveMember) else str(source)


def _sources(dataset: Dataset, file: DataFile) -> Iterator["str | Path | ArchiveMember"]:
    mirror = os.environ.get("TRITOMO_DATA_MIRROR", "").strip()
    if mirror.startswith(("http://", "https://")):
        yield f"{mirror.rstrip('/')}/{quote(dataset.name)}/{quote(file.file)}"
    elif mirror:
        yield Path(mirror).expanduser() / dataset.name / file.file
    yield from file.urls


class _Downloader:
    """What pooch calls to fill its temporary file; keeps an incomplete download beside the target and resumes it."""

    def __init__(self, source: "str | Path | ArchiveMember", file: DataFile, partial: Path, *, progress: bool) -> None:
        self.source, self.file, self.partial, self.progress = source, file, partial, progress

    def __call__(self, url: str, output_file: str, pooch: Any, *, check_only: bool = False) -> None:
        import requests

        del url, pooch, check_only
        output = Path(output_file)
        resumed = False
        if isinstance(self.source, Path):
            _copy_of_mirror(self.source, output, limit=self.file.size_bytes)
        elif isinstance(self.source, ArchiveMember):
            archive = self.partial.with_name(f".{self.file.file}.archive.part")
            self._get(self.source.archive, archive, size=None)
            try:
                extract_member(archive, self.source.member, output, limit=self.file.size_bytes)
            finally:
                archive.unlink()
        else:
            _remove_link(self.partial)
            resumed = self.partial.exists()
            self._get(self.source, self.partial, size=self.file.size_bytes)
            self.partial.replace(output)
        if not is_intact(output, self.file):
            problem = "the checksum does not match, so the file was not kept"
            if resumed:  # its beginning may be of another version of the file: once more, from the start
                raise requests.ConnectionError(problem)
            raise _NotThere(problem)  # asking again would bring the same bytes

    def _get(self, url: str, partial: Path, *, size: int | None) -> None:
        """Download `url` to `partial`, going on where an earlier attempt stopped."""
        import requests
        from tqdm import tqdm

        _remove_link(partial)
        have = partial.stat().st_size if partial.exists() else 0
        if size is not None and have >= size:  # left by another version of the file, or complete and wrong
            partial.unlink()
            have = 0
        # Without identity a server may compress, and a range of compressed bytes cannot be appended.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            response = requests.get(url, stream=True, timeout=TIMEOUT_S, headers=headers)
        except requests.ConnectionError as error:
            if "NameResolutionError" in str(error):  # asking again would only make a reader without network wait
                raise _NotThere("the server's name could not be resolved; is there a network?") from error
            raise
        with response:
            _check_status(response, partial)
            resumes = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            have = have if resumes else 0
            announced = have + int(response.headers.get("Content-Length") or 0)
            if size is not None and announced > size:
                partial.unlink(missing_ok=True)
                raise _NotThere(f"{announced} bytes instead of {size}, so the file was not kept")
            bar = tqdm(
                desc=self.file.file, total=size, initial=have, unit="B", unit_scale=True, delay=1, leave=False,
                disable=not self.progress,
            )  # fmt: skip
            with bar, partial.open("ab" if resumes else "wb") as out:
                # What is read when a connection breaks off is lost up to one block, so blocks are small.
                for block in response.iter_content(chunk_size=1 << 13):
                    have += len(block)
                    if size is not None and have > size:
                        break
                    out.write(block)
                    bar.update(len(block))
        if size is not None and have > size:
            partial.unlink()
            raise _NotThere(f"more than the {size} bytes of the manifest, so the file was not kept")
        have = partial.stat().st_size
        if size is not None and have < size:
            if "Content-Length" in response.headers:  # all that the server meant to send: another file, or a notice
                partial.unlink()
                raise _NotThere(f"{have} bytes instead of {size}, so the file was not kept")
            raise requests.ConnectionError(f"broke off after {have} of {size} bytes")


def _check_status(response: Any, partial: Path) -> None:
    """Raise _NotThere where asking again is of no use, and an error of requests where it may be."""
    import requests

    if response.status_code == 416:  # nothing beyond what we have: start again
        partial.unlink(missing_ok=True)
        raise requests.ConnectionError("the server could not resume the download")
    if 400 <= response.status_code < 500 and response.status_code not in (408, 429):
        raise _NotThere(f"HTTP {response.status_code} {response.reason}")
    response.raise_for_status()


def _remove_link(path: Path) -> None:
    """Remove a symbolic link, which someone else may have put where we are about to write."""
    if path.is_symlink():
        path.unlink()


def _copy_of_mirror(source: Path, output: Path, *, limit: int) -> None:
    """Copy a file of a mirror, of which no more than `limit` bytes are wanted."""
    try:
        stream = source.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise _NotThere("no such file") from error
    except NotADirectoryError as error:
        raise _NotThere(
            "the mirror is a file; set TRITOMO_DATA_MIRROR to the folder that holds the datasets"
        ) from error
    except OSError as error:
        raise _NotThere(f"the mirror cannot be read ({error.strerror}); check its permissions") from error
    with stream:
        _copy(stream, output, limit=limit, damaged=OSError)


def _copy(source: Any, output: Path, *, limit: int, damaged: type[Exception] | tuple[type[Exception], ...]) -> None:
    """Copy a stream block by block; what reading raises is told apart from a disk that cannot be written."""
    n_bytes = 0
    with output.open("wb") as out:
        while True:
            try:
                block = source.read(1 << 20)
            except damaged as error:
                raise _NotThere(f"damaged after {n_bytes} bytes: {error}") from error
            if not block:
                return
            n_bytes += len(block)
            if n_bytes > limit:
                raise _NotThere(f"more than the {limit} bytes of the manifest, so the file was not kept")
            out.write(block)


def extract_member(archive: Path, member: str, output: Path, *, limit: int) -> None:
    """Copy one member of a zip or tar archive to `output`, at most `limit` bytes, and nothing anywhere else.

    Only the bytes of a regular file are copied, to a path that we choose; links, devices and names that climb out of
    the archive are refused.

    Raises
    ------
    ValueError
        If the member is missing, is not a regular file, or its name leaves the archive.
    """
    import tarfile
    import zipfile

    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member:
        raise fail(
            "archive member", expected="a path inside the archive", got=repr(member), remedy="correct the manifest"
        )
    is_regular = True
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened, opened.open(member) as source:
                _copy(source, output, limit=limit, damaged=Exception)
        else:
            with tarfile.open(archive) as tar:
                info = tar.getmember(member)
                content = tar.extractfile(info) if info.isreg() else None
                is_regular = content is not None
                if content is not None:
                    _copy(content, output, limit=limit, damaged=Exception)
    except _NotThere:
        raise
    except OSError as error:
        if error.errno is not None:  # of the disk; what is wrong in an archive has no number
            raise
        raise _bad_archive(member, error) from error
    except Exception as error:  # zlib.error, EOFError, LZMAError, struct.error ...: a damaged archive raises anything
        raise _bad_archive(member, error) from error
    if not is_regular:
        raise fail("archive member", expected="a regular file", got=repr(member), remedy="correct the manifest")


def _bad_archive(member: str, error: Exception) -> Exception:
    return fail(
        "archive",
        expected=f"a zip or tar archive with {member}",
        got=f"{type(error).__name__}: {error}",
        remedy="correct the manifest, or wait until its owners have mended the archive",
    )
