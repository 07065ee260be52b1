"""What every channel of a tilt series shares: masks, sub-pixel shifts and one normalization factor per tilt.

Masks and shifts come from the ADF images, where the counts are, and are then applied to every EDS map and every EELS
channel. All functions accept numpy arrays, memory maps and Dask arrays inside the containers; Dask stays lazy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._validation import check_finite, check_option, check_positive, check_shape, fail
from .containers import SpectrumTiltSeries, TiltSeries

Series = TypeVar("Series", TiltSeries, SpectrumTiltSeries)

# Neighboring pixels of white noise are uncorrelated (0 +- 1/64 in a 64 x 64 image); in an image of anything they agree.
VISIBLE_NEIGHBOR_CORRELATION = 0.3


def neighbor_correlation(image: ArrayLike) -> float:
    """Tell an image of something from an image of noise.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Any unit.

    Returns
    -------
    float
        Pearson correlation between each pixel and its right and lower neighbors: near 1 for a specimen, near 0 for
        white noise, exactly 0 for a constant image.

    Examples
    --------
    >>> round(neighbor_correlation(np.outer(np.hanning(32), np.hanning(32))), 2) > 0.98
    True
    >>> abs(neighbor_correlation(np.random.default_rng(0).normal(size=(32, 32)))) < 0.1
    True
    """
    values = np.asarray(image, dtype=np.float64)
    values = values - values.mean()
    power = float(np.mean(values**2))
    if power == 0:
        return 0.0
    down = float(np.mean(values[1:] * values[:-1]))
    right = float(np.mean(values[:, 1:] * values[:, :-1]))
    return (down + right) / 2 / power


def background_level(image: ArrayLike, mask: ArrayLike) -> tuple[float, float]:
    """Return level and noise of the vacuum around a specimen.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Any unit.
    mask : array_like of bool, shape (y, x)
        True on the specimen. A rim two pixels wide around it is not used.

    Returns
    -------
    level, noise : float
        Median and standard deviation of the vacuum, values beyond four robust standard deviations left out. The level
        is the minimum and the noise 0 when fewer than eight vacuum pixels remain.

    Examples
    --------
    >>> image = np.full((9, 9), 3.0)
    >>> background_level(image, np.zeros((9, 9), dtype=bool))
    (3.0, 0.0)
    """
    from scipy import ndimage

    image = np.asarray(image, dtype=np.float64)
    vacuum = image[~ndimage.binary_dilation(np.asarray(mask, dtype=bool), iterations=2)]
    if vacuum.size < 8:
        return float(image.min()), 0.0
    level = float(np.median(vacuum))
    spread = 1.4826 * float(np.median(np.abs(vacuum - level))) or float(vacuum.std())
    kept = vacuum[np.abs(vacuum - level) <= 4 * spread]
    return float(kept.mean()), float(kept.std())


def otsu_masks(ts: TiltSeries, *, grow_to_sigma: float | None = 4.0, min_fraction: float = 0.02) -> NDArray[np.bool_]:
    r"""Find the specimen in every image of an ADF tilt series.

    Otsu's threshold maximizes the variance between two classes of gray values,

    .. math:: k^* = \arg\max_k \; w_0(k) w_1(k) [\mu_0(k) - \mu_1(k)]^2 .

    For a projection of a rounded particle it lies near half the greatest thickness and cuts off the thin rim, which is
    the surface. So the mask is grown from Otsu's region into every connected pixel that stands out of the vacuum.

    Parameters
    ----------
    ts : TiltSeries
        Images of shape (tilt, y, x), bright specimen on a dark background, any unit.
    grow_to_sigma : float or None, default 4
        Grow to pixels brighter than the vacuum by this many standard deviations of its noise. None keeps Otsu's own
        region, as in the paper.
    min_fraction : float, default 0.02
        Grown pixels must also exceed the vacuum by this fraction of the mean of Otsu's region, dimensionless, so that
        interpolation ripples of noise-free data do not count as specimen.

    Returns
    -------
    ndarray of bool, shape (tilt, y, x)
        The largest connected region of each tilt with its holes filled. All False where a tilt shows nothing but
        noise (see `neighbor_correlation`).

    Raises
    ------
    ValueError
        If the images hold NaN or infinity.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979).

    Examples
    --------
    >>> y, x = np.mgrid[-16:16, -16:16]
    >>> thickness = 2 * np.sqrt(np.clip(10.0**2 - x**2 - y**2, 0, None))
    >>> ball = TiltSeries(thickness[None], [0], 1.0)
    >>> int((thickness > 0).sum()), int(otsu_masks(ball).sum()), int(otsu_masks(ball, grow_to_sigma=None).sum())
    (305, 305, 285)
    """
    masks = np.zeros(ts.images.shape, dtype=bool)
    for i in range(ts.n_tilts):
        image = np.asarray(ts.images[i], dtype=np.float64)
        check_finite(image, f"image at {ts.tilt_angles_deg[i]:g} deg")
        masks[i] = _otsu_mask(image, grow_to_sigma, min_fraction)
    return masks


def _otsu_mask(image: NDArray[np.float64], grow_to_sigma: float | None, min_fraction: float) -> NDArray[np.bool_]:
    from scipy import ndimage
    from skimage.filters import apply_hysteresis_threshold, threshold_otsu

    if neighbor_correlation(image) < VISIBLE_NEIGHBOR_CORRELATION:
        return np.zeros(image.shape, dtype=bool)
    high = float(threshold_otsu(image))
    region = _largest(image > high)
    if grow_to_sigma is not None:
        level, noise = background_level(image, region)
        for _ in range(2):  # the first vacuum estimate still holds the thin rim
            contrast = float(image[region].mean()) - level
            low = min(level + max(grow_to_sigma * noise, min_fraction * contrast), high)
            region = _largest(apply_hysteresis_threshold(image, low, high))
            level, noise = background_level(image, region)
    return np.asarray(ndimage.binary_fill_holes(region), dtype=bool)


def _largest(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected region."""
    from scipy import ndimage

    labels, n_regions = ndimage.label(region)
    if n_regions < 2:
        return region
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax(), dtype=bool)


