"""The products of the book: what one chapter makes and others use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]


@product(
    "needle/alignment",
    datasets=("etspy_needle_haadf_raw",),
    tolerance={"shifts_px": 0.02, "axis_rotation_deg": 0.01, "residuals": 0.002},
    method="common-line",
)
def needle_alignment(report: Report, files: Files, *, method: str) -> Arrays:
    """Align the real needle as it came from the microscope (77 tilts of 256 x 256).

    Arrays are the fields of `alignment.Alignment`, see `as_alignment`.
    """
    import warnings

    from .. import alignment, io
    from ..store import results

    needle = io.load_tilt_series(files["etspy_needle_haadf_raw"]["tilt_series"], tilt_axis="x")
    report(0.05, "estimating shifts")
    with warnings.catch_warnings():
        # The frame cuts the needle, which changes the method: `why` says so.
        warnings.filterwarnings("ignore", message="method:")
        estimated = alignment.estimate(needle, method=method)
    return results.to_arrays(estimated)


@product(
    "twin/pristine-1/adf-tomograms",
    datasets=("twin/pristine-1",),
    parts={"twin/pristine-1": ("adf",)},
    tolerance={"tv": 0.02, "genfire": 0.02, "unit_density": 0.01},
    tv={"n_folds": 1},
    genfire={"oversampling": 3, "interpolation_radius_px": 0.1, "n_iterations": 1000},
)
def twin_adf_tomograms(report: Report, files: Files, *, tv: Mapping[str, Any], genfire: Mapping[str, Any]) -> Arrays:
    """Turn the ADF series of pristine-1 into thickness, align it as recorded and reconstruct it twice, truth unseen.

    ``tv``, ``genfire`` : float16 (z, y, x), density in units of the mean inside Otsu's threshold of the same volume.
    ``unit_density`` : that mean over the density of NCM111, of either. ``support`` : bool (z, y, x). ``voxel_size_nm``.
    The center of mass lies on the tilt axis.
    """
    import numpy as np
    from skimage.filters import threshold_otsu

    from .. import alignment, io, simulation, tilt_series, tomography
    from ..spectroscopy import elastic

    adf = io.load_tilt_series(files["twin/pristine-1"]["adf"])
    report(0.02, "aligning")
    masks = tilt_series.otsu_masks(adf)
    vacuum = [tilt_series.background_level(image, mask)[0] for image, mask in zip(adf.images, masks, strict=True)]
    scan = simulation.Acquisition()
    clean = np.where(masks, adf.images - np.array(vacuum)[:, None, None], 0)
    share = clean / (scan.electrons_per_pixel * scan.adf_efficiency)
    thickness = adf.replace(images=elastic.thickness_from_adf(share), label="thickness (nm)")
    aligned = alignment.apply(thickness, alignment.estimate(thickness))
    support = tomography.support_from_masks(aligned.replace(images=tilt_series.otsu_masks(aligned)))
    volumes, units = {}, []
    for done, (method, options) in zip((0.05, 0.3), (("tv", tv), ("genfire", genfire)), strict=True):
        report(done, method)
        settings = tomography.METHODS[method](**options)
        values = tomography.reconstruct(aligned, method=settings, support=support).tomogram.values
        units.append(float(values[values > threshold_otsu(values)].mean()))
        volumes[method] = (values / units[-1]).astype(np.float16)
    return {
        **volumes,
        "unit_density": np.array(units) / aligned.pixel_size_nm,
        "support": support,
        "voxel_size_nm": np.array(aligned.pixel_size_nm),
    }


@product(
    "composition/depth-profiles",
    datasets=("twin/pristine-1", "twin/cycled-200-1"),
    parts={"twin/pristine-1": ("eds", "truth"), "twin/cycled-200-1": ("eds", "truth")},
    tolerance={"without": 0.05, "corrected": 0.05, "truth": 0.02},
    genfire={"oversampling": 2, "n_iterations": 200},
)
def composition_depth_profiles(report: Report, files: Files, *, genfire: Mapping[str, Any]) -> Arrays:
    """Oxygen against depth by the published chain from noise-free counts, with and without absorption taken out.

    ``without``, ``corrected``, ``truth`` : float (particle, shell), at%, particles pristine-1 and cycled-200-1.
    ``transmission`` : float32 (element, tilt, y, x), slice through the middle of the weights of pristine-1.
    ``density`` : float32 (y, x), the same slice of the density. ``mean_errors`` : float (particle, with or without,
    element), at%. k-factors are those of pristine-1 in both cases.
    """
    import numpy as np

    from .. import composition, io, particles, tilt_series
    from ..containers import TiltSeries, Tomogram

    elements, ratio = ("O", "Mn", "Co", "Ni"), {"O": 6, "Mn": 1, "Co": 1, "Ni": 1}
    profiles: dict[str, list[Any]] = {"without": [], "corrected": [], "truth": []}
    errors: list[Any] = []
    slices: dict[str, Any] = {}
    k: dict[str, Mapping[str, float]] = {}
    for number, name in enumerate(("pristine-1", "cycled-200-1")):
        truth = io.load_arrays(files[f"twin/{name}"]["truth"])
        series = io.load_spectra(files[f"twin/{name}"]["eds"], signal="EDS")
        size = series.pixel_size_nm
        maps = {
            el: tilt_series.apply_shifts(
                TiltSeries(truth[f"eds_expected_{el}"], series.tilt_angles_deg, size, el), truth["shifts_px"]
            )
            for el in elements
        }
        density = Tomogram(truth["density"].astype(np.float32), size)
        inside = truth["mask"].astype(bool)
        guess = {el: n / 9 for el, n in ratio.items()} | {"Li": float(np.nanmean(truth["lithium"]))}
        report(0.1 + 0.45 * number, f"absorption, {name}")
        weights = composition.correct_absorption(maps, density, composition=guess, k_factors=k.get("corrected")).weights
        clean = composition.correct_maps(maps, density, weights=weights)
        shells = particles.shells(inside)
        exact = {el: 100 * truth[el] for el in elements}
        profiles["truth"].append(particles.depth_profile(exact["O"], shells, voxel_size_nm=size).mean[:16])
        found = []
        for kind, given in (("without", maps), ("corrected", clean)):
            report(0.2 + 0.45 * number, f"{kind}, {name}")
            result = composition.reconstruct_paper(
                given, mask=inside, **({"k": k[kind]} if kind in k else {"atomic_ratio": ratio}), **genfire
            )
            k.setdefault(kind, result.k_factors)
            percent = {el: 100 * np.asarray(v.values) for el, v in result.fractions.items()}
            profiles[kind].append(particles.depth_profile(percent["O"], shells, voxel_size_nm=size).mean[:16])
            found.append([np.nanmean(percent[el]) - np.nanmean(exact[el][inside]) for el in elements])
        errors.append(found)
        slices.setdefault("transmission", np.stack([weights[el][:, inside.shape[0] // 2] for el in elements]))
        slices.setdefault("density", density.values[inside.shape[0] // 2])
    n_shells = min(len(p) for kind in profiles.values() for p in kind)
    return {
        **{kind: np.array([p[:n_shells] for p in values]) for kind, values in profiles.items()},
        **slices,
        "mean_errors": np.array(errors),
        "depth_nm": np.arange(n_shells) * size,
    }


@product(
    "composition/false-rich",
    datasets=("twin/cycled-200-1",),
    parts={"twin/cycled-200-1": ("truth",)},
    tolerance={"percent": 0.5},
    counts=(1.0, 2.0, 4.0),
    means=(11.2, 12.47, 13.0),
    genfire={"oversampling": 2, "n_iterations": 200},
)
def composition_false_rich(
    report: Report, files: Files, *, counts: tuple[float, ...], means: tuple[float, ...], genfire: Mapping[str, Any]
) -> Arrays:
    """Share of voxels above 16.7 at% in a particle without any segregation, by the published chain with an early stop.

    The paper's own 3x and 1000 iterations take ten times as long and leave more noise (``benchmarks.composition``).
    The particle has the shape of cycled-200-1 and the same composition everywhere. ``percent`` : float (prefilter, rim,
    counts, mean), metals averaged; prefilters none and mean3, rim voxels in and out. ``error`` : float (prefilter,
    counts), root mean square error of a metal's voxel, at%. ``counts``, ``means`` : the axes.
    """
    import numpy as np
    from scipy import ndimage

    from .. import composition, constants, io
    from ..containers import Tomogram

    truth = io.load_arrays(files["twin/cycled-200-1"]["truth"])
    density = Tomogram(truth["density"].astype(np.float32), constants.SCAN_STEP_NM)
    inside = truth["mask"].astype(bool)
    inner = ndimage.binary_erosion(inside)
    fractions = {"O": 0.61, "Mn": 0.13, "Co": 0.13, "Ni": 0.13}
    filters: tuple[Literal["none", "mean3"], ...] = ("none", "mean3")
    percent = np.empty((len(filters), 2, len(counts), len(means)))
    error = np.empty((len(filters), len(counts)))
    for c, factor in enumerate(counts):
        maps = composition.homogeneous_maps(
            density,
            fractions=fractions,
            tilt_angles_deg=truth["nominal_tilt_angles_deg"],
            rng=np.random.default_rng(12),
            counts=factor,
        )
        for p, prefilter in enumerate(filters):
            report((c * len(filters) + p) / len(counts) / len(filters), f"{prefilter}, {factor:g}x")
            result = composition.reconstruct_paper(
                maps, mask=inside, atomic_ratio=fractions, prefilter=prefilter, **genfire
            )
            metals = [np.asarray(result.fractions[el].values) for el in ("Mn", "Co", "Ni")]
            error[p, c] = 100 * np.mean([np.nanstd(v[inside]) for v in metals])
            for r, where in enumerate((inside, inner)):
                percent[p, r, c] = [
                    100 * np.mean([composition.shifted_rich_share(v[where], mean=m / 100) for v in metals])
                    for m in means
                ]
    return {"percent": percent, "error": error, "counts": np.array(counts), "means": np.array(means)}


def _valence(report: Report, files: Files, *, particle: str) -> Arrays:
    """Valence of a particle from raw counts to volumes; the truth is not used.

    For each state of Mn and Co: ``<state>`` float16 (z, y, x), fraction of the element's ions, NaN outside the
    particle; ``<state>_error`` its standard error; ``<state>_linear`` the linear control (SIRT, signed);
    ``<state>_shells`` (2, shell), mean and standard error of each shell; ``<state>_percent`` (2,), the whole particle
    with its standard error. ``depth_nm`` (shell,). ``density`` float16, atoms/nm³. ``shifts_px``, ``axis_rotation_deg``
    of the alignment. ``chi2``: with the computed sets "crystal-field", "charge-transfer" and their mix.
    """
    import numpy as np

    from .. import alignment, fusion, io, particles, valence
    from ..constants import NCM111_MEAN_FREE_PATH_NM
    from ..spectroscopy import elastic

    paths = files[particle]
    adf = io.load_tilt_series(paths["adf"])
    report(0.02, "aligning")
    aligned = alignment.estimate(adf)
    report(0.1, "fitting spectra")
    maps = valence.fit_spectra(
        io.load_spectra(paths["core_loss"], signal="EELS core-loss"),
        io.load_spectra(paths["low_loss"], signal="EELS low-loss"),
    )
    report(0.3, "density")
    thickness = maps.thickness.images
    vacuum = np.nanmedian(
        np.where(thickness < valence.VACUUM_THICKNESS, adf.images, np.nan), axis=(1, 2), keepdims=True
    )
    beam_counts = elastic.beam_counts(adf.images - vacuum, thickness * NCM111_MEAN_FREE_PATH_NM)
    density = fusion.density_from_adf(adf, beam_counts=beam_counts, alignment=aligned)
    mask = fusion.particle_mask(density.values)
    report(0.4, "volumes")
    maps = valence.align_maps(maps, aligned)
    volumes = valence.reconstruct(maps, density=density, support=mask)
    report(0.95, "linear control")
    linear = valence.reconstruct(maps, density=density, support=mask, method="sirt")
    shells = particles.shells(mask)
    arrays: dict[str, Any] = {}
    for state, percent in maps.particle_percentages().items():
        if state not in volumes.fractions:
            continue
        values = volumes.fractions[state].values
        profile = particles.depth_profile(
            values, shells, voxel_size_nm=adf.pixel_size_nm, error_draws=volumes.error_draws[state]
        )
        arrays |= {
            state: values.astype(np.float16),
            f"{state}_error": volumes.standard_errors[state].values.astype(np.float16),
            f"{state}_linear": linear.fractions[state].values.astype(np.float16),
            f"{state}_shells": np.stack([profile.mean, profile.standard_error]),
            f"{state}_percent": np.array(percent),
            "depth_nm": profile.depth_nm,
        }
    return {
        **arrays,
        "density": density.values.astype(np.float16),
        "shifts_px": aligned.shifts_px,
        "axis_rotation_deg": np.array(aligned.axis_rotation_deg),
        "chi2": np.array(list(maps.chi2_of.values())),
        "voxel_size_nm": np.array(adf.pixel_size_nm),
    }


_VALENCE_STATES = ("Mn4", "Mn3", "Mn2", "Co3", "Co2")
for _particle in ("twin/pristine-1", "twin/cycled-200-1"):
    product(
        f"{_particle}/valence",
        datasets=(_particle,),
        parts={_particle: ("adf", "low_loss", "core_loss")},
        # A setting chosen on counts set aside may fall to its neighbor on another machine.
        tolerance={
            **{f"{state}{of}": 0.05 for state in _VALENCE_STATES for of in ("", "_error", "_linear", "_shells")},
            **{f"{state}_percent": 0.2 for state in _VALENCE_STATES},
            **{"density": 2.0, "shifts_px": 0.02, "axis_rotation_deg": 0.01, "chi2": 0.01},
        },
        particle=_particle,
    )(_valence)
