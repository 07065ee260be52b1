import numpy as np
import pytest
from scipy.special import j1

from tritomo_helpers import crystals
from tritomo_helpers.constants import ATOMIC_NUMBER, NCM111_FORMULA_UNITS_PER_NM3
from tritomo_helpers.spectroscopy.kinematics import electron_wavelength_nm

NAMES = ("layered", "spinel", "rock salt")
PIXELS_NM = {"layered": 0.0066, "spinel": 0.0084, "rock salt": 0.0122}


def atoms_of(structure, element):
    return np.array([p for p, o in zip(structure.positions, structure.occupants, strict=True) if element in o])


def neighbor_distances(structure, center, element):
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    others = (atoms_of(structure, element)[:, None] + shifts[None]).reshape(-1, 3)
    return np.sort(np.linalg.norm((others - center) @ structure.lattice_nm, axis=1))


@pytest.mark.parametrize(("name", "ratio"), [("layered", 2.0), ("spinel", 2.0), ("rock salt", 1.0)])
def test_oxygen_to_metal_ratio_is_what_the_composition_maps_can_see(name, ratio):
    shares = crystals.crystal(name).composition()
    assert shares["O"] / (shares["Mn"] + shares["Co"] + shares["Ni"]) == pytest.approx(ratio)
    assert sum(shares.values()) == pytest.approx(100)


@pytest.mark.parametrize("name", NAMES)
def test_every_metal_sits_in_an_octahedron_of_oxygen(name):
    structure = crystals.crystal(name)
    for metal in atoms_of(structure, "Mn"):
        distances = neighbor_distances(structure, metal, "O")
        assert 0.18 < distances[0] <= distances[5] < 0.225
        assert distances[6] > 0.3
        np.testing.assert_allclose(distances[:6], distances[0], rtol=1e-6)


def test_lithium_is_octahedral_in_the_layers_and_tetrahedral_in_spinel():
    for name, n_neighbors in (("layered", 6), ("spinel", 4)):
        structure = crystals.crystal(name)
        for lithium in atoms_of(structure, "Li"):
            distances = neighbor_distances(structure, lithium, "O")
            np.testing.assert_allclose(distances[:n_neighbors], distances[0], rtol=1e-6)
            assert distances[n_neighbors] > 1.3 * distances[0]


