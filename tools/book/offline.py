"""The edition that needs no network, as one zip file."""

import zipfile
from pathlib import Path

from tools.book import BUILD


def pack(pages: Path, into: Path = BUILD) -> Path:
    """Zip the built pages, with fixed dates so that the same pages give the same file, and return the path."""
    from tritomo_helpers import __version__

    target = into / f"tritomo-book-{__version__}.zip"
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in pages.rglob("*") if p.is_file()):
            name = Path("tritomo-book") / path.relative_to(pages)
            info = zipfile.ZipInfo(name.as_posix(), (2026, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, path.read_bytes())
    return part.replace(target)
