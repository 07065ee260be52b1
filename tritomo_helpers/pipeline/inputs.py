"""What a source holds: a dataset by name, or a folder of files sorted by what is in them."""

import hashlib
import os
import re
import warnings
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import datasets, io, tilt_series
from .._typing import Floats
from .._validation import check_positive, check_range, fail
from ..constants import BEAM_ENERGY_KEV, COLLECTION_ANGLE_MRAD, CONVERGENCE_ANGLE_MRAD, SAME_ANGLE_DEG
from ..containers import SpectrumTiltSeries, TiltSeries
from ..spectroscopy import xray
from ..spectroscopy.xray.lines import atomic_number

ROLES = {"adf": "ADF", "eds": "EDS", "low_loss": "EELS low-loss", "core_loss": "EELS core-loss"}
"""Role to the label of its container."""

ANGLE_FILES = (".rawtlt", ".tlt", ".mdoc")
"""Beside a stack: they hold its tilt angles."""
SETTINGS = "tritomo.yaml"
OPTICS = ("beam_energy_kev", "convergence_angle_mrad", "collection_angle_mrad")
_KNOWN_SETTINGS = ("files", "titles", "tilt_angles_deg", "tilt_axis", "pixel_size_nm", "bin", "elements", *OPTICS)
ELEMENTS = ("O", "Mn", "Co", "Ni")
LINE_WINDOW_EV = (350.0, 1200.0)
ROOM_EV = 250.0
"""Beyond a line: its width, and what tells background from it."""
Series = TypeVar("Series", TiltSeries, SpectrumTiltSeries)


@dataclass(frozen=True, eq=False)
class Channel:
    """One kind of signal, as it will be loaded.

    Parameters
    ----------
    role : {"adf", "eds", "low_loss", "core_loss"}
    files : tuple of Path
        One stack, or one file per tilt.
    shape : tuple of int
        (tilt, y, x) or (tilt, y, x, energy).
    tilt_angles_deg : ndarray
    pixel_size_nm : float
    what : str
        In words.
    """

    role: str
    files: tuple[Path, ...]
    shape: tuple[int, ...]
    tilt_angles_deg: Floats
    pixel_size_nm: float
    what: str


@dataclass(frozen=True, eq=False)
class Understood:
    """What was found in a source, what cannot be, and what is missing.

    Parameters
    ----------
    name : str
        Of the particle.
    channels : mapping of role to Channel
    settings : mapping
        From ``tritomo.yaml``.
    ignored : mapping of str to str
        File name to reason.
    problems : tuple of str
        Why nothing can be run; empty if it can.
    notes : tuple of str
        What will not be possible, and what is unusual.
    """

    name: str
    channels: Mapping[str, Channel]
    settings: Mapping[str, Any]
    ignored: Mapping[str, str]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements to be looked for in X-ray spectra: those of ``tritomo.yaml``, else O, Mn, Co and Ni."""
        return tuple(self.settings.get("elements", ELEMENTS))

    @property
    def optics(self) -> dict[str, float]:
        """What ``tritomo.yaml`` says of beam energy and angles."""
        return {name: float(self.settings[name]) for name in OPTICS if name in self.settings}

    @property
    def other_optics(self) -> dict[str, float]:
        """Those that are not the ones of the published experiment."""
        published = {
            "beam_energy_kev": BEAM_ENERGY_KEV,
            "convergence_angle_mrad": CONVERGENCE_ANGLE_MRAD,
            "collection_angle_mrad": COLLECTION_ANGLE_MRAD,
        }
        return {name: value for name, value in self.optics.items() if value != published[name]}

    def table(self) -> str:
        """Return all of it as lines of text."""
        lines = [f"{self.name}"]
        for role, label in ROLES.items():
            channel = self.channels.get(role)
            if channel is None:
                unread = any(problem.startswith(f"{label}: ") for problem in self.problems)
                lines.append(f"  {label:<15} {'see PROBLEM' if unread else 'none'}")
                continue
            angles = channel.tilt_angles_deg
            files = channel.files[0].name if len(channel.files) == 1 else f"{len(channel.files)} files"
            lines.append(
                f"  {label:<15} {files}: {' x '.join(map(str, channel.shape))}, {angles.size} tilts "
                f"{angles[0]:g} to {angles[-1]:g} deg, {channel.pixel_size_nm:.4g} nm per pixel, {channel.what}"
            )
        axis = self.settings.get("tilt_axis", f"y, as nothing says otherwise (tilt_axis in {SETTINGS})")
        lines.append(f"  tilt axis       image {axis}")
        lines += [f"  ignored         {file}: {why}" for file, why in self.ignored.items()]
        lines += [f"  note            {note}" for note in self.notes]
        lines += [f"  PROBLEM         {problem}" for problem in self.problems]
        return "\n".join(lines)

    def check(self) -> None:
        """Raise ValueError that lists every problem, if there is any."""
        if self.problems:
            raise fail(
                f"source {self.name}",
                expected="files that belong together",
                got="; ".join(self.problems),
                remedy=f"complete the folder, or say in its {SETTINGS} what the files do not",
            )

    def load(self, role: str) -> TiltSeries | SpectrumTiltSeries:
        """Return one channel, at the tilt angles of ADF; spectra stay on disk."""
        series = _load(role, self.channels[role].files, self.settings)
        angles = self.channels.get("adf", self.channels[role]).tilt_angles_deg
        return series.replace(tilt_angles_deg=angles) if _same_tilts(series.tilt_angles_deg, angles) else series

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of every file that a channel comes from, those of angles beside a stack too.

        By the name below the folder that holds all of them: two may share their last name.
        """
        return {name: _checksum(file) for file, name in self._names().items()}

    def files_of(self, role: str) -> list[str]:
        """Return the names, as in `checksums`, of what one channel comes from."""
        names = self._names()
        return [names[file] for file in _with_angles_beside(self.channels[role].files)]

    def _names(self) -> dict[Path, str]:
        files = dict.fromkeys(f for channel in self.channels.values() for f in _with_angles_beside(channel.files))
        top = os.path.commonpath([file.parent for file in files])
        return {file: file.relative_to(top).as_posix() for file in files}


