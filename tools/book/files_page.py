"""The list of the page "Your own data": real files of every vendor, read while the book is built."""

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.book.data_page import words
from tritomo_helpers import datasets, io
from tritomo_helpers.containers import TiltSeries

NAME = "vendor_files"


def files_page() -> str:
    """Return one line for each thing that can be asked of each vendor file: what comes out, or why nothing does.

    Returns
    -------
    str
        A Markdown list under the name of each file, or a sentence where the files cannot be had.
    """
    try:
        files = datasets.fetch(NAME, progress=False)
    except datasets.DatasetUnavailable:
        return "The files could not be had when this page was built.\n"
    with tempfile.TemporaryDirectory() as folder:
        lines: dict[str, list[str]] = {}
        for name, call, said in _rows(files, Path(folder)):
            lines.setdefault(name, []).append(f"- {words(f'`{call}`')}: {words(said)}")
    return "\n".join(f"**`{name}`**\n\n" + "\n".join(calls) + "\n" for name, calls in lines.items())


def _rows(files: dict[str, Path], folder: Path) -> Iterator[tuple[str, str, str]]:
    velox = [path for role in ("velox_eels_eds", "velox_version11") for path in _unpacked(files[role], folder)]
    for path in velox:
        yield from _asked(path, ("EDS", "EELS low-loss", "EELS core-loss") if "EELS" in path.name else ("EDS",))
        if "EELS" in path.name:
            call = 'load_spectra(file, signal="EELS core-loss", index=1)'
            yield path.name, call, _said(lambda path=path: io.load_spectra(path, signal="EELS core-loss", index=1))
    yield from _asked(files["bruker"], ("EDS",))
    yield from _asked(files["eels"], ("EELS core-loss", "EELS low-loss"), images=False)
    yield files["stack"].name, "load_tilt_series(file)", _said(lambda: io.load_tilt_series(files["stack"]))
    tilts = [files[role] for role in ("tilt_1", "tilt_2", "tilt_3")]
    names = " ".join(path.name for path in tilts)
    yield names, "load_tilt_series(files)", _said(lambda: io.load_tilt_series(tilts))


def _asked(path: Path, signals: tuple[str, ...], *, images: bool = True) -> Iterator[tuple[str, str, str]]:
    if images:
        yield path.name, "load_tilt_series(file)", _said(lambda: io.load_tilt_series(path))
    for signal in signals:
        call = f'load_spectra(file, signal="{signal}")'
        yield path.name, call, _said(lambda signal=signal: io.load_spectra(path, signal=signal, lazy=True))


def _unpacked(path: Path, folder: Path) -> list[Path]:
    with zipfile.ZipFile(path) as archive:
        return [Path(archive.extract(name, folder)) for name in sorted(archive.namelist()) if name.endswith(".emd")]


def _said(load: Callable[[], Any]) -> str:
    """Return what a call gives, in words."""
    try:
        series = load()
    except ValueError as error:
        return f"Not read. {error}"
    values = series.images if isinstance(series, TiltSeries) else series.counts
    angles = ", ".join(f"{round(angle, 1) + 0.0:g}" for angle in series.tilt_angles_deg)
    said = (
        f"{series.label}: {' x '.join(map(str, values.shape))} at {angles} deg, {series.pixel_size_nm:.3g} nm per pixel"
    )
    if not isinstance(series, TiltSeries):
        said += f", {series.energy_ev[0]:,.0f} to {series.energy_ev[-1]:,.0f} eV"
        said += ", left on disk until it is used" if hasattr(values, "dask") else ""
    # A minus before a digit, where no word or number stands before it, as in "-250 to 40700 eV".
    return re.sub(r"(?<!\S)-(?=\d)", "\N{MINUS SIGN}", f"{said}.")
