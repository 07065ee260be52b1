"""Helpers for the tritomo book: ADF, EDS and EELS tomography from one tilt series.

Each module is one stage of the work and imports only modules below it. ``import tritomo_helpers as tt`` gives them all,
loaded when first used: ``tt.tomography.reconstruct(...)``.
"""

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    if name in __dir__():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its modules are: {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
