"""The specimens hold the truth they promise, recomputed from their voxels."""

import numpy as np
import pytest
from scipy import ndimage

from tests.helper import relative_error
from tritomo_helpers import phantoms
from tritomo_helpers.phantoms import STAGES

METALS = ("Mn", "Co", "Ni")


def shells_of(mask):
    """1 at the outermost voxels, 2 below them, and so on, as the paper defines its shells."""
    shells, layer, left = np.zeros(mask.shape, dtype=int), 1, mask.copy()
    while left.any():
        inner = ndimage.binary_erosion(left)
        shells[left & ~inner] = layer
        left, layer = inner, layer + 1
    return shells


def measure(phantom):
    """Everything the paper reports of one particle, from voxel arrays alone, in percent."""
    mask, shells = phantom.mask, shells_of(phantom.mask)
    surface = shells == 1
    maps = {el: 100 * v for el, v in phantom.atomic_fractions.items()}
    maps |= {f"Mn{k}": 100 * v for k, v in phantom.mn_valence.items()}
    maps |= {f"Co{k}": 100 * v for k, v in phantom.co_valence.items()}
    found = {name: float(values[mask].mean()) for name, values in maps.items()}
    for metal in METALS:
        rich = maps[metal] > 100 / 6
        found[f"rich {metal}"] = 100 * float(rich[mask].mean())
        found[f"surface rich {metal}"] = 100 * float(rich[surface].mean())
    index = np.arange(1, shells.max() + 1)
    sizes = np.bincount(shells[mask], minlength=shells.max() + 1)[1:]
    full = index[sizes > 200]
    found["profiles"] = {name: ndimage.mean(values, shells, full) for name, values in maps.items()}
    found["spreads"] = {name: ndimage.standard_deviation(maps[name], shells, full) for name in ("Mn", "Co")}
    found["depths"] = ndimage.mean(phantom.depth_nm, shells, full)
    return found


@pytest.fixture(scope="module")
def measured():
    """Return measurements of all twelve at one sampling, made once."""
    known = {}

    def at(shape):
        if shape not in known:
            known[shape] = {name: measure(phantoms.particle(name, shape=shape)) for name in phantoms.names()}
        return known[shape]

    return at


def mean_of(particles, stage, key):
    return float(np.mean([particles[name][key] for name in phantoms.names(stage)]))


SAMPLINGS = [
    64,
    pytest.param(48, marks=pytest.mark.acceptance),
    pytest.param(96, marks=pytest.mark.acceptance),
]


