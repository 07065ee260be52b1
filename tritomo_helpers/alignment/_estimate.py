"""Estimate shifts, the turn of the axis, and which tilts cannot be aligned."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._typing import Floats
from .._validation import check_option, checked, fail
from ..containers import Alignment, TiltSeries
from ..tilt_series import background_level, hot_pixels, neighbor_correlation, otsu_masks
from ..tilt_series.masks import VISIBLE_NEIGHBOR_CORRELATION
from . import _matching, _moments
from ._warp import coordinates, turn, warp

METHODS = ("common-line", "center-of-mass", "cross-correlation", "projection-matching")

# A tilt fails when its residual is this many times the median of the series, and not small in itself. With noise alone
# no tilt exceeds twice the median; a tilt of another specimen or at the wrong angle comes out at 4 to 12 times.
FAIL_RATIO, FAIL_RESIDUAL = 3.5, 0.04
# Moments of higher order disagree no more than the mass does, unless angles and images do not belong together.
ANGLE_RATIO, ANGLE_RESIDUAL = 3.0, 0.02
# Moments of one specimen agree to a percent, or to 7 % with 30 counts per pixel; particles of one make, but different
# ones, to 13 % or worse. Images against reprojections leave more, because a few tilts do not fix a volume.
HOPELESS_MOMENTS, HOPELESS_IMAGES = 0.12, 0.5
CUT_FRACTION = 0.3  # of Otsu's threshold above the dark class: what is brighter at the edge of the frame is cut by it
HOT_RATIO = 2.0  # a single pixel this many times brighter than all others takes the place of the specimen
ROTATION_ERROR_DEG = 0.3  # a turn that is not known better than this is not applied
# A turn looks like an inclined specimen unless the tilts differ much. On a real needle, ranges of 8 to 30 deg gave
# turns off by 0.8 to 2.3 deg with a standard error of 0.2.
ROTATION_RANGE_DEG = 40.0

_SIGN = (
    "sense of tilt: not testable; the series with all angles reversed fits equally well and gives the mirrored specimen"
)
_RESIDUALS = "residuals: moments 0 to 3 per row, relative; the largest is listed"


@dataclass
class _Work:
    """Tilts still in use, in one place while they are being fitted."""

    raw: NDArray[Any]
    images: Floats  # background-free, zero outside the masks
    angles_deg: Floats
    used: NDArray[np.bool_]
    failures: dict[float, str] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)

    def reject(self, i: int, reason: str) -> None:
        self.used[i] = False
        self.failures[float(self.angles_deg[i])] = reason


@dataclass(frozen=True)
class _Fit:
    shifts_px: Floats  # (used tilts, 2)
    rotation_deg: float
    scores: Floats  # (used tilts, measures), relative residuals
    notes: tuple[str, ...] = ()


@checked
def estimate(
    ts: TiltSeries,
    *,
    method: str = "common-line",
    exclude: Sequence[float] = (),
    fit_rotation: bool = True,
) -> Alignment:
    r"""Estimate the alignment of an ADF tilt series.

    Parameters
    ----------
    ts : TiltSeries
        ADF images (tilt, y, x), bright specimen on a dark background, any unit; tilt axis near y. At least three tilts.
    method : {"common-line", "center-of-mass", "cross-correlation", "projection-matching"}
        ``center-of-mass``
            moves the center of mass of each masked image to the center of the frame.
        ``common-line``
            starts there; then makes the mass per row (the common line) equal at all tilts and puts the center of mass
            of every row on the path of a point, :math:`x_0 \cos t + z_0 \sin t`, with one turn of the axis for all.
        ``cross-correlation``
            registers neighboring tilts outward from the smallest, as an extended specimen needs, then refines: row by
            row as above if the frame cuts the specimen along the axis only, by projection matching if across it.
        ``projection-matching``
            follows either with rounds of reconstruct, reproject, shift.
    exclude : sequence of float
        Tilt angles to leave out by choice, degrees.
    fit_rotation : bool, default True
        Estimate the angle between the tilt axis and y too; not from less than 40 degrees of tilt.

    Returns
    -------
    Alignment
        Shifts (y, x) to be applied before the turn, pixels; NaN for tilts that could not be aligned, which are also
        listed in ``failures`` with the reason and in a warning. `apply` asks you what to do with them.

    Raises
    ------
    ValueError
        If a value is not finite; if pixels are hot; if the specimen is dark on bright; if fewer than three tilts are
        usable; if the tilts do not show one specimen.

    Warns
    -----
    UserWarning
        If tilts could not be aligned (named by angle), or an extended specimen changed the method.

    Notes
    -----
    A specimen that the frame cuts has no center of mass: ``center-of-mass`` and ``common-line`` are then replaced by
    ``cross-correlation``, and ``method``, ``extended`` and ``why`` say so. The direction of tilt cannot be tested by
    any alignment: f(x, y, -z) has the same projections at -t as f(x, y, z) has at t.

    Takes well under a second for 15 tilts of 64 x 64 and some 20 s for 77 tilts of 256 x 256; projection matching of a
    series of that size takes minutes. Memory is about five times the images in float64.

    References
    ----------
    Scott et al., Nature 483, 444 (2012), for center of mass and common lines; Ludwig, Commun. Pure Appl. Math. 19, 49
    (1966), for the conditions on moments; Dengler, Ultramicroscopy 30, 337 (1989), for projection matching.

    Examples
    --------
    A ball off the axis, whose images are then displaced:

    >>> y, x = np.mgrid[-24:24, -24:24]
    >>> t = np.deg2rad(np.arange(-60, 61, 20))[:, None, None]
    >>> jump = np.array([[0, 0], [2, -1], [-3, 1], [0, 0], [1, 1], [-1, 2], [0, -2]], dtype=float)
    >>> u = x - 3 * np.cos(t) - jump[:, 1, None, None]
    >>> ball = 2 * np.sqrt(np.clip(100 - u**2 - (y - jump[:, 0, None, None]) ** 2, 0, None))
    >>> found = estimate(TiltSeries(ball, np.rad2deg(t.ravel()), 1.0))
    >>> left = found.shifts_px + jump + [[0, 3]] * np.cos(t[:, 0])  # the ball comes to rest on the axis
    >>> bool(np.abs(left).max() < 0.02)
    True
    """
    check_option(method, "method", METHODS)
    work = _prepare(ts, exclude)
    extended = _extent(work)
    asked = method
    if extended and method in ("common-line", "center-of-mass"):
        method = "cross-correlation"
        work.why.append(
            f"method: {asked} replaced by {method}, because the frame cuts the specimen "
            f"{'along and across' if extended == 'both' else extended} the axis and the "
            "center of mass of a part is not that of the whole"
        )
        warnings.warn(work.why[-1], UserWarning, stacklevel=2)
    else:
        work.why.append(f"method: {method}, as asked")
    most = max(1, work.used.sum() // 3)
    while True:
        fitted = _fit(work, method, extended, fit_rotation)
        worst = _worst(fitted.scores)
        if worst is None:
            break
        index = int(np.flatnonzero(work.used)[worst])
        relative = fitted.scores[worst].max()
        work.reject(
            index, f"disagrees with the other tilts: residual {relative:.2f}, median {np.median(fitted.scores):.3f}"
        )
        if len(work.failures) > most or work.used.sum() < 4:
            raise _not_one_specimen(work)
    medians = np.median(fitted.scores, axis=0)
    typical = float(np.median(fitted.scores.max(axis=1)))
    if typical > (HOPELESS_MOMENTS if medians.size > 1 else HOPELESS_IMAGES):
        raise _not_one_specimen(work, typical)
    if medians[1:].max(initial=0) > max(ANGLE_RATIO * medians[0], ANGLE_RESIDUAL):
        work.why.append(
            f"angles: suspect; the tilts agree in mass to {medians[0]:.1%} but higher moments only to "
            f"{medians[1:].max():.1%}: check the order of the images, the angles and tilt_axis"
        )
        warnings.warn(work.why[-1], UserWarning, stacklevel=2)
    work.why += [*fitted.notes, _SIGN]
    if work.failures:
        listed = "; ".join(f"{angle:g} deg: {reason}" for angle, reason in sorted(work.failures.items()))
        warnings.warn(f"tilts that could not be aligned: {listed}", UserWarning, stacklevel=2)
    shifts, residuals = np.full((ts.n_tilts, 2), np.nan), np.full(ts.n_tilts, np.nan)
    shifts[work.used] = fitted.shifts_px
    residuals[work.used] = fitted.scores.max(axis=1)
    return Alignment(
        shifts,
        ts.tilt_angles_deg,
        axis_rotation_deg=-fitted.rotation_deg + 0.0,
        method=method,
        extended=extended,
        why=tuple(work.why),
        failures=dict(sorted(work.failures.items())),
        residuals=residuals,
        pixel_size_nm=ts.pixel_size_nm,
        image_shape=tuple(ts.images.shape[1:]),
    )


def _prepare(ts: TiltSeries, exclude: Sequence[float]) -> _Work:
    """Check the series, subtract the vacuum, mask, and set aside tilts that show nothing."""
    if not isinstance(ts, TiltSeries):
        raise fail("ts", expected="a TiltSeries", got=type(ts).__name__, remedy="align ADF images", error=TypeError)
    angles = np.asarray(ts.tilt_angles_deg)
    unknown = [float(angle) for angle in exclude if not np.isclose(angles, angle).any()]
    if unknown:
        raise fail("exclude", expected="angles of the series", got=unknown, remedy=f"choose among {angles.tolist()}")
    raw = np.asarray(ts.images)
    images = np.array(raw, dtype=np.float64)
    broken = ~np.isfinite(images).all(axis=(1, 2))
    if broken.any():
        raise fail(
            "images",
            expected="finite values only",
            got="NaN or infinity at " + ", ".join(f"{angle:g} deg" for angle in angles[broken]),
            remedy="fill the pixels or leave these tilts out with tilt_series.select_tilts",
        )
    if np.mean([_is_dark_on_bright(image) for image in images]) > 0.5:
        raise fail(
            "images",
            expected="a bright specimen on a dark background",
            got="a dark specimen on a bright background, as in bright field",
            remedy="invert the contrast first: ts.replace(images=ts.images.max() - ts.images)",
        )
    _check_hot_pixels(images, angles)
    work = _Work(raw, images, angles, np.ones(angles.size, dtype=bool))
    masks = otsu_masks(ts.replace(images=images))
    for i, mask in enumerate(masks):
        if np.isclose(np.asarray(exclude, dtype=np.float64), angles[i]).any():
            work.used[i] = False
        elif not mask.any():
            reason = f"nothing but noise: neighboring pixels correlate by {neighbor_correlation(images[i]):.2f}"
            work.reject(i, reason)
        else:
            images[i] = np.where(mask, images[i] - background_level(images[i], mask)[0], 0)
    if work.used.sum() < 3:
        reasons = "; ".join(f"{angle:g} deg: {reason}" for angle, reason in work.failures.items())
        raise fail(
            "ts",
            expected="at least three tilts that show a specimen",
            got=f"{work.used.sum()} of {angles.size}" + (f" ({reasons})" if reasons else ""),
            remedy="align a longer series, or the ADF images rather than a noisy map",
        )
    left_out = [float(angle) for angle, used in zip(angles, work.used, strict=True) if not used]
    if exclude:
        work.why.append(f"left out by choice: {sorted(set(left_out) - set(work.failures))} deg")
    return work


def _check_hot_pixels(images: Floats, angles: Floats) -> None:
    """Raise ValueError that names hot pixels so bright that a threshold would take them for the specimen."""
    for image, angle in zip(images, angles, strict=True):
        is_hot = hot_pixels(image)
        if is_hot.any() and image.max() > HOT_RATIO * image[~is_hot].max():
            places = [f"({y}, {x})" for y, x in np.argwhere(is_hot).tolist()]
            listed = ", ".join(places[:3]) + (" and others" if len(places) > 3 else "")
            raise fail(
                f"images at {angle:g} deg",
                expected=f"all below {image[~is_hot].max():.4g}, as all but single pixels are",
                got=f"hot pixels at (y, x) = {listed}, up to {image.max():.4g}",
                remedy="clean the series with tilt_series.remove_hot_pixels",
            )


def _is_dark_on_bright(image: Floats) -> bool:
    """Whether what is darker than Otsu's threshold is the smaller part and lies within the frame."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image, 1.5)
    if np.ptp(smooth) == 0:
        return False
    dark = smooth <= threshold_otsu(smooth)
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    seen = neighbor_correlation(image) > VISIBLE_NEIGHBOR_CORRELATION
    return bool(seen and edge.mean() < 0.02 and 0.01 < dark.mean() < 0.5)


