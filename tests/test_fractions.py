"""The engine of fractions: against dense algebra, its own noise, a null and a known truth."""

import numpy as np
import pytest

from tritomo_helpers.projection import Projector
from tritomo_helpers.tomography.fractions import (
    FractionData,
    Prior,
    PriorChoice,
    choose_prior,
    match_sizes,
    solve,
    split_by_fission,
    weigh_lengths,
)
from tritomo_helpers.tomography.fractions.choice import Judge
from tritomo_helpers.tomography.fractions.data import Operator, sum_zero_basis
from tritomo_helpers.tomography.fractions.matching import _decay
from tritomo_helpers.tomography.fractions.posterior import Noise, null_images
from tritomo_helpers.tomography.fractions.prior import PriorCovariance

MEAN = np.array([0.6, 0.3, 0.1])


def case(shape=(6, 4, 5), angles=(-60.0, 0.0, 40.0), *, seed=1, noise=0.05, density_error=0.1):
    """Three channels of an irregular body: weights, gains and covariances all differ."""
    rng = np.random.default_rng(seed)
    density = np.zeros(shape, np.float32)
    density[1:-1, :-1, 1:] = rng.uniform(0.5, 1.5, (shape[0] - 2, shape[1] - 1, shape[2] - 1))
    root = noise * rng.standard_normal((3, 3, len(angles), shape[1], shape[2]))
    covariance = np.einsum("ijtyx,kjtyx->iktyx", root, root) + noise**2 * np.eye(3)[:, :, None, None, None]
    return FractionData(
        np.zeros((3, len(angles), shape[1], shape[2])),
        covariance,
        np.array(angles),
        density,
        density > 0.6,
        MEAN,
        rng.uniform(0.5, 2.0, (3, len(angles))),
        weights=rng.uniform(0.5, 1.0, (3, len(angles), *shape)),
        density_error=density_error,
        voxel_size_nm=5.0,
    )