@pytest.mark.parametrize("shape", SAMPLINGS)
class TestTruth:
    # The numbers below are the paper's, typed in on purpose: the table of the package must not test itself.
    @pytest.mark.parametrize(
        ("stage", "expected"),
        [
            ("pristine", {"O": 66.67, "Mn": 11.11, "Co": 11.11, "Ni": 11.11}),
            ("cycled-100", {"Mn4": 80.7, "Mn3": 7.2, "Mn2": 12.1, "Co3": 77.5, "Co2": 22.5}),
            ("cycled-200", {"O": 61.0, "Mn4": 53.4, "Mn3": 4.6, "Mn2": 42.0, "Co3": 11.0, "Co2": 89.0}),
        ],
    )
    def test_means_reported_by_the_paper(self, measured, shape, stage, expected):
        for key, value in expected.items():
            assert mean_of(measured(shape), stage, key) == pytest.approx(value, abs=0.2), key

    def test_oxygen_stays_until_100_cycles(self, measured, shape):
        for stage in ("pristine", "cycled-50", "cycled-100"):
            assert 66.0 <= mean_of(measured(shape), stage, "O") <= 67.0

    def test_every_particle_has_its_stage_valence(self, measured, shape):
        for name, found in measured(shape).items():
            stage = STAGES[name.rsplit("-", 1)[0]]
            for key in ("mn4", "mn3", "mn2", "co3", "co2"):
                assert found[key.capitalize()] == pytest.approx(getattr(stage, key), abs=0.2), (name, key)

    def test_mn4_dips_at_50_cycles(self, measured, shape):
        drop = mean_of(measured(shape), "pristine", "Mn4") - mean_of(measured(shape), "cycled-50", "Mn4")
        assert drop == pytest.approx(10, abs=1)
        assert mean_of(measured(shape), "cycled-50", "Mn3") > mean_of(measured(shape), "cycled-100", "Mn3")
        assert mean_of(measured(shape), "cycled-50", "Mn2") > mean_of(measured(shape), "cycled-100", "Mn2")

    def test_rich_regions(self, measured, shape):
        for stage in ("pristine", "cycled-50"):
            for metal in METALS:
                assert mean_of(measured(shape), stage, f"rich {metal}") < 0.01
        for stage, lowest, highest in (("cycled-100", 0.05, 0.15), ("cycled-200", 0.17, 0.53)):
            rich = [mean_of(measured(shape), stage, f"rich {metal}") for metal in ("Co", "Ni", "Mn")]
            assert highest > rich[0] > rich[1] > rich[2] > lowest
            assert np.mean(rich) == pytest.approx(0.1 if stage == "cycled-100" else 0.35, rel=0.1)
            surface = np.mean([mean_of(measured(shape), stage, f"surface rich {metal}") for metal in METALS])
            assert surface / np.mean(rich) == pytest.approx(2, abs=0.4)

    def test_composition_is_flat_with_depth(self, measured, shape):
        for name, found in measured(shape).items():
            for el in ("O", *METALS):
                profile = found["profiles"][el]
                assert np.abs(profile - found[el]).max() < 0.2, (name, el)

    def test_averaging_particles_fakes_a_depth_dependence(self, measured, shape):
        profiles = [measured(shape)[name]["profiles"]["Co"] for name in phantoms.names("cycled-100")]
        within = max(np.ptp(p) for p in profiles)
        padded = np.full((4, max(map(len, profiles))), np.nan)
        for row, profile in zip(padded, profiles, strict=True):
            row[: len(profile)] = profile
        mean = np.nanmean(padded, axis=0)
        assert within < 0.2
        assert mean[-1] - mean[0] > 0.8
        assert np.nanstd(padded[:, 0]) > 0.5

    def test_valence_rises_with_depth_then_falls(self, measured, shape):
        for name, found in measured(shape).items():
            sign = -1 if "200" in name else 1
            for state, direction in (("Mn4", 1), ("Mn3", -1), ("Mn2", -1), ("Co3", 1), ("Co2", -1)):
                profile = found["profiles"][state]
                correlation = np.corrcoef(found["depths"], profile)[0, 1]
                assert sign * direction * correlation > 0.75, (name, state)
                assert sign * direction * (profile[-1] - profile[0]) > 0.5, (name, state)

    def test_pristine_core_is_nearly_ideal(self, measured, shape):
        for name in phantoms.names("pristine"):
            assert measured(shape)[name]["profiles"]["Mn4"][-1] > 92
            assert measured(shape)[name]["profiles"]["Co3"][-1] > 90

    def test_inhomogeneity_decays_and_evolves(self, measured, shape):
        surface = {}
        for metal in ("Mn", "Co"):
            for stage in STAGES:
                spreads = [measured(shape)[name]["spreads"][metal] for name in phantoms.names(stage)]
                surface[stage] = np.mean([s[0] for s in spreads])
            for name in phantoms.names("pristine") + phantoms.names("cycled-50"):  # no clusters: the bare law
                found = measured(shape)[name]
                slope = np.polyfit(found["depths"], np.log(found["spreads"][metal]), 1)[0]
                decay = phantoms.particle(name, shape=16).body.chemistry.decay_nm
                assert -1 / slope == pytest.approx(decay, rel=0.35), (name, metal)
            for name, found in measured(shape).items():  # with clusters too, if less smoothly
                correlation = np.corrcoef(found["depths"], np.log(found["spreads"][metal]))[0, 1]
                assert correlation < -0.5, (name, metal)
                assert found["spreads"][metal][0] > 1.5 * found["spreads"][metal][-1], (name, metal)
            assert surface["cycled-50"] < 0.7 * surface["pristine"]
            assert surface["cycled-50"] < surface["cycled-100"] < surface["cycled-200"]
            assert surface["pristine"] < surface["cycled-200"]