def _extent(work: _Work) -> str:
    """Recognize a specimen that the frame cuts; a tilt that alone is cut is set aside."""
    cut = {"along": np.zeros(work.angles_deg.size, dtype=bool), "across": np.zeros(work.angles_deg.size, dtype=bool)}
    for i in np.flatnonzero(work.used):
        cut["along"][i], cut["across"][i] = _is_cut(work.raw[i])
    cut = {name: tilts[work.used] for name, tilts in cut.items()}
    extended = [name for name, tilts in cut.items() if tilts.mean() > 0.5]
    used = np.flatnonzero(work.used)
    for name, tilts in cut.items():
        if not extended:
            for i in used[tilts & work.used[used]]:
                work.reject(int(i), f"the frame cuts the specimen {name} the axis at this tilt only")
    if work.used.sum() < 3:
        raise _not_one_specimen(work)
    if "across" in extended:
        # A threshold inside a specimen that fills the frame would cut out features, differently at each tilt.
        work.images = work.raw.astype(np.float64) - work.raw[work.used].min()
        work.why.append("masks: none, because the specimen fills the frame across the axis")
    else:
        work.why.append(
            "masks: Otsu's region grown to four standard deviations of the vacuum; zero outside, vacuum subtracted"
        )
    return "both" if len(extended) == 2 else "".join(extended)


