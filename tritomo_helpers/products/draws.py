"""Line maps of a simulated particle drawn again and again from the covariance of their noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Bools, Floats, Floats32

if TYPE_CHECKING:
    from ..alignment import Alignment
    from ..containers import TiltSeries, Tomogram
    from ..eds import LineMaps
    from ..fusion import Detection, Fused
    from ..phantoms import Phantom

ELEMENTS = ("O", "Mn", "Co", "Ni")
METALS = ELEMENTS[1:]
#: Shares of the particle's voxels at which clusters may be marked falsely.
FALSE_RATES = (0.05, 0.01, 0.001)


@dataclass(frozen=True, eq=False)
class Scene:
    """What a simulated microscope records of one particle: ADF with noise, spectra without, both as maps."""

    specimen: "Phantom"
    adf: "TiltSeries"
    spectra: Floats32
    energy_ev: Floats
    maps: "LineMaps"
    density: "Tomogram"
    alignment: "Alignment"
    k_factors: Mapping[str, float]
    truth: Floats32

    def draw(self, rng: np.random.Generator, *, counts: float = 1.0) -> "LineMaps":
        """Line maps at some multiple of the counts, with noise of their covariance."""
        stacked = np.stack([self.maps.intensities[el].images for el in ELEMENTS], axis=-1)
        covariance = np.asarray(self.maps.covariance) * np.float32(counts)
        noise = np.einsum("...ij,...j->...i", _roots(covariance), rng.standard_normal(stacked.shape, np.float32))
        images = np.float32(counts) * stacked + noise
        series = {el: self.maps.intensities[el].replace(images=images[..., i]) for i, el in enumerate(ELEMENTS)}
        return replace(self.maps, intensities=series, covariance=covariance)


def scene(name: str, *, control: str = "none", pixels: int = 64, tilt_step_deg: float = 10.0, seed: int = 1) -> Scene:
    """Simulate a particle without noise of counting in its spectra, and reconstruct the density from a noisy ADF."""
    from .. import alignment, composition, eds, fusion, phantoms, simulation

    specimen = phantoms.particle(name, shape=pixels, control=control)
    setting = simulation.Acquisition(
        tilt_angles_deg=tuple(np.arange(-70.0, 70.1, tilt_step_deg).tolist()),
        signals=("adf", "eds"),
        repeats=False,
        counting_noise=False,
        # As far in nm as in the experiment, whatever the pixels.
        misalignment_px=simulation.Acquisition().misalignment_px * pixels / 64,
        scan_shape=(pixels, pixels),
        pixel_size_nm=specimen.voxel_size_nm,
        # The lines that are fitted end at 1.2 keV.
        eds=simulation.Eds(n_channels=130),
    )
    acquired = simulation.acquire(specimen, setting, rng=np.random.default_rng(seed))
    assert acquired.adf is not None
    assert acquired.eds is not None
    counted = np.random.default_rng([seed, 1]).poisson(np.maximum(acquired.adf.images, 0))
    adf = acquired.adf.replace(images=counted.astype(np.float32))
    known = alignment.Alignment(
        acquired.truth["shifts_px"],
        adf.tilt_angles_deg,
        axis_rotation_deg=float(acquired.truth["axis_rotation_deg"]),
        method="from the truth",
    )
    beam = setting.electrons_per_pixel * setting.adf_efficiency
    return Scene(
        specimen,
        adf,
        np.asarray(acquired.eds.counts, dtype=np.float32),
        np.asarray(acquired.eds.energy_ev),
        eds.fit_lines(acquired.eds, elements=ELEMENTS),
        fusion.density_from_adf(adf, beam_counts=beam, alignment=known),
        known,
        composition.k_factors_from_cross_sections(ELEMENTS),
        np.stack([specimen.atomic_fractions[el] for el in ELEMENTS]).astype(np.float32),
    )


def noise_free_maps(specimen: "Phantom", *, seed: int) -> "LineMaps":
    """Fit the lines of a specimen's spectra without noise of counting, on pixels of its voxels' size."""
    from .. import eds, simulation

    setting = simulation.Acquisition(
        signals=("eds",),
        repeats=False,
        counting_noise=False,
        misalignment_px=0.0,
        scan_shape=specimen.mask.shape[1:],
        pixel_size_nm=specimen.voxel_size_nm,
        eds=simulation.Eds(n_channels=130),
    )
    spectra = simulation.acquire(specimen, setting, rng=np.random.default_rng(seed)).eds
    assert spectra is not None
    return eds.fit_lines(spectra, elements=ELEMENTS)


def material(particle: Scene) -> dict[str, Any]:
    """Return what a reader knows of the specimen, as options of `fusion.fraction_data`."""
    from ..spectroscopy import elastic

    lithium = 1 / 3 if particle.specimen.stage == "pristine" else 0.25
    return {"extra_atoms": {"Li": lithium}, "read_as": elastic.NCM111_ATOMS_PER_NM3, "adf_contrast": True}


def fused(particle: Scene, maps: Any, **options: Any) -> "Fused":
    """Reconstruct maps of the scene, every setting chosen from them."""
    from .. import fusion

    given: dict[str, Any] = {"k_factors": particle.k_factors, "density": particle.density}
    return fusion.reconstruct(particle.adf, maps, **(given | {"alignment": particle.alignment} | options))


def without_noise(particle: Scene, *, counts: float) -> Floats32:
    """Return the images (element, tilt, y, x) that all draws have in common, aligned as for a reconstruction."""
    from .. import fusion

    images = fusion.element_maps(particle.maps, particle.adf, alignment=particle.alignment).images
    return images * np.float32(counts)


def noise_of_raw_counts(particle: Scene, *, rng: np.random.Generator) -> Floats:
    """Count photons once and fit them: variance and correlation of the maps over what their covariance says.

    Returns
    -------
    ndarray, shape (2, element)
        Mean square of the whitened noise, which is 1 where the covariance is right; and its mean, which is 0.
    """
    from .. import eds
    from ..containers import SpectrumTiltSeries

    counts = rng.poisson(particle.spectra).astype(np.uint16)
    angles, size = particle.adf.tilt_angles_deg, particle.adf.pixel_size_nm
    fitted = eds.fit_lines(SpectrumTiltSeries(counts, angles, particle.energy_ev, size, "EDS"), elements=ELEMENTS)
    stacked = [np.stack([m.intensities[el].images for el in ELEMENTS], axis=-1) for m in (fitted, particle.maps)]
    covariance = np.asarray(particle.maps.covariance)
    seen = stacked[1][..., 0] > 0.2 * stacked[1][..., 0].max()
    whitened = np.linalg.solve(_roots(covariance[seen]), (stacked[0] - stacked[1])[seen][..., None])[..., 0]
    return np.stack([np.square(whitened).mean(axis=0), whitened.mean(axis=0)])


def compared(estimate: Floats32, truth: Floats32, inside: Bools) -> dict[str, Floats]:
    """Return error over that of the constant map, correlation, and slope of truth on estimate, of each element."""
    rows = []
    for values, true in zip(estimate, truth, strict=True):
        both = inside & np.isfinite(values) & np.isfinite(true)
        x, y = values[both].astype(np.float64), true[both].astype(np.float64)
        varies = x.std() > 1e-6 and y.std() > 1e-6
        of_constant = np.sqrt(np.mean((x - y) ** 2)) / y.std() if y.std() > 1e-6 else np.nan
        covariance = np.cov(x, y, ddof=0)[0, 1] if varies else np.nan
        rows.append(
            (of_constant, covariance / (x.std() * y.std()), covariance / x.var())
            if varies
            else (of_constant, np.nan, np.nan)
        )
    table = np.array(rows)
    return {"error": table[:, 0], "correlation": table[:, 1], "slope": table[:, 2]}


def covered(error: Floats, standard_error: Floats, levels: Sequence[float], *, axis: int | None = None) -> Floats:
    """Return the share of errors inside the intervals of some probabilities, the levels along the first axis."""
    from scipy.special import ndtri

    within = np.abs(error) / standard_error
    return np.array([np.mean(within < ndtri((1 + level) / 2), axis=axis) for level in levels])


def detected(
    detector: "Detection", centers_nm: Floats, metal: NDArray[np.int64], *, radius_nm: float, voxel_size_nm: float
) -> dict[str, Floats]:
    """Look for the clusters of every metal: at known places, as a share of marked voxels, and as a list of peaks.

    Parameters
    ----------
    detector : Detection
        Of O and the three metals.
    centers_nm, metal : ndarray, shapes (n, 3) and (n,)
        True clusters: (x, y, z), and 0 Mn, 1 Co, 2 Ni.
    radius_nm : float
        Of the largest one: voxels farther from every center than it and two voxels count as without a cluster.
    voxel_size_nm : float

    Returns
    -------
    dict of str to ndarray, shape (metal, false rate)
        ``recall_at_rate``: share of true centers above the score that this share of the voxels away from clusters
        exceeds *in fact*; ``marked``: share of these voxels above the threshold from simulated noise; ``recall``,
        ``precision``, ``n_false``: of the peaks above that threshold.
    """
    from .. import fusion

    shape = detector.z.shape[1:]
    n = np.array(shape) // 2
    grid = (np.array(np.indices(shape)) - n[:, None, None, None])[::-1] * voxel_size_nm  # x, y, z
    table: dict[str, list[list[float]]] = {}
    for number, scores in enumerate(detector.z[1:]):
        centers = centers_nm[metal == number]
        places = np.rint(centers / voxel_size_nm).astype(int)[:, ::-1] + n
        at_centers = np.nan_to_num(scores[tuple(places.T)], nan=-np.inf)
        apart = np.min([np.linalg.norm(grid - np.reshape(c, (3, 1, 1, 1)), axis=0) for c in centers], axis=0)
        elsewhere = scores[np.isfinite(scores) & (apart > 2 * voxel_size_nm + radius_nm)]
        row: dict[str, list[float]] = {}
        for rate in FALSE_RATES:
            threshold = detector.threshold(rate)
            size = detector.radius_nm
            peaks, _ = fusion.find_clusters(scores, threshold=threshold, radius_nm=size, voxel_size_nm=voxel_size_nm)
            score = fusion.score_clusters(peaks, centers, within_nm=size + voxel_size_nm / 2)
            values = {
                "recall_at_rate": np.mean(at_centers > np.quantile(elsewhere, 1 - rate)),
                "marked": np.mean(elsewhere > threshold),
                "recall": score.recall,
                "precision": score.precision,
                "n_false": score.n_false,
            }
            for what, value in values.items():
                row.setdefault(what, []).append(float(value))
        for what, of_rates in row.items():
            table.setdefault(what, []).append(of_rates)
    return {what: np.array(rows) for what, rows in table.items()}


def inserted(
    density: "Tomogram", mean: Mapping[str, float], *, n_clusters: int, radius_nm: float, contrast: float, seed: int
) -> tuple[dict[str, Any], Floats, NDArray[np.int64]]:
    """Put clusters of each metal into a homogeneous particle: fractions (z, y, x), centers (x, y, z) and metals.

    No two centers are closer than 25 nm, and none is closer to the surface than its radius. Where one metal is rich,
    the two others are poor by half as much each.
    """
    from scipy import ndimage

    from ..phantoms.clusters import edge_profile

    values, size = np.asarray(density.values), density.voxel_size_nm
    depth = ndimage.distance_transform_edt(values > values.max() / 2) * size
    n = np.array(values.shape) // 2
    rng = np.random.default_rng(seed)
    candidates = rng.permutation((np.argwhere(depth > radius_nm) - n)[:, ::-1] * size)
    centers: list[Floats] = []
    for place in candidates:
        if len(centers) < 3 * n_clusters and all(np.linalg.norm(place - other) > 25.0 for other in centers):
            centers.append(place)
    metal = np.arange(len(centers)) % 3
    grid = (np.array(np.indices(values.shape)) - n[:, None, None, None])[::-1] * size
    rich = np.zeros((3, *values.shape))
    for center, which in zip(centers, metal, strict=True):
        distance = np.linalg.norm(grid - np.reshape(center, (3, 1, 1, 1)), axis=0)
        rich[which] += contrast * edge_profile(distance, radius_nm)
    poor = (rich.sum(axis=0) - rich) / 2
    fractions: dict[str, Any] = {el: np.full(values.shape, mean[el], dtype=np.float32) for el in ELEMENTS}
    for i, el in enumerate(METALS):
        fractions[el] += (rich[i] - poor[i]).astype(np.float32)
    return fractions, np.array(centers), metal


def _roots(covariance: Floats32) -> Floats32:
    """Symmetric square roots of matrices that may be singular, as in the vacuum."""
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    roots = (vectors * np.sqrt(np.maximum(values, 1e-6))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return np.asarray(roots, dtype=np.float32)
