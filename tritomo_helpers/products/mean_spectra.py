"""What a fit makes of the spectra of a whole series, from the mean spectra of a few thicknesses.

Spectra of like thickness are linear in the atoms under the probe. So a fit of some twenty mean spectra tells what the
fit of every pixel would find, also where the microscope does what the fit does not know of.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._typing import Floats

if TYPE_CHECKING:
    from ..phantoms import Phantom
    from ..simulation import Acquisition
    from ..valence import ValenceMaps

_METAL_STATES = ("Mn4", "Mn3", "Mn2", "Co3", "Co2", "Ni2")
_N_LEVELS = 24


class Scan:
    """All pixels of a series, sorted by thickness."""

    def __init__(self, specimen: "Phantom", acquisition: "Acquisition") -> None:
        from .. import valence
        from ..simulation import eels, rays

        self.acquisition = acquisition
        exposures = rays.plan(acquisition, rng=np.random.default_rng(0))
        maps = [rays.species_maps(specimen, acquisition, exposure) for exposure in exposures]
        film = [rays.film_atoms_per_nm2(acquisition, angle_deg=e.angle_deg) for e in exposures]
        pairs = list(zip(maps, (e.angle_deg for e in exposures), strict=True))
        self.thickness = np.stack([eels.mass_thickness(m, acquisition, angle_deg=a) for m, a in pairs])
        collected = np.stack([eels.share_collected(m, acquisition, angle_deg=a) for m, a in pairs])
        self.atoms = {name: np.stack([m[name] for m in maps]) for name in maps[0]}
        shape = self.thickness.shape
        every = self.atoms | {"C": np.broadcast_to(np.array(film)[:, None, None], shape)}
        vacuum = self.thickness < valence.VACUUM_THICKNESS
        borders = np.quantile(self.thickness[~vacuum], np.linspace(0, 1, _N_LEVELS))
        labels = np.where(vacuum, 0, 1 + np.digitize(self.thickness, borders[1:-1]))
        present = np.unique(labels)
        assert present[0] == 0, "a scan without vacuum"
        self.n_pixels = np.bincount(labels.ravel())[present]
        self.levels = np.array([self.thickness[labels == label].mean() for label in present])
        self.share = np.array([collected[labels == label].mean() for label in present])
        self.means = {name: np.array([a[labels == label].mean() for label in present]) for name, a in every.items()}

    def maps(self, acquisition: "Acquisition") -> tuple["ValenceMaps", float]:
        """Return what a fit with the usual references makes of the spectra, and its chi squared."""
        from .. import valence
        from ..containers import TiltSeries
        from ..simulation import eels
        from ..spectroscopy import references
        from ..valence.basis import Basis
        from ..valence.calibration import Pooled, PooledSpectra, calibrate
        from ..valence.forward import FIT_WINDOW_EV, linear_filter

        axes = eels.axes(self.acquisition)
        sets = {el: tuple(references.load(el, name) for name in references.SETS) for el in ("Mn", "Co", "Ni")}
        basis = Basis(
            axes["core_loss"],
            axes["low_loss"],
            sets=sets,
            fit_window_ev=FIT_WINDOW_EV,
            extra_edges=(),
            optics={
                "beam_energy_kev": acquisition.beam_energy_kev,
                "convergence_angle_mrad": acquisition.convergence_angle_mrad,
                "collection_angle_mrad": acquisition.collection_angle_mrad,
            },
        )
        low, core = (
            self._spectra(self.means, acquisition, core=False),
            self._spectra(self.means, acquisition, core=True),
        )
        core = core[:, basis.window].astype(np.float64)
        kernels = low.astype(np.float64) / low[0].sum()
        noise = acquisition.eels.gain, acquisition.eels.readout_noise**2 + 1 / 12
        variances = (noise[0] * np.maximum(core, 0) + noise[1]) / self.n_pixels[:, None]
        calibration = calibrate(PooledSpectra(Pooled(core[1:], variances[1:], kernels[1:], self.n_pixels[1:]), basis))
        columns = np.concatenate(
            [basis.white_line_columns(kernels, calibration.distortion), basis.smooth_columns(kernels)], axis=1
        )
        n = len(basis.states)
        fits = [linear_filter(c, y, noise) for c, y in zip(columns, core, strict=True)]
        filters = np.stack([f[:n] for f, _ in fits]).astype(np.float64)
        # Spectra of like thickness are linear in the atoms: what one more atom of a kind adds to every amplitude.
        found = np.einsum("lse,le->ls", filters, core)
        response = []
        for state in _METAL_STATES:
            more = {**self.means, state: self.means[state] + 1.0}
            changed = self._spectra(more, acquisition, core=True)[:, basis.window].astype(np.float64)
            response.append(np.einsum("lse,le->ls", filters, changed - core))
        per_atom = np.stack(response, axis=-1)  # (level, state, kind of atom)
        rest = found - np.einsum("lsa,la->ls", per_atom, np.stack([self.means[s] for s in _METAL_STATES], axis=1))
        amplitudes = self._interpolated(rest)
        for i, state in enumerate(_METAL_STATES):
            amplitudes += self._interpolated(per_atom[:, :, i]) * self.atoms[state][..., None]
        covariance = self._interpolated(np.stack([c[:n, :n].ravel() for _, c in fits]))
        angles, step = np.array(self.acquisition.tilt_angles_deg), self.acquisition.pixel_size_nm

        def series(images: Any, label: str) -> TiltSeries:
            return TiltSeries(np.asarray(images, dtype=np.float32), angles, step, label)

        misfit = 1 + calibration.fit.chi2
        maps = valence.ValenceMaps(
            amplitudes={state: series(amplitudes[..., i], state) for i, state in enumerate(basis.states)},
            covariance=covariance.reshape(*self.thickness.shape, n, n).astype(np.float32),
            chi2=misfit,
            chi2_of={"mix": misfit},
            calibration=calibration.distortion,
            thickness=series(self.thickness, "t/lambda"),
            calibration_error=dict.fromkeys(basis.states, 0.0),
            systematic=dict.fromkeys(basis.states, (np.nan, np.nan)),
            reportable=dict.fromkeys(basis.elements, True),
            noise=noise,
        )
        return maps, misfit

    def _spectra(self, atoms: Mapping[str, Floats], acquisition: "Acquisition", *, core: bool) -> Floats:
        from ..simulation import eels

        drift = np.zeros(self.levels.size)
        expected = eels.expected_spectra(atoms, self.levels, drift, acquisition, core=core)
        return np.asarray(expected * (acquisition.eels.efficiency * self.share)[:, None], dtype=np.float64)

    def _interpolated(self, of_levels: Floats) -> Floats:
        """Return numbers (level, n) at the thickness of every pixel: (tilt, y, x, n)."""
        above = np.clip(np.searchsorted(self.levels, self.thickness), 1, self.levels.size - 1)
        share = (self.thickness - self.levels[above - 1]) / (self.levels[above] - self.levels[above - 1])
        weight = np.clip(share, 0, 1)[..., None]
        return np.asarray((1 - weight) * of_levels[above - 1] + weight * of_levels[above])
