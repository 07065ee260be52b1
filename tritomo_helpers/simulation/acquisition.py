"""From a phantom to a tilt series: plan the exposures, integrate the rays, let every detector count.

References
----------
The paper's Methods (channels, doses and tilts); its sum of exposures is derived here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._representation import short_repr
from .._validation import checked
from ..containers import SpectrumTiltSeries, TiltSeries
from ..phantoms import Phantom
from . import adf, eds, eels
from .rays import check_inside, plan, species_maps
from .settings import Acquisition

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Detector:
    """Who records a signal.

    Parameters
    ----------
    detect : callable
        detect(maps, exposure, phantom, acquisition, *, rng) -> (counts, truth), two dicts of arrays of one exposure:
        counts under the names of `Acquired`, (y, x) or (y, x, energy); truth under any name and shape.
    energy_ev : callable, optional
        energy_ev(acquisition) -> dict of the energy axis of every spectral signal.
    """

    detect: Callable[..., tuple[Arrays, Arrays]]
    energy_ev: Callable[[Acquisition], Arrays] | None = None


# Append only: each detector's random stream depends on its place.
DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "adf": Detector(adf.detect),
        "eds": Detector(eds.detect, eds.axes),
        "eels": Detector(eels.detect, eels.axes),
    },
)
"""Who records each of `settings.SIGNALS`."""

LABELS = MappingProxyType({"adf": "ADF", "eds": "EDS", "low_loss": "EELS low-loss", "core_loss": "EELS core-loss"})


@dataclass(frozen=True, eq=False)
class Acquired:
    """What the microscope would hand over, and the truth that only a simulation knows.

    Parameters
    ----------
    adf : TiltSeries or None
        Counted electrons.
    eds, low_loss, core_loss : SpectrumTiltSeries or None
        Counts; None when the signal was not asked for.
    repeats : mapping of str to array, shape (3, y, x) or (3, y, x, energy)
        Every signal at zero tilt: at the beginning, in the middle (the one of the series), at the end.
    truth : mapping of str to array
        Everything an analysis tries to find. ``shifts_px`` (tilt, 2) = (y, x) brings each image back when applied;
        ``tilt_angles_deg`` as they really were and ``nominal_tilt_angles_deg`` as set; ``axis_rotation_deg``;
        ``drift_px`` (tilt, 2) from first to last pixel; ``dose_e_per_a2`` at each image; ``adf_expected`` without
        noise; the same for the repeats under ``repeats_...``; the phantom's volumes (see `Phantom.arrays`).
    acquisition : Acquisition
        The settings.
    """

    adf: TiltSeries | None
    eds: SpectrumTiltSeries | None
    low_loss: SpectrumTiltSeries | None
    core_loss: SpectrumTiltSeries | None
    repeats: Arrays
    truth: Arrays
    acquisition: Acquisition = field(default_factory=Acquisition)

    __repr__ = short_repr


class _Store:
    """Collects the exposures of every quantity, in memory or in files, without a second copy."""

    def __init__(self, n: int, folder: Path | None, prefix: str) -> None:
        self.n, self.folder, self.prefix = n, folder, prefix
        self.arrays: dict[str, NDArray[Any]] = {}
        self.paths: dict[str, Path] = {}

    def put(self, index: int, found: Arrays) -> None:
        for name, value in found.items():
            if name not in self.arrays:
                shape = (self.n, *np.shape(value))
                if self.folder is None or value.ndim < 3:
                    self.arrays[name] = np.empty(shape, dtype=value.dtype)
                else:
                    path = self.paths[name] = self.folder / f"{self.prefix}{name}.npy"
                    self.arrays[name] = np.lib.format.open_memmap(path, mode="w+", dtype=value.dtype, shape=shape)
            self.arrays[name][index] = value
            if name in self.paths:
                # Mapping the file anew lets go of the pages just written, or they would add up to the whole signal.
                self.arrays[name] = np.load(self.paths[name], mmap_mode="r+")


@checked
def acquire(
    phantom: Phantom,
    acquisition: Acquisition | None = None,
    *,
    rng: np.random.Generator,
    out: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Acquired:
    """Simulate a tilt series.

    Rays are integrated through the analytic specimen at the true tilt and the true position of every pixel; no
    projection operator of this package is involved.

    Parameters
    ----------
    phantom : Phantom
        From `phantoms.particle` and its siblings.
    acquisition : Acquisition, optional
        Settings; the published experiment by default.
    rng : numpy.random.Generator
        All randomness. The same seed gives the same arrays in every process; each effect draws from a stream of its
        own, so that switching one off leaves the others as they were.
    out : path, optional
        Folder for the spectra, which then are memory-mapped .npy files; by default they stay in memory.
    progress : callable, optional
        Called with (done, total) after each exposure.

    Returns
    -------
    Acquired

    Raises
    ------
    ValueError
        If the specimen leaves the field of view at some tilt.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> specimen = phantoms.particle("pristine-1", shape=16)
    >>> got = acquire(specimen, Acquisition.tiny(), rng=np.random.default_rng(1))
    >>> got.adf.images.shape, got.repeats["adf"].shape
    ((5, 16, 16), (3, 16, 16))
    """
    acquisition = Acquisition() if acquisition is None else acquisition
    plan_rng, noise_rng = rng.spawn(2)
    streams = dict(zip(DETECTORS, noise_rng.spawn(len(DETECTORS)), strict=True))
    exposures = plan(acquisition, rng=plan_rng)
    check_inside(phantom, acquisition, exposures)

    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    n_tilts, n_repeats = acquisition.n_tilts, 3 if acquisition.repeats else 0
    series, series_truth = _Store(n_tilts, folder, ""), _Store(n_tilts, None, "")
    repeats, repeats_truth = _Store(n_repeats, folder, "repeats_"), _Store(n_repeats, None, "")
    for done, exposure in enumerate(exposures, start=1):
        maps = species_maps(phantom, acquisition, exposure)
        counts: dict[str, NDArray[Any]] = {}
        hidden: dict[str, NDArray[Any]] = dict(exposure.truth())
        for signal in acquisition.signals:
            detect = DETECTORS[signal].detect
            found, truth = detect(maps, exposure, phantom, acquisition, rng=streams[signal])
            counts |= found
            hidden |= truth
        if exposure.tilt_index is not None:
            series.put(exposure.tilt_index, counts)
            series_truth.put(exposure.tilt_index, hidden)
        if exposure.repeat_index is not None:
            repeats.put(exposure.repeat_index, counts)
            repeats_truth.put(exposure.repeat_index, hidden)
        if progress is not None:
            progress(done, len(exposures))

    energies: dict[str, NDArray[Any]] = {}
    for signal in acquisition.signals:
        axes = DETECTORS[signal].energy_ev
        energies |= axes(acquisition) if axes is not None else {}
    angles, step = np.asarray(acquisition.tilt_angles_deg), acquisition.pixel_size_nm
    spectra = {
        name: SpectrumTiltSeries(series.arrays[name], angles, energy, step, LABELS[name])
        for name, energy in energies.items()
    }
    adf_images = series.arrays.get("adf")
    return Acquired(
        adf=None if adf_images is None else TiltSeries(adf_images, angles, step, LABELS["adf"]),
        eds=spectra.get("eds"),
        low_loss=spectra.get("low_loss"),
        core_loss=spectra.get("core_loss"),
        repeats=repeats.arrays,
        truth={
            **series_truth.arrays,
            **{f"repeats_{name}": values for name, values in repeats_truth.arrays.items()},
            "axis_rotation_deg": np.asarray(acquisition.axis_rotation_deg),
            **phantom.arrays(),
        },
        acquisition=acquisition,
    )
