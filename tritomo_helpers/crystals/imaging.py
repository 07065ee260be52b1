"""What an incoherent ADF image of a crystal looks like.

References
----------
Pennycook and Jesson, Ultramicroscopy 37, 14 (1991): images without interference between columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_finite, check_ndim, check_positive, checked, fail
from ..constants import BEAM_ENERGY_KEV
from ..spectroscopy.kinematics import electron_wavelength_nm
from .structures import Crystal, projected_atoms


@checked
def probe_transfer(
    frequency_per_nm: ArrayLike,
    *,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = 21.4,
    source_fwhm_nm: float = 0.06,
    displacement_nm: float = 0.008,
) -> NDArray[np.float64]:
    r"""Return how much of each spatial frequency an aberration-free probe passes on to an incoherent image.

    .. math:: T(q) = \tfrac{2}{\pi}\left(\arccos s - s\sqrt{1 - s^2}\right) e^{-2\pi^2 q^2 \sigma^2}, \quad
              s = \frac{q\lambda}{2\alpha}

    The first factor belongs to the Airy disc of a round aperture. The Gaussian holds the size of the electron source
    and the thermal motion of the atoms, :math:`\sigma^2 = (\mathrm{FWHM}/2.355)^2 + u^2`.

    Parameters
    ----------
    frequency_per_nm : array_like, any shape
        Spatial frequency, 1/nm.
    beam_energy_kev : float, default 300
        Beam energy, keV.
    convergence_angle_mrad : float, default 21.4
        Semi-angle of the probe, mrad.
    source_fwhm_nm : float, default 0.06
        Full width at half maximum of the source as it appears in the specimen, nm; an assumption.
    displacement_nm : float, default 0.008
        Root-mean-square thermal displacement along one axis, nm; an assumption typical of oxides at room temperature.

    Returns
    -------
    ndarray of float64
        1 at zero frequency, 0 from twice the aperture on.

    Raises
    ------
    ValueError
        If an energy or angle is not positive, or a size is negative.

    References
    ----------
    Goodman, Introduction to Fourier Optics: transfer function of a diffraction-limited incoherent system.

    Examples
    --------
    >>> probe_transfer([0.0, 25.0])
    array([1., 0.])
    """
    angle = check_positive(convergence_angle_mrad, "convergence_angle_mrad", remedy="give it in mrad") * 1e-3
    source = check_positive(source_fwhm_nm, "source_fwhm_nm", zero_ok=True)
    motion = check_positive(displacement_nm, "displacement_nm", zero_ok=True)
    q = np.abs(np.asarray(frequency_per_nm, dtype=float))
    s = np.minimum(q * electron_wavelength_nm(beam_energy_kev) / (2 * angle), 1.0)
    aperture = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2))
    variance = (source / (2 * np.sqrt(2 * np.log(2)))) ** 2 + motion**2
    return np.asarray(aperture * np.exp(-2 * np.pi**2 * q**2 * variance))


@checked
def adf_image(
    structure: Crystal,
    *,
    pixel_size_nm: float,
    shape: tuple[int, int] = (256, 256),
    thickness_nm: float = 10.0,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = 21.4,
    source_fwhm_nm: float = 0.06,
    displacement_nm: float = 0.008,
    gamma: float = 1.7,
) -> NDArray[np.float64]:
    r"""Compute an incoherent atomic-column ADF image of a crystal, without noise.

    .. math:: I(\mathbf r) = \frac{t}{\ell}\sum_i Z_i^\gamma\, P(\mathbf r - \mathbf r_i)

    The structure repeats, so the image is a Fourier series of the projected cell and is computed exactly: no atom is
    rounded to a pixel.

    Parameters
    ----------
    structure : Crystal
        Structure and viewing direction.
    pixel_size_nm : float
        Side of a pixel, nm. The paper used 0.0066, 0.0084 and 0.0122.
    shape : (int, int), default (256, 256)
        Pixels along y and x. A corner of the projected cell lies at pixel N // 2.
    thickness_nm : float, default 10
        Length of the columns, nm.
    beam_energy_kev, convergence_angle_mrad, source_fwhm_nm, displacement_nm : float
        As for :func:`probe_transfer`.
    gamma : float, default 1.7
        Exponent of the atomic number for a detector from 39 mrad on; 2 would be pure Rutherford scattering.

    Returns
    -------
    ndarray of float64, shape (y, x)
        Sum of Z^gamma per nm²; y downwards as images are shown.

    Raises
    ------
    ValueError
        If a size is not positive, or a pixel is too large to sample what the aperture passes.

    Examples
    --------
    >>> from tritomo_helpers.crystals import crystal
    >>> image = adf_image(crystal("rock salt"), pixel_size_nm=0.0122, shape=(64, 64))
    >>> image.shape, bool(image.min() >= 0)
    ((64, 64), True)
    """
    pixel = check_positive(pixel_size_nm, "pixel_size_nm", remedy="give it in nm")
    thickness = check_positive(thickness_nm, "thickness_nm", remedy="give it in nm")
    highest = 2e-3 * convergence_angle_mrad / electron_wavelength_nm(beam_energy_kev)
    if pixel > 0.5 / highest:
        raise fail(
            "pixel_size_nm",
            expected=f"at most {0.5 / highest:.4f} nm, half of the finest period that the aperture passes",
            got=pixel,
            remedy="use smaller pixels or a smaller convergence angle",
        )
    xy, weights, cell, repeat = projected_atoms(structure, gamma=gamma)
    n = np.ceil(highest * cell).astype(int)
    h, k = np.arange(-n[0], n[0] + 1), np.arange(-n[1], n[1] + 1)
    phases_x = np.exp(-2j * np.pi * np.outer(h, xy[:, 0] / cell[0]))
    phases_y = np.exp(-2j * np.pi * np.outer(k, xy[:, 1] / cell[1]))
    factors = (phases_y * weights) @ phases_x.T * (thickness / repeat / cell.prod())
    frequency = np.hypot(k[:, None] / cell[1], h[None, :] / cell[0])
    factors *= probe_transfer(
        frequency,
        beam_energy_kev=beam_energy_kev,
        convergence_angle_mrad=convergence_angle_mrad,
        source_fwhm_nm=source_fwhm_nm,
        displacement_nm=displacement_nm,
    )
    rows, columns = shape
    x = (np.arange(columns) - columns // 2) * pixel
    y = -(np.arange(rows) - rows // 2) * pixel
    waves_x = np.exp(2j * np.pi * np.outer(h, x / cell[0]))
    waves_y = np.exp(2j * np.pi * np.outer(y / cell[1], k))
    # Round-off can leave a value a hair below zero between columns.
    return np.asarray(np.maximum((waves_y @ factors @ waves_x).real, 0.0))


@checked
def detect(image: ArrayLike, *, mean_counts: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw electron counts for an image.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Noise-free intensity in any unit, not negative.
    mean_counts : float
        Electrons that reach the detector per pixel, averaged over the image.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (y, x)
        Poisson counts.

    Raises
    ------
    ValueError
        If `mean_counts` is not positive or the image is negative or empty of signal.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = detect(np.ones((100, 100)), mean_counts=20.0, rng=rng)
    >>> round(float(counts.mean()))
    20
    """
    mean = check_positive(mean_counts, "mean_counts", remedy="give electrons per pixel")
    signal = np.asarray(image, dtype=float)
    check_finite(signal, "image")
    if not signal.size:
        raise fail("image", expected="pixels", got="none", remedy="give an image")
    if signal.min() < 0 or not signal.mean() > 0:
        raise fail("image", expected="intensities of zero or above", got=f"minimum {signal.min():g}", remedy="clip it")
    return np.asarray(rng.poisson(signal * (mean / signal.mean())), dtype=float)


