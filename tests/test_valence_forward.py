"""Valence from raw spectra: the truth comes back from simulated spectra, and what misfits is withheld."""

from dataclasses import replace

import numpy as np
import pytest

from tritomo_helpers import phantoms, simulation, tomography, valence
from tritomo_helpers.alignment import Alignment
from tritomo_helpers.containers import Tomogram
from tritomo_helpers.spectroscopy import references
from tritomo_helpers.valence.basis import Basis, Distortion
from tritomo_helpers.valence.calibration import Pooled, PooledSpectra, calibrate, orthonormal
from tritomo_helpers.valence.forward import _calibration_error, _is_strained, _shares, linear_filter
from tritomo_helpers.valence.kernels import shifted
from tritomo_helpers.valence.noise import estimate_noise, neighbor_statistics
from tritomo_helpers.valence.tilts import Tilts
from tritomo_helpers.valence.volumes import _density_error

STATES = ("Mn4", "Mn3", "Mn2", "Co3")
OPTICS = {"beam_energy_kev": 300.0, "convergence_angle_mrad": 25.2, "collection_angle_mrad": 100.0}


TILTS, FEW_TILTS = (-60.0, -30.0, 0.0, 30.0, 60.0), (-40.0, 20.0)


def acquired(*, noise=False, particle="cycled-200-1", seed=1, tilts=FEW_TILTS, **eels):
    silent = {} if noise else {"counting_noise": False, "readout_noise": 0.0}
    spectrometer = simulation.Eels(**{**silent, **eels})
    settings = simulation.Acquisition.tiny(signals=("eels",), eels=spectrometer, tilt_angles_deg=tilts, repeats=False)
    return simulation.acquire(phantoms.particle(particle, shape=16), settings, rng=np.random.default_rng(seed))


def fit(got, **options):
    silent = {} if got.acquisition.eels.counting_noise else {"variance_per_count": 1.0, "readout_variance": 1.0}
    return valence.fit_spectra(got.core_loss, got.low_loss, **{**silent, **options})


def truth_percent(got):
    """Percentages of the particle from the phantom's own volumes, weighted by the atoms in each voxel."""
    truth = got.truth
    result = {}
    for state in STATES:
        atoms = truth["density"] * truth[state[:2]]
        result[state] = 100 * float(np.nansum(atoms * np.nan_to_num(truth[state])) / np.nansum(atoms))
    return result


def worst_error(maps, got):
    percent, truth = maps.particle_percentages(), truth_percent(got)
    return max(abs(percent[state][0] - truth[state]) for state in STATES)


@pytest.fixture(scope="module")
def noise_free():
    return acquired(tilts=TILTS)


@pytest.fixture(scope="module")
def noisy():
    return acquired(noise=True, tilts=TILTS)


@pytest.fixture(scope="module")
def exact_maps(noise_free):
    return fit(noise_free, references="crystal-field", calibrate=False)


@pytest.fixture(scope="module")
def noisy_maps(noisy):
    return fit(noisy, references="crystal-field", calibrate=False)


def test_noise_free_percentages_do_not_depend_on_the_continuum(noise_free, exact_maps):
    assert noise_free.acquisition.eels.continuum == "hydrogenic"
    assert worst_error(exact_maps, noise_free) < 0.3
    other = acquired(continuum="dirac-hartree-slater", tilts=(20.0,))
    assert worst_error(fit(other, references="crystal-field", calibrate=False), other) < 0.3


def test_fine_structure_of_the_edges_does_not_become_valence():
    # Mostly that of oxygen, whose waves run on under manganese: without them Mn is off by 1.3 points and Co by 3.
    got = acquired(exelfs=0.05, tilts=(20.0,))
    assert worst_error(fit(got, references="crystal-field", calibrate=False), got) < 0.8