def sphere_data(*, noise, shape=16, state_sd=0.0, seed=0):
    """A ball seen at 15 tilts; two states vary across it, the third is constant."""
    z, y, x = np.indices((shape,) * 3) - shape // 2
    radius = np.sqrt(z**2 + y**2 + x**2)
    density = np.clip(shape * 0.4 + 0.5 - radius, 0, 1).astype(np.float32)
    variation = state_sd * np.where(x + y > 0, 1.0, -1.0)
    truth = MEAN[:, None, None, None] + np.stack([variation, -variation, 0 * variation])
    angles = np.arange(-70.0, 71.0, 10.0)
    covariance = np.eye(3)[:, :, None, None, None] * np.full((15, shape, shape), noise**2)
    data = FractionData(
        np.zeros((3, 15, shape, shape)), covariance, angles, density, density > 0.5, MEAN, np.ones((3, 1)),
        voxel_size_nm=5.0,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    images = data.expected(truth) + noise * rng.standard_normal(data.images.shape)
    return data.replace(images=images), truth


def cells_of(operator, modes):
    return operator.basis @ modes.reshape(*operator.shape[:2], 2, operator.shape[2])


def dense_operator(operator):
    """The operator as a matrix, one column per coordinate."""
    n = np.prod(operator.shape) * 2
    shape = (*operator.shape[:2], 2, operator.shape[2])
    return np.stack([operator.forward(e.reshape(shape).astype(np.float32)).ravel() for e in np.eye(n)], axis=1)


def dense_prior(prior, covariance):
    """The stated formula, element by element, in the order (z, x, mode, y)."""
    n_z, n_x, n_y = covariance.shape
    z, x, y = np.meshgrid(np.arange(n_z), np.arange(n_x), np.arange(n_y), indexing="ij")
    place = np.stack([z, x, y], -1).reshape(-1, 3) * covariance.voxel_nm
    depth = covariance.depth_nm.ravel()
    squared = np.square(place[:, None] - place[None]).sum(-1)
    decay = np.exp(-(depth[:, None] + depth[None]) / prior.decay_nm)
    local = prior.sd**2 * decay * np.exp(-squared / (2 * prior.length_nm**2))
    local += prior.fine_sd**2 * decay * np.exp(-squared / (2 * prior.fine_length_nm**2))
    hats = np.arange(0.0, depth.max() + 2 * prior.hat_nm, prior.hat_nm)
    between = np.stack([np.interp(depth, hats, row) for row in np.eye(hats.size)], axis=1)
    at_hats = np.exp(-np.abs(hats[:, None] - hats[None]) / prior.depth_length_nm)
    local += prior.depth_sd**2 * between @ at_hats @ between.T
    variances = np.square(prior.state_sds if prior.state_sds is not None else np.ones(3))
    states = np.diag(variances) - np.outer(variances, variances) / variances.sum()
    basis = sum_zero_basis(3)
    modes = basis.T @ states @ basis
    full = np.einsum("ab,kl->akbl", local, modes) + prior.mean_sd**2 * np.eye(2)[None, :, None, :]
    n = n_z * n_x
    return full.reshape(n, n_y, 2, n, n_y, 2).transpose(0, 2, 1, 3, 5, 4).reshape(n * 2 * n_y, -1)


PRIOR = Prior(
    sd=0.05,
    length_nm=8.0,
    fine_sd=0.03,
    fine_length_nm=4.0,
    decay_nm=30.0,
    depth_sd=0.04,
    depth_length_nm=20.0,
    hat_nm=2.5,
    state_sds=(0.5, 1.0, 2.0),
)


def test_projection_agrees_with_the_projector():
    data = case()
    fractions = np.random.default_rng(2).uniform(0, 1, (3, *data.density.shape)).astype(np.float32)
    images = data.expected(fractions)
    for t, angle in enumerate(data.tilt_angles_deg):
        projector = Projector([angle], (data.density.shape[0], data.density.shape[2]))
        for c in range(3):
            alone = data.gains[c, t] * projector.forward(data.density * data.weights[c, t] * fractions[c])[0]
            assert np.allclose(images[c, t], alone, rtol=1e-5, atol=1e-5)


def test_adjoint_is_the_transpose():
    operator = Operator(case())
    rng = np.random.default_rng(3)
    modes = rng.standard_normal((*operator.shape[:2], 2, operator.shape[2])).astype(np.float32)
    images = rng.standard_normal(operator.constant.shape).astype(np.float32)
    assert np.vdot(operator.forward(modes), images) == pytest.approx(np.vdot(modes, operator.adjoint(images)), rel=1e-5)


def test_prior_covariance_is_the_stated_formula():
    operator = Operator(case(shape=(7, 6, 7)))  # thick enough for three depths
    covariance = PriorCovariance(PRIOR, operator)
    assert len(np.unique(covariance.depth_nm)) > 3
    modes = np.random.default_rng(4).standard_normal((*operator.shape[:2], 2, operator.shape[2])).astype(np.float32)
    expected = dense_prior(PRIOR, covariance) @ modes.ravel()
    assert covariance.apply(modes).ravel() == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max())


def test_samples_have_the_prior_covariance():
    operator = Operator(case())
    covariance = PriorCovariance(PRIOR, operator)
    rng = np.random.default_rng(5)
    samples = np.stack([covariance.sample(rng).ravel() for _ in range(1000)])
    dense = dense_prior(PRIOR, covariance)
    assert np.abs(np.cov(samples.T) - dense).max() < 0.2 * dense.max()


