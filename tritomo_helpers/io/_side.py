"""Files beside a stack that hold its tilt angles: IMOD's .rawtlt and .tlt, and SerialEM's .mdoc."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._validation import fail

STACKS = (".mrc", ".st", ".ali", ".rec")
"""Formats that such files belong to; others keep their angles inside."""

_ALIGNED = re.compile(r"_(pre)?(ali|rec)$")


def angles_beside(path: Path) -> tuple[NDArray[np.float64], str] | None:
    """Return the angles beside a stack, and the name of the file that holds them; None without one.

    IMOD refines angles while it aligns: .tlt belongs to .ali and .rec, .rawtlt to what was recorded.
    """
    suffix, stem = path.suffix.lower(), path.stem
    if suffix in STACKS:
        aligned = suffix in (".ali", ".rec") or _ALIGNED.search(stem) is not None
        for ending in (".tlt", ".rawtlt") if aligned else (".rawtlt", ".tlt"):
            for name in dict.fromkeys((stem, _ALIGNED.sub("", stem))):
                side = path.with_name(name + ending)
                if side.is_file():
                    return _one_per_line(side), side.name
    if suffix in (*STACKS, ".tif", ".tiff"):
        for side in (path.with_name(path.name + ".mdoc"), path.with_suffix(".mdoc")):
            if side.is_file() and (side.name == path.name + ".mdoc" or suffix in STACKS):
                return _of_mdoc(side), side.name
    return None


def _one_per_line(side: Path) -> NDArray[np.float64]:
    text = side.read_text(encoding="utf-8", errors="replace").split()
    try:
        return np.array([float(word) for word in text])
    except ValueError as error:
        raise fail(
            f"file {side.name}", expected="one angle per line", got=str(error), remedy="correct the file"
        ) from error


def _of_mdoc(side: Path) -> NDArray[np.float64]:
    """Return the TiltAngle of every section [ZValue = i], in the order of the sections in the stack."""
    text = side.read_text(encoding="utf-8", errors="replace")
    sections = re.findall(r"^\s*\[ZValue\s*=\s*(\d+)\s*\](.*?)(?=^\s*\[|\Z)", text, re.MULTILINE | re.DOTALL)
    stated = {int(z): re.search(r"^\s*TiltAngle\s*=\s*(\S+)", body, re.MULTILINE) for z, body in sections}
    try:
        return np.array([float(stated[z][1]) for z in sorted(stated)])  # type: ignore[index]
    except (TypeError, ValueError) as error:
        raise fail(
            f"file {side.name}",
            expected="TiltAngle = a number in every section [ZValue = ...]",
            got=f"{sum(match is not None for match in stated.values())} of {len(stated)} sections with one",
            remedy="correct the file, or pass tilt_angles_deg",
        ) from error
