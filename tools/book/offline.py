"""The edition that needs no network, as one zip file."""

import zipfile
from pathlib import Path

from tools.book import BUILD
from tritomo_helpers.store.files import atomic_file


def pack(pages: Path, into: Path = BUILD) -> Path:
    """Zip the built pages, with fixed dates so that the same pages give the same file, and return the path."""
    from tritomo_helpers import __version__

    target = into / f"tritomo-book-{__version__}.zip"
    with atomic_file(target) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for page in sorted(p for p in pages.rglob("*") if p.is_file()):
            name = Path("tritomo-book") / page.relative_to(pages)
            info = zipfile.ZipInfo(name.as_posix(), (2026, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, page.read_bytes())
    return target