def charge(phantom):
    f, mn, co = phantom.atomic_fractions, phantom.mn_valence, phantom.co_valence
    metals = f["Mn"] * sum(k * v for k, v in mn.items()) + f["Co"] * sum(k * v for k, v in co.items()) + 2 * f["Ni"]
    return phantom.lithium + metals - 2 * f["O"]


@pytest.mark.parametrize("name", ["pristine-4", "cycled-50-2", "cycled-100-3", "cycled-200-2"])
def test_every_voxel_is_neutral_and_adds_up(name):
    phantom = phantoms.particle(name, shape=48)
    inside = phantom.mask
    assert np.abs(charge(phantom)[inside]).max() < 1e-9
    assert phantom.lithium[inside].min() > 0
    for parts in (phantom.atomic_fractions, phantom.mn_valence, phantom.co_valence, phantom.phases):
        values = np.stack([v[inside] for v in parts.values()])
        assert np.abs(values.sum(axis=0) - 1).max() < 1e-12
        assert values.min() >= -1e-15
        assert all(np.isnan(v[~inside]).all() for v in parts.values())


def test_phases_mix_within_voxels_and_set_the_oxygen():
    phantom = phantoms.particle("cycled-200-2", shape=48)
    inside, phases = phantom.mask, phantom.phases
    oxygen = (2 * phases["layered"] + 2 * phases["spinel"]) / 3 + phases["rock_salt"] / 2
    assert np.abs(oxygen - phantom.atomic_fractions["O"])[inside].max() < 1e-12
    # The lever rule of the paper: 66.67 at% in layered or spinel-like, 50 at% in rock salt, 61.0 on average.
    assert phases["rock_salt"][inside].mean() == pytest.approx((66.667 - 61.0) / 16.667, abs=1e-3)
    assert phases["rock_salt"][inside].max() < 0.6


def test_shapes_are_faceted_rough_and_of_the_stated_size():
    for name in phantoms.names():
        phantom = phantoms.particle(name, shape=16)
        assert phantom.feret_nm == pytest.approx(phantoms.SPECIMENS[name].feret_nm, rel=0.005)
        assert 150 <= phantom.feret_nm <= 270
        body = phantom.body.shape
        from_planes = np.min(body.offsets_nm - (body.surface_nm - body.center_nm) @ body.normals.T, axis=1)
        assert 0.5 < from_planes.std() < 3  # nm away from ideal facets
    volumes = {phantoms.particle(name, shape=32).mask.sum() for name in phantoms.names()}
    assert len(volumes) == 12  # no two alike


@pytest.mark.parametrize("shape", [48, pytest.param(96, marks=pytest.mark.acceptance)])
def test_mass_does_not_depend_on_sampling(shape):
    atoms = [phantoms.particle("cycled-200-2", shape=n).density.sum() / n**3 for n in (64, shape)]
    assert atoms[1] == pytest.approx(atoms[0], rel=1e-3)


class TestControls:
    def test_null_is_homogeneous(self):
        null, full = (phantoms.particle("cycled-200-2", shape=32, null=flag) for flag in (True, False))
        inside = null.mask
        assert np.array_equal(inside, full.mask)
        for parts in ("atomic_fractions", "mn_valence", "co_valence", "phases"):
            for key, values in getattr(null, parts).items():
                assert np.ptp(values[inside]) < 1e-12
                assert values[inside].mean() == pytest.approx(getattr(full, parts)[key][inside].mean(), abs=0.002)

    def test_valence_only(self):
        control = phantoms.particle("cycled-200-2", shape=32, control="valence-only")
        for values in control.atomic_fractions.values():
            assert np.ptp(values[control.mask]) < 1e-12
        full = measure(phantoms.particle("cycled-200-2", shape=32))
        assert measure(control)["Mn4"] == pytest.approx(full["Mn4"], abs=0.2)
        assert np.ptp(measure(control)["profiles"]["Mn4"]) > 3

    def test_segregation_only(self):
        control, full = (phantoms.particle("cycled-200-2", control=c) for c in ("segregation-only", "none"))
        for values in (*control.mn_valence.values(), *control.co_valence.values()):
            assert np.ptp(values[control.mask]) < 1e-12
        for el, values in control.atomic_fractions.items():
            assert np.abs(values - full.atomic_fractions[el])[full.mask].max() < 1e-9

    def test_shapes_are_the_same(self):
        masks = [phantoms.particle("pristine-4", shape=32, control=c).mask for c in phantoms.CONTROLS]
        assert all(np.array_equal(masks[0], mask) for mask in masks)


