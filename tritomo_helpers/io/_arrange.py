"""From what a file holds to the axes of a container: which array, which axis, which scale."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ._formats import Axis, Stored


def check_alike(paths: Sequence[Path], found: Sequence[tuple[tuple[int, ...], NDArray[np.float64]]]) -> None:
    """Raise ValueError, naming the file, unless all have the shape and the energies of the first."""
    shape, energy = found[0]
    for path, (other_shape, other_energy) in zip(paths, found, strict=True):
        if other_shape[1:] != shape[1:]:
            raise fail(
                f"file {path.name}",
                expected=f"shape {shape[1:]} as in {paths[0].name}",
                got=str(other_shape[1:]),
                remedy="leave it out, or crop and bin the files alike first",
            )
        if not np.allclose(other_energy, energy, rtol=0, atol=1e-3 * (energy[-1] - energy[0]) / energy.size):
            raise fail(
                f"file {path.name}",
                expected=f"the energy axis of {paths[0].name} ({energy[0]:g} to {energy[-1]:g} eV)",
                got=f"{other_energy[0]:g} to {other_energy[-1]:g} eV",
                remedy="calibrate and resample the files to one energy axis first",
            )


def choose_image(found: Sequence[Stored], path: Path, title: str | None) -> Stored:
    """Return the one image or stack: the one called `title`, the only one, or the one called HAADF or ADF."""
    images = [one for one in found if one.index("energy") is None and one.data.ndim in (2, 3)]
    if title is not None:
        chosen = [one for one in images if one.title == title]
    else:
        named = [one for one in images if one.title.upper() in ("HAADF", "ADF")]
        chosen = images if len(images) == 1 else named
    if len(chosen) != 1:
        titles = ", ".join(repr(one.title) for one in images) or "no image"
        wanted = "one image or stack" if title is None else f"one image called {title!r}"
        raise fail(
            f"file {path.name}", expected=wanted, got=titles, remedy="name one with title=, or pass another file"
        )
    return chosen[0]


def image_stack(stored: Stored) -> tuple[Any, list[Axis]]:
    """Return (tilt, y, x) and the two image axes."""
    data, axes = stored.data, list(stored.axes)
    tilt = stored.index("tilt")
    if data.ndim == 2:
        return data[np.newaxis], axes
    position = 0 if tilt is None else tilt
    del axes[position]
    return np.moveaxis(data, position, 0), axes


def choose_spectrum(found: Sequence[Stored], path: Path, signal: str) -> Stored:
    """Return the one array with an energy axis that can be `signal`; low loss is the one that contains 0 eV."""
    spectra = [one for one in found if one.index("energy") is not None]
    if not spectra:
        shapes = ", ".join(f"{one.title or 'an array'} {tuple(one.data.shape)}" for one in found)
        raise fail(
            f"file {path.name}",
            expected="an array with an energy axis (units eV or keV)",
            got=f"no energy axis in {shapes}",
            remedy="use load_image for images, or calibrate the axis before you export",
        )
    kind = signal.split()[0]
    chosen = [one for one in spectra if not one.signal_type or one.signal_type.startswith(kind)]
    if len(chosen) > 1 and signal.endswith("-loss"):
        chosen = [one for one in chosen if _has_zero(one) == signal.endswith("low-loss")]
    if len(chosen) != 1:
        have = ", ".join(f"{one.title!r} ({one.signal_type or 'no type'})" for one in spectra)
        raise fail(
            f"file {path.name}",
            expected=f"one {signal} array",
            got=have,
            remedy="name another signal, or export the arrays to separate files",
        )
    return chosen[0]


def _has_zero(stored: Stored) -> bool:
    energy = stored.axes[stored.index("energy") or 0].values
    return bool(energy[0] <= 0 <= energy[-1])


def spectral_cube(stored: Stored, path: Path) -> tuple[Any, NDArray[np.float64], list[Axis]]:
    """Return (tilt, y, x, energy), the energies and the image axes."""
    data, axes = stored.data, list(stored.axes)
    energy = axes.pop(stored.index("energy") or 0)
    data = np.moveaxis(data, stored.index("energy") or 0, -1)
    tilt = next((i for i, axis in enumerate(axes) if axis.kind == "tilt"), 0 if len(axes) == 3 else None)
    if tilt is not None:
        data = np.moveaxis(data, tilt, 0)
        del axes[tilt]
    else:
        data = data[np.newaxis]
    if len(axes) > 2:
        raise fail(
            f"file {path.name}",
            expected="at most tilt, y, x and energy axes",
            got=f"shape {tuple(stored.data.shape)}",
            remedy="sum or split the other axes first",
        )
    # A line scan lacks y, a point both: they get length one.
    shape = (data.shape[0], *(1,) * (2 - len(axes)), *data.shape[1:])
    return data.reshape(shape), energy.values_ev, axes


def pixel_size(space: Sequence[Axis], given: float | None) -> float:
    """Return the size of a square pixel in nm: the one given, else the one stored, else raise ValueError."""
    if given is not None:
        return given
    # The step of an axis with one point counts only when no axis has more; an unknown z does not matter.
    extended = [axis for axis in space if axis.values.size > 1] or list(space)
    steps = np.array([axis.step_nm for axis in extended])
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
            got=" x ".join(f"{step:g}" for step in steps) + " nm",
            remedy="resample, or pass pixel_size_nm to choose one",
        )
    return float(steps[-1])