def test_predicted_maps_are_those_of_the_fit(noisy, exact_maps, noisy_maps):
    specimen = phantoms.particle("cycled-200-1", shape=16)
    maps = valence.expected_maps(specimen, noisy.acquisition, rng=np.random.default_rng(1))
    inside = noisy_maps.thickness.images > 0.3
    for i, state in enumerate(maps.amplitudes):
        ratio = maps.covariance[inside][:, i, i] / noisy_maps.covariance[inside][:, i, i]
        assert np.median(ratio) == pytest.approx(1, abs=0.05), state
    found, expected = (m.particle_percentages() for m in (exact_maps, maps))
    assert all(abs(found[s][0] - expected[s][0]) < 0.5 for s in STATES)


def test_amplitudes_follow_the_path_at_every_tilt(noise_free, exact_maps):
    # A kernel normalized to its own sum, not to the vacuum's, would be percents off where the path is long.
    maps = exact_maps
    path = noise_free.truth["thickness_over_mean_free_path"]
    vacuum = path.min(axis=(1, 2))
    atoms = sum(maps.amplitudes[state].images.sum(axis=(1, 2)) for state in maps.states_of("Mn"))
    ratio = atoms / (path - vacuum[:, None, None]).sum(axis=(1, 2))
    assert np.ptp(ratio) / ratio.mean() < 0.006


def test_distorted_references_are_calibrated():
    wrong = tuple(
        references.load(el).changed(shift_ev=0.1, fwhm_ev=0.45, l3_l2_factor=1.1) for el in ("Mn", "Co", "Ni")
    )
    got = acquired(references=wrong)
    as_given = worst_error(fit(got, references="crystal-field", calibrate=False), got)
    calibrated = fit(got, references="crystal-field")
    assert worst_error(calibrated, got) < 1.5 < as_given
    assert calibrated.calibration.shift_ev["Mn2"] == pytest.approx(0.1, abs=0.03)
    assert calibrated.calibration.log_l3_l2["Mn"] == pytest.approx(np.log(1.1), abs=0.03)


@pytest.mark.acceptance
def test_a_shape_between_two_sets_is_found_by_their_mix():
    half = []
    for el in ("Mn", "Co", "Ni"):
        first, second = (references.load(el, name) for name in references.SETS)
        half.append(
            references.ReferenceSet(
                first.name, first.states, first.energy_ev, 0.5 * first.spectra + 0.5 * second.on(first.energy_ev)
            )
        )
    got = acquired(references=tuple(half))
    maps = fit(got)
    assert worst_error(maps, got) < 2
    assert maps.calibration.mix["Mn"] == pytest.approx(0.5, abs=0.15)
    assert maps.chi2_of["first set"] > 1.05 * maps.chi2_of["mix"]


def test_amplitudes_scatter_as_their_covariance_says(noisy_maps, exact_maps):
    maps, silent = noisy_maps, exact_maps
    inside = silent.thickness.images > 0.3
    error = np.stack([maps.amplitudes[s].images - silent.amplitudes[s].images for s in maps.amplitudes], axis=-1)
    covariance = maps.covariance[inside].astype(float)
    z = np.linalg.solve(np.linalg.cholesky(covariance), error[inside][..., None])[..., 0]
    # Six independent numbers of 600 pixels: the standard deviation of all is known to 1.2 percent, of each to 3.
    assert 0.95 < z.std() < 1.05
    assert ((z.std(axis=0) > 0.9) & (z.std(axis=0) < 1.1)).all()
    assert np.abs(z.mean(axis=0)).max() < 0.15


