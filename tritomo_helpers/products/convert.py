"""From the arrays of a product to the types that the other functions of the package take."""

from typing import TYPE_CHECKING

from .._validation import fail
from ..store import results
from ..store.results import Arrays

if TYPE_CHECKING:
    from ..alignment import Alignment
    from ..containers import Tomogram


def as_alignment(arrays: Arrays) -> "Alignment":
    """Return the alignment that a product holds, to be used with `alignment.apply`.

    Parameters
    ----------
    arrays : dict of str to ndarray, shape (tilt,) and (tilt, 2)
        From ``get("needle/alignment")``: the fields of `alignment.Alignment` as arrays.

    Returns
    -------
    Alignment

    Examples
    --------
    >>> import numpy as np
    >>> from tritomo_helpers.alignment import Alignment
    >>> from tritomo_helpers.store.results import to_arrays
    >>> as_alignment(to_arrays(Alignment(np.zeros((1, 2)), np.zeros(1), axis_rotation_deg=0.3))).axis_rotation_deg
    0.3
    """
    from ..alignment import Alignment

    return results.from_arrays(Alignment, arrays)


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
