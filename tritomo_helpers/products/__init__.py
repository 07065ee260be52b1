"""Results that one chapter hands to another: computed once, kept with where they come from.

`get` looks in the cache, then among the few small results that are part of the package, and computes what neither has.

- The *cache* goes by the parameters, the datasets (checksums; for the twin, what its arrays depend on) and the code
  that the result depends on, see `tritomo_helpers.store.fingerprint`.
- A result that is *part of the package* goes by the parameters, the datasets and the function alone. `provenance` says
  which code made it and what of that has changed since; ``make acceptance`` computes it again and compares.
- The *tables of the study* have names that begin with ``study/``. ``make study`` computes them one after another, keeps
  each as soon as it is done and makes it part of the package. No page computes them: `get` returns what the package
  holds, and `provenance` says with ``current`` whether it is of today's data, parameters and function.

A new product is a function in a module of this folder that imports what it needs *inside*, so that the key sees it::

    @product("needle-tomogram", datasets=("etspy_needle_haadf_aligned",), n_iterations=50)
    def needle_tomogram(report, files, *, n_iterations):
        from .. import io, tomography

        ...
        report(0.5, "half of it")
        return {"values": array}
"""

from . import composition_null as _composition_null  # noqa: F401  fills the registry
from . import composition_study as _composition_study  # noqa: F401
from . import fused as _fused  # noqa: F401
from . import interval_oracles as _interval_oracles  # noqa: F401
from . import planning_check as _planning_check  # noqa: F401
from . import real_maps as _real_maps  # noqa: F401
from . import recipes as _recipes  # noqa: F401
from . import shell_errors as _shell_errors  # noqa: F401
from . import slices as _slices  # noqa: F401
from . import story as _story  # noqa: F401
from . import study as _study  # noqa: F401
from . import tomography_recipes as _tomography  # noqa: F401
from . import twin_recipes as _twin  # noqa: F401
from . import valence_checks as _valence_checks  # noqa: F401
from . import valence_study as _valence_study  # noqa: F401
from . import valence_volumes as _valence_volumes  # noqa: F401
from . import what_if as _what_if  # noqa: F401
from .convert import as_alignment, as_tomogram
from .registry import Product, get, products, provenance, stale_files, verify

__all__ = ["Product", "as_alignment", "as_tomogram", "get", "products", "provenance", "stale_files", "verify"]
