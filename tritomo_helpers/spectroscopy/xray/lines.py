"""X-ray lines of any element, and the cross-sections for emitting them."""

import csv
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from ..._validation import check_positive, checked, fail
from ...constants import BARN_NM2, BOHR_RADIUS_NM, ELECTRON_REST_ENERGY_KEV

# Siegbahn names of the lines that a silicon drift detector can tell apart, and the transitions that merge in each.
_TRANSITIONS: Final = MappingProxyType(
    {
        "Ka": ("KL3", "KL2"),
        "Kb": ("KM3", "KM2", "KN3", "KN2"),
        "Ll": ("L3M1",),
        "Ln": ("L2M1",),
        "La": ("L3M5", "L3M4"),
        "Lb1": ("L2M4",),
        "Lb2": ("L3N5", "L3N4"),
        "Lb3,4": ("L1M3", "L1M2"),
        "Lg1": ("L2N4",),
        "Mz": ("M5N3",),
        "Ma": ("M5N7", "M5N6"),
        "Mb": ("M4N6",),
        "Mg": ("M3N5",),
    }
)
# Coster-Kronig yields f23 of elements for which xraylib has none although they are large: Elam, Ravel and Sieber,
# Radiat. Phys. Chem. 63, 121 (2002), as in xraydb 4.5. They move L2 vacancies to L3 before the L2 shell can emit.
F23: Final = MappingProxyType({"Ti": 0.25, "V": 0.29, "Cr": 0.35, "Mn": 0.39, "Fe": 0.42, "Co": 0.43, "Ni": 0.45})
# Electronics cut off what lies below, keV.
_LOWEST_KEV: Final = 0.1
# Above this ratio of beam energy to binding energy the analytic formula holds.
_LOWEST_OVERVOLTAGE: Final = 16


class XrayLine(NamedTuple):
    """One X-ray line: who emits it, from which shell, at which energy, with which share of that shell's photons."""

    element: str
    name: str
    shell: str
    energy_kev: float
    radiative_rate: float


class _Subshell(NamedTuple):
    """Parameters of the analytic ionization cross-section."""

    binding_ev: float
    b: float
    a: float
    g1: float
    g2: float
    g3: float
    g4: float


@cache
def _subshells() -> Mapping[tuple[str, str], _Subshell]:
    text = (files("tritomo_helpers.spectroscopy") / "data" / "ionization-Bote-Salvat.csv").read_text(encoding="utf-8")
    rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
    next(rows)  # names of the columns
    return MappingProxyType({(row[0], row[1]): _Subshell(*map(float, row[2:])) for row in rows})


def atomic_number(element: str) -> int:
    """Return the atomic number of a chemical symbol, or raise ValueError."""
    import xraylib

    try:
        return int(xraylib.SymbolToAtomicNumber(element))
    except (TypeError, ValueError):
        raise fail(
            "element", expected="a chemical symbol such as 'Mn'", got=repr(element), remedy="correct the symbol"
        ) from None


