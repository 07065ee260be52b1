"""Shells, profiles, inhomogeneity, regions and verdicts against cases known by hand, and against their own nulls."""

import numpy as np
import pytest
from scipy import ndimage, stats

from tritomo_helpers import particles, phantoms
from tritomo_helpers.containers import Tomogram

N = 24


def radius(n=N):
    return np.linalg.norm(np.indices((n, n, n)) - n // 2, axis=0)


BODIES = {
    "sphere": radius() < 9.5,
    "cube": np.max(np.abs(np.indices((N, N, N)) - N // 2), axis=0) < 8,
    "hollow": (radius() < 10.5) & (radius() > 4.2),
    "cut by the frame": radius() < 13.5,
}


def smooth_noise(rng, sigma_px, shape=(N, N, N)):
    """Noise of standard deviation 1 whose autocorrelation is a Gaussian of sqrt(2) sigma."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), sigma_px, mode="wrap")
    return noise / np.sqrt(
        ndimage.gaussian_filter(unit_impulse(shape), sigma_px, mode="wrap").ravel() ** 2 @ np.ones(noise.size)
    )


def unit_impulse(shape):
    impulse = np.zeros(shape)
    impulse[tuple(n // 2 for n in shape)] = 1
    return impulse


def pattern(shells, amplitude, rng):
    """Values whose mean in every shell is exactly 0 and whose standard deviation is exactly `amplitude(shell)`."""
    values = rng.normal(size=shells.shape)
    for k in range(1, shells.max() + 1):
        here = shells == k
        if here.sum() > 1:
            values[here] -= values[here].mean()
            values[here] *= amplitude(k) / values[here].std()
    return np.where(shells > 0, values, np.nan)


# --- masks and shells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("through", ["faces", "corners"])
def test_shells_are_what_repeated_erosion_peels(name, through):
    left = BODIES[name].copy()
    shells = particles.shells(left, through=through)
    structure = ndimage.generate_binary_structure(3, {"faces": 1, "corners": 3}[through])
    for k in range(1, shells.max() + 1):
        eroded = ndimage.binary_erosion(left, structure)
        np.testing.assert_array_equal(shells == k, left & ~eroded)
        left = eroded
    assert not left.any()


def test_mask_is_the_particle_without_specks_and_pores(rng):
    truth = BODIES["sphere"]
    volume = truth + rng.normal(0, 0.15, truth.shape)
    volume[2, 2, 2] = 3.0
    volume[12, 12, 12] = np.nan
    mask = particles.otsu_mask(Tomogram(volume, 4.63))
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.99
    assert not mask[2, 2, 2]
    assert mask[12, 12, 12]
    assert particles.otsu_mask(volume, largest=False)[2, 2, 2]
    with pytest.raises(ValueError, match="volume: expected values that differ"):
        particles.otsu_mask(np.ones((3, 3, 3)))


def test_depth_of_a_ball_is_the_distance_to_its_surface():
    n, size_nm = 48, 2.0
    ball = radius(n) < 20
    depth = particles.mean_depth_nm(particles.shells(ball), voxel_size_nm=size_nm)
    shells = particles.shells(ball)
    true = [np.mean(20 - radius(n)[shells == k]) * size_nm for k in range(1, shells.max() + 1)]
    np.testing.assert_allclose(depth, true, atol=0.5 * size_nm)
    # Peeled through faces, a shell is thinner than a voxel where the surface is oblique.
    assert depth[8] < 0.9 * (9 - 0.5) * size_nm


def test_shells_of_a_known_depth():
    phantom = phantoms.particle("pristine-4", shape=24)
    shells = particles.depth_shells(phantom.depth_nm, thickness_nm=10.0)
    np.testing.assert_array_equal(shells > 0, phantom.mask)
    assert phantom.depth_nm[shells == 2].min() >= 10
    assert phantom.depth_nm[shells == 2].max() < 20


# --- profiles ------------------------------------------------------------------------------------------------------


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_profile_weighted_by_shell_size_is_the_mean_and_ignores_nan(rng):
    shells = particles.shells(BODIES["sphere"])
    values = rng.normal(10, 2, shells.shape)
    values[10:13, 10:13, 10:13] = np.nan
    profile = particles.depth_profile(values, shells)
    measured = values[(shells > 0) & np.isfinite(values)]
    assert profile.n.sum() == measured.size
    some = profile.n > 0
    assert profile.mean[some] @ profile.n[some] / measured.size == pytest.approx(measured.mean())
    assert (profile.mean**2 + profile.sd**2)[some] @ profile.n[some] / measured.size == pytest.approx(
        np.mean(measured**2)
    )
    assert np.isnan(profile.mean[~some]).all()
    assert np.isnan(profile.standard_error).all()


def test_voxel_size_comes_with_the_tomogram():
    shells = particles.shells(BODIES["cube"])
    values = np.ones(shells.shape)
    plain = particles.depth_profile(values, shells).depth_nm
    np.testing.assert_allclose(plain, 4.63 * (np.arange(shells.max()) + 0.5))
    np.testing.assert_allclose(particles.depth_profile(Tomogram(values, 2.0), shells).depth_nm, plain * 2 / 4.63)


def test_errors_of_means_with_correlated_noise(rng):
    """By the formula, by draws, and by brute force; white noise would give a fifth of it."""
    shells, sigma_px, sd = particles.shells(BODIES["sphere"]), 1.5, 2.0
    draws = np.array([sd * smooth_noise(rng, sigma_px) for _ in range(400)])
    actual = np.std([particles.depth_profile(draw, shells).mean for draw in draws], axis=0)
    length_nm = np.sqrt(2) * sigma_px * 4.63
    formula = particles.depth_profile(draws[0], shells, noise_sd=sd, correlation_length_nm=length_nm).standard_error
    np.testing.assert_allclose(formula, actual, rtol=0.15)
    by_draws = particles.depth_profile(draws[0], shells, error_draws=draws).standard_error
    np.testing.assert_allclose(by_draws, actual)
    inside = draws[:, shells > 0]
    np.testing.assert_allclose(particles.depth_profile(draws[0], shells, error_draws=inside).standard_error, actual)
    white = particles.depth_profile(draws[0], shells, noise_sd=sd).standard_error
    assert white[0] < 0.4 * actual[0]


def test_true_profile_is_by_the_depth_that_the_phantom_knows():
    phantom = phantoms.particle("cycled-100-4", shape=32)
    profile = particles.true_profile(phantom, "Mn4", min_voxels=1)
    depth = phantom.depth_nm[phantom.mask]
    assert profile.n.tolist() == np.bincount((depth / 4.63).astype(int)).tolist()
    values = 100 * phantom.mn_valence[4][phantom.mask]
    assert profile.mean @ profile.n / profile.n.sum() == pytest.approx(values.mean())
    assert profile.depth_nm @ profile.n / profile.n.sum() == pytest.approx(depth.mean())
    assert particles.true_profile(phantom, "Mn4", min_voxels=50).n.tolist() == profile.n[profile.n >= 50].tolist()
    null = phantoms.particle("cycled-200-2", shape=32, null=True)
    assert particles.true_profile(null, "Co").sd.max() < 1e-6
    with pytest.raises(ValueError, match="quantity: expected one of"):
        particles.true_profile(phantom, "Lithium")


def test_average_of_a_stage_makes_a_depth_dependence_that_no_particle_has():
    """The paper's cobalt after 100 cycles."""
    four = [phantoms.particle(name, shape=32) for name in phantoms.names("cycled-100")]
    profiles = [particles.depth_profile(p.tomogram("Co"), particles.shells(p.mask), min_voxels=20) for p in four]
    stage = particles.average(profiles)
    reached = stage.n_particles > 0
    assert np.ptp(stage.mean[reached]) > 1
    assert np.ptp(stage.within[reached]) < 0.1 * np.ptp(stage.mean[reached])
    assert stage.n_particles[0] == 4
    assert stage.n_particles[reached][-1] < 4
    np.testing.assert_allclose(stage.sd[0], np.std([p.mean[0] for p in profiles], ddof=1))


# --- inhomogeneity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BODIES)
def test_inhomogeneity_is_exact_where_the_noise_is_known(name, rng):
    shells = particles.shells(BODIES[name])
    truth = pattern(shells, lambda k: 2.0 * np.exp(-k / 3), rng)
    noise = pattern(shells, lambda k: 3.0 + 0 * k, rng)
    for k in range(1, shells.max() + 1):  # of no correlation with the truth
        here = shells == k
        along = truth[here] @ noise[here] / (truth[here] @ truth[here])
        noise[here] -= along * truth[here]
    wanted = 2.0 * np.exp(-np.arange(1, shells.max() + 1) / 3)
    several = np.bincount(shells[shells > 0])[1:] > 2
    plain = particles.inhomogeneity(truth + 11, shells)
    np.testing.assert_allclose(plain.sd[several], wanted[several], rtol=1e-9)
    noisy = particles.inhomogeneity(truth + noise + 11, shells, error_draws=noise[None])
    np.testing.assert_allclose(noisy.sd[several], wanted[several], rtol=1e-9)
    assert np.all(noisy.total_sd[several] > 1.4 * wanted[several])


@pytest.mark.parametrize("sigma_px", [0.0, 1.5])
def test_noise_alone_leaves_nothing_on_average_and_decays_if_it_is_not_taken_out(rng, sigma_px):
    shells = particles.shells(BODIES["sphere"])
    draws = [2 * smooth_noise(rng, sigma_px) if sigma_px else rng.normal(0, 2, shells.shape) for _ in range(150)]
    length = np.sqrt(2) * sigma_px * 4.63
    found = [particles.inhomogeneity(draw, shells, noise_sd=2.0, correlation_length_nm=length) for draw in draws]
    variance = np.array([f.variance for f in found])
    several = np.isfinite(variance).all(axis=0)
    error = variance.std(axis=0)[several] / np.sqrt(len(draws))
    assert several.sum() >= 9
    assert np.all(np.abs(variance.mean(axis=0)[several]) < 4 * error)
    assert np.isnan([f.decay_nm for f in found]).mean() > 0.85
    raw = np.mean([particles.inhomogeneity(draw, shells).sd for draw in draws], axis=0)
    if sigma_px:
        assert raw[-2] < 0.85 * raw[0], "the null decays by itself"
        band = particles.null_band(draws[:100], shells)
        assert np.all((band.low[:-1] < raw[:-1]) & (raw[:-1] < band.high[:-1]))


def test_decay_length_and_how_often_its_interval_holds_it(rng):
    shells = particles.shells(BODIES["sphere"])
    depth = particles.mean_depth_nm(shells)
    wanted = 18.0
    amplitude = np.where(shells > 0, 2.0 * np.exp(-np.append(0, depth)[shells] / wanted), np.nan)
    found = [
        particles.inhomogeneity(np.hypot(amplitude, 1) * rng.normal(size=shells.shape), shells, noise_sd=1)
        for _ in range(120)
    ]
    held = np.mean([low <= wanted <= high for low, high in (f.decay_interval_nm for f in found)])
    assert 0.87 <= held <= 1.0
    assert np.median([f.decay_nm for f in found]) == pytest.approx(wanted, rel=0.1)


def test_spread_that_does_not_decay_has_no_upper_limit(rng):
    shells = particles.shells(BODIES["sphere"])
    even = [particles.inhomogeneity(rng.normal(0, 2, shells.shape), shells) for _ in range(40)]
    assert np.mean([f.decay_interval_nm[1] == np.inf for f in even]) >= 0.9
    assert min(f.decay_interval_nm[0] for f in even) > 50
    nothing = particles.inhomogeneity(np.where(shells > 0, 5.0, np.nan), shells)
    assert np.isnan(nothing.decay_nm)


def test_a_posterior_mean_holds_less_than_the_truth(rng):
    """Shrunken by Wiener's factor, as a Gaussian process does: the posterior spread has to be added."""
    shells = particles.shells(BODIES["sphere"])
    truth, noise = rng.normal(0, 1.0, shells.shape), rng.normal(0, 2.0, shells.shape)
    estimate, posterior_sd = 0.2 * (truth + noise), np.sqrt(0.8)
    back = particles.inhomogeneity(estimate, shells, noise_sd=posterior_sd, estimate="posterior mean")
    assert back.sd[0] == pytest.approx(1.0, abs=0.05)
    assert particles.inhomogeneity(estimate, shells).sd[0] < 0.5


# --- regions and phases --------------------------------------------------------------------------------------------


def test_rich_regions_are_counted_and_placed():
    volume = np.where(BODIES["sphere"], 11.0, np.nan)
    volume[12, 12, 8:11] = 20.0  # three in a row
    volume[6, 12, 12] = volume[7, 13, 13] = 17.0  # touch at a corner
    volume[12, 17, 12] = 30.0
    rich = particles.rich_regions(Tomogram(volume, 2.0), threshold=16.67)
    assert rich.share == 6 / BODIES["sphere"].sum()
    assert rich.sizes.tolist() == [3, 2, 1]
    np.testing.assert_allclose(rich.centres, [[12, 12, 9], [6.5, 12.5, 12.5], [12, 17, 12]])
    np.testing.assert_allclose(rich.centres_nm, 2.0 * (rich.centres[:, ::-1] - 12))
    assert (rich.labels == 1).sum() == 3
    large = particles.rich_regions({"Mn": volume}, threshold=16.67, min_voxels=2)["Mn"]
    assert (large.share, large.sizes.tolist(), large.labels.max()) == (rich.share, [3, 2], 2)
    at_surface = particles.depth_profile(rich.indicator, particles.shells(BODIES["sphere"])).mean
    assert at_surface[0] == 0
    assert at_surface.size > 5
    none = particles.rich_regions(volume, threshold=99.0)
    assert (none.share, none.centres.shape) == (0.0, (0, 3))


def test_rock_salt_by_counting_atoms():
    """1000 visible atoms: 337 in rock salt (half metal), 663 in layered oxide (a third metal)."""
    metal_rock, metal_layered = 337 / 2, 663 / 3
    shares = particles.rock_salt((1000 - metal_rock - metal_layered) / 1000)
    assert shares.per_visible_atom == pytest.approx(0.337)
    assert shares.per_metal == pytest.approx(metal_rock / (metal_rock + metal_layered))
    assert shares.per_metal == pytest.approx(0.433, abs=5e-4)
    assert shares.per_volume == pytest.approx(0.31, abs=0.005)
    np.testing.assert_allclose(particles.rock_salt([2 / 3, 1 / 2]).per_volume, [0, 1], atol=1e-12)
    assert particles.rock_salt(0.68).per_metal < 0, "nothing is clipped"
    assert particles.rock_salt(0.6, beside="spinel").per_volume < particles.rock_salt(0.6).per_volume


def test_rock_salt_of_the_twin_is_found_from_its_oxygen():
    phantom = phantoms.particle("cycled-200-1", shape=24)
    oxygen = phantom.atomic_fractions["O"][phantom.mask]
    found = particles.rock_salt(oxygen).per_visible_atom
    assert found.mean() == pytest.approx(phantom.phases["rock_salt"][phantom.mask].mean(), abs=0.01)


def test_shells_begin_at_the_depth_that_ends_the_one_before():
    depth = np.array([[[-1.0, 0.0, 4.62, 4.63, 9.26, np.nan]]])
    assert particles.depth_shells(depth, thickness_nm=4.63).ravel().tolist() == [0, 1, 1, 2, 3, 0]


# --- coupling and verdicts -----------------------------------------------------------------------------------------


def test_interval_of_a_coupling_is_that_of_scipy_for_as_many_independent_voxels(rng):
    """One shell of 19 voxels: so few that the three of Fisher's transform count."""
    inside = radius(7) < 1.5
    x, y = (np.where(inside, rng.normal(size=inside.shape), np.nan) for _ in range(2))
    found = particles.coupling(x, y + 0.5 * x, inside.astype(np.int16), voxel_size_nm=4.63)
    theirs = stats.pearsonr(x[inside], (y + 0.5 * x)[inside])
    assert found.correlation == pytest.approx(theirs.statistic)
    assert found.n_independent == inside.sum()
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_coupling_is_told_apart_from_a_common_dependence_on_depth(rng):
    shells = particles.shells(BODIES["sphere"])
    fading = np.exp(-shells / 4.0)
    metal = 11 + 2 * fading * rng.normal(size=shells.shape)
    valence = 80 - 20 * fading + 3 * rng.normal(size=shells.shape)
    apart = particles.coupling(metal, valence, shells)
    assert apart.across_shells < -0.9, "what two curves against depth show"
    assert apart.interval[0] < 0 < apart.interval[1]
    tied = particles.coupling(metal, valence - 2 * (metal - 11), shells)
    assert tied.slope == pytest.approx(-2, abs=0.2)
    assert tied.interval[1] < -0.3


def test_coupling_of_the_twin_is_where_it_was_put():
    def of(control):
        phantom = phantoms.particle("pristine-2", shape=32, control=control)
        shells = particles.shells(phantom.mask)
        return particles.coupling(phantom.tomogram("Mn"), phantom.tomogram("Mn4"), shells, correlation_length_nm=9.0)

    assert of("segregation-lowers-valence").interval[1] < 0
    plain = of("none")
    assert plain.interval[0] < 0 < plain.interval[1]


@pytest.mark.parametrize("length_nm", [9.0, 14.0])
def test_intervals_hold_what_is_not_there_in_smooth_noise(rng, length_nm):
    """No coupling of two fields, and a spread that does not decay: neighboring shells share fluctuations."""
    shells = particles.shells(BODIES["sphere"])
    sigma_px = length_nm / np.sqrt(2) / 4.63
    held = {"coupling": [], "coupling, if white": [], "decay": [], "decay, if white": []}
    for _ in range(60):
        pair = smooth_noise(rng, sigma_px), smooth_noise(rng, sigma_px)
        for white, length in (("", length_nm), (", if white", 0.0)):
            low, high = particles.coupling(*pair, shells, correlation_length_nm=length).interval
            held[f"coupling{white}"].append(low <= 0 <= high)
            decay = particles.inhomogeneity(pair[0], shells, correlation_length_nm=length).decay_interval_nm[1]
            held[f"decay{white}"].append(not np.isfinite(decay))
    share = {name: np.mean(within) for name, within in held.items()}
    assert min(share["coupling"], share["decay"]) >= 0.93
    assert max(share["coupling, if white"], share["decay, if white"]) < 0.65


def test_cross_talk_is_in_the_null(rng):
    """One density error divides both maps, so that they go together without any chemistry."""
    shells = particles.shells(BODIES["sphere"])

    def maps():
        common = smooth_noise(rng, 1.0)
        return 11 * (1 + 0.1 * common) + rng.normal(size=shells.shape), 80 * (1 + 0.1 * common)

    found = particles.coupling(*maps(), shells, null_draws=[maps() for _ in range(60)])
    assert found.interval[0] > 0.3, "an interval without the null would call it coupled"
    assert found.p_value > 0.05


@pytest.fixture(scope="module")
def null():
    rng = np.random.default_rng(8)
    return [np.where(BODIES["sphere"], 11 + smooth_noise(rng, 1.2), np.nan) for _ in range(400)]


@pytest.mark.parametrize("says", [particles.segregated, particles.depth_trend])
def test_verdicts_on_200_nulls_are_positive_at_most_14_times(says, null):
    shells = particles.shells(BODIES["sphere"])
    reference = null[200:]
    first = says(null[0], shells, null_draws=reference)
    statistics = says(null[0], shells, null_draws=null[:200]).null
    middle = np.median(first.null)
    distance = (lambda x: x) if says is particles.segregated else (lambda x: np.abs(x - middle))
    p = (1 + (distance(first.null) >= distance(statistics)[:, None]).sum(axis=1)) / 201
    assert np.count_nonzero(p <= 0.05) <= 14
    assert np.count_nonzero(p <= 0.05) >= 2, "a verdict that is never positive says nothing"
    assert first.p_value == pytest.approx(p[0], abs=0.01)


def test_verdicts_find_what_is_there_and_not_each_others(null):
    shells = particles.shells(BODIES["sphere"])
    clusters, graded = null[0].copy(), null[1] + 0.15 * shells
    for z, y, x in ((8, 12, 12), (14, 10, 15), (13, 16, 9)):
        clusters[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] += 4
    draws = null[100:300]
    assert particles.segregated(clusters, shells, null_draws=draws).positive
    assert particles.depth_trend(graded, shells, null_draws=draws).positive
    assert particles.depth_trend(graded, shells, null_draws=draws).statistic > 0
    assert particles.depth_trend(null[1] - 0.15 * shells, shells, null_draws=draws).statistic < 0
    fine, coarse = (
        particles.depth_trend(graded, shells, null_draws=draws, voxel_size_nm=size).statistic for size in (4.63, 9.26)
    )
    assert fine == pytest.approx(2 * coarse), "per nm"
    assert not particles.segregated(graded, shells, null_draws=draws).positive


def test_a_null_without_the_correlation_of_the_noise_is_no_null(null, rng):
    """White draws of the same size: the trend's statistic scatters far less, and nearly every null is a finding."""
    shells = particles.shells(BODIES["sphere"])
    white = [np.where(shells > 0, rng.normal(11, 1, shells.shape), np.nan) for _ in range(100)]
    false = [particles.depth_trend(volume, shells, null_draws=white).positive for volume in null[:30]]
    assert np.mean(false) > 0.3


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: particles.shells(np.zeros((3, 3, 3))), "mask: expected voxels of a particle, got none"),
        (lambda _: particles.shells(np.ones((3, 3))), "mask: expected 3 axes"),
        (lambda s: particles.shells(s > 0, through="edges"), "through: expected one of 'faces', 'corners'"),
        (lambda s: particles.depth_profile(np.ones((2, 2, 2)), s), "values: expected shape .* one shape"),
        (lambda s: particles.depth_profile(s * 1.0, s * 1.0), "shells: expected whole numbers"),
        (lambda s: particles.depth_profile(s * np.nan, s), "values: expected values inside the shells"),
        (lambda s: particles.depth_profile(s * 1.0, s, min_voxels=10**6), "sample the particle more finely"),
        (lambda s: particles.depth_profile(s * 1.0, s, error_draws=np.ones((2, 3))), "error_draws: expected shape"),
        (lambda s: particles.inhomogeneity(s * 1.0, s, noise_sd=-1), "noise_sd: expected zero or above, got -1"),
        (lambda s: particles.inhomogeneity(s * 1.0, s, estimate="mean"), "estimate: expected one of 'unbiased'"),
        (lambda s: particles.rich_regions(s * 1.0, threshold=np.nan), "threshold: expected a number, got nan"),
        (lambda s: particles.rich_regions(s * np.nan, threshold=1), "fractions: expected values in the particle"),
        (lambda _: particles.rock_salt(0.6, beside="olivine"), "beside: expected one of 'layered', 'spinel'"),
        (lambda _: particles.average([]), "profiles: expected at least one"),
        (lambda s: particles.segregated(s * 1.0, s, null_draws=[s * 1.0] * 5), r"at least 1 / level - 1 draws \(19\)"),
        (lambda s: particles.coupling(s * 1.0, s * 1.0, s), "fraction and valence: expected values that vary"),
        (lambda s: particles.null_band([s * 1.0], s), "draws: expected two or more, got 1"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call(particles.shells(BODIES["sphere"]))
