"""Units as files write them: a factor to nm, eV or degrees."""

import functools
import math
from typing import Any

_KNOWN = {
    "nm": {"nm": 1.0, "Å": 0.1, "A": 0.1, "Angstrom": 0.1, "angstrom": 0.1, "pm": 1e-3, "µm": 1e3, "um": 1e3, "m": 1e9},
    "eV": {"eV": 1.0, "ev": 1.0, "keV": 1e3, "kev": 1e3, "meV": 1e-3, "MeV": 1e6},
    "deg": {
        "deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0,
        "rad": math.degrees(1), "mrad": math.degrees(1e-3), "radian": math.degrees(1), "radians": math.degrees(1),
    },
}  # fmt: skip
_BASE = {"nm": "nanometer", "eV": "electron_volt", "deg": "degree"}
_NO_UNITS = ("", "<undefined>", "None", "px", "pixel", "pixels", "channel", "channels", "counts", "dimensionless")


def factor(units: str, to: str) -> float:
    """Return what a value in `units` is multiplied by to be in nm, eV or deg; NaN if it is of another kind.

    Examples
    --------
    >>> factor("[n_m]", "nm"), factor("meV", "eV"), factor("px", "nm")
    (1.0, 0.001, nan)
    """
    plain = clean(units)
    if plain in _NO_UNITS:
        return math.nan
    known = next((value for names in _KNOWN.values() for name, value in names.items() if name == plain), None)
    if known is not None:
        return _KNOWN[to].get(plain, math.nan)
    return _parsed(plain, to)


def clean(units: str) -> str:
    """Return units without the brackets and underscores of the EMD format, and with one kind of micro and angstrom."""
    plain = units.strip().removeprefix("[").removesuffix("]").replace("_", "").strip()
    return plain.replace("μ", "µ").replace("Å", "Å")


@functools.cache
def _parsed(units: str, to: str) -> float:
    """Ask pint, for what the table does not hold; importing it takes longer than reading most files."""
    unit, base = _unit(units), _unit(_BASE[to])
    if unit is None or unit.dimensionality != base.dimensionality:
        return math.nan
    quantity = 1.0 * unit
    if to == "deg" and quantity.to_base_units().units != base.to_base_units().units:
        return math.nan  # a plain number has no dimension either
    return float(quantity.to(base.units).magnitude)


def _unit(units: str) -> Any:
    import pint

    registry: Any = pint.application_registry
    try:
        return 1 * registry.parse_units(units)
    except Exception:  # pint raises its own errors, tokenizer errors and assertion errors on words that are no units
        return None
