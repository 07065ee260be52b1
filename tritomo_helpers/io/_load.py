"""Files to containers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_option, checked, fail
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ._arrange import Arranged, check_alike, image_stack, pixel_size, spectral_cube, volume
from ._choose import choose_image, choose_spectrum
from ._formats import LAZY_ABOVE_BYTES, check_file, read
from ._guard import in_memory, reading
from ._repeats import in_order
from ._side import angles_beside
from ._stored import Axis, Stored, make_axis, space_axes
from ._tilt import angles_of_files, resolve_angles
from ._vti import read_vti

Paths = str | Path | Sequence[str | Path]


@checked
def load_tilt_series(
    path: Paths,
    *,
    tilt_angles_deg: ArrayLike | None = None,
    tilt_axis: str = "y",
    repeats: str | None = None,
    title: str | None = None,
    index: int | None = None,
    pixel_size_nm: float | None = None,
    label: str | None = None,
) -> TiltSeries:
    """Read images at several tilts, from one stack or from one file per tilt.

    Parameters
    ----------
    path : path or sequence of paths
        A stack (mrc, hspy, dm3, dm4, emd, tif), or one file per tilt (bcf, dm3, dm4, ...).
    tilt_angles_deg : array_like, shape (tilt,), optional
        Angles in the order of the images. Without them, what a file states inside comes first: its tilt axis (in deg,
        rad or mrad) or extended header. Then files beside MRC stacks: .rawtlt (.tlt for .ali and .rec) and SerialEM's
        .mdoc. With one file per tilt: its tilt axis, the angle of the stage, unless all files state the same, and last
        the number at the end of each name, unless the names only count the files.
    tilt_axis : {"y", "x"}, default "y"
        Image direction along which the tilt axis lies in the file. With ``"x"`` the two image axes are swapped, so that
        it is y afterwards.
    repeats : {"first", "mean", "keep"}, optional
        What becomes of frames at one and the same angle: the first is taken, they are averaged (float32), or all are
        kept, a millionth of a degree apart. By default the first, with a warning that names the angles.
    title, index : str or int, optional
        Which image to take when a file holds several, such as ``"HAADF"``, or its number among the images; by default
        that of the dark-field detector. Images that share a title are numbered, "O" and "O 2".
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
        If the extension is not known, the file is damaged or holds a volume or colors, angles cannot be found, do not
        fit in number or go beyond 180 degrees, the pixel size is not stored, or files of one series differ in shape or
        pixel size.

    Warns
    -----
    UserWarning
        If frames repeat, if a file beside the stack states other angles than the stack itself, or if a tilt axis
        without units is taken to be in degrees.

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

    def choose(arrays: Sequence[Stored], where: Path) -> Stored:
        return choose_image(arrays, where, title=title, index=index)

    paths = _checked_paths(path)
    arrays = [choose(read(file, lazy=False), file) for file in paths]
    images, _, space, angles = _joined(paths, arrays, image_stack, tilt_angles_deg)
    images = in_memory(images, paths[0])
    if tilt_axis == "x":
        images = np.ascontiguousarray(np.swapaxes(images, 1, 2))
    images, angles = in_order(images, angles, repeats, paths[0].name)
    name = (arrays[0].title or "ADF") if label is None else label
    return TiltSeries(images, angles, pixel_size(space, pixel_size_nm), name)


