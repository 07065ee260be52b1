"""Fractions given the images: conjugate gradients among the data, and standard errors by simulating and solving."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ..._typing import Floats32
from ..._validation import checked, fail
from .data import FractionData, Operator
from .prior import Prior, PriorCovariance, WeightedPrior, drawn_in_turn

_MAX_STEPS = 200
#: Of a draw's solution, which only tells how large errors are.
_TOLERANCE_OF_DRAWS = 5e-3


@dataclass(frozen=True, eq=False)
class FractionVolumes:
    """Reconstructed fractions.

    Parameters
    ----------
    fractions : ndarray of float32, shape (state, z, y, x)
        Posterior mean; they sum to 1. NaN outside the mask.
    standard_errors : ndarray of float32, shape (state, z, y, x)
        Posterior standard deviation under the prior; NaN outside the mask, or everywhere without draws.
    error_draws : ndarray of float32, shape (draw, state, voxel of the mask)
        Draws of the error, for the standard error of any average: the standard deviation over draws of its average.
    prior : Prior
    chi2_per_pixel : float
        Mean squared residual over the noise, of the images of the fit.
    n_steps : int
        Conjugate-gradient steps taken.
    residuals : ndarray of float32, shape (1 + draw, tilt, x, channel, y)
        What the solution leaves of the images, then the same of every draw: for a search in what is left.
    """

    fractions: Floats32
    standard_errors: Floats32
    error_draws: Floats32
    prior: Prior
    chi2_per_pixel: float
    n_steps: int
    residuals: Floats32


class Noise:
    """Whitening of images (tilt, x, channel, y): the noise of every pixel becomes uncorrelated with variance 1.

    An error of the projected density is common to the channels of a pixel and proportional to the constant map's
    images; pixels where the specimen does not project become 0.

    Parameters
    ----------
    operator : Operator
    scale : float, default 1
        Factor on the covariance of the counts, not on the density's error.
    density_error : float, optional
        Instead of the one of the data.
    """

    def __init__(self, operator: Operator, *, scale: float = 1.0, density_error: float | None = None) -> None:
        data = operator.data
        of_pixels = data.density_error if data.density_error_length_nm is None else 0.0
        relative = of_pixels if density_error is None else density_error
        covariance = data.covariance[:, :, :, operator.box[1]].transpose(2, 4, 3, 0, 1)  # (tilt, x, y, c, c)
        at_pixels = scale * covariance[operator.seen].astype(np.float64)
        expected = relative * operator.constant.transpose(0, 1, 3, 2)[operator.seen].astype(np.float64)
        at_pixels += expected[:, :, None] * expected[:, None, :]
        try:
            root = np.linalg.cholesky(at_pixels)
        except np.linalg.LinAlgError as error:
            lowest = np.linalg.eigvalsh(at_pixels).min()
            raise fail(
                "covariance",
                expected="a positive definite matrix at every pixel where the specimen projects",
                got=f"a lowest eigenvalue of {lowest:.3g}",
                remedy="smooth the counts that it is made from, or add a floor",
            ) from error
        n_channels = root.shape[-1]
        shape = (n_channels, n_channels, *operator.seen.shape)
        self.root, self.inverse = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.root[:, :, operator.seen] = root.transpose(1, 2, 0)
        self.inverse[:, :, operator.seen] = np.linalg.inv(root).transpose(1, 2, 0)
        self.n_values = n_channels * int(operator.seen.sum())

    def whiten(self, images: Floats32) -> Floats32:
        """Multiply by the inverse root of the covariance."""
        return _at_pixels(self.inverse, images)

    def whiten_adjoint(self, images: Floats32) -> Floats32:
        """Multiply by its transpose."""
        return _at_pixels(self.inverse.swapaxes(0, 1), images)

    def sample(self, rng: np.random.Generator) -> Floats32:
        """Draw noise (tilt, x, channel, y)."""
        _, n_channels, n_tilts, n_x, n_y = self.root.shape
        return _at_pixels(self.root, rng.standard_normal((n_tilts, n_x, n_channels, n_y), dtype=np.float32))


def _at_pixels(matrices: Floats32, images: Floats32) -> Floats32:
    """Multiply the channels of every pixel by a matrix of its own."""
    product = np.zeros_like(images)
    for c, row in enumerate(matrices):
        for d, factor in enumerate(row):
            product[:, :, c] += factor * images[:, :, d]
    return product


class Solver:
    r"""Posterior mean for images of one kind of noise.

    .. math:: \hat c = C A^\top L^{-\top} \big(1 + L^{-1} A C A^\top L^{-\top}\big)^{-1} L^{-1} (d - m)

    with the noise covariance L L', the operator A, the prior covariance C and the constant map's images m.
    """

    def __init__(self, operator: Operator, noise: Noise, prior: Prior, *, tolerance: float = 1e-3) -> None:
        self.operator, self.noise, self.tolerance = operator, noise, tolerance
        self.covariance = PriorCovariance(prior, operator)
        self.n_steps = 0

    def __call__(self, departure: Floats32) -> Floats32:
        """Coordinates (z, x, mode, y) of the departure of images (tilt, x, channel, y) from the constant map."""
        return self.modes(self.dual(departure))

    def dual(self, departure: Floats32, *, start: Floats32 | None = None) -> Floats32:
        """Solve among the whitened data, from zero or from the solution for similar settings."""
        target = self.noise.whiten(departure)
        solution = np.zeros_like(target) if start is None else start.copy()
        residual = target - solution - self._whitened_signal(solution) if start is not None else target.copy()
        direction, power = residual.copy(), _dot(residual, residual)
        stop = self.tolerance**2 * _dot(target, target)
        self.n_steps = 0
        while power > stop and self.n_steps < _MAX_STEPS:
            image = direction + self._whitened_signal(direction)
            step = power / _dot(direction, image)
            solution += np.float32(step) * direction
            residual -= np.float32(step) * image
            previous, power = power, _dot(residual, residual)
            direction = residual + np.float32(power / previous) * direction
            self.n_steps += 1
        return solution

    def modes(self, whitened: Floats32) -> Floats32:
        """Coordinates (z, x, mode, y) that a solution among the data stands for."""
        return self.covariance.apply(self.operator.adjoint(self.noise.whiten_adjoint(whitened)))

    def _whitened_signal(self, whitened: Floats32) -> Floats32:
        return self.noise.whiten(self.operator.forward(self.modes(whitened)))


def null_images(operator: Operator, noise: Noise, rng: np.random.Generator) -> Floats32:
    """Draw what a specimen of one composition shows besides the constant map: noise, and its density's error."""
    images = noise.sample(rng)
    if operator.data.density_error_length_nm is None:
        return images  # the noise of the pixels holds it
    return np.asarray(images + operator.forward(PriorCovariance(Prior(mean_sd=1e-9), operator).sample(rng)))


