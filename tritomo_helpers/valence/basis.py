"""Single-scattering spectra of everything that a core-loss spectrum is made of, and their plural scattering.

Columns: white lines of each valence state; for each metal a continuum of every model, free of the white lines; waves of
the fine structure of oxygen and each metal; four smooth backgrounds. Two continuum models with free amplitudes span
what either would give, so that the question which one is right does not decide the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from .._typing import Floats
from .._validation import fail
from ..constants import EDGE_ONSET_EV
from ..spectroscopy import CONTINUUM_MODELS, ReferenceSet, continuum, references
from .kernels import zero_channel

Complexes = NDArray[np.complex128]

BUILT_FROM_EV = 300.0
"""Spectra are built from here, since plural scattering carries losses far below the axis upward."""
_BACKGROUND_EXPONENTS = (1.0, 2.5, 4.0)
_TAIL_EXPONENT = 3.0
# hbar^2 / 2m of the electron that leaves the atom, eV nm^2.
_EV_NM2 = 0.0381
# Oxides of Mn, Co and Ni have .19 to .22 nm.
_METAL_OXYGEN_NM = 0.2
_FINE_STRUCTURE_FROM_EV = 20.0
# Deconvolving a reference by more than this (eV squared, as a variance) would only amplify rounding.
MIN_WIDTH_EV2 = -0.15


@dataclass(frozen=True)
class Distortion:
    """How measured white lines differ from the references: what calibration finds.

    Parameters
    ----------
    shift_ev : mapping of state to float
        Added to the energies of each state, eV.
    width_ev2 : mapping of element to float
        Variance of the Gaussian broadening, eV squared; negative where the data are sharper than the references.
    log_l3_l2 : mapping of element to float
        Natural logarithm of the factor on the ratio of the L3 to the L2 area, at constant sum.
    mix : mapping of element to float
        Share of the second reference set, 0 to 1.
    """

    shift_ev: Mapping[str, float] = field(default_factory=dict)
    width_ev2: Mapping[str, float] = field(default_factory=dict)
    log_l3_l2: Mapping[str, float] = field(default_factory=dict)
    mix: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _State:
    """Fourier transforms of one state's L3 and L2 lines, per set, and their areas."""

    name: str
    element: str
    lines: Complexes  # (set, 2, frequency)
    areas: Floats  # (set, 2)


class Basis:
    """Columns of the forward model on one core-loss axis.

    Parameters
    ----------
    core_energy_ev, low_loss_energy_ev : ndarray, shape (energy,)
        Both axes, eV, with the same dispersion.
    sets : mapping of element to sequence of ReferenceSet
        One or two sets per element.
    fit_window_ev : (float, float)
        Part of the core-loss axis that is fitted, eV.
    extra_edges : sequence of str
        Further continua, such as ``"F K"``.
    optics : mapping
        ``beam_energy_kev``, ``convergence_angle_mrad``, ``collection_angle_mrad``.
    """

    def __init__(
        self,
        core_energy_ev: Floats,
        low_loss_energy_ev: Floats,
        *,
        sets: Mapping[str, Sequence[ReferenceSet]],
        fit_window_ev: tuple[float, float],
        extra_edges: Sequence[str],
        optics: Mapping[str, Any],
    ) -> None:
        dispersion = (core_energy_ev[-1] - core_energy_ev[0]) / (core_energy_ev.size - 1)
        below = int(np.ceil((core_energy_ev[0] - BUILT_FROM_EV) / dispersion))
        axis = core_energy_ev[0] + np.arange(-below, core_energy_ev.size) * dispersion
        self.zero = zero_channel(low_loss_energy_ev)
        self.n_fft = int(next_fast_len(axis.size + low_loss_energy_ev.size, real=True))
        inside = np.flatnonzero((core_energy_ev >= fit_window_ev[0]) & (core_energy_ev <= fit_window_ev[1]))
        self.window = slice(int(inside[0]), int(inside[-1]) + 1)
        self.energy_ev = core_energy_ev[self.window]
        first = self.zero + below + self.window.start
        self._cut = slice(first, first + self.energy_ev.size)
        self._frequency = np.fft.rfftfreq(self.n_fft, dispersion)

        per_hole = {el: references.white_line_cross_section(el, **optics) for el in sets}
        self._states = [state for el, given in sets.items() for state in self._read(el, given, axis, per_hole[el])]
        self.states = tuple(state.name for state in self._states)
        self.elements = tuple(sets)
        self.n_sets = {el: len(given) for el, given in sets.items()}
        smooth = [
            continuum(f"{el} L", axis, model=model, l1_step=True, **optics) for el in sets for model in CONTINUUM_MODELS
        ]
        for edge in ("O K", *(f"{el} L" for el in sets)):
            smooth += _fine_structure(edge, axis, optics)
        smooth += [continuum(edge, axis, **optics) for edge in extra_edges]
        unit = axis / core_energy_ev[0]
        smooth += [unit**-power for power in _BACKGROUND_EXPONENTS]
        smooth.append(np.where(axis >= EDGE_ONSET_EV["O", "K"], unit**-_TAIL_EXPONENT, 0.0))
        self._smooth: Complexes = rfft(np.stack(smooth), self.n_fft, axis=1)

    def _read(self, element: str, sets: Sequence[ReferenceSet], axis: Floats, per_hole: float) -> list[_State]:
        lines: list[list[Floats]] = []
        for given in sets:
            # A set in units of its own is scaled to one per ionic hole, in the mean over its states.
            scale = 1.0 if given.name in references.SETS else float(np.mean(given.holes / given.areas))
            upper = given.on(axis) * (scale * per_hole)
            below = [axis < valley for valley in given.valleys_ev()]
            lines.append([np.stack([row * l3, row * ~l3]) for row, l3 in zip(upper, below, strict=True)])
        result = []
        for index, state in enumerate(sets[0].states):
            split = np.stack([of_set[index] for of_set in lines])
            result.append(_State(state, element, rfft(split, self.n_fft, axis=-1), split.sum(axis=-1)))
        return result

    def _white_line(self, index: int, distortion: Distortion) -> Complexes:
        """Fourier transform of the distorted white lines of one state, (frequency,)."""
        state = self._states[index]
        ratio = np.exp(distortion.log_l3_l2.get(state.element, 0.0))
        mix = distortion.mix.get(state.element, 0.0)
        row = np.zeros(self._frequency.size, dtype=np.complex128)
        for share, lines, areas in zip((1 - mix, mix), state.lines, state.areas, strict=False):
            l2_factor = areas.sum() / (ratio * areas[0] + areas[1])
            row += share * l2_factor * (ratio * lines[0] + lines[1])
        variance = max(distortion.width_ev2.get(state.element, 0.0), MIN_WIDTH_EV2)
        shift = -2j * np.pi * self._frequency * distortion.shift_ev.get(state.name, 0.0)
        return np.asarray(row * np.exp(shift - 2 * (np.pi * self._frequency) ** 2 * variance))

    def transfer(self, kernels: Floats) -> Complexes:
        """Fourier transform of kernels (bin, energy), for `white_line_column`."""
        return np.asarray(rfft(kernels, self.n_fft, axis=1))

    def white_line_column(self, transfer: Complexes, index: int, distortion: Distortion) -> Floats:
        """Plural-scattered white lines of the state `index`, shape (bin, energy)."""
        return np.asarray(irfft(self._white_line(index, distortion) * transfer, self.n_fft, axis=1)[:, self._cut])

    def white_line_columns(self, kernels: Floats, distortion: Distortion) -> Floats:
        """Plural-scattered white lines in the fit window, barn/eV per atom (or per unit of your set).

        Parameters
        ----------
        kernels : ndarray, shape (bin, energy)
            Low-loss spectra as shares of the vacuum's electrons.
        distortion : Distortion

        Returns
        -------
        ndarray, shape (bin, state, energy)
        """
        rows = np.stack([self._white_line(i, distortion) for i in range(len(self._states))])
        return self._scattered(rows, kernels)

    def smooth_columns(self, kernels: Floats) -> Floats:
        """Plural-scattered continua and backgrounds in the fit window, shape (bin, column, energy)."""
        return self._scattered(self._smooth, kernels)

    def _scattered(self, single: Complexes, kernels: Floats) -> Floats:
        transfer = rfft(kernels, self.n_fft, axis=1)
        return np.stack([irfft(single * row, self.n_fft, axis=1)[:, self._cut] for row in transfer])