def _is_cut(image: NDArray[Any]) -> tuple[bool, bool]:
    """Tell whether something bright reaches the edge of the frame (along, across the axis)."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image.astype(np.float64), 1.5)
    high = float(threshold_otsu(smooth))
    dark = float(np.median(smooth[smooth <= high]))
    limit = dark + CUT_FRACTION * (high - dark)
    along = max(smooth[0].max(), smooth[-1].max()) > limit
    return bool(along), bool(max(smooth[:, 0].max(), smooth[:, -1].max()) > limit)


def _fit(work: _Work, method: str, extended: str, fit_rotation: bool) -> _Fit:
    images, angles = work.images[work.used], work.angles_deg[work.used]
    if method == "center-of-mass" or not (extended or method == "cross-correlation"):
        start = -_centers(images)
        if method == "center-of-mass":
            return _by_mass(images, angles, start)
    else:
        start = _matching.chain(images, angles, stretch=extended in ("across", "both"))
    rows = _inside(start[:, 0], images.shape[1]) if extended in ("along", "both") else np.ones(images.shape[1])
    columns = _inside(start[:, 1], images.shape[2]) if extended in ("across", "both") else np.ones(images.shape[2])
    if extended in ("across", "both"):
        note = "turn of the axis: not estimated, because rows are cut by the frame"
        return _by_matching(images, angles, _Fit(start, 0.0, np.zeros((angles.size, 0)), (note,)), rows, columns)
    fitted = _by_moments(images, angles, start, rows, fit_rotation)
    if method == "projection-matching":
        return _by_matching(images, angles, fitted, rows, columns)
    return fitted


def _by_mass(images: Floats, angles: Floats, start: Floats) -> _Fit:
    """Center of mass alone; the residuals still say whether the tilts agree."""
    window = np.ones(images.shape[1])
    checked = _moments.fit(images, angles, start, 0.0, window=window, fit_rotation=False, max_iterations=0)
    return _Fit(start, 0.0, checked.residuals, (_RESIDUALS,))


def _by_moments(images: Floats, angles: Floats, start: Floats, rows: Floats, fit_rotation: bool) -> _Fit:
    notes = [_RESIDUALS]
    if fit_rotation and np.ptp(angles) < ROTATION_RANGE_DEG:
        fit_rotation = False
        notes.append(f"turn of the axis: 0, because {np.ptp(angles):g} deg of tilt do not tell it from an inclination")
    fitted = _moments.fit(images, angles, start, 0.0, window=rows, fit_rotation=fit_rotation)
    if fit_rotation and fitted.rotation_error_deg > ROTATION_ERROR_DEG:
        notes.append(f"turn of the axis: 0, because it is known to {fitted.rotation_error_deg:.2g} deg only")
        fitted = _moments.fit(images, angles, start, 0.0, window=rows, fit_rotation=False)
    elif fit_rotation:
        notes.append(f"turn of the axis: {-fitted.rotation_deg:.3f} +- {fitted.rotation_error_deg:.2g} deg")
    # Of all equivalent alignments, choose the one with the specimen's center of mass on the axis.
    mass, first = _moments.moments(warp(images, fitted.shifts_px, fitted.rotation_deg), 2)
    offset = np.zeros_like(start)
    offset[:, 1] = _moments.specimen_path(angles, (first @ rows) / (mass @ rows))
    if np.all(rows == 1):
        offset[:, 0] = np.mean(mass @ coordinates(rows.size) / mass.sum(axis=1))
    shifts = fitted.shifts_px - turn(offset, -fitted.rotation_deg)
    return _Fit(shifts, fitted.rotation_deg, fitted.residuals, tuple(notes))


def _by_matching(images: Floats, angles: Floats, start: _Fit, rows: Floats, columns: Floats) -> _Fit:
    half_x = images.shape[2] // 2
    if np.all(columns == 1):  # no need to reconstruct vacuum
        seen = np.flatnonzero(warp(images, start.shifts_px, start.rotation_deg).max(axis=(0, 1)) > 0.01 * images.max())
        half_x = min(half_x, int(np.abs(seen - half_x).max(initial=0)) + 4)
    extended = not np.all(columns == 1)
    widest = min(1 / float(np.cos(np.deg2rad(np.abs(angles).max()))), 2.0) if extended else 1.0
    if extended:
        # What lies outside the frame adds a smooth background that no reconstruction of the frame explains.
        images = images - np.stack([ndimage.gaussian_filter(image, min(image.shape) / 8) for image in images])
    matched = _matching.refine(
        images,
        angles,
        start.shifts_px,
        start.rotation_deg,
        window=rows[:, None] * columns,
        half_depth_px=half_x // 2 if extended else half_x,
        half_width_px=int(np.ceil(half_x * widest)),
        positive=not extended,
    )
    note = (
        f"projection matching: {len(matched.steps_px)} rounds, last step {matched.steps_px[-1]:.3f} px; residuals: "
        "image against reprojection, relative"
    )
    return replace(start, shifts_px=matched.shifts_px, scores=matched.residual[:, None], notes=(*start.notes, note))


def _centers(images: Floats) -> Floats:
    """Center of mass (y, x) of each image from index N // 2, shape (tilt, 2)."""
    total = images.sum(axis=(1, 2))
    y, x = coordinates(images.shape[1]), coordinates(images.shape[2])
    return np.stack([images.sum(axis=2) @ y / total, images.sum(axis=1) @ x / total], axis=1)