def test_calibration_error_is_how_far_calibrated_fits_scatter_from_those_that_know(noise_free):
    mn = {"Mn": (references.load("Mn"),)}
    core, low = noise_free.core_loss, noise_free.low_loss
    basis = Basis(core.energy_ev, low.energy_ev, sets=mn, fit_window_ev=(602.0, 760.0), extra_edges=(), optics=OPTICS)
    pooled = Tilts(core, low, basis.window).pooled((1.0, 1.0))
    few = Pooled(pooled.spectra[-3:], pooled.variances[-3:], pooled.kernels[-3:], pooled.n_pixels[-3:])
    exact = PooledSpectra(few, basis)
    known = calibrate(exact)
    claimed = _calibration_error(exact, known)
    rng, changes = np.random.default_rng(2), []
    for _ in range(30):
        noise = np.sqrt(few.variances) * rng.standard_normal(few.spectra.shape)
        drawn = PooledSpectra(replace(few, spectra=few.spectra + noise), basis)
        changes.append(_shares(drawn, calibrate(drawn).fit, "Mn") - _shares(drawn, drawn.fit(known.distortion), "Mn"))
    ratio = np.std(changes, axis=0, ddof=1) / [claimed[s] for s in basis.states]
    assert ((ratio > 0.7) & (ratio < 1.4)).all(), ratio
    # As much as the noise of these few spectra itself: left out, percentages would be twice as sure as they are.
    assert min(claimed.values()) > 1.0


def test_signed_amplitudes_do_not_make_valence_out_of_noise(noisy, noisy_maps):
    maps = noisy_maps
    truth = truth_percent(noisy)
    values = {s: maps.amplitudes[s].images for s in maps.states_of("Mn")}
    clipped = {s: np.maximum(v, 0).sum() for s, v in values.items()}
    signed = {s: v.sum() for s, v in values.items()}
    error_clipped = 100 * clipped["Mn3"] / sum(clipped.values()) - truth["Mn3"]
    error_signed = 100 * signed["Mn3"] / sum(signed.values()) - truth["Mn3"]
    assert error_clipped > 3 > abs(error_signed)


@pytest.mark.parametrize(("pixels", "readout"), [("any", 3.0), ("bright beside dark", 10.0)])
def test_noise_is_estimated_from_neighbors(pixels, readout):
    rng = np.random.default_rng(3)
    energy = np.arange(600, 907, 0.15)
    height = rng.uniform(20, 100, (24, 24, 1)) if pixels == "any" else np.tile([30.0, 55.0], (24, 12))[..., None]
    mean = height * (energy / 600) ** -3
    spectra = 2.0 * rng.poisson(mean / 2.0) + readout * rng.standard_normal(mean.shape)
    gain, floor = estimate_noise([neighbor_statistics(spectra.astype(np.float32), energy)])
    assert gain == pytest.approx(2.0, rel=0.05 if pixels == "any" else 0.2)
    assert floor == pytest.approx(readout**2, rel=0.15 if pixels == "any" else 0.05)


def test_columns_are_the_convolution_with_the_kernel():
    core, low = 600 + 0.15 * np.arange(2048), -30 + 0.15 * np.arange(2048)
    sets = {el: (references.load(el),) for el in ("Mn", "Co", "Ni")}
    basis = Basis(core, low, sets=sets, fit_window_ev=(602.0, 905.0), extra_edges=(), optics=OPTICS)
    kernel = np.zeros((1, low.size))
    kernel[0, 200], kernel[0, 400] = 0.6, 0.4  # zero loss, and a loss of 30 eV
    column = basis.white_line_columns(kernel, Distortion())[0, 0]
    mn4 = references.load("Mn").spectra[0] * references.white_line_cross_section("Mn", **OPTICS)
    axis = references.load("Mn").energy_ev
    by_hand = 0.6 * np.interp(basis.energy_ev, axis, mn4, left=0, right=0)
    by_hand += 0.4 * np.interp(basis.energy_ev - 30, axis, mn4, left=0, right=0)
    np.testing.assert_allclose(column, by_hand, atol=2e-3 * by_hand.max())


def test_a_positive_shift_moves_lines_up():
    core, low = 600 + 0.15 * np.arange(2048), -30 + 0.15 * np.arange(2048)
    basis = Basis(
        core, low, sets={"Mn": (references.load("Mn"),)}, fit_window_ev=(602.0, 905.0), extra_edges=(), optics=OPTICS
    )
    kernel = np.zeros((1, low.size))
    kernel[0, 200] = 1.0
    at_rest, moved = (
        basis.white_line_columns(kernel, Distortion(shift_ev={"Mn2": shift}))[0, 2] for shift in (0.0, 1.0)
    )
    center = [np.sum(basis.energy_ev * column) / column.sum() for column in (at_rest, moved)]
    assert center[1] - center[0] == pytest.approx(1.0, abs=0.02)