@pytest.mark.parametrize("prior", [PRIOR, Prior(sd=0.05), Prior(depth_sd=0.05, hat_nm=2.5), Prior()])
def test_agrees_with_a_dense_gaussian_process(prior):
    data = case()
    operator, noise = Operator(data), Noise(Operator(data))
    a = dense_operator(operator).astype(np.float64)
    c = dense_prior(prior, PriorCovariance(prior, operator))
    rng = np.random.default_rng(6)
    images = data.expected() + 0.1 * rng.standard_normal(data.images.shape)
    data = data.replace(images=images)
    # Noise of every pixel: the covariance given, plus the density's error common to its channels.
    n_values = operator.constant.size
    n = np.zeros((n_values, n_values))
    index = np.arange(n_values).reshape(operator.constant.shape)
    seen = np.zeros(n_values, bool)
    for t, x, y in np.argwhere(operator.seen):
        rows = index[t, x, :, y]
        mean = operator.constant[t, x, :, y]
        given = data.covariance[:, :, t, operator.box[1].start + y, x]
        n[np.ix_(rows, rows)] = given + data.density_error**2 * np.outer(mean, mean)
        seen[rows] = True
    a, n = a[seen], n[np.ix_(seen, seen)]
    departure = (operator.from_images(data.images) - operator.constant).ravel()[seen]
    gain = np.linalg.solve(a @ c @ a.T + n, a @ c).T
    expected = cells_of(operator, gain @ departure)
    volumes = solve(data, prior, n_draws=50, rng=rng)
    fitted = volumes.fractions[:, data.mask] - MEAN[:, None]
    exact = operator.to_volumes(expected)[:, data.mask]
    assert np.abs(fitted - exact).max() < 0.01 * np.abs(exact).max()
    assert noise.n_values == seen.sum()
    # Standard errors against the exact posterior.
    posterior = c - gain @ a @ c
    n_z, n_x, n_y = operator.shape
    to_states = np.kron(np.eye(n_z * n_x), np.kron(operator.basis, np.eye(n_y)))
    variance = np.diag(to_states @ posterior @ to_states.T).reshape(n_z, n_x, 3, n_y)
    exact_errors = np.sqrt(operator.to_volumes(variance)[:, data.mask])
    assert volumes.standard_errors[:, data.mask] == pytest.approx(exact_errors, rel=0.6)
    assert np.mean(volumes.standard_errors[:, data.mask] / exact_errors) == pytest.approx(1.0, abs=0.1)


def test_fractions_sum_to_one_and_are_nan_outside():
    data, _ = sphere_data(noise=0.3, state_sd=0.05)
    fractions = solve(data, Prior(sd=0.05, length_nm=15.0)).fractions
    assert fractions[:, data.mask].sum(axis=0) == pytest.approx(1.0, abs=1e-5)
    assert np.isnan(fractions[:, ~data.mask]).all()


def test_a_state_without_freedom_keeps_its_mean():
    data, _ = sphere_data(noise=0.3, state_sd=0.05)
    free = solve(data, Prior(sd=0.05, length_nm=15.0)).fractions[2, data.mask]
    held = solve(data, Prior(sd=0.05, length_nm=15.0, state_sds=(1.0, 1.0, 0.0))).fractions[2, data.mask]
    assert held.std() < 1e-5 < 1e-3 < free.std()


GRID = {"sd": (0.0, 0.01, 0.02, 0.04, 0.08), "length_nm": (10.0, 25.0), "depth_sd": (0.0, 0.02)}


def test_recovers_what_varies_and_keeps_a_constant_map_otherwise():
    kept = 0
    for seed in range(4):
        null, _ = sphere_data(noise=0.5, seed=seed)
        choice = choose_prior(null, start=Prior(sd=0.02, length_nm=10.0), grid=GRID, rng=np.random.default_rng(seed))
        kept += choice.prior.is_constant
        assert all(gain < 4 for _, gain in choice.tried) == choice.prior.is_constant
    assert kept >= 3
    data, truth = sphere_data(noise=0.5, state_sd=0.06)
    rng = np.random.default_rng(7)
    choice = choose_prior(data, start=Prior(sd=0.02, length_nm=10.0), grid=GRID, rng=rng)
    volumes = solve(data, choice.prior)
    assert choice.gain > 20
    estimate, expected = volumes.fractions[0, data.mask], truth[0][data.mask]
    assert np.corrcoef(estimate, expected)[0, 1] > 0.85
    assert np.std(estimate - expected) < 0.6 * np.std(expected)
    assert volumes.chi2_per_pixel == pytest.approx(1.0, abs=0.1)


def test_standard_errors_are_calibrated_for_voxels_and_means():
    data, _ = sphere_data(noise=0.5)
    operator = Operator(data)
    prior = Prior(sd=0.05, length_nm=15.0, decay_nm=25.0)
    covariance = PriorCovariance(prior, operator)
    rng = np.random.default_rng(8)
    z, of_means = [], []
    for _ in range(8):
        truth = operator.to_volumes(MEAN[:, None].astype(np.float32) + operator.basis @ covariance.sample(rng))
        noisy = data.replace(images=data.expected(truth) + 0.5 * rng.standard_normal(data.images.shape))
        volumes = solve(noisy, prior, n_draws=12, rng=rng)
        error = (volumes.fractions - truth)[:, data.mask]
        z.append(error / volumes.standard_errors[:, data.mask])
        half = np.arange(error.shape[1]) % 2 == 0
        spread = volumes.error_draws[:, :, half].mean(axis=2).std(axis=0)
        of_means.append(error[:, half].mean(axis=1) / spread)
    assert np.std(z) == pytest.approx(1.0, abs=0.1)
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.05)
    assert np.sqrt(np.mean(np.square(of_means))) == pytest.approx(1.0, abs=0.5)


