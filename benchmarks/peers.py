"""Other packages on the same data, each called as its own documentation shows."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tritomo_helpers.containers import TiltSeries
from tritomo_helpers.tomography.genfire import extension_cutoffs
from tritomo_helpers.tomography.problem import check_problem

Volume = NDArray[np.float32]


def astra_iterations(
    ts: TiltSeries, support: NDArray[np.bool_], *, algorithm: str, n_steps: int, every: int = 1
) -> Iterator[Volume]:
    """Yield ASTRA's CPU reconstruction after every `every` iterations, with positivity and the support as mask.

    ASTRA's own center is (N - 1) / 2; the geometries are shifted so that index N // 2 lies on the axis, as here.
    """
    import astra

    n_tilts, n_y, n_x = ts.images.shape
    n_z = support.shape[0]
    center = n_x // 2
    top = n_z // 2 + 0.5  # ASTRA counts rows downward and y upward, so y = -z
    grid = astra.create_vol_geom(n_z, n_x, -center - 0.5, n_x - center - 0.5, top - n_z, top)
    angles = np.deg2rad(ts.tilt_angles_deg)
    shift = (n_x - 1) / 2 - center
    u = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vectors = np.concatenate([np.sin(angles)[:, None], -np.cos(angles)[:, None], shift * u, u], axis=1)
    projector = astra.create_projector("strip", astra.create_proj_geom("parallel_vec", n_x, vectors), grid)
    geometry = astra.projector.projection_geometry(projector)
    slices, made = [], []
    for y in range(n_y):
        config = astra.astra_dict(algorithm)
        sinogram = astra.data2d.create("-sino", geometry, np.ascontiguousarray(ts.images[:, y]))
        mask = astra.data2d.create("-vol", grid, support[:, y].astype(np.float32))
        result = astra.data2d.create("-vol", grid, 0)
        config |= {"ProjectorId": projector, "ProjectionDataId": sinogram, "ReconstructionDataId": result}
        config["option"] = {"MinConstraint": 0, "ReconstructionMaskId": mask}
        slices.append((astra.algorithm.create(config), result))
        made += [sinogram, mask, result]
    try:
        volume = np.zeros(support.shape, dtype=np.float32)
        for _ in range(n_steps):
            for y, (run, result) in enumerate(slices):
                astra.algorithm.run(run, every * (n_tilts if algorithm == "SART" else 1))
                volume[:, y] = astra.data2d.get(result)
            yield volume
    finally:
        for run, _ in slices:
            astra.algorithm.delete(run)
        astra.data2d.delete(made)
        astra.projector.delete(projector)


def best_stop(volumes: Iterator[Volume], error: Callable[[Volume], float], *, patience: int = 15) -> tuple[float, int]:
    """Lowest error against the truth over the iterations, and where: an advantage no experiment has."""
    errors: list[float] = []
    for volume in volumes:
        errors.append(error(volume))
        if len(errors) - int(np.argmin(errors)) > patience:
            break
    return min(errors), int(np.argmin(errors)) + 1


def skimage_sart(ts: TiltSeries, support: NDArray[np.bool_], n_sweeps: int = 30) -> Volume:
    """Run scikit-image's iradon_sart slice by slice."""
    from skimage.transform import iradon_sart

    volume = np.zeros(support.shape, dtype=np.float32)
    for y in range(support.shape[1]):
        sinogram, estimate = np.ascontiguousarray(ts.images[:, y].T, dtype=np.float64), None
        for _ in range(n_sweeps):
            estimate = iradon_sart(sinogram, theta=ts.tilt_angles_deg, image=estimate, clip=(0, np.inf))
        volume[:, y] = estimate
    return volume * support


def plain_fft_genfire(
    ts: TiltSeries, support: NDArray[np.bool_], *, oversampling: int, radius_px: float, n_iterations: int, n_timed: int
) -> tuple[Volume, float]:
    """Run GENFIRE as published on the whole Fourier grid with scipy.fft on two threads; return volume and seconds.

    Only `n_timed` of the `n_iterations` are run and the time is scaled up; all iterations cost the same.
    """
    problem = check_problem(ts, support=support)
    n = problem.shape[0]
    size = oversampling * n
    k = fft.fftfreq(size, 1 / size).astype(np.float32)
    kz, ky, kx = np.meshgrid(k, k, k[: size // 2 + 1], indexing="ij", sparse=True)
    radius = np.sqrt(kx**2 + ky**2 + kz**2) / (size / 2)
    measured = np.zeros(radius.shape, dtype=bool)
    for angle in np.deg2rad(ts.tilt_angles_deg):
        measured |= (np.abs(np.sin(angle) * kx + np.cos(angle) * kz) < radius_px) & (radius <= 1)
    values = np.where(measured, np.complex64(1), 0)  # the values do not change the time
    schedule = extension_cutoffs(n_iterations)
    mask = np.zeros((size,) * 3, dtype=np.float32)
    corner = size // 2 - n // 2
    mask[corner : corner + n, corner : corner + n, corner : corner + n] = support
    mask, volume = fft.ifftshift(mask), np.zeros((size,) * 3, dtype=np.float32)
    enforced = measured & (1 - radius > schedule[1])
    began = time.perf_counter()
    for _ in range(n_timed):
        volume = np.maximum(volume, 0) * mask
        spectrum = fft.rfftn(volume, workers=2)
        here = spectrum[measured]
        float(np.abs(np.abs(here) - np.abs(values[measured])).sum())
        spectrum[enforced] = values[enforced]
        volume = fft.irfftn(spectrum, s=volume.shape, workers=2)
    return volume, (time.perf_counter() - began) / n_timed * n_iterations


def etspy_sirt(ts: TiltSeries, support: NDArray[np.bool_], n_iterations: int) -> Volume:
    """Run ETSpy's SIRT on the CPU with positivity; raise ImportError if it is not installed."""
    from etspy.base import TomoStack

    # ETSpy puts the tilt axis along x and turns about (N - 1) / 2: one more column makes that our N // 2.
    images = np.pad(np.asarray(ts.images).transpose(0, 2, 1), ((0, 0), (0, 1), (0, 0)))
    stack = TomoStack(images, tilts=ts.tilt_angles_deg[:, None])
    result = stack.reconstruct(method="SIRT", iterations=n_iterations, constrain=True, cuda=False)
    return np.asarray(result.data, dtype=np.float32).transpose(1, 0, 2)[:-1, :, :-1] * support