def test_whole_channel_shifts_keep_counts():
    spectra = np.arange(12, dtype=np.float32).reshape(2, 6)
    result = shifted(spectra, np.array([2, -1]))
    np.testing.assert_array_equal(result, [[2, 3, 4, 5, 0, 0], [0, 6, 7, 8, 9, 10]])


def test_errors_of_a_straight_line_are_those_of_its_fisher_matrix():
    """pyEELSMODEL's case: Poisson counts of x + 1, fitted by a slope and an intercept."""
    x = np.linspace(1.0, 1024.0, 1024)
    columns, mean = np.stack([x, np.ones_like(x)]), x + 1
    filters, covariance = linear_filter(columns, mean, (1.0, 0.0))
    fisher = (columns / mean) @ columns.T
    np.testing.assert_allclose(covariance, np.linalg.inv(fisher), rtol=1e-6)
    drawn = np.random.default_rng(2).poisson(mean, (3000, x.size)) @ filters.T.astype(float)
    assert drawn.mean(axis=0) == pytest.approx([1, 1], abs=0.05)
    assert drawn.std(axis=0) == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.05)
    # Readout noise adds to the variance of every channel.
    read = linear_filter(columns, mean, (1.0, 400.0))[1]
    np.testing.assert_allclose(read, np.linalg.inv((columns / (mean + 400)) @ columns.T), rtol=1e-6)


def test_orthonormal_rows_and_their_inverse():
    columns = np.random.default_rng(1).standard_normal((5, 50)) + np.linspace(0, 1e3, 50)
    rows, inverse = orthonormal(columns)
    np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(columns.T @ inverse, rows.T, atol=1e-8)


def test_percentages_are_withheld_where_references_cannot_describe_the_data():
    wrong = tuple(references.load(el).changed(fwhm_ev=6.0, l3_l2_factor=3.0) for el in ("Mn", "Co", "Ni"))
    got = acquired(references=wrong, noise=True, efficiency=1.0)
    maps = fit(got, references="charge-transfer", calibrate=False)
    assert not maps.reportable["Mn"]
    assert np.isnan(maps.particle_percentages()["Mn4"][0])
    assert any("withheld" in warning for warning in maps.warnings)
    volumes = valence.reconstruct(
        valence.align_maps(maps, Alignment(got.truth["shifts_px"], maps.thickness.tilt_angles_deg)),
        density=Tomogram(got.truth["density"], maps.thickness.pixel_size_nm),
        support=got.truth["mask"],
        method="sirt",
    )
    assert np.isnan(volumes.fractions["Mn4"].values).all()
    assert volumes.warnings == maps.warnings


def test_joint_volumes_find_the_gradient_and_beat_the_linear_control(noisy, noisy_maps):
    maps = noisy_maps
    aligned = valence.align_maps(maps, Alignment(noisy.truth["shifts_px"], maps.thickness.tilt_angles_deg))
    density, mask = Tomogram(noisy.truth["density"], maps.thickness.pixel_size_nm), noisy.truth["mask"].astype(bool)
    truth = noisy.truth["Mn4"][mask]
    errors = {}
    for method in valence.volumes.METHODS:
        volumes = valence.reconstruct(aligned, density=density, support=mask, method=method, n_draws=4)
        errors[method] = np.std(volumes.fractions["Mn4"].values[mask] - truth)
        if method == "joint":
            np.testing.assert_allclose(
                sum(volumes.fractions[s].values[mask] for s in maps.states_of("Mn")), 1, atol=1e-5
            )
            mean, sd = volumes.mean_over("Mn4", mask)
            assert abs(mean - truth.mean()) < 4 * sd
            assert 0 < sd < 0.03
    assert errors["joint"] < 0.5 * errors["sirt"]