def ball_with(density_factor, truth, *, noise):
    """A ball whose density is said to be `density_factor` times the true one."""
    data, _ = sphere_data(noise=noise)
    images = data.expected(truth) + noise * np.random.default_rng(11).standard_normal(data.images.shape)
    return data.replace(images=images, density=data.density * density_factor.astype(np.float32))


def test_an_error_of_the_density_is_not_taken_for_composition():
    _, y, x = np.indices((16,) * 3) - 8
    factor = 1 + 0.08 * np.sin(x / 1.5) * np.cos(y / 2)
    exact = ball_with(factor, MEAN[:, None, None, None] * np.ones((3, 16, 16, 16)), noise=0.01).replace(
        density_error=0.0
    )
    of_voxels = exact.replace(density_error=0.06, density_error_length_nm=8.0)
    prior = Prior(sd=0.02, length_nm=8.0)
    wrong = [np.nanstd(solve(data, prior).fractions[0]) for data in (exact, of_voxels)]
    assert wrong[1] < 0.6 * wrong[0]
    # What is invented for the errors holds it, too, and the coordinate of the density is no fraction.
    operator = Operator(of_voxels)
    covariance = PriorCovariance(Prior(), operator)
    rng = np.random.default_rng(12)
    samples = np.stack([covariance.sample(rng)[:, :, 2] for _ in range(200)])
    assert samples.std() == pytest.approx(0.06, rel=0.1)
    assert not operator.basis[:, 2].any()
    noise = Noise(operator)
    shown = np.stack([null_images(operator, noise, rng)[operator.seen.nonzero()[0][0]] for _ in range(20)])
    assert shown.std() > 2 * 0.01, "the error of the density is part of a null"
    modes = rng.standard_normal((*operator.shape[:2], 3, operator.shape[2])).astype(np.float32)
    images = rng.standard_normal(operator.constant.shape).astype(np.float32)
    assert np.vdot(operator.forward(modes), images) == pytest.approx(np.vdot(modes, operator.adjoint(images)), rel=1e-4)


def test_contrast_of_the_signal_that_gave_the_density_is_taken_back():
    _, y, x = np.indices((16,) * 3) - 8
    variation = 0.03 * np.sin(x / 2.5) * np.cos(y / 3)
    truth = MEAN[:, None, None, None] + np.stack([variation, -variation, 0 * variation])
    contrast = np.array([-3.0, 3.0, 4.0])  # where the first state rises there seems to be less matter
    data = ball_with(1 + np.tensordot(contrast, truth - MEAN[:, None, None, None], axes=1), truth, noise=0.03)
    prior = Prior(sd=0.03, length_nm=10.0)
    errors = [
        np.nanstd((solve(data.replace(contrast=w), prior).fractions - truth)[0])
        for w in (contrast, np.zeros(3), -contrast)
    ]
    assert errors[0] < 0.6 * errors[1] < 0.6 * errors[2]


@pytest.mark.parametrize("sd", [0.025, 0.1])
def test_sizes_are_matched_to_what_the_data_show(sd):
    data, _ = sphere_data(noise=0.1)
    operator = Operator(data)
    true = Prior(sd=0.05, length_nm=12.0, state_sds=(1.0, 1.0, 0.5))
    rng = np.random.default_rng(13)
    invented = operator.to_volumes(
        MEAN[:, None].astype(np.float32) + operator.basis @ PriorCovariance(true, operator).sample(rng)
    )
    noisy = data.replace(images=data.expected(invented) + 0.1 * rng.standard_normal(data.images.shape))
    matched = match_sizes(noisy, Prior(sd=sd, length_nm=12.0), rng=rng)
    fitted = matched.sd * np.array(matched.state_sds)
    assert fitted[:2] == pytest.approx([0.05, 0.05], rel=0.4)
    assert fitted[2] < 0.8 * fitted[:2].mean()


