r"""Find clusters: a matched filter, which asks of every voxel how much better a cluster there explains the counts.

.. math:: z(\mathbf r) = \frac{s_{\mathbf r}^\top N^{-1} (d - m)}{\sigma(\mathbf r)}

with the images s of a cluster at r, the images m of the constant map, and the standard deviation σ of the numerator
under simulated noise. A map that is shrunken to its least error is no detector, and z is no map: it does not say how
large a contrast is.

References
----------
Turin, IRE Trans. Inf. Theory 6, 311 (1960).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, ndimage

from .._typing import Bools, Floats, Floats32
from .._validation import check_ndim, check_positive, check_shape, checked, fail
from ..tomography.fractions import FractionData, FractionVolumes, Prior
from ..tomography.fractions.data import Operator
from ..tomography.fractions.posterior import Noise, Solver
from ..tomography.fractions.prior import sum_zero_covariance

#: Radii that are tried, nm: below 4 nm a cluster is smaller than a voxel of the published maps.
RADII_NM = (4.0, 5.0, 6.5, 8.0, 10.0, 13.0)
#: Share of the scores of noise that counts as high when the radius is chosen.
_TAIL = 0.002
#: Difference of two numbers of high scores that tells radii apart, in standard deviations of such a number.
_TELLING = 3.0
#: What varies without clusters: the mean, and composition over lengths larger than theirs.
BACKGROUND = Prior(mean_sd=0.01, sd=0.01, length_nm=25.0)


@dataclass(frozen=True, eq=False)
class Detection:
    """Scores of every voxel, and what noise alone would give.

    Parameters
    ----------
    z : ndarray of float32, shape (state, z, y, x)
        Standard deviations above noise; NaN outside the mask.
    null : ndarray of float32, shape (draw, state, voxel of the mask)
        The same from simulated noise.
    radius_nm : float
        Radius of the cluster looked for; `radius_range_nm` says how sure it is.
    excess : mapping of float to float
        By radius: how many scores are higher than almost all of the noise, in standard deviations of that number.
    """

    z: Floats32
    null: Floats32
    radius_nm: float
    excess: Mapping[float, float]

    @property
    def radius_range_nm(self) -> tuple[float, float]:
        """Smallest and largest radius that noise does not tell apart from the one that stands out most."""
        likely = _likely(self.excess)
        return likely[0], likely[-1]

    def threshold(self, false_positive_rate: float) -> float:
        """Score that a share of the particle's voxels exceeds by noise alone.

        Parameters
        ----------
        false_positive_rate : float
            Such as 0.01.

        Returns
        -------
        float
        """
        if not 0 < false_positive_rate < 1:
            raise fail(
                "false_positive_rate", expected="between 0 and 1", got=false_positive_rate, remedy="try 0.01 for 1 %"
            )
        return float(np.quantile(self.null, 1 - false_positive_rate))


@checked
def matched_filter(
    data: FractionData,
    *,
    rng: np.random.Generator,
    radii_nm: Sequence[float] = RADII_NM,
    background: Prior = BACKGROUND,
    n_draws: int = 12,
    solved: FractionVolumes | None = None,
) -> Detection:
    """Score every voxel for a cluster rich in each of the states.

    Parameters
    ----------
    data : FractionData
    rng : numpy.random.Generator
        Simulates noise.
    radii_nm : sequence of float
        Of clusters. Those whose scores stand out most from noise, and all that noise cannot tell apart from them, are
        likely; the middle one of these is taken, without knowing the truth.
    background : Prior
        What varies without clusters, such as the prior that counts set aside have chosen. It is fitted and taken off
        the data, and it is part of the simulated noise. Its `state_sds` also say what a cluster is: where one state is
        rich the others are poor in proportion to their variances.
    n_draws : int, default 12
        Simulations of noise and background.
    solved : FractionVolumes, optional
        What `tomography.fractions.solve` made of these data with the background as prior, with draws: they are then
        the simulations, and nothing is solved again.

    Returns
    -------
    Detection

    Examples
    --------
    Where a small ball of manganese takes the place of oxygen:

    >>> from tritomo_helpers.containers import TiltSeries, Tomogram
    >>> from tritomo_helpers.fusion import element_maps, fraction_data
    >>> from tritomo_helpers.projection import Projector
    >>> z, y, x = np.indices((10, 10, 10)) - 5
    >>> ball, angles = 89.0 * (x**2 + y**2 + z**2 < 12), np.arange(-60.0, 61.0, 30.0)
    >>> adf = TiltSeries(Projector(angles, (10, 10)).forward(ball), angles, 4.63, "ADF")
    >>> more = 0.1 * Projector(angles, (10, 10)).forward(89.0 * ((x - 1) ** 2 + y**2 + z**2 < 2))
    >>> maps = {"O": adf.replace(images=0.2 * adf.images - more), "Mn": adf.replace(images=0.1 * adf.images + more)}
    >>> data = fraction_data(
    ...     element_maps(maps, adf), Tomogram(ball, 4.63), ball > 0, k_factors={"O": 1.0, "Mn": 1.0}, absorption=False
    ... )
    >>> score = matched_filter(data, rng=np.random.default_rng(0), radii_nm=(6.0,), n_draws=4).z[1]
    >>> [int(i) for i in np.unravel_index(np.nanargmax(score), score.shape)]
    [5, 5, 6]
    """
    radii = [check_positive(radius, "radii_nm") for radius in radii_nm]
    operator = Operator(data)
    noise = Noise(operator)
    solver = Solver(operator, noise, background)
    given = background.state_sds
    sds = np.ones(len(data.mean_fractions)) if given is None else np.asarray(given, dtype=np.float64)
    check_shape(sds, "state_sds of the background", data.mean_fractions.shape, remedy="give one per state")
    covariance = sum_zero_covariance(sds)
    # Column e: what happens to all states where state e rises by 1; a state that cannot vary has none.
    spread = np.diag(covariance)
    directions = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)
    if solved is not None and len(solved.residuals) > 1:
        left = list(solved.residuals)
    else:
        departure = operator.from_images(data.images) - operator.constant
        invented = (_invented(solver, rng) for _ in range(n_draws))
        left = [images - operator.forward(solver(images)) for images in (departure, *invented)]
    search = _Search(solver, directions, radii)
    scores, *null_scores = (search(images) for images in left)
    null = np.stack(null_scores)
    # The noise of the scores varies slowly through the particle, a few draws do not.
    power = np.square(null).mean(axis=0)
    width = 10.0 / data.voxel_size_nm
    sigma = np.sqrt(np.maximum([[_within(v, data.mask, width) for v in radius] for radius in power], 1e-30))
    z = scores / sigma
    null = np.asarray(null / sigma, dtype=np.float32)
    excess = {}
    for i, radius in enumerate(radii):
        # Clusters are few: they show in the highest scores, slow variations in all of them.
        high = np.quantile(null[:, i], 1 - _TAIL)
        by_noise = np.mean(null[:, i] > high, axis=(1, 2))
        excess[radius] = float((np.mean(z[i] > high) - by_noise.mean()) / max(by_noise.std(), 1e-12))
    likely = _likely(excess)
    best = radii.index(likely[(len(likely) - 1) // 2])
    volume = np.full((len(sds), *data.mask.shape), np.nan, dtype=np.float32)
    volume[:, data.mask] = z[best]
    return Detection(volume, null[:, best], radii[best], excess)


def _likely(excess: Mapping[float, float]) -> list[float]:
    """Return the radii, in order of size, whose excess is hardly lower than the largest."""
    enough = max(excess.values()) - _TELLING
    return sorted(radius for radius, value in excess.items() if value >= enough)


def _invented(solver: Solver, rng: np.random.Generator) -> Floats32:
    """Images of a specimen without clusters, less the constant map: background, error of the density, counts."""
    return np.asarray(solver.operator.forward(solver.covariance.sample(rng)) + solver.noise.sample(rng))


class _Search:
    """Correlates what is left of images with the images of balls at every voxel."""

    def __init__(self, solver: Solver, directions: Floats, radii: Sequence[float]) -> None:
        self.operator, self.noise = solver.operator, solver.noise
        data = self.operator.data
        self.changes = (self.operator.to_amounts @ directions).T.astype(np.float32)
        self.shape = [fft.next_fast_len(n + 8, real=True) for n in data.mask.shape]
        self.balls = [fft.rfftn(ball_coverage(radius / data.voxel_size_nm, self.shape)) for radius in radii]

    def __call__(self, left: Floats32) -> Floats32:
        """Numerators of the filter at the voxels of the mask, shape (radius, state, voxel)."""
        mask = self.operator.data.mask
        smeared = self.operator.backproject(self.noise.whiten_adjoint(self.noise.whiten(left)))
        volumes = self.operator.to_volumes(np.matmul(self.changes, smeared))
        spectra = fft.rfftn(volumes, s=self.shape, axes=(1, 2, 3))
        inside = (slice(None), *(slice(n) for n in mask.shape))
        scored = (fft.irfftn(spectra * ball, s=self.shape, axes=(1, 2, 3)) for ball in self.balls)
        return np.asarray([volume[inside][:, mask] for volume in scored], dtype=np.float32)


def ball_coverage(radius_px: float, shape: Sequence[int]) -> Floats32:
    """Share of every voxel inside a ball about voxel 0, periodic.

    Examples
    --------
    >>> float(ball_coverage(4.0, (16, 16, 16)).sum().round(-1))  # 4 pi / 3 x 64 = 268
    270.0
    """
    axes = [fft.fftfreq(n, 1 / n) for n in shape]
    offsets = (np.arange(4) - 1.5) / 4
    covered = np.zeros(tuple(shape), dtype=np.float32)
    for dz in offsets:
        for dy in offsets:
            for dx in offsets:
                z, y, x = ((axis + d) ** 2 for axis, d in zip(axes, (dz, dy, dx), strict=True))
                covered += z[:, None, None] + y[:, None] + x < radius_px**2
    return covered / np.float32(64)


def _within(values: Floats, mask: Bools, sigma: float) -> Floats:
    """Gaussian average of values at the voxels of a mask, over the mask."""
    volume = np.zeros(mask.shape)
    volume[mask] = values
    inside = ndimage.gaussian_filter(mask.astype(np.float64), sigma)[mask]
    return np.asarray(ndimage.gaussian_filter(volume, sigma)[mask] / inside)


@checked
def find_clusters(z: ArrayLike, *, threshold: float, radius_nm: float, voxel_size_nm: float) -> tuple[Floats, Floats]:
    """Peaks of a score: voxels above the threshold that no higher one is near to.

    Parameters
    ----------
    z : array_like, shape (z, y, x)
        Scores, dimensionless; NaN outside the specimen.
    threshold : float
    radius_nm : float
        No two peaks are closer than the diameter of a cluster.
    voxel_size_nm : float

    Returns
    -------
    positions_nm : ndarray, shape (n, 3)
        (x, y, z), index N // 2 at 0; highest score first.
    scores : ndarray, shape (n,)

    Examples
    --------
    >>> score = np.zeros((9, 9, 9))
    >>> score[4, 4, 6], score[4, 4, 7] = 5.0, 4.0  # neighbors: one cluster
    >>> find_clusters(score, threshold=3.0, radius_nm=6.5, voxel_size_nm=4.63)[0].round(2)
    array([[9.26, 0.  , 0.  ]])
    """
    check_ndim(z, "z", "z, y, x")
    values = np.nan_to_num(np.asarray(z, dtype=np.float64), nan=-np.inf)
    order = np.argsort(values, axis=None)[::-1]
    order = order[values.ravel()[order] > threshold]
    index = np.stack(np.unravel_index(order, values.shape), axis=1)
    places = ((index - np.array(values.shape) // 2) * voxel_size_nm)[:, ::-1]
    kept: list[int] = []
    for i, place in enumerate(places):
        apart = np.linalg.norm(places[kept] - place, axis=1) if kept else np.array([np.inf])
        if apart.min() > 2 * radius_nm:
            kept.append(i)
    return places[kept].astype(np.float64), values.ravel()[order[kept]]


@dataclass(frozen=True)
class Score:
    """How a list of clusters compares with the true one.

    Parameters
    ----------
    recall : float
        Share of the true clusters that were found; NaN without any.
    precision : float
        Share of the clusters found that are true; NaN without any.
    n_false : int
        Clusters found where there is none.
    """

    recall: float
    precision: float
    n_false: int


@checked
def score_clusters(positions_nm: ArrayLike, true_nm: ArrayLike, *, within_nm: float) -> Score:
    """Match clusters to true ones, each at most once, nearest first.

    Parameters
    ----------
    positions_nm, true_nm : array_like, shape (n, 3)
    within_nm : float
        Largest distance of a match.

    Returns
    -------
    Score

    Examples
    --------
    >>> score_clusters([[0, 0, 0], [50, 0, 0]], [[3, 0, 0], [0, 40, 0]], within_nm=6.5)
    Score(recall=0.5, precision=0.5, n_false=1)
    """
    placed, true = _positions(positions_nm, "positions_nm"), _positions(true_nm, "true_nm")
    apart = np.linalg.norm(placed[:, None] - true[None], axis=2)
    matched = 0
    for _ in range(min(apart.shape)):
        if not apart.min() <= within_nm:
            break
        i, j = np.unravel_index(np.argmin(apart), apart.shape)
        apart[i, :] = apart[:, j] = np.inf
        matched += 1
    recall = matched / len(true) if len(true) else float("nan")
    precision = matched / len(placed) if len(placed) else float("nan")
    return Score(recall, precision, len(placed) - matched)


def _positions(places: ArrayLike, what: str) -> Floats:
    """Return positions (n, 3); an empty list holds none."""
    array = np.asarray(places, dtype=np.float64)
    if array.size:
        check_shape(array, what, (*array.shape[:1], 3), remedy="give (x, y, z) of each cluster")
    return array.reshape(-1, 3)
