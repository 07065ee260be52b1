"""The three crystal structures of the story, and what an atomic-resolution ADF image of each looks like.

Layered, spinel and rock salt share one close-packed frame of oxygen. They differ in which gaps the metals fill, and an
ADF image, bright where heavy atoms stack into columns, shows that at a glance. The image model is incoherent: each
column is a point that scatters in proportion to the sum of Z^gamma of its atoms, blurred by the probe. Channeling,
tilt, strain and amorphous surfaces are left out, so that the pictures teach the structures and nothing else; they are
no substitute for a multislice simulation when intensities are to be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._validation import check_option, check_positive, fail
from .constants import ATOMIC_NUMBER, ELECTRON_REST_ENERGY_KEV

# h c in keV nm (CODATA 2018), for the wavelength of the electrons.
_HC_KEV_NM: Final = 1.23984198

_TM: Final[Mapping[str, float]] = {"Mn": 1 / 3, "Co": 1 / 3, "Ni": 1 / 3}
_LI: Final[Mapping[str, float]] = {"Li": 1.0}
_O: Final[Mapping[str, float]] = {"O": 1.0}

# Hexagonal cell: Yabuuchi and Ohzuku, J. Power Sources 119-121, 171 (2003). Oxygen at z = 0.2414 from the lithium
# layer, typical of layered NCM oxides; it sets how flat the metal slabs are and hardly shows in ADF.
_LAYERED_A_NM, _LAYERED_C_NM, _LAYERED_Z = 0.2862, 1.4227, 0.2586
# LiMn2O4 by neutron diffraction: Igawa et al., JAEA (2010), a = 0.82442 nm; oxygen parameter u = 0.2632, typical of it.
_SPINEL_A_NM, _SPINEL_U = 0.8244, 0.2632
# Mean of MnO 0.4446, CoO 0.4263 and NiO 0.4178 nm (Sasaki et al., Proc. Japan Acad. B 55, 43, 1979): Vegard's law.
_ROCK_SALT_A_NM: Final = (0.4446 + 0.4263 + 0.4178) / 3


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal and the direction from which the microscope looks at it.

    Parameters
    ----------
    name, formula, space_group : str
        What it is called; TM stands for one third each of Mn, Co and Ni.
    lattice_nm : array, shape (3, 3)
        Rows are the lattice vectors, nm.
    positions : array, shape (n_atoms, 3)
        Fractional coordinates of every atom of the cell.
    occupants : tuple of mapping, length n_atoms
        For each atom the share of each element.
    beam, right, up : tuple of int
        Lattice directions along the beam and along the image's axes: the close-packed layers lie level in the image.

    Examples
    --------
    >>> crystal("layered").formula
    'Li(TM)O2'
    """

    name: str
    formula: str
    space_group: str
    lattice_nm: NDArray[np.float64]
    positions: NDArray[np.float64]
    occupants: tuple[Mapping[str, float], ...]
    beam: tuple[int, int, int]
    right: tuple[int, int, int]
    up: tuple[int, int, int]

    def composition(self) -> dict[str, float]:
        """Return the atomic percentage of each element, lithium included.

        Examples
        --------
        >>> shares = crystal("rock salt").composition()
        >>> round(shares["O"], 1), round(shares["Mn"], 1)
        (50.0, 16.7)
        """
        total: dict[str, float] = {}
        for occupant in self.occupants:
            for element, share in occupant.items():
                total[element] = total.get(element, 0.0) + 100.0 * share / len(self.occupants)
        return total

    def atoms_per_nm3(self) -> dict[str, float]:
        """Return the number density of each element, atoms per nm³.

        Examples
        --------
        >>> round(crystal("layered").atoms_per_nm3()["O"], 1)
        59.5
        """
        per_percent = len(self.positions) / 100.0 / abs(float(np.linalg.det(self.lattice_nm)))
        return {element: share * per_percent for element, share in self.composition().items()}


def _expand(sites: ArrayLike, centering: ArrayLike) -> NDArray[np.float64]:
    """Return every site moved by every centering vector, folded into the cell."""
    moved = np.asarray(sites, float)[:, None, :] + np.asarray(centering, float)[None, :, :]
    return np.asarray(np.mod(moved.reshape(-1, 3), 1.0))


