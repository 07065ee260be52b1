"""The products of the book: what one chapter makes and others use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