def with_channels(series, value):
    counts = np.array(series.counts, dtype=np.float32)
    counts[..., 700:710] = value
    return series.replace(counts=counts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, low: (low, c), "0 eV|inside the core-loss axis"),
        (lambda c, low: (c, low.replace(energy_ev=low.energy_ev * 2)), "dispersion of the core loss"),
        (lambda c, low: (c, low.replace(counts=low.counts[:, :8])), "(tilt, y, x)"),
        (lambda c, low: (c, low.replace(tilt_angles_deg=low.tilt_angles_deg + 1)), "tilt angles of the core loss"),
        (lambda c, low: (c.replace(energy_ev=c.energy_ev + 60), low), "inside the core-loss axis"),
        (lambda c, low: (c.counts, low), "SpectrumTiltSeries"),
        (lambda c, _: (c, None), "SpectrumTiltSeries"),
        (lambda c, low: (with_channels(c, 0), low), "core_loss: expected live channels .* dead channels at 705"),
        (lambda c, low: (with_channels(c, np.nan), low), "core_loss: expected live channels .* NaN"),
        (lambda c, low: (with_channels(c, 32767), low), "core_loss: expected live channels .* saturated"),
        (lambda c, low: (c, low.replace(counts=np.minimum(low.counts, 4000))), "low_loss: .* saturated channels"),
        (lambda c, low: (c, low.replace(energy_ev=low.energy_ev + 40)), "an axis that holds 0 eV"),
    ],
)
def test_what_does_not_fit_together_is_refused(noisy, change, message):
    core, low = change(noisy.core_loss, noisy.low_loss)
    with pytest.raises((ValueError, TypeError), match=message.replace("(", r"\(").replace(")", r"\)")) as error:
        valence.fit_spectra(core, low)
    assert "To fix" in str(error.value)


def test_references_must_cover_their_edge(noisy):
    short = references.load("Mn")
    kept = short.energy_ev < 655
    cut = references.ReferenceSet("mine", short.states, short.energy_ev[kept], short.spectra[:, kept])
    with pytest.raises(ValueError, match="cover both white lines"):
        fit(noisy, references={"Mn": cut})
    with pytest.raises(ValueError, match="sort the sets by their element"):
        fit(noisy, references={"Mn": references.load("Co")})


def test_manganese_alone_is_fitted_in_a_window_that_ends_before_cobalt(noise_free, exact_maps):
    alone = fit(
        noise_free, references={"Mn": references.load("Mn", "crystal-field")}, calibrate=False, fit_window_ev=(600, 765)
    )
    assert alone.elements == ("Mn",)
    wanted = exact_maps.particle_percentages()
    assert all(abs(share - wanted[state][0]) < 1 for state, (share, _) in alone.particle_percentages().items())


def test_vacuum_alone_is_refused(noisy):
    vacuum = noisy.low_loss.replace(
        counts=np.broadcast_to(noisy.low_loss.counts[:1, :1, :1], noisy.low_loss.counts.shape)
    )
    with pytest.raises(ValueError, match="vacuum only"):
        valence.fit_spectra(noisy.core_loss, vacuum, variance_per_count=1.0, readout_variance=1.0)


@pytest.mark.parametrize("angle_deg", [4.0, -4.0])
def test_covariances_turn_with_the_amplitudes(noisy_maps, angle_deg):
    spot = np.zeros((5, 16, 16))
    spot[:, 8:10, 4:6] = 1.0
    maps = replace(
        noisy_maps,
        amplitudes={s: a.replace(images=spot) for s, a in noisy_maps.amplitudes.items()},
        covariance=(np.eye(6) * (0.01 + spot)[..., None, None]).astype(np.float32),
    )
    shifts = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 2.0], [-1.0, 0.5], [0.0, 0.0]])
    turned = valence.align_maps(
        maps, Alignment(shifts, maps.thickness.tilt_angles_deg, axis_rotation_deg=5 * angle_deg)
    )
    rows, columns = np.mgrid[:16, :16]
    for image, variance in zip(turned.amplitudes["Mn4"].images, turned.covariance[..., 0, 0] - 0.01, strict=True):
        of_both = [(np.sum(v * rows) / v.sum(), np.sum(v * columns) / v.sum()) for v in (image, variance)]
        np.testing.assert_allclose(of_both[1], of_both[0], atol=0.25)


