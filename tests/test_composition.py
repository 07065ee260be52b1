"""Composition: ratios by hand, absorption taken out of a simulated particle, the published chain on known volumes."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import erfc
from scipy.stats import maxwell

from tritomo_helpers import composition, eds, phantoms
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.projection import Projector
from tritomo_helpers.simulation import Acquisition, Eds, acquire
from tritomo_helpers.spectroscopy import xray

ELEMENTS = ("O", "Mn", "Co", "Ni")
NCM111 = {"O": 6, "Mn": 1, "Co": 1, "Ni": 1}


def rng(seed=5):
    return np.random.default_rng(seed)


class TestRatios:
    def test_k_factors_by_hand(self):
        k = composition.k_factors({"O": [300.0, 300.0], "Mn": [40.0, 60.0]}, atomic_ratio={"O": 6, "Mn": 1})
        assert k == pytest.approx({"O": 1.0, "Mn": (1 / 100) / (6 / 600)})
        both = composition.k_factors(
            [{"O": [600.0], "Mn": [100.0]}, {"O": [600.0], "Mn": [25.0]}], atomic_ratio={"O": 6, "Mn": 1}
        )
        assert both["Mn"] == pytest.approx(np.sqrt(1 * 4))  # geometric mean

    def test_what_fixed_the_k_factors_comes_back(self):
        counts = {el: rng(i).gamma(3, n, (5, 5)) for i, (el, n) in enumerate(NCM111.items())}
        k = composition.k_factors(counts, atomic_ratio=NCM111)
        sums = composition.cliff_lorimer({el: c.sum() for el, c in counts.items()}, k_factors=k)
        assert {el: float(f) * 9 for el, f in sums.items()} == pytest.approx(NCM111)

    def test_fractions_add_up_and_nothing_measured_is_nan(self):
        counts = {"O": np.array([6.0, 0.0, -2.0, 5.0]), "Mn": np.array([2.0, 0.0, 1.0, -1.0])}
        found = composition.cliff_lorimer(counts, k_factors={"O": 1.0, "Mn": 3.0})
        np.testing.assert_array_equal(np.isnan(found["O"]), [False, True, True, False])
        np.testing.assert_allclose((found["O"] + found["Mn"])[[0, 3]], 1)
        assert found["Mn"][0] == pytest.approx(0.5)
        assert found["Mn"][3] < 0  # noise, not clipped

    def test_points_with_too_few_counts_are_not_measured(self):
        counts = {"O": np.array([6.0, 6.0]), "Mn": np.array([2.0, 2.5])}
        found = composition.cliff_lorimer(counts, k_factors={"O": 1.0, "Mn": 10.0}, min_counts=8.0)
        np.testing.assert_array_equal(np.isfinite(found["O"]), [False, True])  # counts, whatever they weigh

    def test_nan_is_left_out_for_all_elements(self):
        counts = {"O": np.array([6.0, np.nan]), "Mn": np.array([1.0, 50.0])}
        assert composition.k_factors(counts, atomic_ratio={"O": 6, "Mn": 1})["Mn"] == pytest.approx(1)

    def test_containers_and_order_of_keys(self):
        o, mn = (Tomogram(np.full((2, 2, 2), v), 4.63) for v in (6.0, 2.0))
        found = composition.cliff_lorimer({"Mn": mn, "O": o}, k_factors={"O": 1.0, "Mn": 3.0})
        np.testing.assert_allclose(found["O"], 0.5)

    def test_cross_sections_give_the_twin_its_composition(self):
        """Emission of the twin without absorption, through the fit and k-factors from cross-sections alone."""
        ball = phantoms.balls([[0, 0, 0]], [60], shape=16)
        settings = Acquisition.tiny(
            tilt_angles_deg=(0,), signals=("eds",), repeats=False, counting_noise=False, eds=Eds.ideal(n_channels=256)
        )
        maps = eds.fit_lines(acquire(ball, settings, rng=rng()).eds, elements=ELEMENTS)
        k = composition.k_factors_from_cross_sections(ELEMENTS)
        sums = {el: m.images.sum(dtype=float) for el, m in maps.intensities.items()}
        found = composition.cliff_lorimer(sums, k_factors=k)
        assert 100 * float(found["O"]) == pytest.approx(66.67, abs=0.15)
        for metal in ("Mn", "Co", "Ni"):
            assert 100 * float(found[metal]) == pytest.approx(11.11, abs=0.1)


@pytest.fixture(scope="module")
def particles():
    """Noise-free maps, density and truth of two particles, k-factors from the first."""
    settings = Acquisition.tiny(
        tilt_angles_deg=(-60, -30, 0, 30, 60),
        signals=("eds",),
        repeats=False,
        counting_noise=False,
        misalignment_px=0,
        drift_nm=0,
        tilt_error_deg=0,
        axis_rotation_deg=0,
        eds=Eds(n_channels=256),
    )
    specimens = {name: phantoms.particle(name, shape=16) for name in ("pristine-2", "cycled-200-1")}
    return {
        name: (eds.fit_lines(acquire(specimen, settings, rng=rng()).eds, elements=ELEMENTS), specimen)
        for name, specimen in specimens.items()
    }


def means_of(particles, *, corrected=True, **options):
    """Mean composition of the cycled particle in at%, and the truth."""
    fractions = {el: n / 9 for el, n in NCM111.items()}
    totals, k = {}, None
    for name, (maps, specimen) in particles.items():
        guess = {**fractions, "Li": 1 / 3 if name.startswith("pristine") else 0.1}
        if corrected:
            density = specimen.tomogram()
            totals = composition.correct_absorption(
                maps.intensities, density, composition=guess, k_factors=k, **options
            ).totals
        else:
            totals = {el: m.images.sum(dtype=float) for el, m in maps.intensities.items()}
        if k is None:
            k = composition.k_factors(totals, atomic_ratio=NCM111)
    found = composition.cliff_lorimer(totals, k_factors=k)
    inside = specimen.mask
    truth = {
        el: 100 * np.average(specimen.atomic_fractions[el][inside], weights=specimen.density[inside]) for el in ELEMENTS
    }
    return {el: 100 * float(f) for el, f in found.items()}, truth


class TestAbsorptionOfAParticle:
    def test_means_without_noise(self, particles):
        found, truth = means_of(particles)
        assert abs(found["O"] - truth["O"]) < 0.2
        assert max(abs(found[el] - truth[el]) for el in ELEMENTS[1:]) < 0.12

    def test_a_tenth_off_in_shadow_and_absorption_costs_little(self, particles):
        angles = next(iter(particles.values()))[0].intensities["O"].tilt_angles_deg
        wrong = np.stack([Eds().detectors.shadow(a) for a in angles])
        wrong[:, ::2] *= 0.9
        found, truth = means_of(particles, shadow=wrong)
        assert abs(found["O"] - truth["O"]) < 0.3

    def test_composition_is_updated_by_what_is_found(self, particles):
        maps, specimen = particles["cycled-200-1"]
        k = composition.k_factors_from_cross_sections(ELEMENTS)
        guess = {"O": 0.9, "Mn": 0.05, "Co": 0.03, "Ni": 0.02}
        found = composition.correct_absorption(
            maps.intensities, specimen.tomogram(), composition=guess, k_factors=k
        ).composition
        assert found["O"] == pytest.approx(0.61, abs=0.02)
        assert sum(found.values()) == pytest.approx(1)

    def test_elements_without_a_map_keep_their_amount(self, particles):
        maps, specimen = particles["cycled-200-1"]
        guess = {"O": 0.5, "Mn": 0.2, "F": 0.3, "Li": 0.1}
        seen = {el: maps.intensities[el] for el in ("O", "Mn")}
        got = composition.correct_absorption(
            seen, specimen.tomogram(), composition=guess, k_factors={"O": 1.0, "Mn": 0.5}, n_updates=1
        )
        assert (got.composition["F"], got.composition["Li"]) == (0.3, 0.1)
        assert got.composition["O"] + got.composition["Mn"] == pytest.approx(0.7)
        matter = np.asarray(specimen.tomogram().values, dtype=float)
        mean = [np.average(w, weights=matter) for w in got.weights["O"]]
        np.testing.assert_allclose(got.transmission["O"], mean, rtol=1e-6)
        assert got.totals["O"] == pytest.approx(seen["O"].images.sum(dtype=float) / len(mean) / np.mean(mean), rel=1e-6)

    def test_every_pixel_is_corrected_where_composition_is_the_same(self):
        ball = phantoms.balls([[0, 0, 0]], [80], shape=24)
        density, angles = ball.tomogram(), np.array([-40.0, 0.0, 50.0])
        weights = eds.absorption_weights(
            density, composition={el: n / 9 for el, n in NCM111.items()}, elements=["Ni"], tilt_angles_deg=angles
        )
        matter = np.asarray(density.values, dtype=np.float32)
        seen = np.concatenate(
            [Projector([a], (24, 24)).forward(matter * w) for a, w in zip(angles, weights["Ni"], strict=True)]
        )
        series = TiltSeries(seen, angles, density.voxel_size_nm)
        corrected = composition.correct_maps({"Ni": series}, density, weights=weights)["Ni"].images
        full = Projector(angles, (24, 24)).forward(matter)
        inside = full > 0.05 * full.max()
        np.testing.assert_allclose(corrected[inside], full[inside], rtol=1e-4)
        # Where no matter is seen, the mean of the tilt is what came out.
        vacuum = composition.correct_maps({"Ni": series.replace(images=seen + 1)}, density, weights=weights)[
            "Ni"
        ].images
        for tilt, image in enumerate(vacuum):
            mean = seen[tilt].sum() / full[tilt].sum()
            np.testing.assert_allclose(image[full[tilt] == 0], 1 / mean, rtol=1e-4)
        # The two rims differ before and agree after, at a tilt where one side is in the shadow.
        left, right = (seen[2][:, s].sum() / full[2][:, s].sum() for s in (slice(1, 13), slice(13, 24)))
        assert right > 1.05 * left


class TestNull:
    def test_counts_are_those_of_the_dose(self):
        ball = phantoms.balls([[0, 0, 0]], [70], shape=24)
        fractions = {el: n / 9 for el, n in NCM111.items()}
        maps = composition.homogeneous_maps(
            ball.tomogram(), fractions=fractions, tilt_angles_deg=[-40, 0], rng=rng(3), counts=4.0
        )
        voxel = ball.voxel_size_nm
        atoms = float(ball.density.sum()) * voxel  # per nm² summed over pixels
        sigma = xray.emission_cross_section(xray.main_line("O")) * 1e-10
        expected = 4 * 0.3e-9 * 0.05 / 1.602176634e-19 * 0.7 / (4 * np.pi) * sigma * 2 / 3 * atoms
        totals = maps["O"].images.sum(axis=(1, 2))
        assert totals[1] == pytest.approx(expected, rel=0.01)
        assert totals[0] / totals[1] == pytest.approx(Eds().detectors.shadow(-40).mean(), rel=0.01)
        k = composition.k_factors_from_cross_sections(ELEMENTS)
        found = composition.cliff_lorimer({el: m.images.sum() for el, m in maps.items()}, k_factors=k)
        assert float(found["O"]) == pytest.approx(2 / 3, abs=0.004)
        again = composition.homogeneous_maps(
            ball.tomogram(), fractions=fractions, tilt_angles_deg=[-40, 0], rng=rng(3), counts=4.0
        )
        np.testing.assert_array_equal(again["Ni"].images, maps["Ni"].images)

    def test_noise_of_a_normal_distribution_becomes_rich_as_its_mean_rises(self):
        noise = rng(1).normal(0, 0.02, 200_000)
        for mean in (0.112, 0.13):
            expected = 0.5 * erfc((0.167 - mean) / 0.02 / np.sqrt(2))
            assert composition.shifted_rich_share(noise, mean=mean) == pytest.approx(expected, rel=0.08)

    def test_rich_shares_do_not_depend_on_where_the_noise_lay(self):
        noise = rng(1).normal(0, 0.02, 20_000)
        shares = [composition.shifted_rich_share(noise + offset, mean=0.13) for offset in (0.0, 0.05)]
        assert shares[1] == pytest.approx(shares[0], abs=1e-3)

    def test_copper_of_the_grid_and_bremsstrahlung_are_counted_too(self):
        ball = phantoms.balls([[0, 0, 0]], [70], shape=24).tomogram()
        fractions = {el: n / 9 for el, n in NCM111.items()}
        got = composition.counted_lines(ball, fractions=fractions, tilt_angles_deg=[0], rng=rng(3))
        assert got.model is not None
        energy = got.model.energy_ev
        photons = 0.3e-9 * 0.05 / 1.602176634e-19 * 0.7 / (4 * np.pi)
        sigma = sum(xray.emission_cross_section(line) for line in xray.lines(["Cu"]) if line.shell[0] == "L") * 1e-10
        shape = got.model.columns()["Cu"]
        expected = 24 * 24 * photons * 100.0 * sigma * shape
        copper = (energy > 990) & (energy < 1100)  # beyond nickel
        bare = composition.counted_lines(
            ball.replace(values=np.where(ball.values > 0, 1e-6, 0)),
            fractions=fractions,
            tilt_angles_deg=[0],
            rng=rng(3),
        ).spectrum
        cu_line = shape > 0.3 * shape.max()
        assert bare[cu_line].sum() == pytest.approx(expected[cu_line].sum(), rel=0.05)
        oxygen = got.intensities["O"].images.sum()
        continuum = got.model.columns()["bremsstrahlung"][copper].sum() * 0.002 * oxygen
        assert (got.spectrum - bare)[copper].sum() == pytest.approx(continuum, rel=0.5, abs=4 * np.sqrt(continuum))

    def test_fractions_that_do_not_add_up(self):
        with pytest.raises(ValueError, match=r"fractions: expected atomic fractions that sum to 1, got a sum of 0\.5"):
            composition.homogeneous_maps(
                Tomogram(np.ones((2, 2, 2)), 1.0), fractions={"O": 0.5}, tilt_angles_deg=[0], rng=rng()
            )


class TestPaper:
    @pytest.fixture(scope="class")
    @staticmethod
    def maps():
        ball = phantoms.balls([[0, 0, 0]], [70], shape=24)
        axis = (np.arange(24) - 12) * ball.voxel_size_nm
        angles = np.arange(-60.0, 61.0, 15.0)
        images = np.stack([ball.areal_densities(t, axis, axis)["O"] for t in angles])
        return ball, {
            el: TiltSeries(n * images / images.max(), angles, ball.voxel_size_nm, el) for el, n in NCM111.items()
        }

    OPTIONS = {"oversampling": 2, "n_iterations": 30}  # noqa: RUF012

    def test_a_homogeneous_ball_stays_homogeneous(self, maps):
        ball, series = maps
        got = composition.reconstruct_paper(series, mask=ball.mask, atomic_ratio=NCM111, **self.OPTIONS)
        for element, n in NCM111.items():
            values = got.fractions[element].values
            np.testing.assert_allclose(values[ball.mask], n / 9, atol=1e-3)
            assert np.all(np.isnan(values[~ball.mask]))

    def test_counts_may_go_a_voxel_beyond_the_mask_and_no_farther(self, maps):
        ball, series = maps
        got = composition.reconstruct_paper(series, mask=ball.mask, atomic_ratio=NCM111, **self.OPTIONS)
        values = got.intensities["O"].values
        rim = ndimage.binary_dilation(ball.mask)
        assert np.any(values[rim & ~ball.mask] > 0)
        assert np.all(values[~rim] == 0)

    def test_a_mask_that_covers_less_than_four_fifths_is_refused(self, maps):
        ball, series = maps
        smaller = ndimage.binary_erosion(ball.mask, iterations=3)
        with pytest.raises(ValueError, match=r"a particle that covers the maps, got [2-6]\d% of the counts outside"):
            composition.reconstruct_paper(series, mask=smaller, atomic_ratio=NCM111, **self.OPTIONS)

    def test_one_factor_per_tilt_undoes_a_shadow(self, maps):
        ball, series = maps
        shadow = np.linspace(0.6, 1.0, 9)
        hidden = {el: s.replace(images=s.images * shadow[:, None, None]) for el, s in series.items()}
        got = composition.reconstruct_paper(hidden, mask=ball.mask, atomic_ratio=NCM111, **self.OPTIONS)
        np.testing.assert_allclose(got.tilt_factors * shadow, np.mean(got.tilt_factors * shadow), rtol=0.01)
        np.testing.assert_allclose(got.element_tilt_factors["O"], got.tilt_factors, rtol=1e-6)

    def test_the_gaussian_takes_contrast_from_what_is_small(self, maps):
        """In the middle of a rich ball stays the share of the Gaussian that lies within it."""
        ball, series = maps
        radius = 2.5  # pixels, in the middle of the ball of 70 nm
        axis = np.arange(24) - 12
        chord_nm = 2 * np.sqrt(np.maximum(radius**2 - axis[:, None] ** 2 - axis**2, 0)) * ball.voxel_size_nm
        more = 0.5 * chord_nm / 70  # half as much manganese again, at the cost of cobalt
        rich = series | {
            element: series[element].replace(images=series[element].images + sign * more)
            for element, sign in (("Mn", 1), ("Co", -1))
        }
        contrast = {}
        for smoothing_px in (0.0, 1.2):
            got = composition.reconstruct_paper(
                rich, mask=ball.mask, atomic_ratio=NCM111, smoothing_px=smoothing_px, **self.OPTIONS
            )
            mn = got.fractions["Mn"].values
            contrast[smoothing_px] = float(mn[12, 12, 12] - np.nanmedian(mn))
        assert contrast[0.0] > 0.04
        assert contrast[1.2] / contrast[0.0] == pytest.approx(maxwell.cdf(radius / 1.2), abs=0.1)

    def test_noise_becomes_rich_voxels_and_every_switch_changes_how_many(self, maps):
        """The homogeneous ball again, now counted: what is rich is noise."""
        ball, series = maps
        noisy = {el: s.replace(images=rng(7).poisson(0.5 * s.images).astype(float)) for el, s in series.items()}
        rich, switches = {}, {"prefilter": "mean3", "support": "box", "rim": False}
        for name, value in [("", None), *switches.items()]:
            change = {name: value} if name else {}
            got = composition.reconstruct_paper(noisy, mask=ball.mask, atomic_ratio=NCM111, **self.OPTIONS, **change)
            mn = got.fractions["Mn"].values
            rich[name] = float(np.mean(mn[np.isfinite(mn)] > 0.167))
        assert rich[""] > 0.005
        assert rich["prefilter"] < rich[""]
        assert rich["rim"] < rich[""]
        assert rich["support"] != rich[""]


class TestBadInput:
    SERIES = TiltSeries(np.ones((2, 4, 4)), [0, 10], 4.63)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (
                lambda: composition.cliff_lorimer({"O": 1.0, "Mn": 1.0}, k_factors={"O": 1.0, "Co": 1.0}),
                r"k_factors: expected the elements of the intensities, O, Mn, got O, Co\. To fix: give one value per",
            ),
            (
                lambda: composition.cliff_lorimer({"O": 1.0}, k_factors={"O": -1.0}),
                "k-factor of O: expected a finite number above zero",
            ),
            (
                lambda: composition.cliff_lorimer({"O": np.ones(3), "Mn": np.ones(4)}, k_factors={"O": 1, "Mn": 1}),
                r"intensities of Mn: expected shape \(3,\), got shape \(4,\)\. To fix: bring them to the shape of O",
            ),
            (
                lambda: composition.cliff_lorimer(
                    {"O": Tomogram(np.ones((1, 1, 1)), 4.0), "Mn": Tomogram(np.ones((1, 1, 1)), 5.0)},
                    k_factors={"O": 1, "Mn": 1},
                ),
                "intensities: expected one pixel size, got O 4 nm, Mn 5 nm. To fix: resample",
            ),
            (
                lambda: composition.k_factors({"O": [1.0], "Mn": [-1.0]}, atomic_ratio={"O": 6, "Mn": 1}),
                "intensities of Mn: expected a positive sum, got -1",
            ),
            (lambda: composition.k_factors([], atomic_ratio={"O": 1}), "at least one particle, got none"),
            (
                lambda: composition.reconstruct_paper({"O": TestBadInput.SERIES}, mask=np.ones((4, 4, 4))),
                "k and atomic_ratio: expected one of them, got neither",
            ),
            (
                lambda: composition.reconstruct_paper(
                    {"O": TestBadInput.SERIES}, mask=np.ones((4, 5, 4)), atomic_ratio={"O": 1}
                ),
                "mask: expected shape",
            ),
            (
                lambda: composition.reconstruct_paper(
                    {"O": TestBadInput.SERIES}, mask=np.eye(4)[None].repeat(4, 0) * 0, atomic_ratio={"O": 1}
                ),
                "mask: expected a voxel inside, got none",
            ),
            (
                lambda: composition.reconstruct_paper(
                    {"O": TestBadInput.SERIES}, mask=np.arange(64).reshape(4, 4, 4) == 42, atomic_ratio={"O": 1}
                ),
                r"a particle that covers the maps, got \d+% of the counts outside its outline\. To fix: align",
            ),
            (
                lambda: composition.reconstruct_paper(
                    {"O": TestBadInput.SERIES, "Mn": TestBadInput.SERIES.replace(pixel_size_nm=5.0)},
                    mask=np.ones((4, 4, 4)),
                    atomic_ratio={"O": 1, "Mn": 1},
                ),
                r"maps of Mn: expected pixels of 4\.63 nm, got 5 nm\. To fix: resample",
            ),
            (
                lambda: composition.correct_absorption(
                    {"O": TestBadInput.SERIES}, Tomogram(np.ones((4, 4, 4)), 4.63), composition={"Mn": 1.0}
                ),
                "composition: expected every element of the maps, O, got nothing for O",
            ),
        ],
    )
    def test_says_what_to_do(self, call, words):
        with pytest.raises(ValueError, match=words):
            call()


def test_counted_lines_carry_the_composition_and_its_errors():
    """A ball that is rich in Mn on the left: sums follow the truth, and the scatter of repeats the covariance."""
    ball = phantoms.balls([[0, 0, 0]], [60], shape=16).tomogram()
    mn = np.where(np.arange(16) < 8, 0.15, 0.08) * np.ones((16, 16, 16))
    fractions = {"O": np.full(mn.shape, 0.67), "Mn": mn, "Co": 0.33 - mn}
    draws = [
        composition.counted_lines(ball, fractions=fractions, tilt_angles_deg=[0], rng=np.random.default_rng(seed))
        for seed in range(30)
    ]
    images = np.array([draw.intensities["Mn"].images[0] for draw in draws])
    core = np.s_[:, 6:10, 6:10]
    ratio = images[:, 6:10, 6:8].sum() / images[:, 6:10, 9:11].sum()
    assert ratio == pytest.approx(0.15 / 0.08, rel=0.03)
    scatter = images[core].std(axis=0, ddof=1).mean()
    assert scatter == pytest.approx(draws[0].standard_errors["Mn"].images[core].mean(), rel=0.1)
    crossed = np.mean(
        [np.cov(images[:, 8, x], [d.intensities["Co"].images[0, 8, x] for d in draws])[0, 1] for x in range(5, 11)]
    )
    assert crossed == pytest.approx(draws[0].covariance[0, 8, 5:11, 1, 2].mean(), abs=0.35 * float(scatter) ** 2)
    bad = {**fractions, "Mn": np.full(mn.shape, np.nan)}
    with pytest.raises(ValueError, match="fractions of Mn: expected finite values"):
        composition.counted_lines(ball, fractions=bad, tilt_angles_deg=[0], rng=np.random.default_rng(0))