def apply_masks(x: Series, masks: ArrayLike) -> Series:
    """Set everything outside the masks to zero, in any channel.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy or Dask.
    masks : array_like of bool, shape (tilt, y, x)
        True on the specimen, usually `otsu_masks` of the ADF series.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type, dtype and laziness. A NaN outside becomes zero too: vacuum is known to hold no atoms.

    Raises
    ------
    ValueError
        If the masks do not have the shape of the images.

    Examples
    --------
    >>> series = TiltSeries(np.ones((1, 2, 2)), [0], 1.0)
    >>> apply_masks(series, [[[True, False], [False, False]]]).images.sum()
    np.float64(1.0)
    """
    masks = np.asarray(masks, dtype=bool)
    check_shape(masks, "masks", _values(x).shape[:3], remedy="compute the masks from the ADF images of the same scan")
    values = _values(x)
    where = masks if values.ndim == 3 else masks[..., None]
    if hasattr(values, "dask"):
        import dask.array as da

        return _with_values(x, da.where(where, values, values.dtype.type(0)))
    return _with_values(x, np.where(where, values, values.dtype.type(0)))


def apply_shifts(x: Series, shifts_px: ArrayLike, *, outside: str = "wrap") -> Series:
    r"""Move every tilt by its own sub-pixel shift, the same for all channels.

    .. math:: \hat g(k_y, k_x) = \hat f(k_y, k_x)\, e^{-2\pi i (k_y s_y / N_y + k_x s_x / N_x)}

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy, memory map or Dask.
    shifts_px : array_like, shape (tilt, 2)
        Shift (y, x) of each tilt, pixels, to be applied: content at index i moves to index i + shift.
    outside : {"wrap", "nan", "zero"}, default "wrap"
        What stands where the frame holds no data after the shift: what left on the other side (the sum is conserved
        and the opposite shift undoes it), NaN (not measured), or zero.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type. Integers become float32. A Dask array stays lazy and a memory map becomes a Dask array, so that
        nothing is loaded; otherwise one tilt at a time is transformed, using four times the memory of that tilt.

    Raises
    ------
    ValueError
        If there is not one finite (y, x) pair per tilt, or the data hold NaN, which a Fourier transform would spread
        over the whole image.

    Notes
    -----
    Whole-pixel shifts are exact. A fraction of a pixel is exact for band-limited images and rings at sharp edges. The
    Nyquist frequency of an even axis, which cannot be shifted by a fraction, keeps its modulus: nothing is lost when
    shifting back.

    Examples
    --------
    >>> image = np.zeros((1, 5, 5))
    >>> image[0, 2, 2] = 1
    >>> moved = apply_shifts(TiltSeries(image, [0], 1.0), [[1, -2]]).images[0]
    >>> [int(i) for i in np.argwhere(moved)[0]]
    [3, 0]
    >>> half = apply_shifts(TiltSeries(image, [0], 1.0), [[0.5, 0]])
    >>> round(float(half.images.sum()), 9)
    1.0
    """
    check_option(outside, "outside", ("wrap", "nan", "zero"))
    values = _values(x)
    shifts = np.asarray(shifts_px, dtype=np.float64)
    check_shape(shifts, "shifts_px", (values.shape[0], 2), remedy="give one (y, x) pair per tilt")
    bad = ~np.isfinite(shifts).all(axis=1)
    if bad.any():
        raise fail(
            "shifts_px",
            expected="finite shifts",
            got="NaN at " + ", ".join(f"{angle:g} deg" for angle in x.tilt_angles_deg[bad]),
            remedy="leave these tilts out of the series first (alignment.apply does so with drop=True)",
        )
    fill = {"wrap": None, "nan": np.nan, "zero": 0.0}[outside]
    return map_tilts(x, lambda tilt, i: _shift_tilt(tilt, shifts[i], fill))


