"""Where tilt angles come from: the caller, file names, side files, axes, and last the header."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, fail
from ._formats import Stored

SIDE_FILES = (".rawtlt", ".tlt")
"""One angle per line, beside the stack: as SerialEM, IMOD and FEI write them."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_ONLY_A_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:_?deg)?", re.IGNORECASE)


def angle_in_name(path: Path, *, only: bool = False) -> float | None:
    """Return the last number in a file name as degrees, or None without one between -90 and 90.

    With `only`, the whole name must be the number: ``-40.bcf`` counts, ``scan_3.bcf`` does not.

    Examples
    --------
    >>> (
    ...     angle_in_name(Path("L2083_-40.bcf")),
    ...     angle_in_name(Path("map_tilt+12.5deg.dm4")),
    ...     angle_in_name(Path("map.dm4")),
    ... )
    (-40.0, 12.5, None)
    """
    if only and not _ONLY_A_NUMBER.fullmatch(path.stem):
        return None
    numbers = _NUMBER.findall(path.stem)
    angle = float(numbers[-1]) if numbers else None
    return angle if angle is not None and abs(angle) <= 90 else None


def angles_in_names(paths: Sequence[Path]) -> NDArray[np.float64]:
    """Return the angle in each file name, or raise ValueError that names the files without one."""
    angles = [angle_in_name(path) for path in paths]
    missing = [path.name for path, angle in zip(paths, angles, strict=True) if angle is None]
    if missing:
        raise fail(
            "tilt angles",
            expected="a number between -90 and 90 at the end of every file name, such as map_-40.bcf",
            got=", ".join(missing[:3]),
            remedy="pass tilt_angles_deg, one per file",
        )
    return np.array(angles, dtype=np.float64)


def angles_beside(path: Path) -> NDArray[np.float64] | None:
    """Return the angles in the .rawtlt or .tlt file of the same name, or None without one."""
    for suffix in SIDE_FILES:
        side = path.with_suffix(suffix)
        if side.is_file():
            text = side.read_text(encoding="utf-8", errors="replace").split()
            try:
                return np.array([float(word) for word in text])
            except ValueError as error:
                raise fail(
                    f"file {side.name}", expected="one angle per line", got=str(error), remedy="correct the file"
                ) from error
    return None


def resolve_angles(given: ArrayLike | None, path: Path, stored: Stored, *, n: int) -> NDArray[np.float64]:
    """Return `n` angles: those given, else from side file, tilt axis or FEI header; else raise ValueError."""
    source = "tilt_angles_deg"
    angles = None if given is None else np.atleast_1d(np.asarray(given, dtype=np.float64))
    if angles is None:
        angles, source = angles_beside(path), f"the angles beside {path.name}"
    if angles is None and (axis := stored.index("tilt")) is not None:
        angles, source = stored.axes[axis].values, f"the tilt axis of {path.name}"
    if angles is None and "fei_header" in stored.original:
        header = np.asarray(stored.original["fei_header"]["a_tilt"], dtype=np.float64)[:n]
        # All equal means that the stage was not recorded, whatever the header says.
        angles, source = (header if np.ptp(header) > 0 else None), f"the header of {path.name}"
    if angles is None and n == 1:
        alone = angle_in_name(path, only=True)
        return np.array([0.0 if alone is None else alone])
    if angles is None:
        raise fail(
            f"tilt angles of {path.name}",
            expected=f"{n} angles in {path.stem}.rawtlt, in a tilt axis or in the header",
            got="none",
            remedy="pass tilt_angles_deg, one per image",
        )
    if angles.size != n:
        raise fail(
            source,
            expected=f"{n} angles, one per image of {path.name}",
            got=f"{angles.size}",
            remedy="check that the angles belong to this file, or pass tilt_angles_deg",
        )
    check_finite(angles, source)
    return angles
