"""The products of the chapter on tomography: reconstructions that take longer than a page should compute."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..store.results import Arrays
from .registry import Report, product

if TYPE_CHECKING:
    from .._typing import Bools, Floats32
    from ..containers import TiltSeries, Tomogram

Files = Mapping[str, Mapping[str, Path]]


def _counted_particle(seed: int) -> "tuple[Tomogram, TiltSeries, float, Bools]":
    """Return a particle, its images in density times pixels, that of one count, and the support.

    Nothing but counting noise is in the images: they are the assumption with which the chapter begins.
    """
    from .. import phantoms, simulation, tilt_series, tomography

    truth = phantoms.particle("pristine-1").tomogram("density")
    setting = simulation.Acquisition.ideal(counting_noise=True, repeats=False)
    adf = simulation.acquire(phantoms.particle("pristine-1"), setting, rng=np.random.default_rng(seed)).adf
    assert adf is not None
    per_count = float(truth.values.sum() / adf.images.sum(axis=(1, 2)).mean())
    series = adf.replace(images=adf.images * per_count)
    masks = tilt_series.otsu_masks(series)
    return truth, series, per_count, tomography.support_from_masks(series.replace(images=masks))


@product(
    "tomography/methods",
    tolerance={"genfire": 2.0, "tv": 2.0},
    seed=5,
    genfire={"oversampling": 3, "interpolation_radius_px": 0.1, "n_iterations": 1000},
    tv={"supersampling": 2, "n_folds": 1},
)
def tomography_methods(
    report: Report, _files: Files, *, seed: int, genfire: Mapping[str, Any], tv: Mapping[str, Any]
) -> Arrays:
    """Reconstruct the counted images of pristine-1 by GENFIRE and by total variation.

    ``genfire``, ``tv`` : float16 (z, y, x), atoms per nm³. ``voxel_size_nm``.
    """
    from .. import tomography

    truth, series, _, support = _counted_particle(seed)
    volumes = {}
    for done, (method, options) in zip((0.05, 0.4), (("genfire", genfire), ("tv", tv)), strict=True):
        report(done, method)
        settings = tomography.METHODS[method](**options)
        volumes[method] = tomography.reconstruct(series, method=settings, support=support).tomogram.values
    rounded = {name: values.astype(np.float16) for name, values in volumes.items()}
    return {**rounded, "voxel_size_nm": np.array(truth.voxel_size_nm)}


@product(
    "tomography/weights",
    tolerance={
        "errors": 0.005,
        "held_out_errors": 0.005,
        "chosen": 0.05,
        "chosen_errors": 0.005,
        "held_out_weights": 0.05,
    },
    seeds=(5, 6, 7),
    peak_counts=50,
    slices=(24, 40),
    weights=(0.006, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
)
def tomography_weights(
    report: Report,
    _files: Files,
    *,
    seeds: Sequence[int],
    peak_counts: float,
    slices: tuple[int, int],
    weights: Sequence[float],
) -> Arrays:
    """Reconstruct dim images by total variation with many weights, and with one chosen without the truth.

    ``weights``, ``errors`` : float (weight,), weights tried and their errors against the truth.
    ``held_out_weights``, ``held_out_errors`` : float (trial,), what was tried and missed on tilts left out.
    ``chosen``, ``chosen_errors`` : float (2,), weight and error against the truth, chosen on tilts and on counts.
    """
    from .. import metrics, tomography

    truth, series, _, support = _counted_particle(seeds[0])
    middle = slice(*slices)
    rows = series.images[:, middle]
    per_unit = peak_counts / rows.max()
    dim = series.replace(images=np.random.default_rng(seeds[1]).poisson(rows * per_unit) / per_unit)
    true_rows = truth.values[:, middle]
    common: dict[str, Any] = {"method": "tv", "noise": "poisson", "supersampling": 2, "support": support[:, middle]}

    def error(result: tomography.Reconstruction) -> float:
        return metrics.nrmse(result.tomogram.values, true_rows)

    report(0.02, "weight from tilts left out")
    by_tilts = tomography.reconstruct(dim, **common)
    report(0.25, "weight from thinned counts")
    by_counts = tomography.reconstruct(
        dim, hold_out="counts", counts_per_unit=per_unit, rng=np.random.default_rng(seeds[2]), **common
    )
    errors = []
    for number, weight in enumerate(weights):
        report(0.5 + 0.5 * number / len(weights), f"weight {weight:g}")
        errors.append(error(tomography.reconstruct(dim, weight=weight, **common)))
    chosen = [result.choices["weight"] for result in (by_tilts, by_counts)]
    return {
        "weights": np.array(weights),
        "errors": np.array(errors),
        "held_out_weights": chosen[0].tried,
        "held_out_errors": chosen[0].errors,
        "chosen": np.array([choice.value for choice in chosen]),
        "chosen_errors": np.array([error(by_tilts), error(by_counts)]),
    }


@product(
    "tomography/equal-dose",
    tolerance={"slices": 5.0, "errors": 0.01},
    seed=8,
    tilts=(5, 8, 15, 36),
    peak_counts=(20, 200, 20000),
    row=32,
    methods={
        "wbp": {},
        "sirt": {},
        "genfire": {"oversampling": 2, "n_iterations": 200},
        "tv": {"supersampling": 2},
    },
)
def tomography_equal_dose(
    report: Report,
    _files: Files,
    *,
    seed: int,
    tilts: Sequence[int],
    peak_counts: Sequence[float],
    row: int,
    methods: Mapping[str, Mapping[str, Any]],
) -> Arrays:
    """Spend the same dose on few tilts or on many, and reconstruct one slice by every method.

    The images are projections of the truth's voxels, by the projector that is inverted: quick, and a little kind.
    ``slices`` : float16 (tilts, counts, method, z, x), atoms per nm³. ``errors`` : float (tilts, counts, method),
    relative to the norm of the truth. ``peak_counts`` are those of the brightest pixel of a series of 15 tilts; a
    series of n tilts has 15 / n of them in each image.
    """
    from .. import metrics, tomography

    truth, series, _, support = _counted_particle(5)
    near = slice(row - 1, row + 2)
    slab = truth.replace(values=truth.values[:, near])
    top, rng = series.images.max(), np.random.default_rng(seed)
    shape = (len(tilts), len(peak_counts), len(methods))
    made: Floats32 = np.empty((*shape, truth.values.shape[0], truth.values.shape[2]), dtype=np.float32)
    errors = np.empty(shape)
    done = 0
    for at, n_tilts in enumerate(tilts):
        clean = tomography.project(slab, np.linspace(-70, 70, n_tilts))
        for level, peak in enumerate(peak_counts):
            per_unit = peak * 15 / n_tilts / top
            counted = clean.replace(images=rng.poisson(clean.images * per_unit) / per_unit)
            for number, (method, options) in enumerate(methods.items()):
                report(done / errors.size, f"{n_tilts} tilts, {method}")
                settings = tomography.METHODS[method](**options)
                volume = tomography.reconstruct(counted, method=settings, support=support[:, near]).tomogram.values
                made[at, level, number] = volume[:, 1]
                errors[at, level, number] = metrics.nrmse(volume[:, 1], slab.values[:, 1])
                done += 1
    return {"slices": made.astype(np.float16), "errors": errors}