@checked
def ionization_cross_section(element: str, shell: str, *, beam_energy_kev: float = 300.0) -> float:
    r"""Cross-section for ionizing a subshell by electron impact.

    .. math:: \sigma = \frac{U}{U+b}\, 4\pi a_0^2 \frac{A}{\beta^2}
              \left\{[\ln X^2 - \beta^2]\Big(1 + \frac{g_1}{X}\Big)
              + g_2 + g_3 (1-\beta^2)^{1/4} + \frac{g_4}{X}\right\}

    with U the beam energy over the binding energy and X the electron's momentum in units of m c.

    Parameters
    ----------
    element, shell : str
        Such as ``"Mn", "L3"``; K, L1 to L3 and M1 to M5 of beryllium and everything heavier.
    beam_energy_kev : float, default 300
        At least 16 times the binding energy.

    Returns
    -------
    float
        barn per atom.

    Raises
    ------
    ValueError
        If the subshell is not tabulated or the beam energy is too low for the formula.

    References
    ----------
    Bote, Salvat, Jablonski and Powell, At. Data Nucl. Data Tables 95, 871 (2009).

    Examples
    --------
    >>> round(ionization_cross_section("O", "K"))
    6356
    """
    if (element, shell) not in _subshells():
        own = ", ".join(name for symbol, name in _subshells() if symbol == element)
        raise fail(
            "subshell",
            expected=f"one of {element} {own}" if own else "a subshell of Be or a heavier element",
            got=f"{element} {shell}",
            remedy="choose one of these",
        )
    p = _subshells()[element, shell]
    beam = check_positive(beam_energy_kev, "beam_energy_kev")
    overvoltage = beam * 1e3 / p.binding_ev
    if overvoltage < _LOWEST_OVERVOLTAGE:
        raise fail(
            "beam_energy_kev",
            expected=f"at least {_LOWEST_OVERVOLTAGE * p.binding_ev / 1e3:.1f} for {element} {shell}",
            got=beam,
            remedy="raise the beam energy: the formula is the one for fast electrons",
        )
    momentum = np.sqrt(beam * (beam + 2 * ELECTRON_REST_ENERGY_KEV)) / ELECTRON_REST_ENERGY_KEV
    beta2 = momentum**2 / (1 + momentum**2)
    braces = (np.log(momentum**2) - beta2) * (1 + p.g1 / momentum) + p.g2 + p.g3 * (1 - beta2) ** 0.25 + p.g4 / momentum
    area = 4 * np.pi * BOHR_RADIUS_NM**2 / BARN_NM2
    return float(overvoltage / (overvoltage + p.b) * area * p.a / beta2 * braces)


def _coster_kronig(element: str, donor: str, shell: str) -> float:
    """Yield for moving a vacancy from a subshell to another of the same shell, 0 where none is known."""
    import xraylib

    name = f"F{shell[0]}{donor[1]}{shell[1]}"
    share = _known(xraylib.CosKronTransProb, atomic_number(element), f"{name}_TRANS")
    return share or (F23.get(element, 0.0) if name == "FL23" else 0.0)


@checked
@lru_cache(maxsize=1024)
def vacancy_cross_section(element: str, shell: str, *, beam_energy_kev: float = 300.0) -> float:
    """Cross-section for a vacancy in a subshell, direct or moved there by Coster-Kronig transitions.

    Parameters
    ----------
    element, shell : str
        Such as ``"Mn", "L3"``.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    float
        barn per atom.

    Notes
    -----
    L vacancies left by K emission are neglected (a few percent of the direct ones).

    References
    ----------
    Bote et al. (2009), as in `ionization_cross_section`; yields and rates of xraylib 4 (Schoonjans et al., 2011).

    Examples
    --------
    >>> vacancy_cross_section("Mn", "L3") / ionization_cross_section("Mn", "L3")
    1.38
    """
    total = ionization_cross_section(element, shell, beam_energy_kev=beam_energy_kev)
    for i in range(1, int(shell[1:] or 1)):
        donor = f"{shell[0]}{i}"
        if share := _coster_kronig(element, donor, shell):
            total += share * vacancy_cross_section(element, donor, beam_energy_kev=beam_energy_kev)
    return total


@checked
def emission_cross_section(line: XrayLine, *, beam_energy_kev: float = 300.0) -> float:
    """Cross-section for emitting one X-ray line: vacancies x fluorescence yield x radiative rate.

    Parameters
    ----------
    line : XrayLine
        One of `lines`.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    float
        barn per atom, into the full sphere.

    References
    ----------
    Bote et al. (2009), as in `ionization_cross_section`; yields and rates of xraylib 4 (Schoonjans et al., 2011).

    Examples
    --------
    >>> [round(emission_cross_section(line), 1) for line in lines(["O"])]
    [43.9]
    """
    import xraylib

    fluorescence = xraylib.FluorYield(atomic_number(line.element), getattr(xraylib, f"{line.shell}_SHELL"))
    vacancies = vacancy_cross_section(line.element, line.shell, beam_energy_kev=beam_energy_kev)
    return float(vacancies * fluorescence * line.radiative_rate)


