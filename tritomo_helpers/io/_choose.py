"""Which of the arrays in a file is meant, and whether it can be what it is taken for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .._validation import fail
from ._stored import Stored
from ._velox import PRUNED

_DARK_FIELD = ("HAADF", "ADF", "MAADF", "DF-S", "DF")
"""What dark-field images are called, the likeliest first."""


def choose_image(arrays: Sequence[Stored], path: Path, *, title: str | None, index: int | None) -> Stored:
    """Return the one image or stack: named by title or index, the only one, or that of the dark-field detector."""
    images = [stored for stored in arrays if stored.is_image]
    _refuse_colors(arrays, images, path)
    if title is None and index is None and len(images) > 1:
        by_title = {stored.title.upper(): stored for stored in reversed(images)}
        named = [by_title[name] for name in _DARK_FIELD if name in by_title]
        return named[0] if named else _by_name(images, path, title, index, "image or stack")
    return _by_name(images, path, title, index, "image or stack")


def choose_spectrum(
    arrays: Sequence[Stored],
    path: Path,
    signal: str,
    *,
    detector: str | None = None,
    title: str | None = None,
    index: int | None = None,
) -> Stored:
    """Return the array that can be `signal`; X-ray detectors are summed, low and core loss told apart by 0 eV."""
    if signal == "EDS" and any(stored.signal_type == PRUNED for stored in arrays):
        raise fail(
            f"file {path.name}",
            expected="the stream of X-ray counts",
            got="a pruned file, in which the counts are packed in a format that only Velox reads",
            remedy="save it from Velox again without pruning, or export the spectrum image",
        )
    spectra = [stored for stored in arrays if stored.index("energy") is not None]
    if not spectra:
        shapes = ", ".join(f"{stored.title or 'an array'} {tuple(stored.data.shape)}" for stored in arrays)
        raise fail(
            f"file {path.name}",
            expected="an array with an energy axis (units eV or keV)",
            got=f"no energy axis in {shapes}",
            remedy="use load_image for images, or calibrate the axis before you export",
        )
    candidates = [stored for stored in spectra if not _contradiction(stored, signal)]
    if not candidates:
        facts = "; ".join(f"{_title(stored)}: {_contradiction(stored, signal)}" for stored in spectra)
        raise fail(
            f"file {path.name}",
            expected=f"one {signal} array",
            got=facts,
            remedy='name the signal that it is; "EELS" takes any range of energy losses',
        )
    if signal == "EDS" and title is None and index is None:
        candidates = _of_detectors(candidates, path, detector)
    elif detector is not None:
        raise fail("detector", expected="X-ray spectra", got=f"{signal}", remedy="leave detector= out, or use title=")
    return _by_name(candidates, path, title, index, f"{signal} array")


def _contradiction(stored: Stored, signal: str) -> str:
    """Return why an array cannot be `signal`, by what the file says of it; nothing if it can."""
    kind, _, loss_range = signal.partition(" ")
    axis = stored.axes[stored.index("energy") or 0]
    says = stored.signal_type or ("EELS" if "loss" in axis.name.lower() else "")
    says = says or ("EDS" if "x-ray" in axis.name.lower() else "")
    if says and not says.startswith(kind):
        return f"{says.partition('_')[0]} spectra by its signal type, {_range(stored)}"
    energy = axis.values_ev
    if loss_range and np.isfinite(energy).all():
        has_zero = bool(energy.min() <= 0 <= energy.max())
        if has_zero != (loss_range == "low-loss"):
            return f"its energy axis, {_range(stored)}, {'holds' if has_zero else 'does not hold'} 0 eV"
    return ""


def _range(stored: Stored) -> str:
    energy = stored.axes[stored.index("energy") or 0].values_ev
    return f"{energy.min():g} to {energy.max():g} eV"


def _title(stored: Stored) -> str:
    return repr(stored.title) if stored.title else "an array"


def _of_detectors(candidates: list[Stored], path: Path, detector: str | None) -> list[Stored]:
    """Keep the detector asked for, or add up the detectors of one scan."""
    if detector is not None:
        named = [stored for stored in candidates if stored.detector == detector]
        if len(named) != 1:
            have = ", ".join(sorted(stored.detector for stored in candidates if stored.detector)) or "no named detector"
            raise fail(f"detector of {path.name}", expected=f"one of {have}", got=repr(detector), remedy="choose one")
        return named
    first = candidates[0]
    shared = [s.data.shape == first.data.shape and s.title == first.title and s.detector for s in candidates]
    if len(candidates) == 1 or not all(shared):
        return candidates
    return [replace(first, data=sum((stored.data for stored in candidates[1:]), first.data), detector="")]


def _by_name(candidates: Sequence[Stored], path: Path, title: str | None, index: int | None, what: str) -> Stored:
    places = range(len(candidates)) if index is None else [index] if -len(candidates) <= index < len(candidates) else []
    named = [candidates[place] for place in places if title is None or candidates[place].title == title]
    if len(named) == 1:
        return named[0]
    listed = ", ".join(f"{i}: {stored.title!r} {tuple(stored.data.shape)}" for i, stored in enumerate(candidates))
    wanted = f"one {what}" if title is None and index is None else f"one {what} called {title if title else index!r}"
    raise fail(
        f"file {path.name}",
        expected=wanted,
        got=listed or f"no {what.partition(' ')[0]}",
        remedy="name one with title= or index=, or pass another file",
    )


def _refuse_colors(arrays: Sequence[Stored], images: Sequence[Stored], path: Path) -> None:
    """Raise ValueError for color pictures and complex arrays where nothing else is there."""
    others = [stored for stored in arrays if stored.data.dtype.kind not in "biuf"]
    if images or not others:
        return
    dtype = others[0].data.dtype
    got = f"colors {dtype.names}" if dtype.names else f"numbers of type {dtype}"
    raise fail(
        f"file {path.name}",
        expected="one number per pixel",
        got=got,
        remedy="export the data themselves (gray, 16 or 32 bit), not a picture of them",
    )
