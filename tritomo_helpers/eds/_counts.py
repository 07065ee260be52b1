"""Spectra of any form, read block by block: a tilt series, an image, one spectrum; numpy, memory map or Dask."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats, Floats32
from .._validation import check_increasing, check_shape, fail
from ..containers import SpectrumTiltSeries, TiltSeries

#: Bytes of spectra held at once while reading, in single precision.
_BLOCK_BYTES = 64 * 2**20
#: A window up to this size is read once and kept; a larger one is read again for every pass.
_KEPT_BYTES = 128 * 2**20


@dataclass(frozen=True, eq=False)
class Counts:
    """Spectra (..., energy) with their energies.

    Parameters
    ----------
    counts : array, shape (..., energy)
        numpy, memory map or Dask.
    energy_ev : ndarray, shape (energy,)
        As stored with the data.
    series : SpectrumTiltSeries or None
        Where they came from; decides the form of the maps.
    """

    counts: Any
    energy_ev: Floats
    series: SpectrumTiltSeries | None

    @classmethod
    def of(cls, spectra: SpectrumTiltSeries | ArrayLike, energy_ev: ArrayLike | None) -> "Counts":
        """Check what a caller gave."""
        if isinstance(spectra, SpectrumTiltSeries):
            if energy_ev is not None:
                raise fail(
                    "energy_ev",
                    expected="none beside a SpectrumTiltSeries, which has its own",
                    got="an axis",
                    remedy="replace the axis of the series",
                )
            return cls(spectra.counts, spectra.energy_ev, spectra)
        if energy_ev is None:
            raise fail(
                "energy_ev",
                expected="the energy of every channel of an array of counts",
                got="None",
                remedy="give energy_ev, or a SpectrumTiltSeries",
            )
        counts: Any = spectra if hasattr(spectra, "dask") else np.asanyarray(spectra)
        energy = check_increasing(energy_ev, "energy_ev")
        check_shape(
            counts, "counts", (*counts.shape[:-1], energy.size), remedy="give one count per energy, energy last"
        )
        return cls(counts, energy, None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a map, () for one spectrum."""
        return tuple(int(n) for n in self.counts.shape[:-1])

    def window(self, window_ev: tuple[float, float], *, at_least: int) -> Self:
        """Return the channels inside a window, or raise ValueError if there are too few."""
        low, high = window_ev
        inside = np.flatnonzero((self.energy_ev >= low) & (self.energy_ev <= high))
        if inside.size < at_least:
            raise fail(
                "window_ev",
                expected=f"at least {at_least} channels of {self.energy_ev[0]:g} to {self.energy_ev[-1]:g} eV",
                got=f"{inside.size} in {low:g} to {high:g} eV",
                remedy="widen the window",
            )
        cut = self.counts[..., inside[0] : inside[-1] + 1]
        if cut.nbytes <= _KEPT_BYTES:
            cut = np.asarray(cut)
        return replace(self, counts=cut, energy_ev=self.energy_ev[inside[0] : inside[-1] + 1])

    def blocks(self) -> Iterator[tuple[tuple[Any, ...], Floats32]]:
        """Read block by block: (index into the maps, counts (..., energy)).

        A block is a frame (the last two axes of the maps) or some rows of one, so that memory stays bounded.
        """
        # The axis before the last is cut into rows; without one there is a single row.
        rows = self.shape[-2] if len(self.shape) > 1 else 1
        row_bytes = 4 * self.energy_ev.size * (self.shape[-1] if self.shape else 1)
        step = max(1, _BLOCK_BYTES // row_bytes)
        for frame in np.ndindex(self.shape[:-2]):
            for start in range(0, rows, step):
                index = (*frame, slice(start, start + step)) if len(self.shape) > 1 else ()
                block = np.asarray(self.counts[index], dtype=np.float32)
                self._check(block, index)
                yield index, block

    def _check(self, block: Floats32, index: tuple[Any, ...]) -> None:
        smallest = block.min()
        if smallest >= 0:  # False for NaN as well
            return
        where = f" at {self.series.tilt_angles_deg[index[0]]:g} degrees" if self.series is not None else ""
        raise fail(
            "counts",
            expected="X-ray counts, zero or above",
            got=f"{'NaN' if np.isnan(smallest) else f'{smallest:g}'}{where}",
            remedy="give raw counts: no background subtracted, no pixel masked with NaN",
        )

    def wrapped(self, maps: Floats32, label: str) -> Any:
        """Return maps in the form of the input: a `TiltSeries` for a series, else the array."""
        if self.series is None:
            return maps
        return TiltSeries(maps, self.series.tilt_angles_deg, self.series.pixel_size_nm, label)

    def summed(self) -> Floats:
        """Return the summed spectrum, or raise ValueError if a tilt (or everything, without tilts) is empty."""
        spectrum = np.zeros(self.energy_ev.size)
        totals = np.zeros(self.shape[0] if self.series is not None else 1)
        for index, block in self.blocks():
            block_spectrum = block.reshape(-1, block.shape[-1]).sum(axis=0, dtype=np.float64)
            spectrum += block_spectrum
            totals[index[0] if self.series is not None else 0] += block_spectrum.sum()
        if np.any(totals == 0):
            empty = (
                ", ".join(f"{a:g}" for a in self.series.tilt_angles_deg[totals == 0]) if self.series is not None else ""
            )
            raise fail(
                "counts",
                expected="counts at every tilt" if empty else "at least one count",
                got=f"none at {empty} degrees" if empty else "none",
                remedy="leave these tilts out with tilt_series.select_tilts" if empty else "widen the window",
            )
        return spectrum
