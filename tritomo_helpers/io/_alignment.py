"""Alignments from files."""

from pathlib import Path

import numpy as np

from .._validation import checked, fail
from ..containers import Alignment
from ._arrays import load_arrays


@checked
def load_alignment(path: str | Path) -> Alignment:
    """Read an alignment that `save` wrote to an .h5 file, exactly as it was.

    Parameters
    ----------
    path : path
        An .h5 file.

    Returns
    -------
    Alignment
        Shifts, angles and residuals bit for bit, with what was decided and why.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged, or holds no alignment.

    Examples
    --------
    >>> import tempfile
    >>> from tritomo_helpers.io import save
    >>> path = Path(tempfile.mkdtemp()) / "adf-alignment.h5"
    >>> save(Alignment(np.array([[0.1, -2.3]]), np.array([10.0]), method="common-line"), path)
    >>> load_alignment(path).shifts_px
    array([[ 0.1, -2.3]])
    """
    values = load_arrays(path)
    needed = {"shifts_px", "tilt_angles_deg", "method", "failures"}
    if not needed <= set(values):
        raise fail(
            f"file {Path(path).name}",
            expected="an alignment, as io.save writes it",
            got=f"arrays {', '.join(sorted(values)) or 'none'}",
            remedy="save the alignment to an .h5 file with io.save, or build an Alignment from your own shifts",
        )
    return Alignment(
        values["shifts_px"],
        values["tilt_angles_deg"],
        axis_rotation_deg=float(values.get("axis_rotation_deg", 0.0)),
        method=str(values["method"]),
        extended=str(values.get("extended", "")),
        why=tuple(str(text) for text in values.get("why", ())),
        failures={float(angle): str(reason) for angle, reason in values["failures"].items()},
        residuals=np.asarray(values.get("residuals", ()), dtype=np.float64),
        pixel_size_nm=float(values.get("pixel_size_nm", np.nan)),
        image_shape=tuple(int(n) for n in values.get("image_shape", ())),
    )
