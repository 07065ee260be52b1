"""Read Velox .emd files: images, EDS streams of every detector and EELS cubes, with numpy and h5py alone.

A stream holds, for one detector, the channel of every X-ray in the order of the scan, and 65535 whenever the beam moves
to the next pixel; after the last pixel the scan starts again.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._guard import HDF5Array, check_size, lazily, opened
from ._stored import STAGE_STILL_DEG, Axis, Stored, make_axis, space_axes

_NEXT_PIXEL = 65535
_CHUNK_BYTES = 32_000_000

PRUNED = "Velox EDS (pruned)"
"""Signal type of spectra that the file keeps only in the format of the vendor, which nobody else can read."""


def is_velox(path: Path) -> bool:
    """Whether an .emd file was written by Velox; the others are Berkeley's."""
    with opened(path) as file:
        return "Version" in file and "Data" in file and "velox" in str(file["Version"][0]).lower()


def read_velox(path: Path) -> list[Stored]:
    """Return the images, one EDS cube per detector, and the EELS cubes; cubes stay on disk (Dask)."""
    with opened(path) as file:
        data = file["Data"]
        scan = next((_metadata(group) for group in data.get("SpectrumImage", {}).values()), {})
        images = list(_images(data, path, _titles(file), scan))
        shape = _scan_shape(data, images)
        return [*images, *_eds(data, path, shape, scan), *_eels(data, path, scan)]


# --- images ---------------------------------------------------------------------------------------------------------


def _images(data: Any, path: Path, titles: Mapping[str, str], scan: Mapping[str, Any]) -> Iterator[Stored]:
    in_scan = "SpectrumImage" in data  # frames of one scan are summed by Velox itself: the first is what it shows
    for key, group in data.get("Image", {}).items():
        dataset, about = group["Data"], _metadata(group)
        check_size(path, dataset.size * dataset.dtype.itemsize)
        if dataset.dtype.kind not in "biuf":
            continue  # Fourier transforms
        frames = dataset.shape[2]
        values = dataset[:, :, 0] if in_scan or frames == 1 else np.moveaxis(dataset[()], 2, 0)
        detector = str(about.get("BinaryResult", {}).get("Detector", ""))
        space = _space(about, scan, values.shape[-2:])
        title, angles = titles.get(key, detector), None
        if values.ndim == 3:
            space = (make_axis({"name": "frame", "size": frames}), *space)
            angles = _stage_of_frames(group)
        yield Stored(values, space, title=title, detector=detector, angles_deg=angles, stage_deg=_stage(about))


def _stage_of_frames(group: Any) -> NDArray[np.float64] | None:
    """Return the tilt of every frame, None if the stage did not move or was not recorded."""
    tilts = [_stage(_metadata(group, frame=frame)) for frame in range(group["Metadata"].shape[1])]
    known = np.array([math.nan if tilt is None else tilt for tilt in tilts])
    return known if len(tilts) == group["Data"].shape[2] and np.ptp(known) > STAGE_STILL_DEG else None


def _titles(file: Any) -> dict[str, str]:
    """Return what Velox calls each image on the screen, by the key of its data; its identifier where titles repeat."""
    shown: dict[str, tuple[str, str]] = {}
    for place in ("Displays/ImageDisplay", "Presentation/Displays/ImageDisplay"):
        for display in (_json(item[0]) for item in file.get(place, {}).values()):
            target = str(display.get("dataPath") or display.get("data") or "")
            if target in file and not target.startswith("/Data"):
                target = str(_json(file[target][0]).get("dataPath", ""))
            title = str(display.get("title") or display.get("display", {}).get("label", ""))
            if target and title:
                shown[target.rstrip("/").split("/")[-1]] = (title, str(display.get("id") or title))
    titles = [title for title, _ in shown.values()]
    return {key: title if titles.count(title) == 1 else name for key, (title, name) in shown.items()}


# --- EDS ------------------------------------------------------------------------------------------------------------


