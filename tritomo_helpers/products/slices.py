"""Middle slices of all particles, as the best method maps them: Supplementary Figures 2 and 5 of the paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._typing import Floats
from ..store.results import Arrays
from .registry import Report, product
from .study import PARTICLES

LIMITS = {
    "O": 80.0,
    **dict.fromkeys(("Mn", "Co", "Ni"), 16.7),
    **{"Mn4": 100.0, "Mn3": 50.0, "Mn2": 60.0, "Co3": 100.0, "Co2": 100.0},
}
"""Upper ends of the paper's color scales, at% of elements and % of their element of states; all begin at zero."""
UNMEASURED = 255
"""The code of a voxel outside the particle; others are values from 0 to the limit in 254 steps."""


@product(
    "study/slices",
    datasets=tuple(f"twin/{name}" for name in PARTICLES),
    tolerance={"codes": 12},
    after=tuple(f"study/best/{name}" for name in PARTICLES),
)
def middle_slices(report: Report, files: Mapping[str, Mapping[str, Path]]) -> Arrays:
    """Cut every particle through its middle, across the beam at zero tilt.

    ``particles``; ``names`` : of elements and states. ``codes`` : uint8 (particle, name, y, x), see `LIMITS`.
    """
    import numpy as np

    from .. import datasets, io, pipeline

    del files
    codes = []
    for done, particle in enumerate(PARTICLES):
        report(done / len(PARTICLES), particle)
        # What the table of the particle left behind is taken up again.
        out = datasets.data_dir() / "study" / f"{particle}-best"
        pipeline.process(f"twin/{particle}", out=out)
        volumes = {name: io.load_tomogram(out / f"{name}.mrc").values for name in LIMITS}
        middle = {name: volume[volume.shape[0] // 2] for name, volume in volumes.items()}
        codes.append([encoded(middle[name], limit) for name, limit in LIMITS.items()])
    return {"particles": np.array(PARTICLES), "names": np.array(list(LIMITS)), "codes": np.array(codes)}


def encoded(values: Floats, limit: float) -> Any:
    """Return values, of any shape, as uint8: 0 to 254 from zero to `limit`, in its unit; NaN becomes `UNMEASURED`.

    Examples
    --------
    >>> import numpy as np
    >>> encoded(np.array([-1.0, 8.35, 40.0, np.nan]), 16.7).tolist()
    [0, 127, 254, 255]
    """
    import numpy as np

    levels = np.rint(np.clip(np.nan_to_num(values) / limit, 0, 1) * (UNMEASURED - 1))
    return np.where(np.isnan(values), UNMEASURED, levels).astype(np.uint8)


def decoded(codes: Any, limit: float) -> Floats:
    """Return uint8 codes, of any shape, as values in the unit of `limit`, NaN outside the particle.

    Examples
    --------
    >>> import numpy as np
    >>> decoded(np.array([0, 127, 255], dtype=np.uint8), 16.7)
    array([0.  , 8.35,  nan])
    """
    import numpy as np

    return np.where(codes == UNMEASURED, np.nan, codes * (limit / (UNMEASURED - 1)))