class TestRays:
    @pytest.mark.parametrize("angle", [-70.0, 0.0, 33.0])
    def test_equal_an_independent_ray_sum(self, angle):
        phantom = phantoms.particle("cycled-200-2", shape=16)
        u, y = np.linspace(-110, 110, 12), np.linspace(-90, 90, 11)
        found = phantom.areal_densities(angle, u, y)
        t = np.deg2rad(angle)
        along = np.arange(-150, 150, 0.37)
        expected = {name: np.zeros((y.size, u.size)) for name in ("O", "Mn2", "Co3", "Li")}
        for row, y_value in enumerate(y):
            for column, u_value in enumerate(u):
                x = u_value * np.cos(t) + along * np.sin(t)
                z = -u_value * np.sin(t) + along * np.cos(t)
                points = np.stack([x, np.full_like(x, y_value), z], axis=1)
                for name, values in phantom.at(points, species=tuple(expected)).items():
                    expected[name][row, column] = values.sum() * 0.37
        for name, image in expected.items():
            assert relative_error(found[name], image) < 1e-3, name

    @pytest.mark.parametrize("name", ["pristine-3", "cycled-100-3", "cycled-200-2"])
    def test_conserve_mass_over_tilt(self, name):
        phantom = phantoms.particle(name, shape=16)
        axis = (np.arange(64) - 32) * 4.63
        found = [phantom.areal_densities(angle, axis, axis) for angle in range(-70, 71, 20)]
        for species in ("O", "Mn4", "Co2", "Li"):
            sums = [maps[species].sum() for maps in found]
            assert np.ptp(sums) / np.mean(sums) < 1e-3, species
        voxels = phantoms.particle(name).number_density("Li").sum() * 4.63
        assert np.mean([maps["Li"].sum() for maps in found]) == pytest.approx(voxels, rel=1e-3)

    def test_ball_in_closed_form(self):
        ball = phantoms.balls([[10, -20, 30]], [60], shape=16)
        t = np.deg2rad(40)
        u0 = 10 * np.cos(t) - 30 * np.sin(t)
        offsets = np.array([0.0, 20.0, 45.0])
        found = ball.areal_densities(40, u0 + offsets, [-20.0])
        chord = 2 * np.sqrt(60**2 - offsets**2)
        per_nm3 = 4.77 / 96.46 * 602.214  # formula units of NCM111
        assert found["O"][0] == pytest.approx(2 * per_nm3 * chord, rel=2e-3)
        assert found["Li"][0] == pytest.approx(per_nm3 * chord, rel=2e-3)
        assert found["Mn4"][0] == pytest.approx(per_nm3 / 3 * chord, rel=2e-3)
        assert found["Mn2"][0] == pytest.approx(0, abs=1e-9)

    def test_chiral_object_comes_out_the_right_way_round(self):
        phantom = phantoms.chiral()
        axis = (np.arange(64) - 32) * phantom.voxel_size_nm
        # Voxels: the +z ball is at high z index, the +x ball at high x index.
        for index, expected in ((0, 110), (1, 95), (2, 75)):
            profile = phantom.mask.any(axis=tuple({0, 1, 2} - {index}))
            assert axis[profile].max() == pytest.approx(expected + {110: 17, 95: 22, 75: 28}[expected], abs=5)
            assert axis[profile].min() == pytest.approx(-40, abs=5)
        volumes, (x, z) = np.array([40, 28, 22, 17]) ** 3, np.array([[0, 75, 0, 0], [0, 0, 0, 110]])
        for angle in (-50.0, 20.0, 60.0):
            t = np.deg2rad(angle)
            image = phantom.areal_densities(angle, axis, axis)["O"]
            center = (image.sum(axis=0) @ axis) / image.sum()
            assert center == pytest.approx(volumes @ (x * np.cos(t) - z * np.sin(t)) / volumes.sum(), abs=0.05)

    def test_positions_of_any_shape(self):
        phantom = phantoms.particle("pristine-4", shape=16)
        grid = phantom.areal_densities(10, [-20.0, 0.0], [5.0])["O"]
        scattered = phantom.areal_densities(10, np.array([[-20.0], [0.0]]), np.array([[5.0], [5.0]]))["O"]
        assert np.array_equal(grid.ravel(), scattered.ravel())
        with pytest.raises(ValueError, match="one x and one y for every ray"):
            phantom.areal_densities(10, np.zeros((2, 2)), np.zeros(3))