@cache
def _lines_of(element: str) -> tuple[XrayLine, ...]:
    import xraylib

    number = atomic_number(element)
    table = []
    for name, transitions in _TRANSITIONS.items():
        shell = "K" if name[0] == "K" else transitions[0][:2]
        if (element, shell) not in _subshells() or not _known(xraylib.FluorYield, number, f"{shell}_SHELL"):
            continue
        rates = [_known(xraylib.RadRate, number, f"{transition}_LINE") for transition in transitions]
        energies = [_known(xraylib.LineEnergy, number, f"{transition}_LINE") for transition in transitions]
        if sum(rates) > 0:
            energy = float(np.average(energies, weights=rates))
            if energy >= _LOWEST_KEV:
                table.append(XrayLine(element, name, shell, energy, sum(rates)))
    return tuple(table)


def _known(look_up: Callable[[int, int], float], number: int, code: str) -> float:
    """Value from xraylib, 0 where it has no entry (it raises there)."""
    import xraylib

    try:
        return float(look_up(number, getattr(xraylib, code)))
    except ValueError:
        return 0.0


@checked
def lines(elements: Iterable[str]) -> tuple[XrayLine, ...]:
    """All lines of some elements that a detector can tell apart, element by element, K, L and M.

    Parameters
    ----------
    elements : iterable of str
        Chemical symbols.

    Returns
    -------
    tuple of XrayLine
        Energies and radiative rates of xraylib 4 (Schoonjans et al., Spectrochim. Acta B 66, 776, 2011); doublets such
        as Kα1,2 or Lα1,2 are one entry with the summed rate.

    Raises
    ------
    ValueError
        If an element has no line here (lithium has none that the detector sees).

    Examples
    --------
    >>> [line.name for line in lines(["O", "Mn"])]
    ['Ka', 'Ka', 'Kb', 'Ll', 'Ln', 'La', 'Lb1', 'Lb3,4']
    """
    result: list[XrayLine] = []
    for element in dict.fromkeys(elements):
        own = _lines_of(element)
        if not own:
            raise fail(
                "elements",
                expected="elements with an X-ray line above 0.1 keV: boron and heavier",
                got=repr(element),
                remedy="leave this element out",
            )
        result += own
    return tuple(result)


@checked
def main_line(
    element: str, *, window_ev: tuple[float, float] = (200.0, 1200.0), beam_energy_kev: float = 300.0
) -> XrayLine:
    """Return the strongest line of an element inside a range of energies.

    Parameters
    ----------
    element : str
        Chemical symbol.
    window_ev : (float, float), default (200, 1200)
        Where to look, eV.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    XrayLine

    Raises
    ------
    ValueError
        If the element has no line there.

    References
    ----------
    As `lines` and `emission_cross_section`: Schoonjans et al. (2011), Bote et al. (2009).

    Examples
    --------
    >>> main_line("Mn").name, main_line("Mn", window_ev=(5000, 7000)).name
    ('La', 'Ka')
    """
    low, high = window_ev
    inside = [line for line in lines([element]) if low <= line.energy_kev * 1e3 <= high]
    if not inside:
        at = ", ".join(f"{line.name} {line.energy_kev * 1e3:.0f}" for line in lines([element]))
        raise fail(
            "elements",
            expected=f"elements with a line between {low:g} and {high:g} eV",
            got=f"{element} with lines at {at} eV",
            remedy=f"leave {element} out or move the window",
        )
    return max(inside, key=lambda line: emission_cross_section(line, beam_energy_kev=beam_energy_kev))
