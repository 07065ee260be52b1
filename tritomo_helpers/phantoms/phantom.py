"""A specimen together with its truth on a voxel grid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_option, check_shape
from ..containers import Tomogram
from .balance import METALS, VOLUME_NM3
from .sampling import chunks
from .shapes import coverage, largest_feret_nm
from .specimen import Body, tilt_directions
from .stages import FIELD_OF_VIEW_NM


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Phantom:
    """A specimen and its truth on a voxel grid; volumes have axes (z, y, x).

    Made by `particle`, `balls` or `chiral`. Outside `mask` the fractions are NaN: nothing is
    there to have a composition.

    Parameters
    ----------
    name, stage, control : str
        Which particle, its cycling stage, and ``"none"`` or the kind of control.
    voxel_size_nm : float
        Side of a voxel, nm.
    mask : array of bool
        Voxel centers inside the particle.
    depth_nm : array
        Depth of the voxel centers below the surface, nm; negative outside.
    density : array
        O + F + Mn + Co + Ni atoms per nm³; 0 outside, with a soft edge across the surface.
    atomic_fractions : mapping of str to array
        O, Mn, Co, Ni, and F where there is any; add up to 1 (x 100 = at%). Lithium is invisible to the experiment and
        not counted.
    mn_valence, co_valence : mapping of int to array
        Share of the ions of each valence, {4, 3, 2} and {3, 2}; add up to 1.
    ni_valence : array
        Mean valence of nickel, 2 to 4: what charge neutrality leaves to it. The experiment does not measure it.
    phases : mapping of str to array
        layered, spinel, rock_salt, and fluoride where there is any: share of the atoms counted, mixing inside a voxel;
        add up to 1.
    lithium : array
        Li per atom counted: at the limit of the lattices, or less where charge demands it.
    body : Body
        The function of position behind the arrays.

    Examples
    --------
    >>> from tritomo_helpers.phantoms import particle
    >>> tiny = particle("pristine-1", shape=16)
    >>> tiny.density.shape, sorted(tiny.mn_valence)
    ((16, 16, 16), [2, 3, 4])
    >>> float(np.mean(tiny.phases["layered"][tiny.mask]))
    1.0
    """

    name: str
    stage: str
    control: str
    voxel_size_nm: float
    mask: NDArray[np.bool_]
    depth_nm: Floats
    density: Floats
    atomic_fractions: Mapping[str, Floats]
    mn_valence: Mapping[int, Floats]
    co_valence: Mapping[int, Floats]
    ni_valence: Floats
    phases: Mapping[str, Floats]
    lithium: Floats
    body: Body

    def __repr__(self) -> str:
        control = "" if self.control == "none" else f", control {self.control}"
        return f"<Phantom {self.name}{control}: {self.shape} voxels of {self.voxel_size_nm:.2f} nm>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        nz, ny, nx = self.mask.shape
        return nz, ny, nx

    @property
    def species(self) -> tuple[str, ...]:
        """What the particle consists of; ``"Ni2"`` is all nickel, which the twin gives the white line of Ni2+."""
        return self.body.species

    @property
    def feret_nm(self) -> float:
        """Largest extent in any direction, nm."""
        return largest_feret_nm(self.body.shape.surface_nm)

    @property
    def thickness_nm(self) -> Floats:
        """Length of material along the beam at zero tilt, nm, shape (y, x)."""
        return np.asarray(coverage(self.depth_nm).sum(axis=0) * self.voxel_size_nm)

    def tomogram(self, quantity: str = "density") -> Tomogram:
        """Return one truth volume as a `Tomogram`.

        Parameters
        ----------
        quantity : str
            ``"density"`` (atoms/nm³), an element (at%), a valence such as ``"Mn4"`` (% of the element),
            ``"ni_valence"`` (mean) or a phase (% of the atoms).

        Returns
        -------
        Tomogram

        Raises
        ------
        ValueError
            If there is no such quantity.

        Examples
        --------
        >>> from tritomo_helpers.phantoms import particle
        >>> particle("pristine-1", shape=16).tomogram("Mn4").quantity
        'Mn4+ (% of Mn)'
        """
        known: dict[str, tuple[Floats, str]] = {"density": (self.density, "density (atoms/nm³)")}
        known |= {el: (100 * v, f"{el} (at%)") for el, v in self.atomic_fractions.items()}
        known |= {f"Mn{k}": (100 * v, f"Mn{k}+ (% of Mn)") for k, v in self.mn_valence.items()}
        known |= {f"Co{k}": (100 * v, f"Co{k}+ (% of Co)") for k, v in self.co_valence.items()}
        known["ni_valence"] = (self.ni_valence, "mean valence of Ni")
        known |= {phase: (100 * v, f"{phase.replace('_', ' ')} (% of atoms)") for phase, v in self.phases.items()}
        values, label = known[check_option(quantity, "quantity", known)]
        return Tomogram(values, self.voxel_size_nm, label)

    def number_density(self, species: str) -> Floats:
        """Return atoms per nm³ of one species, shape (z, y, x), 0 outside, the soft edge included.

        Parameters
        ----------
        species : str
            One of `species`: O, Mn4, Mn3, Mn2, Co3, Co2, Ni2 (all nickel), Li, or F where there is any.

        Returns
        -------
        ndarray

        Examples
        --------
        >>> from tritomo_helpers.phantoms import particle
        >>> tiny = particle("pristine-1", shape=16)
        >>> float(tiny.number_density("O").max())
        59.5...
        """
        check_option(species, "species", self.species)
        axis = (np.arange(self.shape[0]) - self.shape[0] // 2) * self.voxel_size_nm
        return self.sample(axis, axis, axis, species=(species,))[species]

    def sample(
        self, x_nm: ArrayLike, y_nm: ArrayLike, z_nm: ArrayLike, *, species: tuple[str, ...] | None = None
    ) -> dict[str, Floats]:
        """Evaluate the specimen on a grid of your own.

        Parameters
        ----------
        x_nm, y_nm, z_nm : array_like, 1D
            Grid coordinates, nm.
        species : tuple of str, optional
            Which species to return; all by default.

        Returns
        -------
        dict of str to ndarray, shape (z, y, x)
            Atoms per nm³ of each species.

        Examples
        --------
        >>> from tritomo_helpers.phantoms import particle
        >>> found = particle("pristine-1", shape=16).sample([0.0], [0.0], [0.0])
        >>> round(float(found["O"][0, 0, 0]), 1)
        59.6
        """
        axes = [np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (z_nm, y_nm, x_nm)]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        found = self.at(np.stack([x, y, z], axis=-1).reshape(-1, 3), species=species)
        return {name: values.reshape(x.shape) for name, values in found.items()}

    def at(self, points_nm: ArrayLike, *, species: tuple[str, ...] | None = None) -> dict[str, Floats]:
        """Evaluate the specimen at any points.

        Parameters
        ----------
        points_nm : array_like, shape (n, 3)
            (x, y, z), nm.
        species : tuple of str, optional
            Which species to return; all by default.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            Atoms per nm³ of each species.

        Examples
        --------
        >>> from tritomo_helpers.phantoms import balls
        >>> found = balls([[0, 0, 0]], [30], shape=16).at([[0, 0, 0], [0, 0, 40]], species=("O",))
        >>> found["O"].round(1)
        array([59.6,  0. ])
        """
        points = np.asarray(points_nm, dtype=np.float64)
        check_shape(points, "points_nm", (len(points), 3), remedy="give one row (x, y, z) per point")
        wanted = self.species if species is None else species
        found = {name: np.zeros(len(points)) for name in wanted}
        for part in chunks(points):
            depth = self.body.shape.depth(points[part])
            share = coverage(depth)
            inside = np.flatnonzero(share)
            here = self.body.chemistry.local(points[part][inside], depth[inside])
            values = self.body.chemistry.evaluate(here).species()
            for name in wanted:
                found[name][part.start + inside] = values[name] * share[inside]
        return found

    def areal_densities(
        self,
        angle_deg: float,
        x_nm: ArrayLike,
        y_nm: ArrayLike,
        *,
        depth_weight: Callable[[Floats], Floats] | None = None,
        borders_nm: ArrayLike | None = None,
    ) -> dict[str, Floats]:
        """Integrate the specimen along rays: what a tilted projection counts.

        Rays run along n = (sin t, 0, cos t) through the points u = x of the image plane, u = (cos t, 0, -sin t).

        Parameters
        ----------
        angle_deg : float
            Tilt about y, degrees.
        x_nm, y_nm : array_like
            Either two 1D axes, which span an image, or two arrays of one shape with the position of every ray.
        depth_weight : callable, optional
            Weight of the matter at a depth (nm) below the surface; all counts alike by default.
        borders_nm : array_like, shape (n,), optional
            Cut the specimen across the beam at these places along it, increasing.

        Returns
        -------
        dict of str to ndarray, shape (y, x) or the shape given
            Atoms per nm² of every one of `species`; with borders (n + 1, y, x), in the order of the beam.

        Raises
        ------
        ValueError
            If the arrays do not go together.

        Examples
        --------
        >>> from tritomo_helpers.phantoms import particle
        >>> maps = particle("pristine-1", shape=16).areal_densities(0.0, [0.0], [0.0, 5.0])
        >>> maps["O"].shape
        (2, 1)
        """
        x, y = np.asarray(x_nm, dtype=np.float64), np.asarray(y_nm, dtype=np.float64)
        if x.ndim == 1 and y.ndim == 1:
            x, y = np.meshgrid(x, y)
        else:
            check_shape(y, "y_nm", x.shape, remedy="give two 1D axes, or one x and one y for every ray")
        return self.body.integrate(angle_deg, x, y, depth_weight=depth_weight, borders_nm=borders_nm)

    def extent_nm(self, angle_deg: float) -> tuple[float, float, float, float]:
        """Return the smallest and largest u, then y, of the particle's outline at one tilt, nm.

        Examples
        --------
        >>> from tritomo_helpers.phantoms import particle
        >>> left, right, bottom, top = particle("pristine-1", shape=16).extent_nm(0.0)
        >>> 100 < right - left < 212
        True
        """
        surface = self.body.shape.surface_nm
        u = surface @ tilt_directions(angle_deg)[0]
        return float(u.min()), float(u.max()), float(surface[:, 1].min()), float(surface[:, 1].max())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the truth volumes under flat names, for saving.

        Returns
        -------
        dict of str to ndarray
            mask, depth_nm, density, the elements (fractions), Mn4, Mn3, Mn2, Co3, Co2 (share of the element), the
            phases, lithium, ni_valence.
        """
        return {
            "mask": self.mask,
            "depth_nm": self.depth_nm,
            "density": self.density,
            **self.atomic_fractions,
            **{f"Mn{k}": v for k, v in self.mn_valence.items()},
            **{f"Co{k}": v for k, v in self.co_valence.items()},
            **self.phases,
            "lithium": self.lithium,
            "ni_valence": self.ni_valence,
        }