def test_volumes_are_read_only():
    phantom = phantoms.particle("pristine-4", shape=16)
    with pytest.raises(ValueError, match="read-only"):
        phantom.density[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "pristine-5"}, "choose one of these"),
        ({"name": "pristine-1", "control": "nothing"}, "choose one of these"),
        ({"name": "pristine-1", "null": True, "control": "valence-only"}, "give one of them"),
        ({"name": "pristine-1", "shape": 2}, "voxels per side"),
    ],
)
def test_wrong_particles_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        phantoms.particle(**arguments)


def test_wrong_requests_are_refused():
    phantom = phantoms.particle("pristine-4", shape=16)
    with pytest.raises(ValueError, match="quantity"):
        phantom.tomogram("Fe")
    with pytest.raises(ValueError, match="species"):
        phantom.number_density("Mn")
    with pytest.raises(ValueError, match="stage"):
        phantoms.names("cycled-300")
    with pytest.raises(ValueError, match="overlapping balls"):
        phantoms.balls([[0, 0, 0], [10, 0, 0]], [10, 10])
    with pytest.raises(ValueError, match="one center"):
        phantoms.balls([[0, 0, 0]], [10, 10])


class TestReport:
    def test_table_agrees_with_an_independent_measurement(self):
        pair = [phantoms.particle(name) for name in phantoms.names("cycled-200")]
        table = phantoms.truth_table(pair)["cycled-200"]
        found = [measure(phantom) for phantom in pair]
        for row, key in (("O (at%)", "O"), ("Mn4+ (% of Mn)", "Mn4"), ("Co-rich (% of voxels)", "rich Co")):
            assert table[row] == pytest.approx(np.mean([f[key] for f in found]), rel=1e-9)
        # The surface by true depth and by peeled voxels are not quite the same voxels.
        assert table["Co-rich at the surface (% of voxels)"] == pytest.approx(
            np.mean([f["surface rich Co"] for f in found]), rel=0.25
        )

    def test_profile_weighted_by_shell_size_is_the_mean(self):
        phantom = phantoms.particle("cycled-100-4", shape=48)
        depth, mean, spread = phantoms.depth_profile(phantom, "Mn4", min_voxels=1)
        sizes = np.bincount((phantom.depth_nm[phantom.mask] / 4.63).astype(int))
        values = 100 * phantom.mn_valence[4][phantom.mask]
        assert mean @ sizes / sizes.sum() == pytest.approx(values.mean())
        assert ((spread**2 + mean**2) @ sizes) / sizes.sum() == pytest.approx(np.mean(values**2))
        assert np.all(np.diff(depth) > 0)

    def test_null_has_no_spread(self):
        _, _, spread = phantoms.depth_profile(phantoms.particle("cycled-200-2", shape=32, null=True), "Co")
        assert spread.max() < 1e-6

    def test_bad_requests(self):
        phantom = phantoms.particle("pristine-4", shape=16)
        with pytest.raises(ValueError, match="quantity"):
            phantoms.depth_profile(phantom, "Li")
        with pytest.raises(ValueError, match="sample the particle more finely"):
            phantoms.depth_profile(phantom, "O", min_voxels=10_000)
        with pytest.raises(ValueError, match="give a list of particles"):
            phantoms.truth_table([])