@checked
def layer_profile(
    image: ArrayLike, *, pixel_size_nm: float, spacing_nm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average an image along its level layers and read the height of each layer.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Any unit. Image with the layers level and a metal layer through row N // 2, as :func:`adf_image` makes them.
    pixel_size_nm : float
        Side of a pixel, nm.
    spacing_nm : float
        Distance from one cation layer to the next, nm, as from :func:`layer_spacing_nm`.

    Returns
    -------
    profile : ndarray, shape (y,)
        Mean of each row of pixels, top to bottom.
    layers : ndarray, shape (n_layers,)
        Height of the profile above its floor at each cation layer, from bottom to top. The middle layer is a metal
        layer; neighbors alternate, so ``layers[1::2]`` and ``layers[::2]`` are the two kinds.

    Raises
    ------
    ValueError
        If fewer than two layers fit into the image.

    Examples
    --------
    >>> from tritomo_helpers.crystals import crystal, layer_spacing_nm
    >>> structure = crystal("layered")
    >>> image = adf_image(structure, pixel_size_nm=0.0066)
    >>> _, layers = layer_profile(image, pixel_size_nm=0.0066, spacing_nm=layer_spacing_nm(structure))
    >>> low, high = sorted([layers[::2].mean(), layers[1::2].mean()])
    >>> bool(low < 0.05 * high)
    True
    """
    pixel = check_positive(pixel_size_nm, "pixel_size_nm", remedy="give it in nm")
    spacing = check_positive(spacing_nm, "spacing_nm", remedy="give it in nm")
    check_ndim(image, "image", "y, x")
    profile = np.asarray(image, dtype=float).mean(axis=1)
    height = -(np.arange(profile.size) - profile.size // 2) * pixel
    # Half a spacing from either end, so that every layer read is whole.
    lowest, highest = height.min() / spacing + 0.25, height.max() / spacing - 0.25
    numbers = np.arange(np.ceil(lowest), np.floor(highest) + 1)
    if numbers.size < 2:
        raise fail("image", expected="two layers or more", got=f"{numbers.size}", remedy="take a larger field of view")
    heights = np.interp(numbers * spacing, height[::-1], profile[::-1])
    return profile, heights - profile.min()
