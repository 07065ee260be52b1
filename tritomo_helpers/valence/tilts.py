"""Both ranges of a series, read once and sorted by thickness: what calibration and fit work on."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import check_positive, fail
from ..containers import SpectrumTiltSeries
from ..eels.channels import check_channels
from .calibration import Pooled
from .kernels import VACUUM_THICKNESS, Binned, binned, shifted
from .noise import estimate_noise, neighbor_statistics

T = TypeVar("T")

N_BINS = 40
_AT_A_TIME = 2
_ZERO_LOSS_EV = 2.0
# Edges in t/lambda of the bins whose pooled spectra calibrate the references.
_POOL_EDGES = (*np.arange(VACUUM_THICKNESS, 2.0, 0.1), np.inf)


class Tilts:
    """Both ranges, read once: kernels and summed core-loss spectra of every tilt and thickness bin."""

    def __init__(self, core_loss: SpectrumTiltSeries, low_loss: SpectrumTiltSeries, window: slice) -> None:
        self.core_loss, self.window = core_loss, window
        self.n_tilts, self.n_y, self.n_x, n_channels = core_loss.counts.shape
        room = (window.start, n_channels - window.stop)
        # The peak is what saturates, and has counts everywhere.
        zero_loss = np.abs(low_loss.energy_ev) < _ZERO_LOSS_EV
        sampled = {0, self.n_tilts // 2, self.n_tilts - 1}

        def read(tilt: int) -> tuple[Binned, Floats, Floats | None]:
            low = _spectra(low_loss, tilt)
            binned_tilt = binned(low, low_loss.energy_ev, n_bins=N_BINS, room_channels=room)
            finite = low[np.isfinite(low.sum(axis=1))]
            check_channels(finite[:, zero_loss], low_loss.energy_ev[zero_loss], "low_loss")
            core = self._aligned(tilt, binned_tilt)
            check_channels(core[:, window], core_loss.energy_ev[window], "core_loss")
            members = [binned_tilt.pixels(label) for label in range(N_BINS)]
            sums = np.stack([core[pixels, window].sum(axis=0, dtype=np.float64) for pixels in members])
            image = core.reshape(self.n_y, self.n_x, -1)
            return binned_tilt, sums, neighbor_statistics(image, core_loss.energy_ev) if tilt in sampled else None

        by_tilt = list(side_by_side(read, self.n_tilts))
        self.binned: list[Binned] = [binned_tilt for binned_tilt, _, _ in by_tilt]
        self.sums = np.stack([sums for _, sums, _ in by_tilt])
        self._scatter = [scatter for _, _, scatter in by_tilt if scatter is not None]

    def core(self, tilt: int) -> NDArray[np.float32]:
        """Core-loss spectra (pixel, energy of the whole axis) with the shift of the low loss undone."""
        return self._aligned(tilt, self.binned[tilt])

    def _aligned(self, tilt: int, binned_tilt: Binned) -> NDArray[np.float32]:
        shift = np.where(np.isfinite(binned_tilt.thickness), binned_tilt.shift_channels, 0)
        return shifted(_spectra(self.core_loss, tilt), shift)

    def noise(self, variance_per_count: float | None, readout_variance: float | None) -> tuple[float, float]:
        """Variance per count and of the readout: as given, else from the scatter between neighboring pixels."""
        if variance_per_count is None or readout_variance is None:
            gain, floor = estimate_noise(self._scatter)
            variance_per_count = gain if variance_per_count is None else variance_per_count
            readout_variance = floor if readout_variance is None else readout_variance
        return (
            check_positive(variance_per_count, "variance_per_count"),
            check_positive(readout_variance, "readout_variance", zero_ok=True),
        )

    def pooled(self, noise: tuple[float, float]) -> Pooled:
        """Average the bins of all tilts that have about the same thickness."""
        n_pixels = np.stack([[tilt.pixels(label).size for label in range(N_BINS)] for tilt in self.binned])
        thickness = np.stack(
            [
                np.bincount(np.maximum(tilt.labels, 0), np.nan_to_num(tilt.thickness) * (tilt.labels >= 0), N_BINS)
                for tilt in self.binned
            ]
        )
        mean_thickness = thickness / np.maximum(n_pixels, 1)
        pools = np.where(n_pixels > 0, np.digitize(mean_thickness, _POOL_EDGES) - 1, -1)
        kernels = np.stack([tilt.kernels for tilt in self.binned])
        spectra, variances, pooled_kernels, sizes = [], [], [], []
        for pool in np.unique(pools[pools >= 0]):
            members = pools == pool
            size = int(n_pixels[members].sum())
            mean = self.sums[members].sum(axis=0) / size
            spectra.append(mean)
            variances.append(np.maximum(noise[0] * np.maximum(mean, 0) + noise[1], 1e-12) / size)
            pooled_kernels.append(np.average(kernels[members], axis=0, weights=thickness[members]))
            sizes.append(size)
        if not sizes:
            raise fail(
                "low_loss",
                expected=f"a specimen: pixels with t/lambda above {VACUUM_THICKNESS:g}",
                got="vacuum only",
                remedy="check the axis, and that low_loss and core_loss are not exchanged",
            )
        return Pooled(np.stack(spectra), np.stack(variances), np.stack(pooled_kernels), np.array(sizes))

    def warnings(self) -> tuple[str, ...]:
        """Say how many spectra cannot be used."""
        unused = sum(int(np.count_nonzero(tilt.labels < 0)) for tilt in self.binned)
        return (f"{unused} spectra have no usable zero-loss peak and are NaN",) if unused else ()


def side_by_side(work: Callable[[int], T], n_tilts: int) -> Iterator[T]:
    """Yield what comes of every tilt, in their order, two at a time: no more are in memory."""
    with ThreadPoolExecutor(min(_AT_A_TIME, os.cpu_count() or 1)) as pool:
        yield from pool.map(work, range(n_tilts))


def _spectra(series: SpectrumTiltSeries, tilt: int) -> NDArray[np.float32]:
    counts = np.asarray(series.counts[tilt], dtype=np.float32)
    return counts.reshape(-1, counts.shape[-1])
