"""The spectrum as a sum of a few known shapes, on an energy scale found from the data.

References
----------
Kramers, Philos. Mag. 46, 836 (1923), for the bremsstrahlung; lines are those of `spectroscopy.xray`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np

from .._typing import Floats
from .._validation import check_positive, fail
from ..constants import BEAM_ENERGY_KEV
from ..spectroscopy import xray

BREMSSTRAHLUNG = "bremsstrahlung"
#: Lowest, highest and typical step of what a summed spectrum can tell beside its amplitudes.
_BOUNDS = {
    "offset_ev": (-100.0, 100.0, 1.0),
    "gain": (0.9, 1.1, 1e-3),
    "resolution_ev": (121.5, 250.0, 1.0),
    "mass_thickness_g_per_cm2": (0.0, 1e-3, 1e-5),
}
CALIBRATED = tuple(_BOUNDS)
#: Below this many counts in the window the energy scale and the resolution are taken as given.
_COUNTS_TO_CALIBRATE = 1e4
#: The fitted spectrum is not trusted below this share of its mean: a channel without counts would weigh without limit.
_LOWEST_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class LineModel:
    """Columns of the linear model of a spectrum.

    Parameters
    ----------
    energy_ev : ndarray, shape (channel,)
        Channels of the window, as stored with the data.
    elements : tuple of str
        Elements to measure.
    other_elements : tuple of str
        Elements that are there but not wanted, such as C and Cu of film and grid.
    background_terms : int
        Terms of the bremsstrahlung: Kramers' law times powers of the energy.
    beam_energy_kev : float
        Sets the ratios of lines of different subshells.
    resolution_ev : float
        FWHM at Mn Kα.
    offset_ev, gain : float
        True energy = offset + gain x stored energy.
    mass_thickness_g_per_cm2 : float
        Mean way of the X-rays through the specimen. It changes the ratios of lines on both sides of an absorption edge,
        and puts steps into the bremsstrahlung.
    absorber : mapping of str to float
        Atoms of each element on that way, in any unit.

    Examples
    --------
    >>> sorted(LineModel(np.arange(350.0, 1200.0, 10.0), ("O", "Mn")).columns())
    ['Mn', 'O', 'bremsstrahlung']
    """

    energy_ev: Floats
    elements: tuple[str, ...]
    other_elements: tuple[str, ...] = ()
    background_terms: int = 1
    beam_energy_kev: float = BEAM_ENERGY_KEV
    resolution_ev: float = 130.0
    offset_ev: float = 0.0
    gain: float = 1.0
    mass_thickness_g_per_cm2: float = 0.0
    absorber: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.elements:
            raise fail("elements", expected="one element or more", got="none", remedy="list the elements to measure")
        repeated = sorted({el for el in self.all_elements if self.all_elements.count(el) > 1})
        if repeated:
            raise fail(
                "elements", expected="each element once", got=f"{', '.join(repeated)} twice", remedy="drop the repeats"
            )
        check_positive(self.background_terms, "background_terms", zero_ok=True)
        check_positive(self.beam_energy_kev, "beam_energy_kev")
        for element in self.elements:
            _main_line(element, self.window_ev, self.beam_energy_kev)

    @property
    def all_elements(self) -> tuple[str, ...]:
        """Elements wanted and not wanted."""
        return (*self.elements, *self.other_elements)

    @property
    def window_ev(self) -> tuple[float, float]:
        """First and last energy."""
        return float(self.energy_ev[0]), float(self.energy_ev[-1])

    @property
    def true_energy_ev(self) -> Floats:
        """Energies of the channels after calibration."""
        return self.offset_ev + self.gain * self.energy_ev

    def families(self) -> dict[str, tuple[xray.XrayLine, ...]]:
        """Lines of every column: those of one element and shell, whose ratios are known.

        The family of an element's strongest line goes by the element's name, others by "Cu K" and the like.
        """
        return _families(self.all_elements, self.window_ev, self.beam_energy_kev)

    def family_cross_section(self, element: str) -> float:
        """Emission of all lines of an element's column, barn per atom."""
        return family_cross_section(element, window_ev=self.window_ev, beam_energy_kev=self.beam_energy_kev)

    def columns(self) -> dict[str, Floats]:
        """Return the shape of every column, (channel,).

        The amplitude of a column of lines is the number of photons of its family, were all lines absorbed as the main
        one.
        """
        energy, families = self.true_energy_ev, self.families()
        shapes: dict[str, Floats] = {}
        for name, family in families.items():
            shares = _shares(family, self.beam_energy_kev)
            out = self._transmission(tuple(line.energy_kev for line in family))
            at = np.array([line.energy_kev for line in family])
            lines = xray.line_shape(energy, at, resolution_ev=self.resolution_ev)
            shapes[name] = (shares * out / out[shares.argmax()]) @ lines
        kev = tuple(np.maximum(self.energy_ev, 50.0) / 1e3)
        kramers = _kramers(kev, self.beam_energy_kev) * self._transmission(kev)
        for power in range(self.background_terms):
            name = BREMSSTRAHLUNG if power == 0 else f"{BREMSSTRAHLUNG} x E^{power}"
            shapes[name] = kramers * (energy / energy.mean()) ** power
        return shapes

    def _transmission(self, energy_kev: tuple[float, ...]) -> Floats:
        """Share of X-rays that come out of the specimen, exp(-mu times mass thickness)."""
        if self.mass_thickness_g_per_cm2 == 0 or not self.absorber:
            return np.ones(len(energy_kev))
        mass = {el: n * xray.atomic_weight(el) for el, n in self.absorber.items()}
        total = sum(mass.values()) or 1.0
        mu = sum(m / total * _mass_absorption(el, energy_kev) for el, m in mass.items())
        return np.exp(-self.mass_thickness_g_per_cm2 * np.asarray(mu))

    def calibrated(self, spectrum: Floats, *, fit: Sequence[str] = CALIBRATED) -> Self:
        """Fit the energy scale, the resolution and the mean absorption to a summed spectrum.

        Weighted least squares over the parameters in `fit`, the amplitudes solved for inside, weights from the fitted
        spectrum. With fewer than 10,000 counts the model comes back unchanged.

        Parameters
        ----------
        spectrum : ndarray, shape (channel,)
            Summed counts.
        fit : sequence of str
            Which of `CALIBRATED`.

        Returns
        -------
        LineModel
        """
        from scipy.optimize import least_squares

        if spectrum.sum() < _COUNTS_TO_CALIBRATE or not fit:
            return self
        low, high, scale = np.array([_BOUNDS[name] for name in fit]).T
        start = np.clip([getattr(self, name) for name in fit], low, high)
        model = self
        for _ in range(2):  # weights and absorber of the first fit come from a model that is not yet in place
            model = replace(model, absorber=model._composition(spectrum))
            error = np.sqrt(model.expected(spectrum))

            def misfit(values: Floats, error: Floats = error, model: Self = model) -> Floats:
                return (model._with(fit, values).expected(spectrum, error=error) - spectrum) / error

            fitted = least_squares(
                lambda steps: misfit(steps * scale),
                start / scale,
                bounds=(low / scale, high / scale),
                diff_step=1e-4,
            )
            start = fitted.x * scale
            model = model._with(fit, start)
        return model

    def _with(self, names: Sequence[str], values: Floats) -> Self:
        changes: dict[str, Any] = dict(zip(names, map(float, values), strict=True))
        return replace(self, **changes)

    def _composition(self, spectrum: Floats) -> dict[str, float]:
        """Atoms of the wanted elements in proportion, from their photons and cross-sections."""
        shapes = self.columns()
        amplitudes = dict(zip(shapes, _amplitudes(_matrix(shapes), spectrum), strict=True))
        return {el: amplitudes[el] / self.family_cross_section(el) for el in self.elements}

    def expected(self, spectrum: Floats, *, error: Floats | None = None) -> Floats:
        """Return the closest spectrum that the model can make with no negative amplitude, always above zero."""
        matrix = _matrix(self.columns())
        fitted = matrix @ _amplitudes(matrix, spectrum, error)
        return np.asarray(np.maximum(fitted, _LOWEST_SHARE * max(float(fitted.mean()), 1e-12)))

    def projector(self, expected: Floats) -> tuple[tuple[str, ...], Floats]:
        r"""Return the matrix that turns spectra into amplitudes, (column, channel), and the names of its rows.

        .. math:: P = (A^T W A)^{-1} A^T W, \qquad W = \mathrm{diag}(1/\bar n)

        with the columns of A and the expected spectrum :math:`\bar n`.

        Raises
        ------
        ValueError
            If two columns cannot be told apart.
        """
        shapes = self.columns()
        names, matrix = tuple(shapes), _matrix(shapes)
        weighted = matrix / np.sqrt(expected)[:, None]
        unit = weighted / np.linalg.norm(weighted, axis=0)
        overlap = np.triu(np.abs(unit.T @ unit), 1)
        first, second = np.unravel_index(int(overlap.argmax()), overlap.shape)
        if overlap[first, second] > 0.99:
            raise fail(
                "elements",
                expected="elements whose lines can be told apart",
                got=f"{names[first]} and {names[second]}, which look the same in {self.window_ev} eV",
                remedy="leave one out or widen the window",
            )
        return names, np.asarray(np.linalg.solve(weighted.T @ weighted, weighted.T / np.sqrt(expected)))