def apply_rotation(x: Series, angle_deg: float) -> Series:
    r"""Turn every image by a small angle about index N // 2, in any channel.

    The turn is made of three shears, each a Fourier shift of every row or column by its own amount, so it conserves the
    sum and the opposite turn undoes it:

    .. math:: x \to x - y \tan(\varphi / 2), \quad y \to y + x \sin \varphi, \quad x \to x - y \tan(\varphi / 2)

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy, memory map or Dask.
    angle_deg : float
        Positive turns x toward y. Corners wrap around; meant for a few degrees.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type; see `apply_shifts` for dtype and laziness.

    Raises
    ------
    ValueError
        If the angle is not within 45 degrees or the data hold NaN.

    Examples
    --------
    >>> image = np.zeros((1, 65, 65))
    >>> image[0, 32, 52] = 1  # 20 px from the center along x
    >>> turned = apply_rotation(TiltSeries(image, [0], 1.0), 30.0).images[0]
    >>> [int(i) for i in np.unravel_index(turned.argmax(), turned.shape)]  # 10 px down, 17.3 px right
    [42, 49]
    """
    if not abs(angle_deg) <= 45:
        raise fail("angle_deg", expected="within 45 deg", got=angle_deg, remedy="transpose the images for larger turns")
    half, sine = np.tan(np.deg2rad(angle_deg) / 2), np.sin(np.deg2rad(angle_deg))

    def turn(tilt: NDArray[Any], _: int) -> NDArray[Any]:
        check_finite(tilt, "image to turn", remedy="mask or fill NaN first: a Fourier shift would spread it")
        extra = (1,) * (tilt.ndim - 2)
        y = (np.arange(tilt.shape[0]) - tilt.shape[0] // 2).reshape(-1, 1, *extra)
        across = (np.arange(tilt.shape[1]) - tilt.shape[1] // 2).reshape(1, -1, *extra)
        sheared = fourier_shift(tilt, -half * y, axis=1)
        sheared = fourier_shift(sheared, sine * across, axis=0)
        return fourier_shift(sheared, -half * y, axis=1)

    return map_tilts(x, turn)


def map_tilts(x: Series, function: Callable[[NDArray[Any], int], NDArray[Any]]) -> Series:
    """Apply a function that keeps the shape to each tilt, lazily for Dask arrays and memory maps.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy).
    function : callable
        Receives one tilt, a floating-point array (y, x) or (y, x, energy), and its index. For Dask input it sees all
        of y and x and one chunk of energies, so it must treat each energy by itself.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        float64 for float64 input, float32 otherwise.

    Examples
    --------
    >>> series = TiltSeries(np.ones((2, 1, 1)), [0, 10], 1.0)
    >>> map_tilts(series, lambda tilt, i: tilt * i).images.ravel()
    array([0., 1.])
    """
    values: Any = _values(x)
    dtype = np.dtype(np.float64 if values.dtype == np.float64 else np.float32)
    if isinstance(values, np.memmap) or isinstance(getattr(values, "base", None), np.memmap):
        import dask.array as da

        values = da.from_array(values, chunks=(1, *values.shape[1:3], *(["auto"] * (values.ndim - 3))))
    if hasattr(values, "dask"):
        values = values.rechunk({0: 1, 1: -1, 2: -1})

        def on_block(block: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
            i = block_info[0]["array-location"][0][0]
            return np.asarray(function(np.asarray(block[0], dtype=dtype), i), dtype=dtype)[None]

        return _with_values(x, values.map_blocks(on_block, dtype=dtype, meta=np.empty((0,) * values.ndim, dtype)))
    result = np.empty(values.shape, dtype=dtype)
    for i in range(values.shape[0]):
        result[i] = function(np.asarray(values[i], dtype=dtype), i)
    return _with_values(x, result)


def _shift_tilt(tilt: NDArray[Any], shift: NDArray[np.float64], fill: float | None) -> NDArray[Any]:
    if np.all(shift == np.round(shift)):
        moved = np.roll(tilt, shift.astype(int), axis=(0, 1))
    else:
        check_finite(tilt, "image to shift", remedy="mask or fill NaN first: a Fourier shift would spread it")
        moved = tilt
        for axis in (0, 1):
            moved = fourier_shift(moved, shift[axis], axis=axis)
    if fill is not None:
        moved = np.array(moved)
        for axis in (0, 1):
            n = tilt.shape[axis]
            i = np.arange(n) - shift[axis]  # where each pixel came from
            moved[(slice(None),) * axis + ((i < 0) | (i > n - 1),)] = fill
    return moved


def fourier_shift(values: NDArray[Any], shift_px: ArrayLike, *, axis: int) -> NDArray[Any]:
    """Shift real data along one axis by a phase ramp, periodically.

    Parameters
    ----------
    values : ndarray of float
        Any shape.
    shift_px : array_like
        Shift in pixels: a number, or an array that broadcasts against `values` and has length 1 along `axis` (a shear).
    axis : int
        Axis to shift along.

    Returns
    -------
    ndarray
        Same shape and dtype. The sum along `axis` is conserved, and the opposite shift restores the input.

    Examples
    --------
    >>> fourier_shift(np.array([0.0, 1.0, 0.0, 0.0]), 1, axis=0).round(12) + 0
    array([0., 0., 1., 0.])
    """
    from scipy import fft

    n = values.shape[axis]
    shift = np.asarray(shift_px, dtype=np.float64)
    along = [1] * values.ndim
    along[axis] = -1
    frequency = fft.rfftfreq(n).reshape(along)
    phase = np.exp(-2j * np.pi * frequency * shift)
    if n % 2 == 0:
        # A real signal needs a real factor at the Nyquist frequency. cos(pi s) would lose part of it for good; +-1 is
        # exact for whole pixels and undone by the opposite shift.
        nyquist = np.where(frequency == 0.5, 1.0, 0.0)
        phase = phase * (1 - nyquist) + nyquist * (1 - 2 * (np.abs(np.round(shift)) % 2))
    spectrum = fft.rfft(values, axis=axis)
    spectrum = spectrum * phase.astype(spectrum.dtype)
    return np.asarray(fft.irfft(spectrum, n=n, axis=axis), dtype=values.dtype)


def normalization_factors(maps: TiltSeries | Sequence[TiltSeries] | Mapping[str, TiltSeries]) -> NDArray[np.float64]:
    r"""Estimate one factor per tilt that makes the total intensity constant.

    Parallel projections of a whole specimen hold the same number of atoms at every tilt. X-ray shadowing, absorption
    and lost electrons break that, and with it the tomographic sum rule. As in the paper,

    .. math:: f_t = \frac{1}{n} \sum_e \frac{\langle S_e \rangle}{S_{e,t}}, \qquad S_{e,t} = \sum_{y,x} I_e(t, y, x),

    averaged over the n elements so that the noise of one does not distort the others.

    Parameters
    ----------
    maps : TiltSeries, sequence or mapping of them
        One masked map series per element, images (tilt, y, x), counts. NaN pixels are left out of the sums.

    Returns
    -------
    ndarray of float64, shape (tilt,)
        Dimensionless factors to multiply each tilt with. Their product with the sums of a single series is constant.

    Raises
    ------
    ValueError
        If the series disagree in their angles, or a total is not positive (named by element and angle).

    Notes
    -----
    Valid only if the whole specimen is inside the frame at every tilt; for a needle or a lamella the totals differ by
    geometry.

    References
    ----------
    Supplementary Fig. 11 of the paper this book follows.

    Examples
    --------
    >>> series = TiltSeries(np.array([1.0, 2.0, 4.0])[:, None, None] * np.ones((3, 2, 2)), [-10, 0, 10], 1.0)
    >>> (normalization_factors(series) * [1, 2, 4]).round(12)
    array([2.33333333, 2.33333333, 2.33333333])
    """
    if isinstance(maps, TiltSeries):
        maps = [maps]
    named = (
        list(maps.items()) if isinstance(maps, Mapping) else [(m.label or f"map {i}", m) for i, m in enumerate(maps)]
    )
    if not named:
        raise fail("maps", expected="at least one series", got="none", remedy="give one TiltSeries per element")
    angles = named[0][1].tilt_angles_deg
    factors = np.zeros(angles.size)
    for name, series in named:
        if not np.array_equal(series.tilt_angles_deg, angles):
            raise fail(
                f"tilt_angles_deg of {name}",
                expected=f"the angles of {named[0][0]}",
                got=f"{series.tilt_angles_deg}",
                remedy="use maps of one scan and drop the same tilts from all",
            )
        totals = np.array([np.nansum(np.asarray(image, dtype=np.float64)) for image in series.images])
        if np.any(totals <= 0):
            raise fail(
                f"total of {name}",
                expected="a positive sum at every tilt",
                got=", ".join(f"{t:g} at {a:g} deg" for t, a in zip(totals, angles, strict=True) if t <= 0),
                remedy="leave these tilts or this element out",
            )
        factors += totals.mean() / totals
    return factors / len(named)


def normalize_tilts(x: Series, factors: ArrayLike) -> Series:
    """Multiply each tilt with its factor, in any channel.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy or Dask.
    factors : array_like, shape (tilt,)
        Positive and dimensionless, see `normalization_factors`.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type; Dask stays lazy.

    Raises
    ------
    ValueError
        If there is not one finite positive factor per tilt.

    Examples
    --------
    >>> normalize_tilts(TiltSeries(np.ones((2, 1, 1)), [0, 10], 1.0), [1, 2]).images.ravel()
    array([1., 2.])
    """
    values = np.asarray(factors, dtype=np.float64)
    check_shape(values, "factors", (x.n_tilts,), remedy="give one factor per tilt")
    for value in values:
        check_positive(value, "factors", remedy="leave out tilts without signal instead of scaling them")
    return map_tilts(x, lambda tilt, i: tilt * tilt.dtype.type(values[i]))


def select_tilts(x: Series, keep: ArrayLike) -> Series:
    """Return the series with some tilts only.

    Parameters
    ----------
    x : TiltSeries or SpectrumTiltSeries
        numpy or Dask.
    keep : array_like of bool, shape (tilt,)
        True for the tilts to keep.

    Returns
    -------
    TiltSeries or SpectrumTiltSeries
        Same type with fewer tilts.

    Raises
    ------
    ValueError
        If there is not one value per tilt, or nothing is kept.

    Examples
    --------
    >>> select_tilts(TiltSeries(np.zeros((3, 2, 2)), [-10, 0, 10], 1.0), [True, False, True]).tilt_angles_deg
    array([-10.,  10.])
    """
    kept = np.asarray(keep, dtype=bool)
    check_shape(kept, "keep", (x.n_tilts,), remedy="give one True or False per tilt")
    if not kept.any():
        raise fail("keep", expected="at least one tilt", got="none", remedy="keep a tilt")
    changes: dict[str, Any] = {"tilt_angles_deg": x.tilt_angles_deg[kept]}
    changes["images" if isinstance(x, TiltSeries) else "counts"] = _values(x)[np.flatnonzero(kept)]
    return x.replace(**changes)


def _values(x: object) -> Any:
    if isinstance(x, TiltSeries):
        return x.images
    if isinstance(x, SpectrumTiltSeries):
        return x.counts
    raise fail(
        "series",
        expected="a TiltSeries or a SpectrumTiltSeries",
        got=type(x).__name__,
        remedy="put the array into a container with its angles",
        error=TypeError,
    )


def _with_values(x: Series, values: Any) -> Series:
    return x.replace(images=values) if isinstance(x, TiltSeries) else x.replace(counts=values)