def _dot(a: Floats32, b: Floats32) -> float:
    return float(np.dot(a.ravel(), b.ravel()))


@checked
def solve(
    data: FractionData,
    prior: Prior,
    *,
    n_draws: int = 0,
    rng: np.random.Generator | None = None,
    truth_prior: Prior | Sequence[WeightedPrior] | None = None,
) -> FractionVolumes:
    """Reconstruct fractions with given settings.

    Parameters
    ----------
    data : FractionData
    prior : Prior
    n_draws : int, default 0
        Draws for the standard errors; each costs one more solution.
    rng : numpy.random.Generator, optional
        Needed for draws.
    truth_prior : Prior, or sequence of (Prior, float), optional
        Of the specimens that are invented for the standard errors, or several with weights, if the errors shall allow
        for more than `prior` does, see `weigh_lengths`. They then hold the bias of settings that are not the
        specimen's.

    Returns
    -------
    FractionVolumes

    Raises
    ------
    ValueError
        If draws are asked for without `rng`, or the covariance is not positive definite.

    Notes
    -----
    A draw invents fractions from the prior and noise from the covariance, and solves: estimate and error of the draw
    are independent, and prior variance = variance of the estimate + variance of the error. So the posterior variance
    is estimated twice, from the errors and from the estimates; the two are averaged by their precision, and their
    ratio to the prior variance over half the prior's length in space.

    Examples
    --------
    >>> import numpy as np
    >>> density = np.zeros((8, 8, 8), np.float32)
    >>> density[2:6, 2:6, 2:6] = 1.0
    >>> unit = 1e-4 * np.eye(2)[:, :, None, None, None] * np.ones((1, 8, 8))
    >>> data = FractionData(
    ...     np.zeros((2, 1, 8, 8)), unit, np.zeros(1), density, density > 0, np.array([0.5, 0.5]), np.ones((2, 1))
    ... )
    >>> images = data.expected(np.array([0.48, 0.52])[:, None, None, None] * np.ones((1, 8, 8, 8)))
    >>> solve(data.replace(images=images), Prior()).fractions[:, 4, 4, 4].round(2).tolist()
    [0.48, 0.52]
    """
    if n_draws and rng is None:
        raise fail("rng", expected="a Generator for the draws", got=None, remedy="give numpy.random.default_rng(seed)")
    operator = Operator(data)
    noise = Noise(operator)
    solver = Solver(operator, noise, prior)
    departure = operator.from_images(data.images) - operator.constant
    modes = solver(departure)
    n_steps = solver.n_steps
    left = departure - operator.forward(modes)
    whitened = noise.whiten(left)
    mean = data.mean_fractions.astype(np.float32)[:, None]
    fractions = operator.to_volumes(mean + np.matmul(operator.basis, modes))
    fractions[:, ~data.mask] = np.nan
    errors = np.full_like(fractions, np.nan)
    draws = np.empty((0, len(mean), int(data.mask.sum())), dtype=np.float32)
    residuals = left[None]
    if n_draws and rng is not None:
        draws, variance, invented = _simulate_and_solve(solver, n_draws, rng, truth_prior)
        errors[:, data.mask] = np.sqrt(variance)
        residuals = np.concatenate([residuals, invented])
    chi2 = _dot(whitened, whitened) / noise.n_values
    return FractionVolumes(fractions, errors, draws, prior, chi2, n_steps, residuals)