_FCC: Final = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_OBVERSE: Final = ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))


def crystal(name: str) -> Crystal:
    """Return one of the three structures that a cathode passes through.

    Parameters
    ----------
    name : {"layered", "spinel", "rock salt"}
        Li(TM)O2 in R-3m, Li(TM)2O4 in Fd-3m or (TM)O in Fm-3m. The spinel's metals are the paper's "spinel-like" phase
        with the lattice of LiMn2O4; the rock salt is the fully delithiated end member.

    Returns
    -------
    Crystal

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> [len(crystal(name).positions) for name in ("layered", "spinel", "rock salt")]
    [12, 56, 8]
    """
    check_option(name, "crystal", ("layered", "spinel", "rock salt"))
    if name == "layered":
        a, c, z = _LAYERED_A_NM, _LAYERED_C_NM, _LAYERED_Z
        lattice = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
        groups = [
            (_expand([[0, 0, 0]], _OBVERSE), _TM),
            (_expand([[0, 0, 0.5]], _OBVERSE), _LI),
            (_expand([[0, 0, z], [0, 0, -z]], _OBVERSE), _O),
        ]
        return _crystal(name, "Li(TM)O2", "R-3m", lattice, groups, ((1, 0, 0), (1, 2, 0), (0, 0, 1)))
    view = ((1, -1, 0), (1, 1, -2), (1, 1, 1))
    if name == "rock salt":
        groups = [(_expand([[0, 0, 0]], _FCC), _TM), (_expand([[0.5, 0.5, 0.5]], _FCC), _O)]
        return _crystal(name, "(TM)O", "Fm-3m", _ROCK_SALT_A_NM * np.eye(3), groups, view)
    # Fd-3m, origin at the center of symmetry (choice 2): 8a, 16d and 32e.
    u = _SPINEL_U
    lithium = [[1 / 8, 1 / 8, 1 / 8], [7 / 8, 3 / 8, 3 / 8]]
    metal = [[1 / 2, 1 / 2, 1 / 2], [1 / 4, 3 / 4, 0], [3 / 4, 0, 1 / 4], [0, 1 / 4, 3 / 4]]
    first = np.array(
        [[u, u, u], [-u + 1 / 4, -u + 1 / 4, u], [-u + 1 / 4, u, -u + 1 / 4], [u, -u + 1 / 4, -u + 1 / 4]],
    )
    groups = [(_expand(metal, _FCC), _TM), (_expand(lithium, _FCC), _LI), (_expand([*first, *-first], _FCC), _O)]
    return _crystal(name, "Li(TM)2O4", "Fd-3m", _SPINEL_A_NM * np.eye(3), groups, view)


def _crystal(
    name: str,
    formula: str,
    space_group: str,
    lattice: NDArray[np.float64],
    groups: list[tuple[NDArray[np.float64], Mapping[str, float]]],
    view: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]],
) -> Crystal:
    positions = np.concatenate([sites for sites, _ in groups])
    occupants = tuple(occupant for sites, occupant in groups for _ in sites)
    return Crystal(name, formula, space_group, lattice, positions, occupants, *view)


