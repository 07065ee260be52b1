"""Products of fused tomography."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]


@product(
    "twin/cycled-200-1/fused",
    tolerance=dict.fromkeys(("paper", "published", "ours", "errors", "scores"), 0.01),
    particle="cycled-200-1",
    pixels=64,
    seed=1,
    genfire={"oversampling": 3, "n_iterations": 1000},
    published={"n_poisson": 100, "n_rounds": 50},
)
def twin_fused(
    report: Report,
    files: Files,  # noqa: ARG001  made from the phantom, not from a dataset
    *,
    particle: str,
    pixels: int,
    seed: int,
    genfire: Mapping[str, Any],
    published: Mapping[str, Any],
) -> Arrays:
    """Composition of one particle by three methods from the same simulated counts, with the true alignment.

    The spectra end at 1.3 keV, beyond the last line that is fitted. Elements stand in the order of ``elements``.

    ``truth``, ``paper``, ``published``, ``ours`` (element, z, y, x): atomic fractions, NaN outside.
    ``errors``: standard errors of ``ours``; ``scores``: z of a cluster; ``null_quantiles``: scores that 5, 1 and 0.1 %
    of the voxels exceed by noise; ``radius_nm``, ``voxel_size_nm``; ``gain``: log units over the constant map;
    ``setting``: sd, length, decay; ``centers_nm`` (n, 3) as (x, y, z) and ``metal`` (n,) 0 Mn, 1 Co, 2 Ni of the true
    clusters.
    """
    import numpy as np

    from .. import alignment, composition, eds, fusion, phantoms, simulation

    elements = ("O", "Mn", "Co", "Ni")
    specimen = phantoms.particle(particle, shape=pixels)
    pixel_nm = specimen.voxel_size_nm
    setting = simulation.Acquisition(
        signals=("adf", "eds"),
        repeats=False,
        scan_shape=(pixels, pixels),
        pixel_size_nm=pixel_nm,
        eds=simulation.Eds(n_channels=130),
    )
    rng = np.random.default_rng(seed)
    report(0.01, "simulating")
    acquired = simulation.acquire(specimen, setting, rng=rng)
    known = alignment.Alignment(
        acquired.truth["shifts_px"],
        acquired.adf.tilt_angles_deg,  # type: ignore[union-attr]
        axis_rotation_deg=float(acquired.truth["axis_rotation_deg"]),
        method="from the truth",
    )
    report(0.1, "fitting lines")
    maps = eds.fit_lines(acquired.eds, elements=elements)  # type: ignore[arg-type]
    report(0.15, "density")
    beam = setting.electrons_per_pixel * setting.adf_efficiency
    density = fusion.density_from_adf(acquired.adf, beam_counts=beam, alignment=known)  # type: ignore[arg-type]
    shared: dict[str, Any] = {
        "k_factors": composition.k_factors_from_cross_sections(elements),
        "density": density,
        "alignment": known,
    }
    report(0.25, "fractions")
    ours = fusion.reconstruct(acquired.adf, maps, rng=rng, extra_atoms={"Li": 0.25}, **shared)  # type: ignore[arg-type]
    report(0.5, "published cost")
    tied = fusion.reconstruct(acquired.adf, maps, method="published", **shared, **published)  # type: ignore[arg-type]
    report(0.7, "the paper's pipeline")
    aligned = {element: alignment.apply(maps.intensities[element], known) for element in elements}
    fractions = {el: specimen.atomic_fractions[el] for el in elements}
    mean = {el: float(np.nanmean(values)) for el, values in fractions.items()}
    paper = composition.reconstruct_paper(aligned, mask=ours.mask, atomic_ratio=mean, **genfire)
    clusters = specimen.body.chemistry.clusters
    prior = ours.choices["prior"]

    def stacked(volumes: Mapping[str, Any]) -> Any:
        return np.stack([np.asarray(getattr(volumes[el], "values", volumes[el])) for el in elements]).astype(np.float16)

    return {
        "elements": np.array(elements),
        "truth": stacked(fractions),
        "paper": stacked(paper.fractions),
        "published": stacked(tied.fractions),
        "ours": stacked(ours.fractions),
        "errors": stacked(ours.standard_errors),
        "scores": stacked(ours.detection),
        "null_quantiles": np.array(list(ours.choices["thresholds"].values())),
        "radius_nm": np.array(ours.choices["cluster_radius_nm"]),
        "gain": np.array(ours.choices["gain"]),
        "setting": np.array([prior.sd, prior.length_nm, prior.decay_nm]),
        "centers_nm": np.asarray(clusters.centers_nm),
        "metal": np.asarray(clusters.metal),
        "voxel_size_nm": np.array(pixel_nm),
    }