def test_layered_cell_has_the_density_of_the_material():
    structure = crystals.crystal("layered")
    per_nm3 = 3 / np.linalg.det(structure.lattice_nm)
    assert per_nm3 == pytest.approx(NCM111_FORMULA_UNITS_PER_NM3, rel=0.01)
    assert structure.atoms_per_nm3() == pytest.approx(
        {"Li": per_nm3, "O": 2 * per_nm3, "Mn": per_nm3 / 3, "Co": per_nm3 / 3, "Ni": per_nm3 / 3}
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_atom_is_lost_or_doubled_in_projection(name):
    structure = crystals.crystal(name)
    _, weights, cell, repeat = crystals.projected_atoms(structure, gamma=1.0)
    electrons = sum(s * ATOMIC_NUMBER[el] for o in structure.occupants for el, s in o.items())
    assert weights.sum() / (cell.prod() * repeat) == pytest.approx(electrons / np.linalg.det(structure.lattice_nm))


def test_transfer_falls_from_one_to_zero_at_twice_the_aperture():
    cutoff = 2 * 0.0214 / electron_wavelength_nm(300)
    q = np.linspace(0, 1.2 * cutoff, 200)
    transfer = crystals.probe_transfer(q, source_fwhm_nm=0, displacement_nm=0)
    assert transfer[0] == 1
    assert np.all(np.diff(transfer) <= 0)
    assert np.all(transfer[q >= cutoff] == 0)
    assert np.all(transfer[q < 0.99 * cutoff] > 0)


@pytest.mark.parametrize("name", NAMES)
def test_image_equals_a_sum_of_airy_discs(name):
    """The image is a Fourier series; here every column gets its disc, with Bessel functions and in real space."""
    structure, pixel, n = crystals.crystal(name), 0.012, 24
    image = crystals.adf_image(structure, pixel_size_nm=pixel, shape=(n, n), source_fwhm_nm=0, displacement_nm=0)
    xy, weights, cell, repeat = crystals.projected_atoms(structure)
    k = 2 * np.pi * 0.0214 / electron_wavelength_nm(300)
    x = (np.arange(n) - n // 2) * pixel
    total = np.zeros((n, n))
    reach = np.ceil(12.0 / cell).astype(int)
    for i in range(-reach[0], reach[0] + 1):
        for j in range(-reach[1], reach[1] + 1):
            for place, weight in zip(xy + cell * (i, j), weights, strict=True):
                if np.abs(place).max() > 6.0:
                    continue
                r = k * np.hypot(x[None, :] - place[0], -x[:, None] - place[1]) + 1e-9
                total += weight * k**2 / (4 * np.pi) * (2 * j1(r) / r) ** 2
    total *= 10.0 / repeat
    # The far tails of the discs beyond 6 nm are missing from the sum: a nearly constant 1 %.
    assert np.abs(image - total).max() < 0.015 * image.mean() + 0.002 * image.max()


@pytest.mark.parametrize("name", NAMES)
def test_image_conserves_scattering(name):
    structure = crystals.crystal(name)
    _, weights, cell, repeat = crystals.projected_atoms(structure)
    images = [crystals.adf_image(structure, pixel_size_nm=p, shape=(1500, 1500)) for p in (0.0066, 0.0122)]
    for image in images:
        assert image.mean() == pytest.approx(weights.sum() / cell.prod() * 10.0 / repeat, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_brightest_points_are_metal_columns(name):
    structure, pixel = crystals.crystal(name), PIXELS_NM[name]
    image = crystals.adf_image(structure, pixel_size_nm=pixel)
    row, column = np.unravel_index(image.argmax(), image.shape)
    here = np.array([(column - 128) * pixel, -(row - 128) * pixel])
    xy, weights, cell, _ = crystals.projected_atoms(structure)
    metals = xy[weights > 100]
    offset = np.mod(metals - here + cell / 2, cell) - cell / 2
    assert np.linalg.norm(offset, axis=1).min() <= pixel


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"), [("layered", 0.0, 0.03), ("spinel", 1 / 3, 0.07), ("rock salt", 1.0, 0.02)]
)
@pytest.mark.parametrize("noisy", [False, True])
def test_sparse_layer_over_metal_layer_tells_the_structures_apart(name, expected, tolerance, noisy):
    """One metal in three sits in spinel's sparse layer; reading both layers above the floor lowers that a little."""
    structure, pixel = crystals.crystal(name), PIXELS_NM[name]
    image = crystals.adf_image(structure, pixel_size_nm=pixel, shape=(400, 400))
    if noisy:
        image = crystals.detect(image, mean_counts=20, rng=np.random.default_rng(0))
    _, layers = crystals.layer_profile(image, pixel_size_nm=pixel, spacing_nm=crystals.layer_spacing_nm(structure))
    low, high = sorted([layers[::2].mean(), layers[1::2].mean()])
    assert low / high == pytest.approx(expected, abs=tolerance)


def test_thickness_scales_and_a_larger_aperture_sharpens():
    structure = crystals.crystal("layered")
    thin, thick = (crystals.adf_image(structure, pixel_size_nm=0.0066, thickness_nm=t) for t in (5, 10))
    np.testing.assert_allclose(thick, 2 * thin, rtol=1e-12)
    blunt = crystals.adf_image(structure, pixel_size_nm=0.0066, convergence_angle_mrad=12)
    assert blunt.std() < thick.std()


def test_counts_are_poisson_and_repeatable():
    image = np.full((200, 200), 3.7)
    counts, again = (crystals.detect(image, mean_counts=50, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(counts, again)
    assert counts.mean() == pytest.approx(50, abs=5 * np.sqrt(50) / 200)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=5 * np.sqrt(2 / 40_000))
    assert image.min() == image.max() == 3.7


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: crystals.crystal("perovskite"), "one of 'layered'"),
        (lambda: crystals.adf_image(crystals.crystal("layered"), pixel_size_nm=0.05), "smaller pixels"),
        (lambda: crystals.adf_image(crystals.crystal("layered"), pixel_size_nm=-1), "pixel_size_nm"),
        (lambda: crystals.detect(np.eye(2), mean_counts=0, rng=np.random.default_rng(0)), "electrons per pixel"),
        (lambda: crystals.detect(-np.eye(2), mean_counts=1, rng=np.random.default_rng(0)), "zero or above"),
        (lambda: crystals.layer_profile(np.ones((5, 5)), pixel_size_nm=0.01, spacing_nm=1), "two layers"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_axes_that_are_not_at_right_angles_are_refused():
    from dataclasses import replace

    with pytest.raises(ValueError, match="right angles"):
        crystals.projected_atoms(replace(crystals.crystal("layered"), right=(0, 1, 1)))


def factor_of_another_package(element, s_per_nm):
    """f0 of Waasmaier and Kirfel, f' and f'' of Chantler, as xraydb has them; ours are xraylib's."""
    import xraydb

    energy_ev = 12398.42 / 1.540593
    anomalous = xraydb.f1_chantler(element, energy_ev) + 1j * xraydb.f2_chantler(element, energy_ev)
    return xraydb.f0(element, s_per_nm / 10)[0] + anomalous


def mean_metal(s_per_nm):
    return sum(factor_of_another_package(metal, s_per_nm) for metal in ("Mn", "Co", "Ni")) / 3


def lorentz_polarization(two_theta_deg):
    theta = np.deg2rad(two_theta_deg) / 2
    return (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))


@pytest.mark.parametrize("element", ["O", "Mn", "Co", "Ni"])
def test_scattering_factors_agree_with_another_package(element):
    for s in (0.0, 1.5, 3.0, 4.0):
        found = crystals.scattering_factor(element, s, wavelength_nm=0.1540593)
        assert abs(found - factor_of_another_package(element, s)) < 0.4, s


class TestPowder:
    def test_rock_salt_by_hand(self):
        # Bragg: a = 0.42957 nm; odd indices give metal minus oxygen, even ones their sum, mixed ones nothing.
        a = (0.4446 + 0.4263 + 0.4178) / 3
        lines = crystals.powder_lines(crystals.crystal("rock salt"))
        assert lines.indices == ((1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2))
        expected = []
        for n, multiplicity, sign in ((3, 8, -1), (4, 6, 1), (8, 12, 1), (11, 24, -1), (12, 8, 1)):
            s = np.sqrt(n) / (2 * a)
            two_theta = 2 * np.rad2deg(np.arcsin(0.1540593 * s))
            factor = 4 * (mean_metal(s) + sign * factor_of_another_package("O", s))
            thermal = np.exp(-2 * 0.005 * s**2)
            strength = multiplicity * abs(factor) ** 2 * lorentz_polarization(two_theta) * thermal / (a**3 * 4)
            expected.append((two_theta, strength))
        positions, strengths = np.transpose(expected)
        np.testing.assert_allclose(lines.two_theta_deg, positions, atol=1e-3)
        np.testing.assert_allclose(lines.intensity, strengths, rtol=0.05)

    def test_layered_by_hand(self):
        lines = crystals.powder_lines(crystals.crystal("layered"))
        by_index = dict(zip(lines.indices, zip(lines.two_theta_deg, lines.intensity, strict=True), strict=True))
        a, c, z = 0.2862, 1.4227, 0.2586
        strengths = {}
        for (h, k, l_), multiplicity in {(0, 0, 3): 2, (1, 0, 1): 6, (1, 0, 4): 6, (1, 1, 0): 6}.items():
            s = np.sqrt(4 / 3 * (h * h + h * k + k * k) / a**2 + l_**2 / c**2) / 2
            two_theta = 2 * np.rad2deg(np.arcsin(0.1540593 * s))
            assert by_index[h, k, l_][0] == pytest.approx(two_theta, abs=1e-3)
            oxygen, lithium = (factor_of_another_package(el, s) for el in ("O", "Li"))
            factor = 3 * (mean_metal(s) + lithium * (-1) ** l_ + 2 * oxygen * np.cos(2 * np.pi * l_ * z))
            strengths[h, k, l_] = (
                multiplicity * abs(factor) ** 2 * lorentz_polarization(two_theta) * np.exp(-0.01 * s**2)
            )
        for index, strength in strengths.items():
            ratio = by_index[index][1] / by_index[0, 0, 3][1]
            assert ratio == pytest.approx(strength / strengths[0, 0, 3], rel=0.05), index
        # A well-ordered NCM111 is known by (003) being stronger than (104), 1.2 to 1.5 in the literature.
        assert 1.2 < by_index[0, 0, 3][1] / by_index[1, 0, 4][1] < 1.5
        # Rhombohedral centering: -h + k + l is a multiple of three.
        assert all((-h + k + l_) % 3 == 0 for h, k, l_ in lines.indices)

    def test_a_thin_skin_keeps_its_area_and_loses_its_height(self):
        angles = np.arange(5, 100, 0.01)
        narrow, wide = (
            crystals.powder_pattern({"rock salt": 1.0}, angles, domain_nm={"rock salt": size}, instrument_fwhm_deg=0.01)
            for size in (50.0, 4.63)
        )
        assert wide.sum() == pytest.approx(narrow.sum(), rel=0.03)  # Lorentzians reach beyond the ends
        # Scherrer at 42 degrees: 0.9 x 0.15406 / (4.63 cos 21) = 0.0321 rad = 1.84 degrees.
        near = (angles > 38) & (angles < 46)
        above = angles[near][wide[near] > wide[near].max() / 2]
        assert above.max() - above.min() == pytest.approx(1.84 + 0.01, abs=0.08)

    def test_what_a_rock_salt_skin_adds(self):
        angles = np.arange(10, 80, 0.02)
        pristine = crystals.powder_pattern({"layered": 1.0}, angles)
        skin = crystals.powder_pattern({"layered": 0.84, "rock salt": 0.16}, angles, domain_nm={"rock salt": 4.63})
        gap = np.abs(angles - 42.0) < 0.5
        # By hand: 0.16 of the metals with 1.94e6 in (200), spread over 1.9 degrees, against 2.16e6 in (003).
        expected = 0.16 * 1.94e6 / (np.pi / 2 * 1.92)
        assert (skin - 0.84 * pristine)[gap].mean() == pytest.approx(expected, rel=0.2)
        assert 0.008 < (skin - pristine)[gap].mean() / pristine.max() < 0.015

    def test_mixtures_are_linear(self):
        angles = np.array([18.7, 36.2, 42.0])
        parts = [crystals.powder_pattern({name: 1.0}, angles) for name in NAMES]
        mixed = crystals.powder_pattern(dict(zip(NAMES, (0.5, 0.3, 0.2), strict=True)), angles)
        np.testing.assert_allclose(mixed, 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2])

    def test_bad_input(self):
        with pytest.raises(ValueError, match="divide by their sum"):
            crystals.powder_pattern({"layered": 0.5}, [20.0])
        with pytest.raises(ValueError, match="give nm"):
            crystals.powder_pattern({"layered": 1.0}, [20.0], domain_nm={"layered": 0})
        with pytest.raises(ValueError, match="2θ in degrees"):
            crystals.powder_lines(crystals.crystal("layered"), range_deg=(80, 10))
