"""What a microscope may do that the analysis does not model: one table, everything off unless asked for.

The default imperfections of `Acquisition` are those that an analysis is meant to handle. These are the others: switch
one on with `Acquisition.mismatched` and see what a result is worth where the model is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True)
class Mismatch:
    """One way in which the data differ from the model.

    Parameters
    ----------
    what : str
        In words.
    acquisition, eds, eels : mapping of str to value
        Settings of `Acquisition`, its `Eds` and its `Eels` that switch it on.
    """

    what: str
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    eds: Mapping[str, Any] = field(default_factory=dict)
    eels: Mapping[str, Any] = field(default_factory=dict)


MISMATCHES: Final[Mapping[str, Mismatch]] = MappingProxyType(
    {
        "axis-offset": Mismatch(
            "the core-loss axis reads 0.5 eV too high where the low-loss axis is right", eels={"core_offset_ev": 0.5}
        ),
        "dispersion": Mismatch(
            "channels are 0.3 % wider than the axis says: 0.9 eV at the end of the core-loss range",
            eels={"dispersion_error": 0.003},
        ),
        "channeling": Mismatch(
            "two tilts meet a low-index zone axis: ADF 33 % brighter, X-rays of oxygen 3 % weaker than of the metals "
            "(multislice of 80 nm on [100]: ADF +26 to +39 %, O:TM -3 %)",
            acquisition={"zone_tilts_deg": (-20.0, 40.0)},
        ),
        "reference-shape": Mismatch(
            "white lines have the shapes of the charge-transfer set", eels={"references": "charge-transfer"}
        ),
        "exelfs": Mismatch("fine structure of 5 % on every edge, from neighbors 0.195 nm away", eels={"exelfs": 0.05}),
        "nickel-line": Mismatch(
            "the white lines of nickel lie 0.8 eV above those of Ni2+", eels={"nickel_shift_ev": 0.8}
        ),
        "line-efficiency": Mismatch(
            "the soft X-ray lines lose more in window and contamination the softer they are",
            eds={
                "line_efficiency": (
                    ("O Ka", 0.90),
                    ("Mn Ll", 0.91),
                    ("Mn La", 0.94),
                    ("Co Ll", 0.94),
                    ("Ni Ll", 0.95),
                    ("Co La", 0.96),
                    ("Ni La", 0.97),
                )
            },
        ),
    }
)
"""Every mismatch by name."""
