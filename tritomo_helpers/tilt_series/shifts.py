"""Sub-pixel shifts and small turns, in Fourier space, of any channel."""

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_broadcast, check_finite, check_option, check_shape, checked, fail
from ..containers import over_elements
from ._series import Series, map_tilts, values_of


@overload
def apply_shifts(x: Series, shifts_px: ArrayLike, *, outside: str = ...) -> Series: ...
@overload
def apply_shifts(x: Mapping[str, Series], shifts_px: ArrayLike, *, outside: str = ...) -> dict[str, Series]: ...
@checked
def apply_shifts(x: Any, shifts_px: ArrayLike, *, outside: str = "wrap") -> Any:
    r"""Move every tilt by its own sub-pixel shift, the same for all channels.

    .. math:: \hat g(k_y, k_x) = \hat f(k_y, k_x)\, e^{-2\pi i (k_y s_y / N_y + k_x s_x / N_x)}

    Parameters
    ----------
    x : TiltSeries, SpectrumTiltSeries or mapping of element to them
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy, memory map or Dask.
    shifts_px : array_like, shape (tilt, 2)
        Shift (y, x) of each tilt, pixels, to be applied: content at index i moves to index i + shift.
    outside : {"wrap", "nan", "zero"}, default "wrap"
        What stands where the frame holds no data after the shift: what left on the other side (the sum is conserved
        and the opposite shift undoes it), NaN (not measured), or zero.

    Returns
    -------
    TiltSeries, SpectrumTiltSeries or dict of them
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
    >>> from tritomo_helpers.containers import TiltSeries
    >>> image = np.zeros((1, 5, 5))
    >>> image[0, 2, 2] = 1
    >>> moved = apply_shifts(TiltSeries(image, [0], 1.0), [[1, -2]]).images[0]
    >>> [int(i) for i in np.argwhere(moved)[0]]
    [3, 0]
    >>> half = apply_shifts(TiltSeries(image, [0], 1.0), [[0.5, 0]])
    >>> round(float(half.images.sum()), 9)
    1.0
    """
    if isinstance(x, Mapping):
        return over_elements(x, lambda series: apply_shifts(series, shifts_px, outside=outside))
    check_option(outside, "outside", ("wrap", "nan", "zero"))
    values = values_of(x)
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


@overload
def apply_rotation(x: Series, angle_deg: float) -> Series: ...
@overload
def apply_rotation(x: Mapping[str, Series], angle_deg: float) -> dict[str, Series]: ...
@checked
def apply_rotation(x: Any, angle_deg: float) -> Any:
    r"""Turn every image by a small angle about index N // 2, in any channel.

    The turn is made of three shears, each a Fourier shift of every row or column by its own amount, so it conserves the
    sum and the opposite turn undoes it:

    .. math:: x \to x - y \tan(\varphi / 2), \quad y \to y + x \sin \varphi, \quad x \to x - y \tan(\varphi / 2)

    Parameters
    ----------
    x : TiltSeries, SpectrumTiltSeries or mapping of element to them
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy, memory map or Dask.
    angle_deg : float
        Positive turns x toward y. Corners wrap around; meant for a few degrees.

    Returns
    -------
    TiltSeries, SpectrumTiltSeries or dict of them
        Same type; see `apply_shifts` for dtype and laziness.

    Raises
    ------
    ValueError
        If the angle is not within 45 degrees or the data hold NaN.

    Examples
    --------
    >>> from tritomo_helpers.containers import TiltSeries
    >>> image = np.zeros((1, 65, 65))
    >>> image[0, 32, 52] = 1  # 20 px from the center along x
    >>> turned = apply_rotation(TiltSeries(image, [0], 1.0), 30.0).images[0]
    >>> [int(i) for i in np.unravel_index(turned.argmax(), turned.shape)]  # 10 px down, 17.3 px right
    [42, 49]
    """
    if isinstance(x, Mapping):
        return over_elements(x, lambda series: apply_rotation(series, angle_deg))
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


def _shift_tilt(tilt: NDArray[Any], shift: NDArray[np.float64], fill: float | None) -> NDArray[Any]:
    if np.all(shift == np.round(shift)):
        shifted = np.roll(tilt, shift.astype(int), axis=(0, 1))
    else:
        check_finite(tilt, "image to shift", remedy="mask or fill NaN first: a Fourier shift would spread it")
        shifted = tilt
        for axis in (0, 1):
            shifted = fourier_shift(shifted, shift[axis], axis=axis)
    if fill is not None:
        shifted = np.array(shifted)
        for axis in (0, 1):
            n = tilt.shape[axis]
            i = np.arange(n) - shift[axis]  # where each pixel came from
            shifted[(slice(None),) * axis + ((i < 0) | (i > n - 1),)] = fill
    return shifted


@checked
def fourier_shift(values: NDArray[Any], shift_px: ArrayLike, *, axis: int) -> NDArray[Any]:
    """Shift real data along one axis by a phase ramp, periodically.

    Parameters
    ----------
    values : ndarray of float
        Any shape, any unit.
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
    if shift.ndim:
        sheared = list(values.shape)
        sheared[axis] = 1
        check_broadcast(shift, "shift_px", sheared, remedy="give one number, or one for each line along the axis")
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