def _matrix(shapes: Mapping[str, Floats]) -> Floats:
    return np.stack(list(shapes.values()), axis=1)


def _amplitudes(matrix: Floats, spectrum: Floats, error: Floats | None = None) -> Floats:
    """Non-negative amplitudes of all columns by weighted least squares."""
    from scipy.optimize import nnls

    weight = 1 / (np.sqrt(np.maximum(spectrum, 1.0)) if error is None else error)
    return np.asarray(nnls(matrix * weight[:, None], spectrum * weight)[0])


@lru_cache(maxsize=64)
def _families(
    elements: tuple[str, ...], window_ev: tuple[float, float], beam_energy_kev: float
) -> dict[str, tuple[xray.XrayLine, ...]]:
    low, high = window_ev
    columns: dict[str, tuple[xray.XrayLine, ...]] = {}
    for element in elements:
        own = xray.lines([element])
        inside = [line for line in own if low <= line.energy_kev * 1e3 <= high]
        if not inside:
            continue
        main = _main_line(element, window_ev, beam_energy_kev).shell[0]
        for family in dict.fromkeys(line.shell[0] for line in inside):
            # Lines just outside reach into the window with their flanks.
            columns[element if family == main else f"{element} {family}"] = tuple(
                line for line in own if line.shell[0] == family
            )
    return columns