def test_settings_that_cannot_be_excluded_widen_the_errors():
    data, _ = sphere_data(noise=0.5)
    narrow, wide = Prior(sd=0.02, length_nm=10.0), Prior(sd=0.06, length_nm=10.0)
    rng = np.random.default_rng(14)
    plain = solve(data, narrow, n_draws=6, rng=rng).standard_errors
    half = solve(data, narrow, n_draws=6, rng=rng, truth_prior=[(narrow, 0.5), (wide, 0.5)]).standard_errors
    widened = solve(data, narrow, n_draws=6, rng=rng, truth_prior=[(wide, 1.0)]).standard_errors
    assert 1.2 * np.nanmean(plain) < np.nanmean(half) < 0.9 * np.nanmean(widened)
    alone = solve(data, narrow, n_draws=6, rng=rng, truth_prior=wide).standard_errors
    assert np.nanmean(alone) == pytest.approx(np.nanmean(widened), rel=0.2)
    choice = PriorChoice(narrow, 10.0, [(narrow, 10.0), (wide, 9.0), (Prior(sd=0.2), 2.0), (Prior(), 0.0)], "")
    assert choice.widest() == wide
    assert PriorChoice(Prior(), 0.0, [(Prior(), 0.0)], "").widest() == Prior()


def test_errors_beside_a_constant_map_hold_what_was_too_little_to_be_chosen():
    z = []
    for seed in range(4):
        data, truth = sphere_data(noise=0.5, state_sd=0.003, seed=seed)
        rng = np.random.default_rng(seed)
        choice = choose_prior(data, start=Prior(sd=0.02, length_nm=10.0), grid=GRID, rng=rng)
        if choice.prior.is_constant:
            volumes = solve(data, choice.prior, n_draws=8, rng=rng, truth_prior=choice.widest())
            z.append((volumes.fractions - truth)[:, data.mask] / volumes.standard_errors[:, data.mask])
    assert len(z) >= 2
    assert np.sqrt(np.mean(np.square(z))) < 1.5


def test_lengths_that_counts_cannot_tell_apart_are_kept_with_sizes_of_their_own():
    data, _ = sphere_data(noise=0.5, state_sd=0.06)
    rng = np.random.default_rng(17)
    splits = [split_by_fission(data, rng=rng)]
    choice = PriorChoice(Prior(sd=0.05, length_nm=20.0), 20.0, [], "")
    weighed = weigh_lengths(data, choice, lengths_nm=(5.0, 10.0, 20.0, 40.0), rng=rng, splits=splits, within=50.0)
    assert sum(weight for _, weight in weighed) == pytest.approx(1)
    sizes = {prior.length_nm: prior.sd * max(prior.state_sds or (1.0,)) for prior, _ in weighed}
    assert sizes[10.0] > sizes[20.0]  # less of a short variation is seen, so more of it must be there
    assert weighed[0][0].length_nm > 5.0  # two halves: not the shortest


def test_values_without_order_are_all_tried():
    data, _ = sphere_data(noise=0.3, state_sd=0.06)
    start = Prior(sd=0.05, length_nm=15.0)
    # Walked as if it rose, the search would stop at 0.001: worse than where it begins.
    choice = choose_prior(
        data, start=start, grid={"sd": (0.05, 0.001, 0.1, 0.06)}, n_splits=1, rng=np.random.default_rng(16)
    )
    assert {prior.sd for prior, _ in choice.tried} == {0.0, 0.05, 0.001, 0.1, 0.06}


def test_slices_added_up_are_what_the_model_of_them_says():
    fine = case(shape=(6, 4, 5), density_error=0.0).replace(weights=None)
    fine = fine.replace(density=np.where(fine.density > 0, 1.0, 0.0))
    pairs = np.repeat(np.random.default_rng(18).normal(0, 0.1, (3, 6, 2, 5)), 2, axis=2)
    fractions = MEAN[:, None, None, None] + pairs - pairs.mean(axis=0)
    one_by_one, together = fine.expected(fractions), fine.coarser(2).expected(fractions[:, :, ::2])
    np.testing.assert_allclose(together[:, :, 0], one_by_one[:, :, :2].sum(axis=2), atol=1e-5)
    # The mean of two neighbors, 5 nm apart, varies by the mean of their covariances.
    covariance = PriorCovariance(Prior(sd=0.03, length_nm=7.0), Operator(fine.coarser(2)))
    along_y = covariance.local[0][1][2]
    assert along_y[0, 0] == pytest.approx((1 + np.exp(-((5 / 7) ** 2) / 2)) / 2)
    ball, _ = sphere_data(noise=1.0)
    deepest = [PriorCovariance(Prior(), Operator(data)).depth_nm.max() for data in (ball, ball.coarser(2))]
    assert deepest[1] == pytest.approx(deepest[0], abs=5.0)
    with pytest.raises(ValueError, match="slices"):
        fine.coarser(0)


