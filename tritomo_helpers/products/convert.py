"""From the arrays of a product to the types that the other functions of the package take."""

from typing import TYPE_CHECKING

from .._validation import fail
from .registry import Arrays

if TYPE_CHECKING:
    from ..alignment import Alignment
    from ..containers import Tomogram


def as_alignment(arrays: Arrays) -> "Alignment":
    """Return the alignment that a product holds, to be used with `alignment.apply`.

    Parameters
    ----------
    arrays : dict of str to ndarray
        From ``get("needle/alignment")``: the fields of `alignment.Alignment` as arrays, failures in two of them.

    Returns
    -------
    Alignment

    Examples
    --------
    >>> import numpy as np
    >>> one = {"shifts_px": [[0.5, 0.0]], "tilt_angles_deg": [0.0], "axis_rotation_deg": 0.3, "residuals": [0.01]}
    >>> text = {"method": "by hand", "extended": "", "why": ["for an example"]}
    >>> none = {"failed_angles_deg": [], "failed_why": []}
    >>> as_alignment({n: np.array(v) for n, v in {**one, **text, **none}.items()}).axis_rotation_deg
    0.3
    """
    from ..alignment import Alignment

    return Alignment(
        arrays["shifts_px"],
        arrays["tilt_angles_deg"],
        axis_rotation_deg=float(arrays["axis_rotation_deg"]),
        method=str(arrays["method"]),
        extended=str(arrays["extended"]),
        why=tuple(arrays["why"].tolist()),
        failures=dict(zip(arrays["failed_angles_deg"].tolist(), arrays["failed_why"].tolist(), strict=True)),
        residuals=arrays["residuals"],
    )


def as_tomogram(arrays: Arrays, name: str, *, quantity: str = "density (mean of the particle = 1)") -> "Tomogram":
    """Return one volume of a product as a tomogram in single precision.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Holds the volume (z, y, x) under `name`, and ``voxel_size_nm``.
    name : str
        Which volume, such as ``"tv"``.
    quantity : str
        What the values are, for color bars.

    Returns
    -------
    Tomogram

    Raises
    ------
    ValueError
        If there is no volume of that name.

    Examples
    --------
    >>> import numpy as np
    >>> as_tomogram({"tv": np.ones((2, 2, 2), np.float16), "voxel_size_nm": np.array(4.63)}, "tv").voxel_size_nm
    4.63
    """
    import numpy as np

    from ..containers import Tomogram

    volumes = [key for key, array in arrays.items() if array.ndim == 3]
    if name not in volumes:
        raise fail("name", expected=f"one of {', '.join(volumes)}", got=repr(name), remedy="choose a volume")
    return Tomogram(arrays[name].astype(np.float32), float(arrays["voxel_size_nm"]), quantity)
