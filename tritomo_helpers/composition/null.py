"""Particles without any inhomogeneity, counted: what noise alone makes of a homogeneous composition."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .. import constants
from .._typing import Floats
from .._validation import check_increasing, check_positive, fail
from ..containers import TiltSeries, Tomogram
from ..eds import LineModel
from ..projection import Projector
from ..spectroscopy import xray
from ..spectroscopy.detectors import Detectors

#: Bremsstrahlung counts per channel for each oxygen count, and stray copper as a film: both as in the twin.
_BREMSSTRAHLUNG_PER_OXYGEN = 0.002
_STRAY_COPPER_PER_NM2 = 100.0
_ELECTRONS_PER_PIXEL = constants.BEAM_CURRENT_NA * 1e-9 * constants.DWELL_TIME_S / constants.ELEMENTARY_CHARGE_C


def homogeneous_maps(
    density: Tomogram,
    *,
    fractions: Mapping[str, float],
    tilt_angles_deg: ArrayLike,
    rng: np.random.Generator,
    counts: float = 1.0,
    electrons_per_pixel: float = constants.BEAM_CURRENT_NA
    * 1e-9
    * constants.DWELL_TIME_S
    / constants.ELEMENTARY_CHARGE_C,
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
    detectors = Detectors() if detectors is None else detectors
    angles = check_increasing(tilt_angles_deg, "tilt_angles_deg")
    check_positive(counts, "counts")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise fail(
            "fractions",
            expected="atomic fractions that sum to 1",
            got=f"a sum of {sum(fractions.values()):g}",
            remedy="divide them by their sum",
        )
    energy = np.arange(window_ev[0], window_ev[1] + 1, constants.EDS_CHANNEL_EV)
    model = LineModel(energy, tuple(fractions), ("Cu",))
    shapes = model.columns()
    photons = electrons_per_pixel * counts * detectors.solid_angle_sr / (4 * np.pi)
    per_atom = {el: photons * f * _family_cross_section(el, window_ev) for el, f in fractions.items()}
    spectrum = np.sum([per_atom[el] * shapes[el] for el in fractions], axis=0)
    spectrum += _BREMSSTRAHLUNG_PER_OXYGEN * per_atom["O"] * shapes["bremsstrahlung"] if "O" in per_atom else 0.0
    stray = photons * _STRAY_COPPER_PER_NM2 * _family_cross_section("Cu", window_ev) * shapes["Cu"]
    matter = np.asarray(density.values, dtype=np.float32)
    areal = Projector(angles, matter.shape[::2]).forward(matter * np.float32(density.voxel_size_nm))
    shares = np.array([detectors.shadow(float(angle)).mean() for angle in angles])
    _, projector = model.projector(spectrum * areal.mean() * shares.mean() + stray)
    drawn_maps = {el: np.empty(areal.shape, dtype=np.float32) for el in fractions}
    for i, (image, share) in enumerate(zip(areal, shares, strict=True)):
        drawn = rng.poisson(np.maximum(image, 0)[..., None] * (share * spectrum) + stray)
        for values, el in zip(np.moveaxis(drawn @ projector[: len(drawn_maps)].T, -1, 0), fractions, strict=True):
            drawn_maps[el][i] = values
    return {el: TiltSeries(images, angles, density.voxel_size_nm, el) for el, images in drawn_maps.items()}


def _family_cross_section(element: str, window_ev: tuple[float, float]) -> float:
    """Emission of all lines of the shell of the main line, nm² per atom."""
    main = xray.main_line(element, window_ev=window_ev)
    family = [line for line in xray.lines([element]) if line.shell[0] == main.shell[0]]
    return constants.BARN_NM2 * sum(xray.emission_cross_section(line) for line in family)


def shifted_rich_share(fractions: ArrayLike, *, mean: float, threshold: float = 0.167) -> float:
    """Share of voxels above a threshold when the same noise sits on another mean.

    Parameters
    ----------
    fractions : array_like
        Of one element; NaN is left out.
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
    return float(np.mean(values - values.mean() + mean > threshold))
