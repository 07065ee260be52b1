"""VTK image data (.vti): what ParaView, 3D Slicer and PyVista open."""

import base64
import xml.etree.ElementTree as ET
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ..containers import Tomogram
from ._mrc import storable

_TYPES = {"float32": "Float32", "int16": "Int16", "uint16": "UInt16"}


def write_vti(tomogram: Tomogram, path: Path) -> None:
    """Write one volume in nm, with voxel i of an axis of length N at (i - N // 2) times the voxel size."""
    values = storable(tomogram.values, path)
    shape_xyz = values.shape[::-1]
    step = repr(tomogram.voxel_size_nm)
    extent = " ".join(f"0 {n - 1}" for n in shape_xyz)
    origin = " ".join(repr(-(n // 2) * tomogram.voxel_size_nm) for n in shape_xyz)
    raw = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    # The length before the data is part of the encoded block; x varies fastest, as in a (z, y, x) array.
    block = base64.b64encode(np.uint64(len(raw)).astype("<u8").tobytes() + raw).decode("ascii")
    name = quoteattr(tomogram.quantity or "values")
    path.write_text(
        f"""<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">
  <ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{step} {step} {step}">
    <Piece Extent="{extent}">
      <PointData Scalars={name}>
        <DataArray type="{_TYPES[values.dtype.name]}" Name={name} format="binary">{block}</DataArray>
      </PointData>
    </Piece>
  </ImageData>
</VTKFile>
""",
        encoding="utf-8",
    )


def read_vti(path: Path) -> tuple[NDArray[np.float32 | np.int16 | np.uint16], list[float], str]:
    """Return values (z, y, x), the steps along z, y, x, and the name of the first array of a file as we write it."""
    try:
        image = ET.parse(path).getroot().find("ImageData")
        array = None if image is None else image.find("Piece/PointData/DataArray")
        if image is None or array is None or array.get("format") != "binary":
            raise ValueError("no point data in binary format")
        kind = {vtk: numpy for numpy, vtk in _TYPES.items()}[array.get("type", "")]
        limits = [int(word) for word in image.get("WholeExtent", "").split()]
        shape = [last - first + 1 for first, last in zip(limits[4::-2], limits[5::-2], strict=True)]
        block = base64.b64decode(array.text or "")
        values = np.frombuffer(block[8:], dtype=np.dtype(kind).newbyteorder("<")).reshape(shape)
        steps = [float(word) for word in image.get("Spacing", "").split()][::-1]
    except Exception as error:  # whatever damage makes of XML, base64 and numbers
        raise fail(
            f"file {path.name}",
            expected="VTK image data with one uncompressed binary array of points",
            got=str(error),
            remedy="save it so, or as mrc",
        ) from error
    name = array.get("Name", "")
    return values.astype(kind), steps, "" if name == "values" else name