def _fine_structure(edge: str, axis: Floats, optics: Mapping[str, Any]) -> list[Floats]:
    """Waves that neighbors put on an edge (EXELFS), in both phases: their amplitude and phase are not known."""
    element, shell = edge.split()
    above = np.maximum(axis - EDGE_ONSET_EV[element, "L3" if shell == "L" else shell], 0.0)
    phase = 2 * np.sqrt(above / _EV_NM2) * _METAL_OXYGEN_NM
    # Close to the onset the white lines take it up.
    envelope = continuum(edge, axis, **optics) * -np.expm1(-((above / _FINE_STRUCTURE_FROM_EV) ** 4))
    return [envelope * np.sin(phase), envelope * np.cos(phase)]


def check_coverage(
    core_energy_ev: Floats,
    low_loss_energy_ev: Floats,
    sets: Mapping[str, Sequence[ReferenceSet]],
    fit_window_ev: tuple[float, float],
) -> None:
    """Raise ValueError unless axes, references and window fit each other."""
    core_step, low_step = (float(np.diff(axis).mean()) for axis in (core_energy_ev, low_loss_energy_ev))
    if abs(low_step / core_step - 1) > 1e-3:
        raise fail(
            "low_loss",
            expected=f"the dispersion of the core loss, {core_step:g} eV",
            got=f"{low_step:g} eV",
            remedy="resample one of the two axes",
        )
    if not core_energy_ev[0] <= fit_window_ev[0] < fit_window_ev[1] <= core_energy_ev[-1]:
        raise fail(
            "fit_window_ev",
            expected=f"a window inside the core-loss axis, {core_energy_ev[0]:g} to {core_energy_ev[-1]:g} eV",
            got=f"{fit_window_ev[0]:g} to {fit_window_ev[1]:g} eV",
            remedy="narrow the window",
        )
    for element, given in sets.items():
        first, last = EDGE_ONSET_EV[element, "L3"], EDGE_ONSET_EV[element, "L2"]
        if fit_window_ev[0] > first - 20 or fit_window_ev[1] < last + 10:
            raise fail(
                "fit_window_ev",
                expected=f"a window around the {element} L edge, {first - 20:g} to {last + 10:g} eV at least",
                got=f"{fit_window_ev[0]:g} to {fit_window_ev[1]:g} eV",
                remedy="widen the window, or leave the element out of the references",
            )
        for reference in given:
            if reference.energy_ev[0] > first - 5 or reference.energy_ev[-1] < last + 5:
                raise fail(
                    f"references for {element}",
                    expected=f"spectra from {first - 5:g} to {last + 5:g} eV at least",
                    got=f"{reference.energy_ev[0]:g} to {reference.energy_ev[-1]:g} eV",
                    remedy="give references that cover both white lines",
                )
            if reference.states != given[0].states:
                raise fail(
                    f"references for {element}",
                    expected=f"the same states in every set: {', '.join(given[0].states)}",
                    got=", ".join(reference.states),
                    remedy="order and name the states alike",
                )