def _simulate_and_solve(
    solver: Solver, n_draws: int, rng: np.random.Generator, truth_prior: Prior | Sequence[WeightedPrior] | None
) -> tuple[Floats32, Floats32, Floats32]:
    """Draws of the error (draw, state, voxel), its variance (state, voxel), and what is left of the images."""
    operator = solver.operator
    mask = operator.data.mask

    def at_voxels(cells: Any) -> Floats32:
        return operator.to_volumes(cells)[:, mask]

    errors, residuals = [], []
    rougher = Solver(operator, solver.noise, solver.covariance.prior, tolerance=_TOLERANCE_OF_DRAWS)
    own = [(solver.covariance.prior, 1.0)]
    given = [(truth_prior, 1.0)] if isinstance(truth_prior, Prior) else truth_prior
    invent = {prior: PriorCovariance(prior, operator) for prior, _ in given or own}
    in_turn = drawn_in_turn(given or own, n_draws)
    estimate_power = np.zeros((len(operator.data.mean_fractions), int(mask.sum())), dtype=np.float32)
    before = np.zeros_like(estimate_power)
    for prior in in_turn:
        truth = invent[prior].sample(rng)
        images = operator.forward(truth) + solver.noise.sample(rng)
        estimate = rougher(images)
        residuals.append(images - operator.forward(estimate))
        errors.append(at_voxels(np.matmul(operator.basis, estimate - truth)))
        estimate_power += np.square(at_voxels(np.matmul(operator.basis, estimate))) / np.float32(n_draws)
    for prior, covariance in invent.items():
        share = np.float32(in_turn.count(prior) / n_draws)
        before += share * at_voxels(covariance.state_variance(operator.basis))
    draws, left_over = np.stack(errors), np.stack(residuals)
    from_errors = np.square(draws).mean(axis=0)
    if given:  # estimate and error are independent only where the prior is that of the truth
        return draws, np.asarray(_smoothed(from_errors / before, solver) * before, dtype=np.float32), left_over
    # Weights from the means over all voxels: those of a voxel would depend on its own draws.
    explained = np.sum(estimate_power, axis=1, keepdims=True)
    left = from_errors.sum(axis=1, keepdims=True)
    weight = np.divide(left**2, left**2 + explained**2, out=np.zeros_like(left), where=left > 0)
    variance = weight * (before - estimate_power) + (1 - weight) * from_errors
    share = np.maximum(_smoothed(variance / before, solver), 0.1 * _smoothed(from_errors / before, solver))
    return draws, np.asarray(share * before, dtype=np.float32), left_over


def _smoothed(values: Floats32, solver: Solver) -> Floats32:
    """Average (state, voxel) over half the prior's length: a few draws are noisy, and the share left varies slowly."""
    prior, mask = solver.covariance.prior, solver.operator.data.mask
    length_nm = prior.length_nm if prior.sd else prior.fine_length_nm if prior.fine_sd else prior.hat_nm
    sigma = length_nm / 2 / solver.operator.data.voxel_size_nm
    volume = np.zeros((len(values), *mask.shape), dtype=np.float32)
    volume[:, mask] = values
    inside = ndimage.gaussian_filter(mask.astype(np.float32), sigma)[mask]
    averaged = np.stack([ndimage.gaussian_filter(state, sigma)[mask] for state in volume])
    return np.asarray(averaged / inside, dtype=np.float32)
