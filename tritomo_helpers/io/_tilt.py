"""Where tilt angles come from: the caller, then what the file states inside, then files beside it, last its name."""

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, fail
from ._side import angles_beside
from ._stored import STAGE_STILL_DEG, Axis, Stored

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_ONLY_A_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:_?deg|°)?", re.IGNORECASE)
_IN_DEGREES = re.compile(r"\d_?(deg|°)", re.IGNORECASE)
_TILT_WORD = re.compile(r"tilt|angle|alpha", re.IGNORECASE)


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


def resolve_angles(given: ArrayLike | None, path: Path, stored: Stored, *, n: int) -> NDArray[np.float64]:
    """Return the `n` angles of one stack: those given, stated inside or beside it; else raise ValueError."""
    if given is not None:
        return checked(given, "tilt_angles_deg", path, n=n)
    inside, beside = _inside(stored, path), angles_beside(path)
    if inside is not None:
        _contradict(inside, beside, path)
        return checked(inside, f"the angles inside {path.name}", path, n=n)
    if beside is not None:
        return checked(beside[0], f"the angles beside {path.name}, in {beside[1]}", path, n=n)
    if n == 1:
        return np.array([_of_single(path, stored)])
    raise fail(
        f"tilt angles of {path.name}",
        expected=f"{n} angles in {path.stem}.rawtlt, in a tilt axis or in the header",
        got=_axes_in_words(stored),
        remedy="pass tilt_angles_deg, one per image; load_tomogram reads volumes",
    )


def angles_of_files(given: ArrayLike | None, paths: Sequence[Path], arrays: Sequence[Stored]) -> NDArray[np.float64]:
    """Return one angle per file: given, of its tilt axis, of the stage, or of its name; else raise ValueError.

    Axes and stages count only when the files differ: a stage that was never read out states one angle in all of them.
    """
    if given is not None:
        return checked(given, "tilt_angles_deg", None, n=len(paths))
    inside = [_inside(stored, path) for stored, path in zip(arrays, paths, strict=True)]
    axes = [None if angles is None or angles.size != 1 else float(angles[0]) for angles in inside]
    for stated in (axes, [stored.stage_deg for stored in arrays]):
        known = [angle for angle in stated if angle is not None]
        if len(known) == len(paths) and np.ptp(known) > STAGE_STILL_DEG:
            return checked(known, "the angles inside the files", None, n=len(paths))
    return angles_in_names(paths)


def angles_in_names(paths: Sequence[Path]) -> NDArray[np.float64]:
    """Return the angle in each file name, or raise ValueError if names lack one or only count the files."""
    angles = [angle_in_name(path) for path in paths]
    missing = [path.name for path, angle in zip(paths, angles, strict=True) if angle is None]
    known = np.array([angle for angle in angles if angle is not None])
    if missing or not _are_angles([path.stem for path in paths], known):
        names = missing or [path.name for path in paths]
        raise fail(
            "tilt angles",
            expected="a number between -90 and 90 at the end of every file name that is clearly an angle, such as "
            "map_-40.bcf or tilt_12deg.dm4, or the angle of the stage in every file",
            got=", ".join(names[:3]) + ("" if missing else ", which may only count the files"),
            remedy="pass tilt_angles_deg, one per file",
        )
    return known


def _are_angles(stems: Sequence[str], numbers: NDArray[np.float64]) -> bool:
    """Whether numbers in names are angles: said so, signed both ways, or at least no mere counting."""
    if all(_IN_DEGREES.search(stem) for stem in stems) or numbers.min() < 0 < numbers.max():
        return True
    last = [_NUMBER.findall(stem)[-1] for stem in stems]
    if any(text.startswith("+") for text in last):
        return True
    steps = np.diff(np.sort(numbers))
    padded = any(re.match(r"0\d", text) for text in last)
    if padded or numbers.max() < 0 or (steps.size and np.all(steps == 1)):
        return False
    return all(_TILT_WORD.search(stem) or _ONLY_A_NUMBER.fullmatch(stem) for stem in stems)