def _eds(data: Any, path: Path, shape: tuple[int, int], scan: Mapping[str, Any]) -> Iterator[Stored]:
    streams = data.get("SpectrumStream", {})
    for group in streams.values():
        about = _metadata(group)
        n_channels = int(_json(group["AcquisitionSettings"][0])["bincount"])
        stream = EventStream(path, group["Data"].name, (*shape, n_channels))
        rows = max(1, _CHUNK_BYTES // (4 * shape[1] * n_channels))
        counts = lazily(stream, path, chunks=(rows, shape[1], n_channels))
        axes = (*_space(about, scan, shape), _xray_axis(about, n_channels))
        detector = str(about["BinaryResult"]["Detector"])
        yield Stored(
            counts, axes, title="EDS", signal_type="EDS_TEM", detector=detector, stage_deg=_stage(about)
        )  # fmt: skip
    if "SpectrumImage" in data and not len(streams):
        yield Stored(np.empty((0, 0, 0)), (), title="EDS", signal_type=PRUNED)


def _xray_axis(about: Mapping[str, Any], n_channels: int) -> Axis:
    name = about["BinaryResult"]["Detector"]
    detector = next(item for item in about["Detectors"].values() if name in item["DetectorName"])
    step, offset = float(detector["Dispersion"]), float(detector["OffsetEnergy"])
    return make_axis({"name": "X-ray energy", "units": "eV", "scale": step, "offset": offset, "size": n_channels})


class EventStream:
    """Counts (y, x, channel) of one detector, made from its stream where they are sliced.

    The stream is read and sorted by pixel once, on first use: six bytes stay in memory for each X-ray.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, int, int]) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.uint32), 3
        self._path, self._name = path, name
        self._events: tuple[NDArray[np.uint16], NDArray[np.intp]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_events": None}  # another process reads the file itself

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        whole = np.empty(self.shape[:1])
        rows, others = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        first, last, step = rows.indices(len(whole))
        counts = self._rows(first, last)
        return counts[(slice(None, None, step), *others)]

    def _rows(self, first: int, last: int) -> NDArray[np.uint32]:
        channels, starts = self._sorted()
        n_pixels, n_channels = (last - first) * self.shape[1], self.shape[2]
        starts = starts[first * self.shape[1] : last * self.shape[1] + 1]
        pixel = np.repeat(np.arange(n_pixels), np.diff(starts))
        place = pixel * n_channels + channels[starts[0] : starts[-1]]
        counts = np.bincount(place, minlength=n_pixels * n_channels)
        return counts.astype(np.uint32).reshape(last - first, *self.shape[1:])

    def _sorted(self) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
        """Return the channels of all X-rays by pixel, and where each pixel begins among them."""
        if self._events is None:
            with opened(self._path) as file:
                stream = file[self._name][:, 0]
            self._events = decode(stream, n_pixels=self.shape[0] * self.shape[1], n_channels=self.shape[2])
        return self._events


def decode(stream: Any, *, n_pixels: int, n_channels: int) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
    """Return channels sorted by pixel and the ``n_pixels + 1`` places where each pixel begins; frames are added up.

    Examples
    --------
    >>> channels, starts = decode(np.array([7, 65535, 3, 7, 65535, 5], np.uint16), n_pixels=2, n_channels=8)
    >>> channels.tolist(), starts.tolist()
    ([7, 5, 3, 7], [0, 2, 4])
    """
    stream = np.asarray(stream, dtype=np.uint16)
    is_event = stream != _NEXT_PIXEL
    channels = stream[is_event]
    if channels.size and int(channels.max()) >= n_channels:
        raise ValueError(f"channel {channels.max()} of {n_channels}")
    pixels = (np.cumsum(~is_event, dtype=np.int64)[is_event] % n_pixels).astype(np.uint32)
    order = np.argsort(pixels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(pixels, minlength=n_pixels))])
    return channels[order], starts.astype(np.intp)


# --- EELS -----------------------------------------------------------------------------------------------------------


def _eels(data: Any, path: Path, scan: Mapping[str, Any]) -> Iterator[Stored]:
    for group in data.get("EelsSpectrumImage", {}).values():
        about, scale = _metadata(group), _metadata(group, "AcquisitionMetadata")["Data"]
        dataset = group["Data"]  # (x, energy, y)
        check_size(path, dataset.size * dataset.dtype.itemsize)
        counts = lazily(HDF5Array(dataset, path), path, chunks=dataset.chunks)
        counts = counts.transpose(2, 0, 1) if dataset.ndim == 3 else counts.transpose(0, 1)[np.newaxis]
        counts = _intensity(counts, scale)
        step, offset, n = float(scale["dispersion"]), float(scale["offset"]), counts.shape[-1]
        energy = make_axis({"name": "Energy loss", "units": "eV", "scale": step, "offset": offset, "size": n})
        yield Stored(
            counts,
            (*_space(about, scan, counts.shape[:2]), energy),
            title=f"EELS {offset:.0f} to {offset + (n - 1) * step:.0f} eV",
            signal_type="EELS",
            detector=str(about.get("BinaryResult", {}).get("Detector", "")),
            stage_deg=_stage(about),
        )


def _intensity(counts: Any, scale: Mapping[str, Any]) -> Any:
    """Return what the file says that its counts mean: times a scale, plus an offset that takes the dark level off."""
    factor, offset = float(scale.get("intensityScale", 1)), float(scale.get("intensityOffset", 0))
    if not (math.isfinite(offset) and math.isfinite(factor) and factor > 0):
        raise ValueError(f"intensities of counts times {factor} plus {offset}")
    if (factor, offset) == (1, 0):
        return counts
    return counts.astype(np.float32) * np.float32(factor) + np.float32(offset)


# --- metadata -------------------------------------------------------------------------------------------------------


def _json(text: Any) -> Any:
    return json.loads(bytes(text).decode("utf-8"))


def _metadata(group: Any, name: str = "Metadata", *, frame: int = 0) -> dict[str, Any]:
    """Return the metadata of one frame, JSON in a column of bytes that ends with zeros."""
    return dict(_json(bytes(group[name][:, frame]).split(b"\0")[0])) if name in group else {}


def _space(about: Mapping[str, Any], scan: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """Return y and x; an EELS image does not state its pixel, but the scan that it belongs to does."""
    for source in (about, scan):
        result = source.get("BinaryResult", {})
        if "PixelSize" in result:
            size, units = result["PixelSize"], str(result.get("PixelUnitX", ""))
            steps = (float(size["height"]), float(size["width"]))
            if units == "m":
                return space_axes("yx", [step * 1e9 for step in steps], tuple(shape))
            described = zip("yx", steps, shape, strict=True)
            return tuple(make_axis({"name": a, "units": units, "scale": s, "size": n}) for a, s, n in described)
    return tuple(make_axis({"name": name, "size": n}) for name, n in zip("yx", shape, strict=True))


def _stage(about: Mapping[str, Any]) -> float | None:
    angle = about.get("Stage", {}).get("AlphaTilt")  # rad
    return None if angle is None else math.degrees(float(angle))


def _scan_shape(data: Any, images: list[Stored]) -> tuple[int, int]:
    """Return (y, x) of the spectra: that of the maps Velox made of them, else of the part of the frame scanned."""
    for group in data.get("SpectrumStream", {}).values():
        about = _metadata(group)
        detector = str(about["BinaryResult"]["Detector"])
        for image in images:
            if image.data.ndim == 2 and image.detector and detector.startswith(image.detector):
                return (int(image.data.shape[0]), int(image.data.shape[1]))
        scan = about["Scan"]
        size, area = scan["ScanSize"], scan.get("ScanArea", {"left": 0, "top": 0, "right": 1, "bottom": 1})
        height = (float(area["bottom"]) - float(area["top"])) * float(size["height"])
        width = (float(area["right"]) - float(area["left"])) * float(size["width"])
        return (round(height), round(width))
    return (0, 0)