def projected_atoms(
    structure: Crystal, *, gamma: float = 1.7
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    r"""Return the atoms of one repeat of the structure as the beam sees them.

    Parameters
    ----------
    structure : Crystal
        Structure and viewing direction.
    gamma : float, default 1.7
        Exponent of the atomic number.

    Returns
    -------
    xy_nm : ndarray, shape (n, 2)
        Place of each atom in the projected rectangular cell, x to the right and y upwards, nm.
    weights : ndarray, shape (n,)
        Sum over its occupants of share times :math:`Z^\gamma`.
    cell_nm : ndarray, shape (2,)
        Width and height of that cell, nm.
    repeat_nm : float
        Length along the beam after which the structure repeats, nm.

    Raises
    ------
    ValueError
        If the image axes of the structure are not at right angles.

    Examples
    --------
    >>> xy, weights, cell, repeat = projected_atoms(crystal("layered"))
    >>> np.round(cell, 4), round(repeat, 4)
    (array([0.4957, 1.4227]), 0.2862)
    """
    directions = np.array([structure.beam, structure.right, structure.up])
    beam, right, up = directions @ structure.lattice_nm
    along = beam / np.linalg.norm(beam)
    right_flat, up_flat = (v - (v @ along) * along for v in (right, up))
    if abs(right_flat @ up_flat) > 1e-9 * np.linalg.norm(right_flat) * np.linalg.norm(up_flat):
        raise fail(
            "right and up",
            expected="directions at right angles as seen along the beam",
            got=(structure.right, structure.up),
            remedy="choose lattice directions that are",
        )
    cell = np.array([np.linalg.norm(right_flat), np.linalg.norm(up_flat)])
    # Every atom of the block spanned by beam, right and up, found among enough copies of the unit cell.
    reach = int(np.abs(directions).sum())
    shifts = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    copies = structure.positions[:, None, :] + shifts[None, :, :]
    inside_block = copies @ np.linalg.inv(directions)
    inside = np.all((inside_block > -1e-9) & (inside_block < 1 - 1e-9), axis=-1)
    places = copies[inside] @ structure.lattice_nm
    atom = np.nonzero(inside)[0]
    xy = np.stack([places @ right_flat / cell[0], places @ up_flat / cell[1]], axis=-1)
    weight_of = [sum(s * ATOMIC_NUMBER[el] ** gamma for el, s in occupant.items()) for occupant in structure.occupants]
    return np.mod(xy, cell), np.asarray(weight_of)[atom], cell, float(np.linalg.norm(beam))


def electron_wavelength_nm(beam_energy_kev: float) -> float:
    r"""Return the relativistic wavelength of the beam electrons.

    .. math:: \lambda = hc / \sqrt{E (E + 2 m c^2)}

    Parameters
    ----------
    beam_energy_kev : float
        Kinetic energy, keV.

    Returns
    -------
    float
        Wavelength, nm.

    Raises
    ------
    ValueError
        If the energy is not positive.

    Examples
    --------
    >>> round(electron_wavelength_nm(300.0), 6)
    0.001969
    """
    energy = check_positive(beam_energy_kev, "beam_energy_kev", remedy="give it in keV, such as 300")
    return float(_HC_KEV_NM / np.sqrt(energy * (energy + 2 * ELECTRON_REST_ENERGY_KEV)))


def probe_transfer(
    frequency_per_nm: ArrayLike,
    *,
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 21.4,
    source_fwhm_nm: float = 0.06,
    displacement_nm: float = 0.008,
) -> NDArray[np.float64]:
    r"""Return how much of each spatial frequency an aberration-free probe passes on to an incoherent image.

    .. math:: T(q) = \tfrac{2}{\pi}\left(\arccos s - s\sqrt{1 - s^2}\right) e^{-2\pi^2 q^2 \sigma^2}, \quad
              s = \frac{q\lambda}{2\alpha}

    The first factor belongs to the Airy disc of a round aperture. The Gaussian holds the size of the electron source
    and the thermal motion of the atoms, :math:`\sigma^2 = (\mathrm{FWHM}/2.355)^2 + u^2`.

    Parameters
    ----------
    frequency_per_nm : array_like
        Spatial frequency, 1/nm.
    beam_energy_kev : float, default 300
        Beam energy, keV.
    convergence_angle_mrad : float, default 21.4
        Semi-angle of the probe, mrad.
    source_fwhm_nm : float, default 0.06
        Full width at half maximum of the source as it appears in the specimen, nm; an assumption.
    displacement_nm : float, default 0.008
        Root-mean-square thermal displacement along one axis, nm; an assumption typical of oxides at room temperature.

    Returns
    -------
    ndarray of float64
        1 at zero frequency, 0 from twice the aperture on.

    Raises
    ------
    ValueError
        If an energy or angle is not positive, or a size is negative.

    References
    ----------
    Goodman, Introduction to Fourier Optics: transfer function of a diffraction-limited incoherent system.

    Examples
    --------
    >>> probe_transfer([0.0, 25.0])
    array([1., 0.])
    """
    angle = check_positive(convergence_angle_mrad, "convergence_angle_mrad", remedy="give it in mrad") * 1e-3
    source = check_positive(source_fwhm_nm, "source_fwhm_nm", zero_ok=True)
    motion = check_positive(displacement_nm, "displacement_nm", zero_ok=True)
    q = np.abs(np.asarray(frequency_per_nm, dtype=float))
    s = np.minimum(q * electron_wavelength_nm(beam_energy_kev) / (2 * angle), 1.0)
    aperture = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2))
    variance = (source / (2 * np.sqrt(2 * np.log(2)))) ** 2 + motion**2
    return np.asarray(aperture * np.exp(-2 * np.pi**2 * q**2 * variance))