def sampled(name: str, stage: str, control: str, source: Body, shape: int) -> Phantom:
    """Sample a body at the voxel centers of the cube of the field of view."""
    voxel = FIELD_OF_VIEW_NM / shape
    axis = (np.arange(shape) - shape // 2) * voxel
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    size = len(points)
    depth, density = np.empty(size), np.zeros(size)
    fields: dict[str, Floats] = {}
    for part in chunks(points):
        depth[part] = source.shape.depth(points[part])
        share = coverage(depth[part])
        solid = np.flatnonzero(share)
        values = source.chemistry.evaluate(source.chemistry.local(points[part][solid], depth[part][solid]))
        density[part.start + solid] = values.density * share[solid]
        inside = depth[part][solid] >= 0
        found = {
            **values.atomic_fractions,
            **{f"Mn{k}": v for k, v in values.mn_valence.items()},
            **{f"Co{k}": v for k, v in values.co_valence.items()},
            **values.phases,
            "lithium": values.lithium,
            "ni_valence": values.ni_valence,
        }
        for key, array in found.items():
            column = fields.setdefault(key, np.full(size, np.nan))
            column[part.start + solid[inside]] = np.broadcast_to(array, solid.shape)[inside]
    cube = (shape, shape, shape)
    volumes = {key: _read_only(array.reshape(cube)) for key, array in fields.items()}
    return Phantom(
        name,
        stage,
        control,
        voxel,
        _read_only((depth >= 0).reshape(cube)),
        _read_only(depth.reshape(cube)),
        _read_only(density.reshape(cube)),
        {el: volumes[el] for el in ("O", "F", *METALS) if el in volumes},
        {k: volumes[f"Mn{k}"] for k in (4, 3, 2)},
        {k: volumes[f"Co{k}"] for k in (3, 2)},
        volumes["ni_valence"],
        {phase: volumes[phase] for phase in VOLUME_NM3 if phase in volumes},
        volumes["lithium"],
        source,
    )