def family_cross_section(
    element: str, *, window_ev: tuple[float, float], beam_energy_kev: float = BEAM_ENERGY_KEV
) -> float:
    """Emission of all lines of the shell of an element's main line in the window, barn per atom.

    Lines just outside the window count, since a fit takes those of one shell together.
    """
    return _emission(element, (float(window_ev[0]), float(window_ev[1])), beam_energy_kev)


@lru_cache(maxsize=256)
def _main_line(element: str, window_ev: tuple[float, float], beam_energy_kev: float) -> xray.XrayLine:
    return xray.main_line(element, window_ev=window_ev, beam_energy_kev=beam_energy_kev)


@lru_cache(maxsize=256)
def _emission(element: str, window_ev: tuple[float, float], beam_energy_kev: float) -> float:
    shell = _main_line(element, window_ev, beam_energy_kev).shell[0]
    family = (line for line in xray.lines([element]) if line.shell[0] == shell)
    return sum(xray.emission_cross_section(line, beam_energy_kev=beam_energy_kev) for line in family)


@lru_cache(maxsize=256)
def _shares(family: tuple[xray.XrayLine, ...], beam_energy_kev: float) -> Floats:
    sigma = np.array([xray.emission_cross_section(line, beam_energy_kev=beam_energy_kev) for line in family])
    return np.asarray(sigma / sigma.sum())


@lru_cache(maxsize=256)
def _mass_absorption(element: str, energy_kev: tuple[float, ...]) -> Floats:
    return xray.mass_absorption(element, energy_kev)


@lru_cache(maxsize=16)
def _kramers(energy_kev: tuple[float, ...], beam_energy_kev: float) -> Floats:
    shape = xray.bremsstrahlung_cross_section("O", energy_kev, beam_energy_kev=beam_energy_kev)
    return np.asarray(shape / shape.mean())
