"""Composition methods on real data: an EDS tilt series of a lamella, and a pair of maps of core-shell crystals."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]

_DUST = "openNCEM_L2083_eds_tilt_10deg"
_CRYSTALS = "Co3O4_Mn3O4_fusion_2D"


@product(
    "study/dust",
    datasets=(_DUST,),
    tolerance={"held_out": 0.05, "noise": 0.02, "shifts_px": 0.5, "maps": 2.0, "counts": 2e3},
    elements=("O", "Mg", "Si", "Fe"),
    other_elements=("Cu", "Al", "Ni", "Ga", "Pt", "Na", "S"),
    window_ev=(400.0, 1850.0),
    bin_px=4,
    n_z=12,
    methods=("wbp", "sirt", "genfire", "tv"),
)
def dust(
    report: Report,
    files: Files,
    *,
    elements: Sequence[str],
    other_elements: Sequence[str],
    window_ev: tuple[float, float],
    bin_px: int,
    n_z: int,
    methods: Sequence[Any],
) -> Arrays:
    """Map, align and reconstruct a real lamella at eight tilts, each method judged by tilts left out.

    ``held_out`` : float (element, method), norm of what the prediction of a tilt left out misses over the norm of its
    map, mean over the inner tilts; ``methods`` are the given ones, then "constant" (one composition, times the density
    that ADF gives at all tilts) and "fractions" (density times fractions). ``noise`` : float (element,), what no
    prediction can be better than, from the covariance. ``shifts_px`` (tilt, 2) as (y, x) of binned pixels,
    ``extended`` and ``alignment_method`` as `alignment.estimate` says. ``counts`` : float (element, tilt).
    ``maps`` : float32 (element, y, x) at zero tilt, aligned.
    """
    import numpy as np

    from .. import alignment, composition, fusion, tomography
    from ..containers import Tomogram

    adf, lines = _recorded(report, files[_DUST], elements, other_elements, window_ev=window_ev, bin_px=bin_px)
    report(0.5, "alignment")
    known = alignment.estimate(adf)
    checked = fusion.element_maps(lines, adf, alignment=known)
    series = {
        el: lines.intensities[el].replace(images=image) for el, image in zip(elements, checked.images, strict=True)
    }
    held_out = np.empty((len(elements), len(methods) + 2))
    for row, el in enumerate(elements):
        for column, method in enumerate(methods):
            report(0.55 + 0.3 * (row + column / len(methods)) / len(elements), f"{el} by {method}")
            held_out[row, column] = tomography.held_out_error(series[el], method=method, n_z=n_z)
    report(0.85, "density")
    ring = alignment.apply(adf, known)
    ring = ring.replace(images=np.maximum(ring.images - np.quantile(ring.images, 0.01), 0))
    density = tomography.reconstruct(ring, method="tv", weight=0.003, n_z=n_z).tomogram
    matter = Tomogram(np.maximum(density.values, 0), density.voxel_size_nm)
    inside = np.asarray(matter.values > 0.25 * np.quantile(matter.values, 0.99))
    k = composition.k_factors_from_cross_sections(elements, window_ev=window_ev, beam_energy_kev=200.0)
    data = fusion.fraction_data(checked, matter, inside, k_factors=k, absorption=False)
    report(0.9, "fractions")
    held_out[:, -2:] = _predicted(data)
    variance = np.moveaxis(np.diagonal(checked.covariance, axis1=0, axis2=1), -1, 0)
    inner = checked.images[:, 1:-1]
    norms = np.sqrt(np.square(inner).sum(axis=(2, 3)))
    noise = np.sqrt(variance[:, 1:-1].sum(axis=(2, 3))) / norms
    return {
        "elements": np.array(elements),
        "methods": np.array((*methods, "constant", "fractions")),
        "held_out": held_out,
        "noise": noise.mean(axis=1),
        "tilt_angles_deg": np.asarray(adf.tilt_angles_deg),
        "shifts_px": np.asarray(known.shifts_px),
        "extended": np.array(known.extended),
        "alignment_method": np.array(known.method),
        "counts": checked.images.sum(axis=(2, 3)),
        "maps": checked.images[:, int(np.argmin(np.abs(adf.tilt_angles_deg)))].astype(np.float32),
        "pixel_size_nm": np.array(adf.pixel_size_nm),
    }


def _recorded(
    report: Report,
    paths: Mapping[str, Path],
    elements: Sequence[str],
    other_elements: Sequence[str],
    *,
    window_ev: tuple[float, float],
    bin_px: int,
) -> tuple[Any, Any]:
    """ADF and line maps of all tilts, with pixels added up; one file is in memory at a time."""
    import numpy as np

    from .. import eds, io
    from ..containers import SpectrumTiltSeries

    roles = sorted((role for role in paths if role.startswith("tilt_")), key=lambda role: float(role[5:]))
    images, spectra = [], []
    for done, role in enumerate(roles):
        report(0.45 * done / len(roles), role)
        scan = io.load_spectra([paths[role]], signal="EDS")
        n_channels = int(np.searchsorted(scan.energy_ev, window_ev[1] + 50))
        counts = np.asarray(scan.counts[0])[..., :n_channels]
        n_y, n_x = (n // bin_px for n in counts.shape[:2])
        blocks = counts[: n_y * bin_px, : n_x * bin_px].reshape(n_y, bin_px, n_x, bin_px, -1)
        spectra.append(blocks.sum(axis=(1, 3), dtype=np.uint16))
        ring = io.load_tilt_series([paths[role]])
        images.append(ring.images[0][: n_y * bin_px, : n_x * bin_px].reshape(n_y, bin_px, n_x, bin_px).sum(axis=(1, 3)))
    angles, size = np.array([float(role[5:]) for role in roles]), bin_px * scan.pixel_size_nm
    adf = ring.replace(images=np.array(images), tilt_angles_deg=angles, pixel_size_nm=size)
    lines = eds.fit_lines(
        SpectrumTiltSeries(np.array(spectra), angles, scan.energy_ev[:n_channels], size, "EDS"),
        elements=elements,
        other_elements=other_elements,
        window_ev=window_ev,
        background_terms=3,
        beam_energy_kev=200,
    )
    return adf, lines


def _predicted(data: Any) -> Any:
    """Score the constant map and the fractions by tilts left out: (element, 2). The density knows all tilts."""
    import numpy as np

    from ..fusion.fractions import GRID, START
    from ..tomography import fractions

    n_tilts = data.images.shape[1]
    grid = {
        name: tuple(10 * v for v in GRID[name]) if name == "length_nm" else GRID[name] for name in ("sd", "length_nm")
    }
    start = fractions.Prior(sd=START.sd, length_nm=10 * START.length_nm, mean_sd=START.mean_sd)
    scores = []
    for left_out in range(1, n_tilts - 1):
        kept = np.arange(n_tilts) != left_out
        fitted = data.replace(
            images=data.images[:, kept],
            covariance=data.covariance[:, :, kept],
            tilt_angles_deg=data.tilt_angles_deg[kept],
            gains=data.gains[:, kept],
        )
        rng = np.random.default_rng(left_out)
        choice = fractions.choose_prior(fitted, start=start, grid=grid, rng=rng, n_splits=1)
        values = fractions.solve(fitted, choice.prior).fractions
        values = np.where(np.isfinite(values), values, data.mean_fractions[:, None, None, None])
        for prediction in (data.expected(), data.expected(values)):
            missed = data.images[:, left_out] - prediction[:, left_out]
            scores.append(np.linalg.norm(missed, axis=(1, 2)) / np.linalg.norm(data.images[:, left_out], axis=(1, 2)))
    return np.reshape(scores, (-1, 2, len(data.mean_fractions))).mean(axis=0).T


@product(
    "study/nanocrystals",
    datasets=(_CRYSTALS,),
    tolerance={"cobalt_share": 0.01, "maps": 0.02},
    elements=("Co", "Mn", "O"),
    variation_weight=0.01,
    published={"n_poisson": 0, "n_rounds": 30},
    depths_px=(0, 4, 8, 12, 16, 24, 32, 48),
)
def nanocrystals(
    report: Report,
    files: Files,
    *,
    elements: Sequence[str],
    variation_weight: float,
    published: Mapping[str, Any],
    depths_px: Sequence[int],
) -> Arrays:
    """Fuse real maps of Co3O4 crystals with an Mn3O4 shell with their dark field, in two dimensions.

    ``cobalt_share`` : float (map, depth), Co / (Co + Mn) of all pixels between two depths below the outline of the
    crystals, from the counts and from the fused maps; ``depth_px`` : float (depth,), their middle. ``maps`` : float16
    (map, element, y, x), each divided by its 99.9th percentile, pixels added up 4 x 4; ``dark_field`` likewise.
    """
    import numpy as np

    from .. import fusion, io
    from ..containers import TiltSeries

    arrays = io.load_arrays(files[_CRYSTALS]["maps"])
    dark_field = np.asarray(arrays["HAADF"], dtype=np.float32)
    dark_field = dark_field - dark_field.min()
    counts = {el: np.asarray(arrays[el], dtype=np.float32) for el in elements}
    report(0.1, "fusing")
    volumes = fusion.published_fusion(
        TiltSeries(dark_field[None], np.zeros(1), 1.0),
        {el: TiltSeries(image[None], np.zeros(1), 1.0) for el, image in counts.items()},
        support=np.ones((1, *dark_field.shape), dtype=bool),
        variation_weight=variation_weight,
        **published,
    )
    kinds = [counts, {el: volume[0] for el, volume in volumes.items()}]
    return {
        "elements": np.array(elements),
        "kinds": np.array(("counts", "fused")),
        "depth_px": (np.array(depths_px[1:]) + np.array(depths_px[:-1])) / 2,
        "cobalt_share": np.array([cobalt_share(kind, dark_field, depths_px=depths_px) for kind in kinds]),
        "maps": np.array([[_small(kind[el]) for el in elements] for kind in kinds]),
        "dark_field": _small(dark_field),
    }


def cobalt_share(maps: Mapping[str, Any], dark_field: Any, *, depths_px: Sequence[int]) -> Any:
    """Return Co / (Co + Mn) of all pixels between two depths below the outline that the dark field shows."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(dark_field, 2)
    depth = ndimage.distance_transform_edt(smooth > threshold_otsu(smooth))
    shares = []
    for low, high in pairwise(depths_px):
        between = (depth > low) & (depth <= high)
        cobalt, manganese = (maps[el][between].sum(dtype=float) for el in ("Co", "Mn"))
        shares.append(cobalt / (cobalt + manganese))
    return np.array(shares)


def _small(image: Any) -> Any:
    """Add pixels up 4 x 4 and divide by the 99.9th percentile."""
    import numpy as np

    n_y, n_x = (n // 4 for n in image.shape)
    binned = image[: 4 * n_y, : 4 * n_x].reshape(n_y, 4, n_x, 4).sum(axis=(1, 3))
    return (binned / np.quantile(binned, 0.999)).astype(np.float16)