def understand(source: str | Path) -> Understood:
    """Find out what a source holds, and everything that is missing or does not go together, before anything is run.

    Parameters
    ----------
    source : str or path
        A name in data_manifest.yaml, or a folder. Roles go by content: images are ADF, X-ray energies EDS, an
        energy-loss axis that holds 0 eV is low loss, one that overlaps 400 to 1000 eV core loss; one stack or one file
        per tilt.
        A ``tritomo.yaml`` in the folder may set ``files`` (role to names), ``tilt_angles_deg``, ``tilt_axis`` ("x" if
        the axis lies along image x), ``pixel_size_nm`` (of the files), ``bin`` (2 adds up 2 x 2 pixels of every
        channel), ``elements`` (O, Mn, Co, Ni if not given), ``titles`` (role to the array that is meant, where a file
        holds several), and the optics: ``beam_energy_kev``, ``convergence_angle_mrad``, ``collection_angle_mrad``
        (300, 25.2, 100 if not given). For a name, the manifest's own ``settings`` say the same.

    Returns
    -------
    Understood

    Raises
    ------
    ValueError
        If the source is neither, or its ``tritomo.yaml`` cannot be understood.

    Examples
    --------
    >>> print(understand("twin/tiny").table().splitlines()[1])
      ADF             adf.hspy: 5 x 16 x 16, 5 tilts -60 to 60 deg, 18.52 nm per pixel, images
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        settings = _settings(folder)
        files_of_role, ignored = _sorted_files(folder, settings)
        return _understood(folder.resolve().name, files_of_role, settings, ignored)
    try:
        entry = datasets.dataset(str(source))
    except ValueError as error:
        raise fail(
            "source",
            expected="a folder, or a name in data_manifest.yaml",
            got=repr(str(source)),
            remedy="see `python -m tritomo_helpers data list`",
        ) from error
    parts = [role for role in ROLES if entry.generated is not None]
    files = datasets.fetch(entry.name, parts=parts or None, progress=False)
    if entry.generated is not None:
        settings = {"elements": list(ELEMENTS)}
        return _understood(entry.name, {role: [path] for role, path in files.items()}, settings, {})
    files_of_role, ignored = _by_content(sorted(files.values()))
    return _understood(entry.name, files_of_role, dict(entry.settings), ignored)


def _settings(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / SETTINGS
    if not path.is_file():
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise fail(SETTINGS, expected="YAML", got=str(error), remedy="correct the line named") from error
    unknown = sorted(set(settings) - set(_KNOWN_SETTINGS)) if isinstance(settings, dict) else [type(settings).__name__]
    for mapping in ("files", "titles") if not unknown else ():
        by_role = settings.get(mapping, {})
        unknown += sorted(set(by_role) - set(ROLES)) if isinstance(by_role, dict) else [f"{mapping}: {by_role}"]
    if unknown:
        raise fail(
            SETTINGS,
            expected=f"some of {', '.join(_KNOWN_SETTINGS)}; files by {', '.join(ROLES)}",
            got=", ".join(map(str, unknown)),
            remedy="correct the names",
        )
    _check_settings(settings)
    return dict(settings)


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name in ("pixel_size_nm", *OPTICS):
        if name in settings:
            check_positive(settings[name], f"{name} in {SETTINGS}")
    check_range(settings.get("beam_energy_kev", BEAM_ENERGY_KEV), f"beam_energy_kev in {SETTINGS}", 20.0, 1500.0)
    for role, names in settings.get("files", {}).items():
        if not isinstance(names, str) and not (
            isinstance(names, list) and names and all(isinstance(name, str) for name in names)
        ):
            raise fail(
                f"files in {SETTINGS}", expected=f"a name or names for {role}", got=repr(names), remedy="name the files"
            )
    elements = settings.get("elements", ELEMENTS)
    if not isinstance(elements, list | tuple) or not elements:
        raise fail(f"elements in {SETTINGS}", expected="a list", got=repr(elements), remedy="write it as [O, Mn]")
    for element in elements:
        atomic_number(element)
    if len({*elements}) < len(elements):
        raise fail(
            f"elements in {SETTINGS}", expected="each element once", got=repr(elements), remedy="drop the repeats"
        )
    window_ev = line_window_ev(tuple(elements))
    for element in elements:
        xray.main_line(element, window_ev=window_ev)


def line_window_ev(elements: tuple[str, ...]) -> tuple[float, float]:
    """Return the energies to fit: O K and the L lines of 3d metals, and beyond for elements that have no line there."""
    top = LINE_WINDOW_EV[1]
    for element in elements:
        energies = [1e3 * line.energy_kev for line in xray.lines([element]) if line.energy_kev > 0.4]
        if energies and not any(energy <= LINE_WINDOW_EV[1] for energy in energies):
            top = max(top, min(energies) + ROOM_EV)
    return LINE_WINDOW_EV[0], top


def _sorted_files(folder: Path, settings: Mapping[str, Any]) -> tuple[dict[str, list[Path]], dict[str, str]]:
    if "files" in settings:
        named = {role: [names] if isinstance(names, str) else names for role, names in settings["files"].items()}
        return {role: [folder / name for name in names] for role, names in named.items()}, {}
    return _by_content(sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")))


def _by_content(paths: list[Path]) -> tuple[dict[str, list[Path]], dict[str, str]]:
    roles: dict[str, list[Path]] = {}
    ignored: dict[str, str] = {}
    for path in paths:
        if path.name == SETTINGS or path.suffix.lower() in ANGLE_FILES:
            continue
        try:
            contents = io.describe(path)
        except (ValueError, OSError) as error:
            ignored[path.name] = str(error)
            continue
        known = {content.role for content in contents} - {""}
        if not known:
            ignored[path.name] = contents[0].what if contents else "no format of a microscope"
        for role in known:
            roles.setdefault(role, []).append(path)
    return roles, ignored


def _understood(
    name: str, files_of_role: Mapping[str, list[Path]], settings: Mapping[str, Any], ignored: Mapping[str, str]
) -> Understood:
    channels: dict[str, Channel] = {}
    problems: list[str] = []
    for role, files in files_of_role.items():
        try:
            channels[role] = _channel(role, tuple(files), settings)
        except (ValueError, OSError) as error:
            problems.append(f"{ROLES[role]}: {_by_settings(str(error))}")
    if "adf" not in files_of_role:
        problems.append("no ADF images, from which everything else is aligned and masked")
    if "core_loss" in files_of_role and "low_loss" not in files_of_role:
        problems.append("core-loss spectra without low-loss spectra, which deconvolution and energy alignment need")
    if "adf" in channels and channels["adf"].tilt_angles_deg.size < 3:
        n = channels["adf"].tilt_angles_deg.size
        problems.append(f"{n} {'tilt' if n == 1 else 'tilts'}, and a tomogram needs three at least")
    problems += _disagreements(channels)
    notes = [*_notes(channels, settings, files_of_role), *_contradictions(channels, settings)]
    return Understood(name, channels, settings, ignored, tuple(problems), tuple(notes))


def _by_settings(message: str) -> str:
    """Return the message of a reader with the line of the settings that stands for an argument of the reader."""
    said = re.sub(r"\bpass (tilt_angles_deg|pixel_size_nm)", rf"set \1 in {SETTINGS}", message)
    return re.sub(r"\btitle=(?: or index=)?", f"titles in {SETTINGS}", said)


def _contradictions(channels: Mapping[str, Channel], settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a setting says another pixel size or other angles than the files of ADF do."""
    for key, tolerance in (("pixel_size_nm", 1e-3), ("tilt_angles_deg", 0.05)):
        if key not in settings or "adf" not in channels:
            continue
        channel = channels["adf"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                series = _load("adf", channel.files, {name: s for name, s in settings.items() if name != key})
        except ValueError:  # the files state none, which is why the setting is there
            continue
        used, stated = (np.atleast_1d(getattr(of, key)) for of in (channel, series))
        relative = stated if key == "pixel_size_nm" else 1.0
        if used.shape != stated.shape or np.any(np.abs(used - stated) > tolerance * relative):
            yield (
                f"{key} is {used[0]:.4g}{' ...' if used.size > 1 else ''} by {SETTINGS}, and the files of ADF state "
                f"{stated[0]:.4g}{' ...' if stated.size > 1 else ''}"
            )


def _channel(role: str, files: tuple[Path, ...], settings: Mapping[str, Any]) -> Channel:
    series = _load(role, files, settings)
    values = series.images if isinstance(series, TiltSeries) else series.counts
    what = "images"
    if isinstance(series, SpectrumTiltSeries):
        what = " to ".join(_energy_text(float(series.energy_ev[end])) for end in (0, -1)) + " eV"
    return Channel(role, files, tuple(values.shape), series.tilt_angles_deg, series.pixel_size_nm, what)


def _energy_text(energy_ev: float) -> str:
    """Write an energy as a plain number: 40,950 and not 4.095e+04."""
    return f"{energy_ev:,.0f}" if abs(energy_ev) >= 1000 else f"{energy_ev:.4g}"


def _load(role: str, files: tuple[Path, ...], settings: Mapping[str, Any]) -> TiltSeries | SpectrumTiltSeries:
    source: Any = files[0] if len(files) == 1 else files
    given = {key: settings[key] for key in ("tilt_angles_deg", "tilt_axis", "pixel_size_nm") if key in settings}
    if role in settings.get("titles", {}):
        given["title"] = settings["titles"][role]
    if role == "adf":
        return _binned(io.load_tilt_series(source, label="ADF", **given), settings)
    return _binned(io.load_spectra(source, signal=ROLES[role], lazy=True, **given), settings)


def _binned(series: Series, settings: Mapping[str, Any]) -> Series:
    return tilt_series.bin_pixels(series, settings["bin"]) if "bin" in settings else series


def _same_tilts(one_deg: Floats, other_deg: Floats) -> bool:
    """Whether two channels are of the same tilts: the goniometer is read out anew for each."""
    return one_deg.shape == other_deg.shape and np.allclose(one_deg, other_deg, rtol=0, atol=SAME_ANGLE_DEG)


def _without_partner(angles_deg: Floats, others_deg: Floats) -> Floats:
    """Return the angles to which no other one comes near."""
    distance = np.abs(np.subtract.outer(angles_deg, others_deg)).min(axis=1, initial=np.inf)
    return np.asarray(angles_deg[distance > SAME_ANGLE_DEG])


def _disagreements(channels: Mapping[str, Channel]) -> list[str]:
    """Return how the channels contradict the ADF series."""
    adf = channels.get("adf")
    if adf is None:
        return []
    problems = []
    for role, channel in channels.items():
        label = ROLES[role]
        missing = _without_partner(adf.tilt_angles_deg, channel.tilt_angles_deg)
        extra = _without_partner(channel.tilt_angles_deg, adf.tilt_angles_deg)
        if not _same_tilts(adf.tilt_angles_deg, channel.tilt_angles_deg):
            listed = [f"{a:g} deg is missing in {label}" for a in missing] + [f"{a:g} deg in ADF" for a in extra]
            problems.append(f"tilts differ: {', '.join(listed[:5])}")
        if channel.shape[1:3] != adf.shape[1:3]:
            problems.append(f"images of {label} are {channel.shape[1:3]} pixels and those of ADF {adf.shape[1:3]}")
        if not np.isclose(channel.pixel_size_nm, adf.pixel_size_nm, rtol=1e-3):
            problems.append(
                f"a pixel of {label} is {channel.pixel_size_nm:.4g} nm and of ADF {adf.pixel_size_nm:.4g} nm"
            )
    return problems


def _notes(channels: Mapping[str, Channel], settings: Mapping[str, Any], roles: Container[str]) -> list[str]:
    """Return what is unusual, and what cannot be done for want of a role; one that cannot be read is a problem."""
    notes = []
    adf = channels.get("adf")
    if adf is not None and adf.tilt_angles_deg.size > 3:
        steps = np.diff(adf.tilt_angles_deg)
        wide = np.flatnonzero(steps > 1.6 * np.median(steps))
        notes += [f"a gap from {adf.tilt_angles_deg[i]:g} to {adf.tilt_angles_deg[i + 1]:g} deg" for i in wide]
    if "eds" not in roles:
        notes.append("no EDS, so no composition")
    elif "elements" not in settings:
        notes.append(f"elements taken to be {', '.join(ELEMENTS)}: name others in {SETTINGS}")
    if "core_loss" not in roles:
        notes.append("no core-loss EELS, so no valence")
    return notes


def _with_angles_beside(files: tuple[Path, ...]) -> list[Path]:
    beside = [p for file in files for s in ANGLE_FILES for p in (file.with_suffix(s), file.with_name(file.name + s))]
    return [*files, *(path for path in dict.fromkeys(beside) if path.is_file())]


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
