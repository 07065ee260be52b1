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
    tolerance={"tv": 0.02, "genfire": 0.02, "unit_counts": 50.0},
    tv={"n_folds": 1},
    genfire={"oversampling": 3, "interpolation_radius_px": 0.1, "n_iterations": 1000},
)
def twin_adf_tomograms(report: Report, files: Files, *, tv: Mapping[str, Any], genfire: Mapping[str, Any]) -> Arrays:
    """Align the ADF series of pristine-1 as recorded and reconstruct it twice; the truth is not used.

    ``tv``, ``genfire`` : float16 (z, y, x), density in units of the mean inside Otsu's threshold of the same volume.
    ``unit_counts`` : that mean in counts per voxel, of either. ``support`` : bool (z, y, x). ``voxel_size_nm``.
    The center of mass lies on the tilt axis.
    """
    import numpy as np
    from skimage.filters import threshold_otsu

    from .. import alignment, io, tilt_series, tomography

    adf = io.load_tilt_series(files["twin/pristine-1"]["adf"])
    report(0.02, "aligning")
    masks = tilt_series.otsu_masks(adf)
    vacuum = [tilt_series.background_level(image, mask)[0] for image, mask in zip(adf.images, masks, strict=True)]
    clean = adf.replace(images=np.where(masks, adf.images - np.array(vacuum)[:, None, None], 0))
    aligned = alignment.apply(clean, alignment.estimate(adf))
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
        "unit_counts": np.array(units),
        "support": support,
        "voxel_size_nm": np.array(aligned.pixel_size_nm),
    }
