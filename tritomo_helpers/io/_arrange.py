"""From what a file holds to the axes of a container: which axis is which, and on what scale."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ._stored import SECTION, Axis, Stored

Arranged = tuple[Any, NDArray[np.float64] | None, list[Axis]]


def image_stack(stored: Stored, path: Path) -> Arranged:
    """Return (tilt, y, x), no energies, and the two image axes."""
    if stored.container == "Tomogram" or _has_depth(stored):
        raise fail(
            f"file {path.name}",
            expected="images at several tilts",
            got=f"a volume ({_in_words(stored)})",
            remedy="load_tomogram reads volumes",
        )
    if stored.data.ndim == 2:
        data, axes = _transposed(stored, _by_place(stored, [0, 1]))
        return data[np.newaxis], None, axes
    tilt = stored.index("tilt")
    if tilt is None:  # the axis that is neither y nor x by its name, else the first
        tilt = next((i for i, axis in enumerate(stored.axes) if axis.place not in (1, 2)), 0)
    data, axes = _transposed(stored, [tilt, *_by_place(stored, [i for i in range(3) if i != tilt])])
    return data, None, axes[1:]


def volume(stored: Stored, path: Path) -> tuple[Any, list[Axis]]:
    """Return (z, y, x) and the three axes, or raise ValueError for a tilt series and for anything else."""
    if stored.container == "TiltSeries" or stored.index("tilt") is not None or stored.angles_deg is not None:
        raise fail(
            f"file {path.name}",
            expected="a volume (z, y, x)",
            got=f"a tilt series ({_in_words(stored)})",
            remedy="load_tilt_series reads tilt series",
        )
    if stored.data.ndim != 3:
        raise fail(
            f"file {path.name}",
            expected="a volume (z, y, x)",
            got=f"shape {tuple(stored.data.shape)}",
            remedy="load_image reads single images",
        )
    return _transposed(stored, _by_place(stored, [0, 1, 2]))


def spectral_cube(stored: Stored, path: Path) -> Arranged:
    """Return (tilt, y, x, energy), the energies from low to high, and the image axes."""
    place = stored.index("energy") or 0
    energy_ev = _energies(stored.axes[place], path)
    others = [i for i in range(stored.data.ndim) if i != place]
    tilt = stored.index("tilt")
    if tilt is None and len(others) == 3:
        tilt = next((i for i in others if stored.axes[i].place not in (1, 2)), others[0])
    space = _by_place(stored, [i for i in others if i != tilt])
    if len(space) > 2:
        raise fail(
            f"file {path.name}",
            expected="at most tilt, y, x and energy axes",
            got=f"shape {tuple(stored.data.shape)}",
            remedy="sum or split the other axes first",
        )
    leading = [] if tilt is None else [tilt]
    data, axes = _transposed(stored, [*leading, *space, place])
    if energy_ev.size > 1 and energy_ev[0] > energy_ev[-1]:
        data, energy_ev = data[..., ::-1], energy_ev[::-1]
    # A line scan lacks y, a point both: they get length one.
    shape = (1 if tilt is None else data.shape[0], *(1,) * (2 - len(space)), *data.shape[len(leading) :])
    return data.reshape(shape), energy_ev, axes[len(leading) : -1]


def check_alike(paths: Sequence[Path], arranged: Sequence[Arranged]) -> None:
    """Raise ValueError, naming the file and both values, unless all files share shape, energies and pixel size."""
    data, energy, space = arranged[0]
    steps = _steps(space)
    for path, (other_data, other_energy, other_space) in zip(paths, arranged, strict=True):
        if other_data.shape[1:] != data.shape[1:]:
            raise fail(
                f"file {path.name}",
                expected=f"shape {data.shape[1:]} as in {paths[0].name}",
                got=str(other_data.shape[1:]),
                remedy="leave it out, or crop and bin the files alike first",
            )
        if energy is not None and other_energy is not None and not _same_energies(energy, other_energy):
            raise fail(
                f"file {path.name}",
                expected=f"the energy axis of {paths[0].name} ({energy[0]:g} to {energy[-1]:g} eV)",
                got=f"{other_energy[0]:g} to {other_energy[-1]:g} eV",
                remedy="calibrate and resample the files to one energy axis first",
            )
        if not np.allclose(_steps(other_space), steps, rtol=5e-3, atol=0, equal_nan=True):
            raise fail(
                f"file {path.name}",
                expected=f"the pixel size of {paths[0].name} ({_text(steps)} nm)",
                got=f"{_text(_steps(other_space))} nm",
                remedy="leave it out, or resample the files to one pixel size first",
            )


def pixel_size(space: Sequence[Axis], given: float | None) -> float:
    """Return the size of a square pixel in nm: the one given, else the one stored, else raise ValueError."""
    if given is not None:
        return given
    # The step of an axis with one point counts only when no axis has more; an unknown z does not matter.
    extended = [axis for axis in space if axis.values.size > 1] or list(space)
    steps = _steps(extended)
    steps = np.append(steps[:-2][np.isfinite(steps[:-2])], steps[-2:])
    if steps.size == 0 or not np.all(np.isfinite(steps)):
        units = ", ".join(f"{axis.name or 'axis'}: {axis.units or 'no units'}" for axis in space)
        raise fail(
            "pixel size",
            expected="image axes in nm, µm, pm or Å",
            got=units or "no image axes",
            remedy="pass pixel_size_nm (voxel_size_nm for a volume)",
        )
    if np.ptp(steps) > 0.01 * steps.mean():
        raise fail(
            "pixel size",
            expected="square pixels",
            got=f"{_text(steps)} nm",
            remedy="resample, or pass pixel_size_nm to choose one",
        )
    return float(steps[-1])


def _energies(axis: Axis, path: Path) -> NDArray[np.float64]:
    energy_ev = axis.values_ev
    if not np.isfinite(energy_ev).all():
        raise fail(
            f"energy axis of {path.name}",
            expected="units of an energy (eV, keV, meV)",
            got=f"{axis.name!r} in {axis.units or 'no units'}",
            remedy="calibrate the axis in the program that wrote it, or set its units in HyperSpy",
        )
    return energy_ev


def _same_energies(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    tolerance_ev = 1e-3 * abs(float(first[-1] - first[0])) / first.size
    return bool(first.shape == second.shape and np.allclose(first, second, rtol=0, atol=tolerance_ev))


def _by_place(stored: Stored, axes: list[int]) -> list[int]:
    """Return axes in the order z, y, x of their names, or as they are unless all are named, each once."""
    places = [stored.axes[i].place for i in axes]
    known = [place for place in places if place is not None]
    if len(known) < len(axes) or len(set(known)) < len(axes):
        return axes
    return [axis for _, axis in sorted(zip(known, axes, strict=True))]


def _transposed(stored: Stored, order: list[int]) -> tuple[Any, list[Axis]]:
    axes = [stored.axes[i] for i in order]
    return (stored.data if order == sorted(order) else stored.data.transpose(order)), axes


def _has_depth(stored: Stored) -> bool:
    """Whether three axes are lengths, so that none can be a tilt; sections of MRC files always have one."""
    lengths = [axis for axis in stored.axes if np.isfinite(axis.step_nm) and axis.name != SECTION]
    return len(lengths) == 3 and bool(stored.data.ndim == 3)


def _steps(space: Sequence[Axis]) -> NDArray[np.float64]:
    return np.array([axis.step_nm for axis in space])


def _text(steps: NDArray[np.float64]) -> str:
    return " x ".join(f"{step:.4g}" for step in steps)


def _in_words(stored: Stored) -> str:
    axes = ", ".join(f"{axis.name or 'unnamed'} in {axis.units or 'no units'}" for axis in stored.axes)
    return f"saved as {stored.container}" if stored.container else f"axes {axes}"
