"""Particles of known composition, counted: what noise makes of them, above all of a homogeneous one.

References
----------
The paper's Methods (dose, and the threshold of 16.7 at%); everything else is derived here.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import constants
from .._typing import Floats
from .._validation import check_increasing, check_positive, checked, fail
from ..containers import TiltSeries, Tomogram
from ..eds import LineMaps, LineModel
from ..eds.model import family_cross_section
from ..projection import Projector
from ..spectroscopy.detectors import Detectors

#: Bremsstrahlung counts per channel for each oxygen count, and stray copper as a film: both as in the twin.
_BREMSSTRAHLUNG_PER_OXYGEN = 0.002
_STRAY_COPPER_PER_NM2 = 100.0
_ELECTRONS_PER_PIXEL = constants.BEAM_CURRENT_NA * 1e-9 * constants.DWELL_TIME_S / constants.ELEMENTARY_CHARGE_C


@checked
def homogeneous_maps(
    density: Tomogram,
    *,
    fractions: Mapping[str, float],
    tilt_angles_deg: ArrayLike,
    rng: np.random.Generator,
    counts: float = 1.0,
    electrons_per_pixel: float = _ELECTRONS_PER_PIXEL,
    detectors: Detectors | None = None,
    window_ev: tuple[float, float] = (350.0, 1200.0),
) -> dict[str, TiltSeries]:
    r"""Count a particle of one composition everywhere, and fit its lines.

    .. math:: \lambda_c = N_e \frac{\Omega}{4\pi} \bar S_t \sum_e f_e\, σ_e\, M_t[ρ]\, A_{ec} + b_c, \qquad
              n_c \sim \mathrm{Poisson}(\lambda_c), \qquad x = P n

    Spectra of every pixel are drawn channel by channel and fitted by the matrix of `eds.fit_lines`; absorption is left
    out, shadows are in.

    Parameters
    ----------
    density : Tomogram
        Visible atoms per nm³.
    fractions : mapping of str to float
        Atomic fractions that sum to 1.
    tilt_angles_deg : array_like, shape (tilt,)
        Strictly increasing.
    rng : numpy.random.Generator
        Counting noise.
    counts : float, default 1
        Multiplies the counts: 2 stands for twice the dose or solid angle.
    electrons_per_pixel : float
        The paper's dose by default.
    detectors : Detectors, optional
        A Super-X by default.
    window_ev : (float, float), default (350, 1200)
        Energies to fit.

    Returns
    -------
    dict of str to TiltSeries
        Signed counts.

    Raises
    ------
    ValueError
        If the fractions do not sum to 1, or an element has no line in the window.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> ball = phantoms.balls([[0, 0, 0]], [60], shape=16)
    >>> maps = homogeneous_maps(
    ...     ball.tomogram(), fractions={"O": 2 / 3, "Mn": 1 / 3}, tilt_angles_deg=[0], rng=np.random.default_rng(0)
    ... )
    >>> bool(maps["O"].images.max() > maps["Mn"].images.max() / 3)
    True
    """
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise fail(
            "fractions",
            expected="atomic fractions that sum to 1",
            got=f"a sum of {sum(fractions.values()):g}",
            remedy="divide them by their sum",
        )
    counted = counted_lines(
        density,
        fractions=fractions,
        tilt_angles_deg=tilt_angles_deg,
        rng=rng,
        counts=counts,
        electrons_per_pixel=electrons_per_pixel,
        detectors=detectors,
        window_ev=window_ev,
    )
    return dict(counted.intensities)


@checked
def counted_lines(
    density: Tomogram,
    *,
    fractions: Mapping[str, float] | Mapping[str, ArrayLike],
    tilt_angles_deg: ArrayLike,
    rng: np.random.Generator,
    counts: float = 1.0,
    electrons_per_pixel: float = _ELECTRONS_PER_PIXEL,
    detectors: Detectors | None = None,
    window_ev: tuple[float, float] = (350.0, 1200.0),
) -> LineMaps:
    """Count a particle of any composition, and fit its lines, as `homogeneous_maps` does for one.

    Parameters
    ----------
    density : Tomogram
        Visible atoms per nm³.
    fractions : mapping of str to float or array_like of shape (z, y, x)
        Atomic fraction of each element; finite wherever there is density.
    tilt_angles_deg, rng, counts, electrons_per_pixel, detectors, window_ev
        As for `homogeneous_maps`.

    Returns
    -------
    LineMaps
        With the covariance that the expected counts have.

    Raises
    ------
    ValueError
        If a fraction is not finite where there is density, or has another shape.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> ball = phantoms.balls([[0, 0, 0]], [60], shape=16).tomogram()
    >>> manganese = np.where(np.arange(16) < 8, 0.4, 0.2) * np.ones((16, 16, 16))  # rich on the left
    >>> lines = counted_lines(
    ...     ball, fractions={"O": 1 - manganese, "Mn": manganese}, tilt_angles_deg=[0], rng=np.random.default_rng(0)
    ... )
    >>> left, right = (lines.intensities["Mn"].images[0][:, half].sum() for half in (slice(8), slice(8, None)))
    >>> bool(left > 1.1 * right)  # although only 38 % of the matter lies there: the middle is a voxel
    True
    """
    detectors = Detectors() if detectors is None else detectors
    angles = check_increasing(tilt_angles_deg, "tilt_angles_deg")
    check_positive(counts, "counts")
    energy = np.arange(window_ev[0], window_ev[1] + 1, constants.EDS_CHANNEL_EV)
    model = LineModel(energy, tuple(fractions), ("Cu",))
    columns = model.columns()
    photons = electrons_per_pixel * counts * detectors.solid_angle_sr / (4 * np.pi)
    sigma_nm2 = {el: constants.BARN_NM2 * family_cross_section(el, window_ev=window_ev) for el in (*fractions, "Cu")}
    per_atom = {el: photons * sigma_nm2[el] for el in fractions}
    shapes = np.stack([per_atom[el] * columns[el] for el in fractions])
    if "O" in per_atom:
        shapes[list(fractions).index("O")] += _BREMSSTRAHLUNG_PER_OXYGEN * per_atom["O"] * columns["bremsstrahlung"]
    stray = photons * _STRAY_COPPER_PER_NM2 * sigma_nm2["Cu"] * columns["Cu"]
    areal = _areal(density, fractions, angles)
    shares = np.array([detectors.shadow(float(angle)).mean() for angle in angles])
    typical = areal.mean(axis=(1, 2, 3)) @ shapes
    _, projector = model.projector(typical * shares.mean() + stray)
    weights = projector[: len(shapes)]
    squared = np.einsum("ac,bc->cab", weights, weights).reshape(energy.size, -1)
    fitted = np.empty(areal.shape, dtype=np.float32)
    covariance = np.empty((*areal.shape[1:], len(shapes), len(shapes)), dtype=np.float32)
    summed = np.zeros(energy.size)
    for i, share in enumerate(shares):
        expected = np.moveaxis(np.maximum(areal[:, i], 0), 0, -1) @ (share * shapes) + stray
        drawn = rng.poisson(expected)
        summed += drawn.sum(axis=(0, 1))
        fitted[:, i] = np.moveaxis(drawn @ weights.T, -1, 0)
        covariance[i] = (expected @ squared).reshape(covariance.shape[1:])
    errors = np.sqrt(np.moveaxis(np.diagonal(covariance, axis1=-2, axis2=-1), -1, 0))

    def series(images: NDArray[np.float32]) -> dict[str, TiltSeries]:
        size = density.voxel_size_nm
        return {el: TiltSeries(i, angles, size, el) for el, i in zip(fractions, images, strict=True)}

    names = tuple(fractions)
    return LineMaps(names, series(fitted), series(errors), covariance, {}, weights, model, summed, summed)


def _areal(
    density: Tomogram, fractions: Mapping[str, float] | Mapping[str, ArrayLike], angles_deg: Floats
) -> NDArray[np.float64]:
    """Return atoms per nm² of every element, shape (element, tilt, y, x)."""
    matter = np.asarray(density.values, dtype=np.float32) * np.float32(density.voxel_size_nm)
    project = Projector(angles_deg, matter.shape[::2]).forward
    if all(np.ndim(f) == 0 for f in fractions.values()):
        everything = np.asarray(project(matter), dtype=np.float64)
        return np.stack([float(np.asarray(f)) * everything for f in fractions.values()])
    images = []
    for element, fraction in fractions.items():
        volume = np.broadcast_to(np.asarray(fraction, dtype=np.float32), matter.shape)
        if not np.isfinite(volume[matter > 0]).all():
            raise fail(
                f"fractions of {element}",
                expected="finite values wherever there is density",
                got="NaN",
                remedy="fill the soft rim, for instance with the mean",
            )
        images.append(project(np.where(matter > 0, matter * volume, 0).astype(np.float32)))
    return np.asarray(images, dtype=np.float64)


@checked
def shifted_rich_share(fractions: ArrayLike, *, mean: float, threshold: float = constants.METAL_RICH_FRACTION) -> float:
    """Share of voxels above a threshold when the same noise sits on another mean.

    Parameters
    ----------
    fractions : array_like, any shape
        Atomic fraction of one element; NaN is left out.
    mean : float
        Mean to move them to.
    threshold : float, default 0.167
        What counts as rich.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> shifted_rich_share([0.10, 0.14, np.nan], mean=0.15)
    0.5
    """
    values: Floats = np.asarray(fractions, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        raise fail(
            "fractions", expected="a finite value or more", got="none", remedy="give a map that holds a particle"
        )
    return float(np.mean(values - values.mean() + mean > threshold))