@checked
def load_image(
    path: str | Path,
    *,
    title: str | None = None,
    index: int | None = None,
    pixel_size_nm: float | None = None,
    label: str | None = None,
) -> TiltSeries:
    """Read one image, as a tilt series of length one at 0 degrees.

    Parameters
    ----------
    path : path
        A file with an image: dm3, dm4, bcf, emd, mrc, hspy, tif.
    title, index, pixel_size_nm, label
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
    return load_tilt_series(
        path, tilt_angles_deg=[0.0], title=title, index=index, pixel_size_nm=pixel_size_nm, label=label
    )


@checked
def load_spectra(
    path: Paths,
    *,
    signal: str,
    detector: str | None = None,
    repeats: str | None = None,
    tilt_angles_deg: ArrayLike | None = None,
    tilt_axis: str = "y",
    title: str | None = None,
    index: int | None = None,
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
        a file holds several. Low loss is what has 0 eV on its energy axis, core loss what has not; ``"EELS"`` is
        either.
    detector : str, optional
        One of several X-ray detectors, such as ``"SuperXG21"``; by default their counts are added up.
    repeats : {"first", "mean", "keep"}, optional
        As in `load_tilt_series`.
    tilt_angles_deg : array_like, shape (tilt,), optional
        As in `load_tilt_series`. A single cube is at the angle of the stage, or at 0 without one.
    tilt_axis : {"y", "x"}, default "y"
        As in `load_tilt_series`.
    title, index : str or int, optional
        Which array to take when several can be `signal`, as in `load_tilt_series`.
    pixel_size_nm : float, optional
        Overrides the file's calibration; needed where the step differs between y and x.
    lazy : bool, optional
        True keeps the counts on disk (Dask), False reads them. By default spectra above 64 MB stay on disk.

    Returns
    -------
    SpectrumTiltSeries
        Counts (tilt, y, x, energy) as recorded, energies in eV from low to high as the file calibrates them. A missing
        y or x axis has length one.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If no array has an energy axis in units of energy, none can be `signal` or several can, the energy axes of the
        files differ, or as in `load_tilt_series`.

    Notes
    -----
    A lazy series reads one tilt at a time as long as you work tilt by tilt; one L2083 cube takes 134 MB. X-rays of a
    Velox file are kept in memory as a list, 6 bytes each, once the first of them has been read.

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

    def choose(arrays: Sequence[Stored], where: Path) -> Stored:
        return choose_spectrum(arrays, where, signal, detector=detector, title=title, index=index)

    paths = _checked_paths(path)
    arrays = [choose(read(file, lazy=lazy), file) for file in paths]
    counts, energy_ev, space, angles = _joined(paths, arrays, spectral_cube, tilt_angles_deg)
    if tilt_axis == "x":
        counts = counts.swapaxes(1, 2)
    counts, angles = in_order(counts, angles, repeats, paths[0].name)
    if lazy is None:
        lazy = counts.nbytes > LAZY_ABOVE_BYTES
    if not lazy:
        counts = in_memory(counts, paths[0])
    return SpectrumTiltSeries(counts, angles, energy_ev, pixel_size(space, pixel_size_nm), signal)


@checked
def load_tomogram(
    path: str | Path,
    *,
    quantity: str | None = None,
    title: str | None = None,
    index: int | None = None,
    voxel_size_nm: float | None = None,
) -> Tomogram:
    """Read a volume (z, y, x) from mrc, vti, hspy, emd or tif.

    Parameters
    ----------
    path : path
        A file with one three-dimensional array.
    quantity : str, optional
        Overrides what the file says it shows.
    title, index : str or int, optional
        As in `load_tilt_series`.
    voxel_size_nm : float, optional
        Overrides the file's calibration.

    Returns
    -------
    Tomogram
        In memory, in the number type of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `load_tilt_series`; also if the voxels are not cubes, or the file holds a tilt series.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "Mn.mrc"
    >>> save(Tomogram(np.ones((2, 3, 4), np.float32), 4.63, "Mn (at%)"), path)
    >>> load_tomogram(path).quantity
    'Mn (at%)'
    """
    file = check_file(path, (".vti", *_VOLUMES))
    if file.suffix.lower() == ".vti":
        values, steps, name = read_vti(file)
        space: Sequence[Axis] = space_axes("zyx", steps, values.shape)
    else:
        stored = choose_image(read(file, lazy=False), file, title=title, index=index)
        _refuse_tilts_beside(file, stored)
        values, space = volume(stored, file)
        values, name = in_memory(values, file), stored.title
    return Tomogram(values, pixel_size(space, voxel_size_nm), name if quantity is None else quantity)


@checked
def from_hyperspy(
    signal: Any,
    *,
    tilt_angles_deg: ArrayLike | None = None,
    repeats: str | None = None,
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
        Angles of the first axis; by default those of an axis in units of angle, or 0 for a single image, cube or line.
    repeats : {"first", "mean", "keep"}, optional
        As in `load_tilt_series`.
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
    if not hasattr(signal, "axes_manager"):
        raise fail(
            "signal", expected="a HyperSpy signal", got=type(signal).__name__, remedy="for arrays, make a TiltSeries"
        )
    axes = []
    for axis in signal.axes_manager._axes:
        uniform = {"scale": axis.scale, "offset": axis.offset} if hasattr(axis, "scale") else {"axis": axis.axis}
        axes.append(make_axis({"name": axis.name, "units": axis.units, "size": axis.size, **uniform}))
    title, kind = str(signal.metadata.General.title), str(signal.metadata.Signal.signal_type)
    # ETSpy keeps the angles as an attribute of its stacks, and in the metadata of a file.
    tilts = getattr(signal, "tilts", signal.metadata.get_item("Tomography.tilts"))
    angles_deg = None if tilts is None else np.ravel(tilts.data).astype(np.float64)
    stored = Stored(signal.data, tuple(axes), title, kind, angles_deg=angles_deg)
    where = Path(title or "signal")
    arrange = image_stack if stored.index("energy") is None else spectral_cube
    values, energy_ev, space = arrange(stored, where)
    angles = resolve_angles(tilt_angles_deg, where, stored, n=values.shape[0])
    values, angles = in_order(values, angles, repeats, where.name)
    step, name = pixel_size(space, pixel_size_nm), title if label is None else label
    if energy_ev is None:
        return TiltSeries(np.asarray(values), angles, step, name)
    return SpectrumTiltSeries(values, angles, energy_ev, step, name)


_VOLUMES = (".mrc", ".rec", ".hspy", ".emd", ".tif", ".tiff")


def _checked_paths(path: Paths) -> list[Path]:
    paths = [check_file(item) for item in ([path] if isinstance(path, str | Path) else path)]
    if not paths:
        raise fail("path", expected="at least one file", got="an empty list", remedy="pass the paths of the files")
    return paths


def _joined(
    paths: list[Path], arrays: list[Stored], arrange: Callable[[Stored, Path], Arranged], given: ArrayLike | None
) -> tuple[Any, Any, list[Axis], NDArray[np.float64]]:
    """Return the data of one file, or of one file per tilt, with energies, image axes and angles."""
    arranged = [arrange(stored, file) for stored, file in zip(arrays, paths, strict=True)]
    data, energy_ev, space = arranged[0]
    if len(paths) == 1:
        return data, energy_ev, space, resolve_angles(given, paths[0], arrays[0], n=data.shape[0])
    check_alike(paths, arranged)
    if any(item.shape[0] > 1 for item, _, _ in arranged) and given is None:
        each = zip(paths, arrays, arranged, strict=True)
        angles = np.concatenate([resolve_angles(None, file, s, n=item.shape[0]) for file, s, (item, _, _) in each])
    else:
        angles = angles_of_files(given, paths, arrays)
    with reading(paths[0]):
        return _concatenate([item for item, _, _ in arranged]), energy_ev, space, angles


def _concatenate(stacks: list[Any]) -> Any:
    import dask.array as da

    if all(isinstance(stack, np.ndarray) for stack in stacks):
        return np.concatenate(stacks)
    return da.concatenate([da.asarray(stack) for stack in stacks], axis=0)


def _refuse_tilts_beside(file: Path, stored: Stored) -> None:
    """Raise ValueError for an MRC stack with one angle per image beside it; a .rec has those it was made from."""
    beside = None if file.suffix.lower() == ".rec" or stored.container == "Tomogram" else angles_beside(file)
    if beside is not None and beside[0].size == stored.data.shape[0]:
        raise fail(
            f"file {file.name}",
            expected="a volume (z, y, x)",
            got=f"a tilt series, by the {beside[0].size} angles in {beside[1]}",
            remedy="load_tilt_series reads tilt series",
        )