def test_each_state_has_a_size_of_its_own():
    data, _ = sphere_data(noise=0.3, state_sd=0.06)
    start = Prior(sd=0.03, length_nm=15.0, state_sds=(1.0, 1.0, 1.0))
    grid = {"sd": (0.0, 0.03, 0.06), "state_sds": (0.0, 0.3, 1.0)}
    choice = choose_prior(data, start=start, grid=grid, rng=np.random.default_rng(15))
    assert choice.prior.state_sds[2] < min(choice.prior.state_sds[:2])


def test_fission_gives_independent_halves_of_the_stated_noise():
    data, _ = sphere_data(noise=0.5)
    first, second = split_by_fission(data, rng=np.random.default_rng(9))
    seen = data.expected()[0] > 0.1
    noise = [(images - data.expected())[0][seen] for images in (first, second)]
    assert np.var(noise[0]) == pytest.approx(0.25 / 0.7, rel=0.1)
    assert np.var(noise[1]) == pytest.approx(0.25 / 0.3, rel=0.1)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.07


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.full((3, 3, 4, 5), np.nan)}, "images: expected finite values only"),
        ({"covariance": np.zeros((2, 2, 3, 4, 5))}, "covariance: expected shape"),
        ({"tilt_angles_deg": np.zeros(2)}, "one angle per tilt"),
        ({"density": -np.ones((6, 4, 5))}, "reconstruct the density with positivity"),
        ({"density": np.ones((6, 4, 4))}, "reconstruct it on the grid of the images"),
        ({"mask": np.zeros((6, 4, 5))}, "mask: expected voxels with density"),
        ({"mean_fractions": np.array([0.5, 0.5, 0.5])}, "divide them by their sum"),
        ({"gains": np.ones((3, 2))}, "one gain per channel and tilt"),
        ({"weights": np.ones((3, 3, 6, 4, 4))}, "weights: expected shape"),
    ],
)
def test_bad_data_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        case().replace(**change)


def test_bad_settings_are_refused():
    data = case()
    with pytest.raises(ValueError, match="smooth the counts that it is made from"):
        solve(data.replace(covariance=0 * data.covariance, density_error=0.0), Prior())
    with pytest.raises(ValueError, match="rng: expected a Generator"):
        solve(data, Prior(), n_draws=2)
    with pytest.raises(ValueError, match="grid: expected one of"):
        choose_prior(data, start=Prior(), grid={"lenght_nm": (1.0,)}, rng=np.random.default_rng())
    with pytest.raises(ValueError, match="one cannot vary alone"):
        Prior(state_sds=(1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="length_nm"):
        Prior(length_nm=0.0)


def test_half_that_judges_is_as_noisy_as_it_is_taken_to_be():
    data, _ = sphere_data(noise=0.2)
    data = data.replace(density_error=0.0)
    splits = [split_by_fission(data, rng=np.random.default_rng(seed)) for seed in range(6)]
    judge = Judge(data, splits)
    rng = np.random.default_rng(9)
    for half, noise in ((0, judge.fit_noise), (1, judge.judge_noise)):
        drawn = np.stack([noise.sample(rng) for _ in range(6)])
        seen = drawn[0] != 0  # where the particle casts a shadow
        halves = np.stack([split[half] for split in judge.splits])
        assert drawn[:, seen].std() == pytest.approx(halves[:, seen].std(), rel=0.08)


def test_depth_begins_half_a_voxel_below_the_surface():
    operator = Operator(sphere_data(noise=0.1)[0])
    inside = operator.cut(operator.data.mask) > 0
    assert operator.depth_nm[inside].min() == pytest.approx(2.5)


def test_variation_that_reaches_deeper_than_expected_decays_more_slowly():
    depth = np.array([2.0, 4.0, 12.0, 14.0])
    halves = (depth < 8, depth > 8)
    assert _decay(20.0, np.array([1.0, 2.0]), halves, depth) > 20.0 > _decay(20.0, np.array([2.0, 1.0]), halves, depth)
