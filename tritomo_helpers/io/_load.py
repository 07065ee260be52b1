"""Files to containers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_option, fail
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ._arrange import check_alike, choose_image, choose_spectrum, image_stack, pixel_size, spectral_cube
from ._formats import LAZY_ABOVE_BYTES, Axis, Stored, check_file, make_axis, read
from ._tilt import angles_in_names, resolve_angles
from ._vti import read_vti

Paths = str | Path | Sequence[str | Path]


def load_tilt_series(
    path: Paths,
    *,
    tilt_angles_deg: ArrayLike | None = None,
    tilt_axis: str = "y",
    title: str | None = None,
    pixel_size_nm: float | None = None,
    label: str | None = None,
) -> TiltSeries:
    """Read images at several tilts, from one stack or from one file per tilt.

    Parameters
    ----------
    path : path or sequence of paths
        A stack (mrc, hspy, dm3, dm4, emd, tif), or one file per tilt (bcf, dm3, dm4, ...).
    tilt_angles_deg : array_like, shape (tilt,), optional
        Angles in the order of the images. Without them they come from a .rawtlt or .tlt file beside the stack, its tilt
        axis, or its FEI header; with one file per tilt from the last number in each file name. The stage angle in the
        metadata of single files is not used: it is often 0 throughout.
    tilt_axis : {"y", "x"}, default "y"
        Image direction along which the tilt axis lies in the file. With ``"x"`` the two image axes are swapped, so that
        it is y afterwards.
    title : str, optional
        Which image to take when a file holds several, such as ``"HAADF"``; by default the one called HAADF or ADF.
    pixel_size_nm : float, optional
        Overrides the file's calibration.
    label : str, optional
        Label of the result; by default the title in the file, or ``"ADF"``.

    Returns
    -------
    TiltSeries
        In memory, in the number type of the file, sorted by angle. A negative background stays as it is.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If the extension is not known, the number of angles is wrong, angles repeat, or the pixel size is not stored.

    Notes
    -----
    Swapping the axes is a reflection. With n = (sin t, 0, cos t) for the beam, a series whose positive tilt follows the
    right-hand rule about image +x gives the mirror image of the specimen; the other sense gives its true hand. Files
    do not say which sense the stage used. If the hand matters, check it on something known, and pass the angles with
    the opposite sign when it comes out wrong.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "needle.mrc"
    >>> save(TiltSeries(np.ones((3, 4, 5), np.int16), [-2, 0, 2], 3.36), path)
    >>> load_tilt_series(path, tilt_axis="x").images.shape
    (3, 5, 4)
    """
    check_option(tilt_axis, "tilt_axis", ("y", "x"))
    if isinstance(path, str | Path):
        one = check_file(path)
        stored = choose_image(read(one, lazy=False), one, title)
        images, space = image_stack(stored)
        angles = resolve_angles(tilt_angles_deg, one, stored, n=images.shape[0])
        images = np.asarray(images)
    else:
        paths = [check_file(item) for item in path]
        stored, images, space, angles = _one_file_per_tilt(paths, title, tilt_angles_deg)
    if tilt_axis == "x":
        images = np.ascontiguousarray(np.swapaxes(images, 1, 2))
    order = np.argsort(angles, kind="stable")
    return TiltSeries(
        images if _increasing(order) else images[order],
        angles[order],
        pixel_size(space, pixel_size_nm),
        (stored.title or "ADF") if label is None else label,
    )


def load_image(
    path: str | Path, *, title: str | None = None, pixel_size_nm: float | None = None, label: str | None = None
) -> TiltSeries:
    """Read one image, as a tilt series of length one at 0 degrees.

    Parameters
    ----------
    path : path
        A file with an image: dm3, dm4, bcf, emd, mrc, hspy, tif.
    title, pixel_size_nm, label
        As in `load_tilt_series`.

    Returns
    -------
    TiltSeries
        ``.images[0]`` is the image, shape (y, x); ``.pixel_size_nm`` its scale.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `load_tilt_series`; also if the file holds more than one image in a stack.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "survey.hspy"
    >>> save(TiltSeries(np.ones((1, 4, 5)), [0], 0.324, "ADF"), path)
    >>> image = load_image(path)
    >>> image.images[0].shape, image.label
    ((4, 5), 'ADF')
    """
    return load_tilt_series(path, tilt_angles_deg=[0.0], title=title, pixel_size_nm=pixel_size_nm, label=label)


def load_spectra(
    path: Paths,
    *,
    signal: str,
    tilt_angles_deg: ArrayLike | None = None,
    tilt_axis: str = "y",
    pixel_size_nm: float | None = None,
    lazy: bool | None = None,
) -> SpectrumTiltSeries:
    """Read spectra: a cube, a line scan, a point, a series in one file, or one file per tilt.

    Parameters
    ----------
    path : path or sequence of paths
        One file, or one per tilt (bcf, dm3, dm4, emd, hspy).
    signal : str
        ``"EDS"``, ``"EELS"``, ``"EELS low-loss"`` or ``"EELS core-loss"``: the label of the result, and the choice when
        a file holds several. Low loss is the one whose energy axis contains 0.
    tilt_angles_deg : array_like, shape (tilt,), optional
        As in `load_tilt_series`. A single cube without an angle is at 0.
    tilt_axis : {"y", "x"}, default "y"
        As in `load_tilt_series`.
    pixel_size_nm : float, optional
        Overrides the file's calibration; needed where the step differs between y and x.
    lazy : bool, optional
        True keeps the counts on disk (Dask), False reads them. By default spectra above 64 MB stay on disk.

    Returns
    -------
    SpectrumTiltSeries
        Counts (tilt, y, x, energy), energies in eV as the file calibrates them. A missing y or x axis has length one.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If no array has an energy axis, several match, the energy axes of the files differ, or as in `load_tilt_series`.

    Notes
    -----
    A lazy series reads one tilt at a time as long as you work tilt by tilt; one L2083 cube takes 134 MB.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "line.hspy"
    >>> save(SpectrumTiltSeries(np.ones((1, 1, 21, 8)), [0], 440 + 0.3 * np.arange(8), 2.05), path)
    >>> line = load_spectra(path, signal="EELS core-loss")
    >>> line.counts.shape, line.label
    ((1, 1, 21, 8), 'EELS core-loss')
    """
    check_option(tilt_axis, "tilt_axis", ("y", "x"))
    check_option(signal, "signal", ("EDS", "EELS", "EELS low-loss", "EELS core-loss"))
    paths = [check_file(item) for item in ([path] if isinstance(path, str | Path) else path)]
    if not paths:
        raise fail("path", expected="at least one file", got="an empty list", remedy="pass the paths of the files")
    stored = [choose_spectrum(read(one, lazy=lazy), one, signal) for one in paths]
    counts, energy_ev, space = spectral_cube(stored[0], paths[0])
    if len(paths) == 1:
        angles = resolve_angles(tilt_angles_deg, paths[0], stored[0], n=counts.shape[0])
    else:
        cubes = [spectral_cube(one, where) for one, where in zip(stored, paths, strict=True)]
        check_alike(paths, [(cube.shape, energy) for cube, energy, _ in cubes])
        counts = _concatenate([cube for cube, _, _ in cubes])
        angles = _angles_of_files(paths, tilt_angles_deg)
    if tilt_axis == "x":
        counts = counts.swapaxes(1, 2)
    order = np.argsort(angles, kind="stable")
    if not _increasing(order):
        counts = counts[order]
    if lazy is None:
        lazy = counts.nbytes > LAZY_ABOVE_BYTES
    if not lazy:
        counts = np.asarray(counts)
    return SpectrumTiltSeries(counts, angles[order], energy_ev, pixel_size(space, pixel_size_nm), signal)


def load_tomogram(path: str | Path, *, quantity: str | None = None, voxel_size_nm: float | None = None) -> Tomogram:
    """Read a volume (z, y, x) from mrc, vti, hspy, emd or tif.

    Parameters
    ----------
    path : path
        A file with one three-dimensional array.
    quantity : str, optional
        Overrides what the file says it shows.
    voxel_size_nm : float, optional
        Overrides the file's calibration.

    Returns
    -------
    Tomogram
        In memory, in the number type of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `load_tilt_series`; also if the voxels are not cubes.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "Mn.mrc"
    >>> save(Tomogram(np.ones((2, 3, 4), np.float32), 4.63, "Mn (at%)"), path)
    >>> load_tomogram(path).quantity
    'Mn (at%)'
    """
    one = check_file(path, (".vti", *_STACKS))
    if one.suffix.lower() == ".vti":
        values, steps, title = read_vti(one)
        space = [Axis("", "nm", np.array([0.0, step]), "space", step) for step in steps]
    else:
        stored = choose_image(read(one, lazy=False), one, None)
        if stored.data.ndim != 3:
            raise fail(
                f"file {one.name}", expected="a volume (z, y, x)", got=f"shape {stored.data.shape}", remedy="load_image"
            )
        values, space, title = np.asarray(stored.data), list(stored.axes), stored.title
    return Tomogram(values, pixel_size(space, voxel_size_nm), title if quantity is None else quantity)


def from_hyperspy(
    signal: Any,
    *,
    tilt_angles_deg: ArrayLike | None = None,
    pixel_size_nm: float | None = None,
    label: str | None = None,
) -> TiltSeries | SpectrumTiltSeries:
    """Turn a HyperSpy signal into the container of its kind.

    Parameters
    ----------
    signal : hyperspy signal
        With an energy axis (units eV or keV) it becomes a SpectrumTiltSeries, otherwise a TiltSeries. Lazy spectra
        stay lazy.
    tilt_angles_deg : array_like, shape (tilt,), optional
        Angles of the first axis; by default those of an axis in degrees, or 0 for a single image, cube or line.
    pixel_size_nm : float, optional
        Overrides the calibration.
    label : str, optional
        By default the title of the signal.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Sorted by angle.

    Raises
    ------
    ValueError
        If angles or pixel size are missing or do not fit.

    Examples
    --------
    >>> from tritomo_helpers.io import to_hyperspy
    >>> signal = to_hyperspy(TiltSeries(np.ones((2, 4, 5)), [0, 10], 4.63, "ADF"))
    >>> from_hyperspy(signal).tilt_angles_deg
    array([ 0., 10.])
    """
    axes = []
    for axis in signal.axes_manager._axes:
        uniform = {"scale": axis.scale, "offset": axis.offset} if hasattr(axis, "scale") else {"axis": axis.axis}
        axes.append(make_axis({"name": axis.name, "units": axis.units, "size": axis.size, **uniform}))
    title = str(signal.metadata.General.title)
    stored = Stored(signal.data, tuple(axes), title, str(signal.metadata.Signal.signal_type), {})
    where = Path(title or "signal")
    energy_ev = None
    if stored.index("energy") is None:
        values, space = image_stack(stored)
    else:
        values, energy_ev, space = spectral_cube(stored, where)
    angles = resolve_angles(tilt_angles_deg, where, stored, n=values.shape[0])
    order = np.argsort(angles, kind="stable")
    values = values if _increasing(order) else values[order]
    step, name = pixel_size(space, pixel_size_nm), title if label is None else label
    if energy_ev is None:
        return TiltSeries(np.asarray(values), angles[order], step, name)
    return SpectrumTiltSeries(values, angles[order], energy_ev, step, name)


_STACKS = (".mrc", ".rec", ".hspy", ".emd", ".tif", ".tiff")


def _increasing(order: NDArray[np.intp]) -> bool:
    return bool(np.all(np.diff(order) == 1))


def _angles_of_files(paths: Sequence[Path], given: ArrayLike | None) -> NDArray[np.float64]:
    if given is None:
        return angles_in_names(paths)
    angles = np.atleast_1d(np.asarray(given, dtype=np.float64))
    if angles.size != len(paths):
        raise fail(
            "tilt_angles_deg",
            expected=f"{len(paths)} angles, one per file",
            got=f"{angles.size}",
            remedy="pass one angle per file, in the order of the files",
        )
    return angles


def _concatenate(cubes: list[Any]) -> Any:
    import dask.array as da

    return da.concatenate([da.asarray(cube) for cube in cubes], axis=0)


def _one_file_per_tilt(
    paths: Sequence[Path], title: str | None, given: ArrayLike | None
) -> tuple[Stored, Any, list[Axis], NDArray[np.float64]]:
    if not paths:
        raise fail("path", expected="at least one file", got="an empty list", remedy="pass the paths of the files")
    stored = [choose_image(read(one, lazy=False), one, title) for one in paths]
    stacks = [image_stack(one) for one in stored]
    check_alike(paths, [(stack.shape, np.zeros(1)) for stack, _ in stacks])
    images = np.concatenate([np.asarray(stack) for stack, _ in stacks])
    return stored[0], images, stacks[0][1], _angles_of_files(paths, given)
