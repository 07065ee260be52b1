"""Products of fused tomography."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]


@product(
    "twin/cycled-200-1/fused",
    # A setting chosen on counts set aside may fall to its neighbor on another machine.
    tolerance={
        **dict.fromkeys(("paper", "published", "ours", "errors"), 0.01),
        **{"scores": 1.0, "null_quantiles": 0.3, "radius_nm": 3.0, "gain": 15.0, "setting": 20.0, "element_sds": 0.7},
    },
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
    ``setting``: sd, length, decay; ``element_sds``: relative standard deviation of each element; ``centers_nm`` (n, 3)
    as (x, y, z) and ``metal`` (n,) 0 Mn, 1 Co, 2 Ni of the true clusters. ``series`` (signal, tilt, y, x): raw ADF and
    line maps at the first, middle and last tilt; ``element_tilt_factors`` (element, tilt) and ``tilt_factors``: the
    paper's normalization at ``tilt_angles_deg``.
    """
    import numpy as np

    from .. import alignment, composition, eds, fusion, phantoms, simulation
    from ..spectroscopy import elastic

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
    assert acquired.adf is not None
    assert acquired.eds is not None
    known = alignment.Alignment(
        acquired.truth["shifts_px"],
        acquired.adf.tilt_angles_deg,
        axis_rotation_deg=float(acquired.truth["axis_rotation_deg"]),
        method="from the truth",
    )
    report(0.1, "fitting lines")
    maps = eds.fit_lines(acquired.eds, elements=elements)
    report(0.15, "density")
    beam = setting.electrons_per_pixel * setting.adf_efficiency
    density = fusion.density_from_adf(acquired.adf, beam_counts=beam, alignment=known)
    shared: dict[str, Any] = {
        "k_factors": composition.k_factors_from_cross_sections(elements),
        "density": density,
        "alignment": known,
    }
    report(0.25, "fractions")
    adf_reading: dict[str, Any] = {"read_as": elastic.NCM111_ATOMS_PER_NM3, "adf_contrast": True}
    ours = fusion.reconstruct(acquired.adf, maps, rng=rng, extra_atoms={"Li": 0.25}, **adf_reading, **shared)
    report(0.5, "published cost")
    tied = fusion.reconstruct(acquired.adf, maps, method="published", **shared, **published)
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
        "element_sds": np.array(prior.state_sds),
        "series": np.stack([acquired.adf.images, *(maps.intensities[el].images for el in elements)])[:, ::7].astype(
            np.float32
        ),
        "tilt_angles_deg": acquired.adf.tilt_angles_deg,
        "element_tilt_factors": np.stack([paper.element_tilt_factors[el] for el in elements]),
        "tilt_factors": np.asarray(paper.tilt_factors),
        "centers_nm": np.asarray(clusters.centers_nm),
        "metal": np.asarray(clusters.metal),
        "voxel_size_nm": np.array(pixel_nm),
    }