def checked(angles: Any, source: str, path: Path | None, *, n: int) -> NDArray[np.float64]:
    """Return `n` finite angles within half a turn, or raise ValueError that names their source."""
    values = np.atleast_1d(np.asarray(angles, dtype=np.float64))
    each = "one per file" if path is None else f"one per image of {path.name}"
    if values.shape != (n,):
        raise fail(
            source,
            expected=f"{n} angles, {each}",
            got=f"{values.size}",
            remedy="check that the angles belong to these images, or pass tilt_angles_deg in their order",
        )
    check_finite(values, source)
    if np.abs(values).max(initial=0) > 180:
        raise fail(
            source,
            expected="angles from -180 to 180 deg",
            got=f"{values[np.argmax(np.abs(values))]:g}",
            remedy="correct the units of the axis, or pass tilt_angles_deg",
        )
    return values


def _inside(stored: Stored, path: Path) -> NDArray[np.float64] | None:
    """Return the angles that the file itself states, in degrees."""
    index = stored.index("tilt")
    if stored.angles_deg is not None:
        # ETSpy gives a stack zeros where it does not know the angles.
        return stored.angles_deg if stored.angles_deg.size == 1 or np.ptp(stored.angles_deg) > 0 else None
    if index is None:
        return None
    axis = stored.axes[index]
    if axis.values_deg is None:
        return _without_units(axis, path)
    # ETSpy calls its axis so and counts on it, in "degrees", where it does not know the angles.
    return None if axis.name == "Projections" and _only_counts(axis) else axis.values_deg


def _without_units(axis: Axis, path: Path) -> NDArray[np.float64] | None:
    """Return the values of a tilt axis without units, aloud; None if they only count; raise for units of no angle."""
    if axis.units:
        raise fail(
            f"tilt axis of {path.name}",
            expected="units of an angle (deg, rad, mrad)",
            got=f"{axis.name!r} in {axis.units!r}",
            remedy="correct the units of the axis, or pass tilt_angles_deg",
        )
    if _only_counts(axis) or axis.values.size == 1 or np.abs(axis.values).max() > 90:
        return None
    warnings.warn(
        f"tilt axis of {path.name}: {axis.name!r} from {axis.values[0]:g} to {axis.values[-1]:g} has no units and is "
        "taken to be in degrees; pass tilt_angles_deg if it is not",
        stacklevel=5,
    )
    return axis.values


def _only_counts(axis: Axis) -> bool:
    return bool(axis.values.size > 1 and axis.step == 1 and axis.values[0] in (0, 1))


def _contradict(inside: NDArray[np.float64], beside: tuple[NDArray[np.float64], str] | None, path: Path) -> None:
    """Warn where a file beside a stack states other angles than the stack."""
    if beside is None or (beside[0].shape == inside.shape and np.allclose(beside[0], inside, atol=STAGE_STILL_DEG)):
        return
    angles, name = beside
    differs = f"{angles.size} angles"
    if angles.shape == inside.shape:
        i = int(np.argmax(np.abs(angles - inside)))
        differs = f"{angles[i]:g} deg for image {i}"
        differs += f" where {path.name} has {inside[i]:g}"
    warnings.warn(
        f"{name} states {differs}: the angles inside {path.name} are used; pass tilt_angles_deg to use others",
        stacklevel=5,
    )


def _of_single(path: Path, stored: Stored) -> float:
    """Return the angle of one image or cube: of the stage if it moved, else of its name, else 0."""
    named = angle_in_name(path, only=True)
    if named is None and _IN_DEGREES.search(path.stem):
        named = angle_in_name(path)
    stage = stored.stage_deg
    if stage is not None and math.isfinite(stage) and (named is None or abs(stage) > STAGE_STILL_DEG):
        return float(checked([stage], f"the stage angle in {path.name}", path, n=1)[0])
    return 0.0 if named is None else named


def _axes_in_words(stored: Stored) -> str:
    axes = ", ".join(f"{axis.name or 'unnamed'} ({axis.units or 'no units'})" for axis in stored.axes)
    return f"axes {axes}" if axes else "none"