def _inside(shifts: Floats, n: int) -> Floats:
    """Weight of each index that lies inside every shifted frame, with soft ends and room for a small turn."""
    margin = 4 + n // 50
    first, last = int(np.ceil(shifts.max(initial=0))) + margin, n - 1 + int(np.floor(shifts.min(initial=0))) - margin
    if last - first < n // 8:
        raise fail(
            "ts",
            expected="frames that overlap",
            got=f"an overlap of {max(last - first + 1, 0)} of {n} pixels after rough alignment",
            remedy="leave out the tilts that drifted farthest, or a tilt of another place",
        )
    window = np.zeros(n)
    window[first : last + 1] = 1
    soft = np.hanning(9)
    return np.clip(np.convolve(window, soft / soft.sum(), mode="same"), 0, 1)


def _worst(scores: Floats) -> int | None:
    """Index of the tilt that disagrees most with the others, if any disagrees too much."""
    ratio = scores / np.maximum(np.median(scores, axis=0), 1e-12)
    bad = (ratio > FAIL_RATIO) & (scores > FAIL_RESIDUAL)
    if not bad.any():
        return None
    return int(np.argmax(np.where(bad, ratio, 0).max(axis=1)))


def _not_one_specimen(work: _Work, residual: float | None = None) -> Exception:
    got = f"tilts that disagree by {residual:.0%} of the signal" if residual else "too many tilts that disagree: "
    got += "; ".join(f"{angle:g} deg: {reason}" for angle, reason in work.failures.items())
    return fail(
        "ts",
        expected="tilts of one specimen about one axis near y",
        got=got,
        remedy="check angles, tilt_axis and the order of the images; leave tilts out with exclude=[...]; if the images "
        "are merely noisy, align a stronger signal",
    )