def adf_image(
    structure: Crystal,
    *,
    pixel_size_nm: float,
    shape: tuple[int, int] = (256, 256),
    thickness_nm: float = 10.0,
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 21.4,
    source_fwhm_nm: float = 0.06,
    displacement_nm: float = 0.008,
    gamma: float = 1.7,
) -> NDArray[np.float64]:
    r"""Compute an incoherent atomic-column ADF image of a crystal, without noise.

    .. math:: I(\mathbf r) = \frac{t}{\ell}\sum_i Z_i^\gamma\, P(\mathbf r - \mathbf r_i)

    The structure repeats, so the image is a Fourier series of the projected cell and is computed exactly: no atom is
    rounded to a pixel.

    Parameters
    ----------
    structure : Crystal
        Structure and viewing direction.
    pixel_size_nm : float
        Side of a pixel, nm. The paper used 0.0066, 0.0084 and 0.0122.
    shape : (int, int), default (256, 256)
        Pixels along y and x. A corner of the projected cell lies at pixel N // 2.
    thickness_nm : float, default 10
        Length of the columns, nm.
    beam_energy_kev, convergence_angle_mrad, source_fwhm_nm, displacement_nm : float
        As for :func:`probe_transfer`.
    gamma : float, default 1.7
        Exponent of the atomic number for a detector from 39 mrad on; 2 would be pure Rutherford scattering.

    Returns
    -------
    ndarray of float64, shape (y, x)
        Sum of Z^gamma per nm²; y downwards as images are shown.

    Raises
    ------
    ValueError
        If a size is not positive, or a pixel is too large to sample what the aperture passes.

    Examples
    --------
    >>> image = adf_image(crystal("rock salt"), pixel_size_nm=0.0122, shape=(64, 64))
    >>> image.shape, bool(image.min() >= 0)
    ((64, 64), True)
    """
    pixel = check_positive(pixel_size_nm, "pixel_size_nm", remedy="give it in nm")
    thickness = check_positive(thickness_nm, "thickness_nm", remedy="give it in nm")
    highest = 2e-3 * convergence_angle_mrad / electron_wavelength_nm(beam_energy_kev)
    if pixel > 0.5 / highest:
        raise fail(
            "pixel_size_nm",
            expected=f"at most {0.5 / highest:.4f} nm, half of the finest period that the aperture passes",
            got=pixel,
            remedy="use smaller pixels or a smaller convergence angle",
        )
    xy, weights, cell, repeat = projected_atoms(structure, gamma=gamma)
    n = np.ceil(highest * cell).astype(int)
    h, k = np.arange(-n[0], n[0] + 1), np.arange(-n[1], n[1] + 1)
    phases_x = np.exp(-2j * np.pi * np.outer(h, xy[:, 0] / cell[0]))
    phases_y = np.exp(-2j * np.pi * np.outer(k, xy[:, 1] / cell[1]))
    factors = (phases_y * weights) @ phases_x.T * (thickness / repeat / cell.prod())
    frequency = np.hypot(k[:, None] / cell[1], h[None, :] / cell[0])
    factors *= probe_transfer(
        frequency,
        beam_energy_kev=beam_energy_kev,
        convergence_angle_mrad=convergence_angle_mrad,
        source_fwhm_nm=source_fwhm_nm,
        displacement_nm=displacement_nm,
    )
    rows, columns = shape
    x = (np.arange(columns) - columns // 2) * pixel
    y = -(np.arange(rows) - rows // 2) * pixel
    waves_x = np.exp(2j * np.pi * np.outer(h, x / cell[0]))
    waves_y = np.exp(2j * np.pi * np.outer(y / cell[1], k))
    # Round-off can leave a value a hair below zero between columns.
    return np.asarray(np.maximum((waves_y @ factors @ waves_x).real, 0.0))


def detect(image: ArrayLike, *, mean_counts: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw electron counts for an image.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Noise-free intensity in any unit, not negative.
    mean_counts : float
        Electrons that reach the detector per pixel, averaged over the image.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (y, x)
        Poisson counts.

    Raises
    ------
    ValueError
        If `mean_counts` is not positive or the image is negative or empty of signal.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = detect(np.ones((100, 100)), mean_counts=20.0, rng=rng)
    >>> round(float(counts.mean()))
    20
    """
    mean = check_positive(mean_counts, "mean_counts", remedy="give electrons per pixel")
    signal = np.asarray(image, dtype=float)
    if signal.min() < 0 or not signal.mean() > 0:
        raise fail("image", expected="intensities of zero or above", got=f"minimum {signal.min():g}", remedy="clip it")
    return np.asarray(rng.poisson(signal * (mean / signal.mean())), dtype=float)


def layer_profile(
    image: ArrayLike, *, pixel_size_nm: float, spacing_nm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average an image along its level layers and read the height of each layer.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Image with the layers level and a metal layer through row N // 2, as :func:`adf_image` makes them.
    pixel_size_nm : float
        Side of a pixel, nm.
    spacing_nm : float
        Distance from one cation layer to the next, nm, as from :func:`layer_spacing_nm`.

    Returns
    -------
    profile : ndarray, shape (y,)
        Mean of each row of pixels, top to bottom.
    layers : ndarray, shape (n_layers,)
        Height of the profile above its floor at each cation layer, from bottom to top. The middle layer is a metal
        layer; neighbors alternate, so ``layers[1::2]`` and ``layers[::2]`` are the two kinds.

    Raises
    ------
    ValueError
        If fewer than two layers fit into the image.

    Examples
    --------
    >>> structure = crystal("layered")
    >>> image = adf_image(structure, pixel_size_nm=0.0066)
    >>> _, layers = layer_profile(image, pixel_size_nm=0.0066, spacing_nm=layer_spacing_nm(structure))
    >>> low, high = sorted([layers[::2].mean(), layers[1::2].mean()])
    >>> bool(low < 0.05 * high)
    True
    """
    pixel = check_positive(pixel_size_nm, "pixel_size_nm", remedy="give it in nm")
    spacing = check_positive(spacing_nm, "spacing_nm", remedy="give it in nm")
    profile = np.asarray(image, dtype=float).mean(axis=1)
    height = -(np.arange(profile.size) - profile.size // 2) * pixel
    # Half a spacing from either end, so that every layer read is whole.
    lowest, highest = height.min() / spacing + 0.25, height.max() / spacing - 0.25
    numbers = np.arange(np.ceil(lowest), np.floor(highest) + 1)
    if numbers.size < 2:
        raise fail("image", expected="two layers or more", got=f"{numbers.size}", remedy="take a larger field of view")
    heights = np.interp(numbers * spacing, height[::-1], profile[::-1])
    return profile, heights - profile.min()


def layer_spacing_nm(structure: Crystal) -> float:
    """Return the distance between neighboring cation layers, which lie level in the image.

    Parameters
    ----------
    structure : Crystal
        One of the three structures.

    Returns
    -------
    float
        Spacing, nm: c/6 of the layered cell, a/sqrt(12) of spinel, a/sqrt(3) of rock salt.

    Examples
    --------
    >>> [round(layer_spacing_nm(crystal(name)), 3) for name in ("layered", "spinel", "rock salt")]
    [0.237, 0.238, 0.248]
    """
    height = float(projected_atoms(structure)[2][1])
    return height / {"layered": 6, "spinel": 6, "rock salt": 3}[structure.name]