def test_matter_beyond_the_support_is_part_of_the_model(exact_maps):
    # Left out, the valence of the rim is pushed into the surface shell: 5 points of Co3+ in a particle of the twin.
    maps = exact_maps
    specimen = phantoms.particle("cycled-200-1", shape=16)
    share = np.clip(0.3 + 0.008 * specimen.depth_nm, 0, 1)
    density, angles = Tomogram(specimen.density, maps.thickness.pixel_size_nm), maps.thickness.tilt_angles_deg
    fractions = {"Co3": share, "Co2": 1 - share}
    images = {s: tomography.project(density.replace(values=density.values * f), angles) for s, f in fractions.items()}
    maps = replace(maps, amplitudes={**maps.amplitudes, **images})
    data = valence.volumes.fraction_data(maps, tuple(fractions), density, specimen.mask)
    left = data.images - data.expected(np.stack(list(fractions.values())))
    assert np.abs(left).max() < 1e-4 * data.images.max()


def test_the_error_of_the_density_is_what_noise_leaves_over():
    rng = np.random.default_rng(4)
    expected = np.full((3, 40, 40), 100.0)
    covariance = np.zeros((2, 2, *expected.shape), dtype=np.float32)
    covariance[0, 0] = covariance[1, 1] = 20.0
    noise = rng.normal(0, np.sqrt(20), (2, *expected.shape))
    assert _density_error(expected / 2 + noise, covariance, expected) < 0.02
    wrong = expected * (1 + 0.1 * rng.standard_normal(expected.shape))
    assert _density_error(wrong / 2 + noise, covariance, expected) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("shifts", "log_ratio", "strained"),
    [((0.2, -0.2), 0.6, False), ((0.3, -0.3), 0.0, True), ((0.0, 0.0), 0.8, True), ((0.0, 0.0), -0.8, True)],
)
def test_references_are_strained_by_half_an_electronvolt_or_a_factor_of_two(shifts, log_ratio, strained):
    bent = Distortion(shift_ev=dict(zip(("Mn4", "Mn2"), shifts, strict=True)), log_l3_l2={"Mn": log_ratio})
    assert _is_strained(bent, ("Mn4", "Mn2")) == strained


def test_the_error_of_a_mean_is_the_scatter_of_the_means_of_draws():
    support = np.ones((2, 2, 2), dtype=bool)
    draws = np.stack([np.full(8, 0.1), np.full(8, -0.1), np.linspace(-0.3, 0.3, 8)]).astype(np.float32)
    half = Tomogram(np.full((2, 2, 2), 0.5), 1.0)
    volumes = valence.ValenceVolumes({"Mn4": half}, {"Mn4": half}, {"Mn4": draws}, support, {})
    assert volumes.mean_over("Mn4", support) == pytest.approx((0.5, np.sqrt(0.02 / 3)))


def test_a_pixel_that_was_not_measured_has_an_error_that_says_so(noisy_maps):
    lost = {
        s: m.replace(images=np.where(np.arange(16) == 3, np.nan, m.images)) for s, m in noisy_maps.amplitudes.items()
    }
    n_tilts = noisy_maps.thickness.n_tilts
    still = Alignment(np.zeros((n_tilts, 2)), noisy_maps.thickness.tilt_angles_deg)
    moved = valence.align_maps(replace(noisy_maps, amplitudes=lost), still)
    variances = np.diagonal(moved.covariance, axis1=-2, axis2=-1)
    assert variances[:, :, 3].min() > 1e3 * variances[:, :, 5:].max()
    assert all(np.isfinite(series.images).all() for series in moved.amplitudes.values())
