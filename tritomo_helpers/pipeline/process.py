"""One particle: from its files to a folder of results, each stage kept by what it depends on."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import io
from .._validation import check_option, fail
from ..containers import Tomogram
from ..store import files, fingerprint, results
from . import stages
from .inputs import ROLES, Understood, understand
from .report import report_page

METHODS = ("best", "paper")
DONE, WARNINGS = 0, 3
"""What the command line returns: all went as it should, or look at the warnings."""

T = TypeVar("T")


def process(
    source: str | Path,
    *,
    out: str | Path,
    method: str = "best",
    k_factors: Mapping[str, float] | None = None,
    references: Any = None,
    resume: bool = True,
    client: Any = None,
    progress: bool = False,
) -> Path:
    """Process one particle, from files to a folder of results.

    Parameters
    ----------
    source : str or path
        A dataset's name, or a folder as `understand` takes it.
    out : str or path
        Folder of the results, made if need be: ``adf.mrc``, ``adf.vti``, ``adf.hspy``, ``profiles.csv``,
        ``summary.json``, ``provenance.json``, ``report.html``, ``stages/``.
    method : {"best", "paper"}
        Total variation with its weight chosen on tilts set aside, or GENFIRE with the paper's parameters.
    k_factors, references : None
        For composition and valence, which this pipeline does not compute yet.
    resume : bool, default True
        Use what an earlier run, complete or killed, has left in ``out/stages`` and is of today's code, files and
        settings.
    client : distributed.Client, optional
        Run on one of its workers instead of here. The worker needs the same files and `out`.
    progress : bool, default False
        Show a bar of the stages on standard error.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ValueError
        Before anything is run: the source is not known or does not go together, or an option is not as above.

    Notes
    -----
    Every file appears whole or not at all, and ``summary.json`` last. Killed at any moment and started again, the
    result is the same to the last bit on one machine.

    Examples
    --------
    >>> import tempfile
    >>> out = process("twin/tiny", out=Path(tempfile.mkdtemp()) / "tiny")
    >>> sorted(path.name for path in out.iterdir() if path.suffix == ".json")
    ['provenance.json', 'summary.json']
    """
    check_option(method, "method", METHODS)
    for name, value in (("k_factors", k_factors), ("references", references)):
        if value is not None:
            raise fail(
                name, expected="None", got=type(value).__name__, remedy="compute composition and valence yourself"
            )
    understood = understand(source)
    understood.check()
    if client is not None:
        future = client.submit(process, source, out=out, method=method, resume=resume, pure=False)
        return Path(future.result())
    folder = Path(out).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".lock"):
        _process(understood, folder, method=method, resume=resume, progress=progress)
    return folder


def _process(understood: Understood, folder: Path, *, method: str, resume: bool, progress: bool) -> None:
    checksums = understood.checksums()
    adf_files = {path.name: checksums[path.name] for path in understood.channels["adf"].files}
    inputs = {"files": adf_files, "settings": dict(understood.settings)}
    keep = _Keeper(folder / "stages", resume=resume)
    with _bar(understood.name, progress) as step:
        step("aligning")
        aligned = keep("align", stages.align, stages.Aligned, lambda: stages.align(understood.load("adf")), inputs)  # type: ignore[arg-type]
        step("reconstructing")
        density = keep(
            "density", stages.reconstruct, stages.Density, lambda: stages.reconstruct(aligned, method=method), method
        )
        step("measuring")
        particle = keep("particle", stages.measure, stages.Particle, lambda: stages.measure(density), None)
        step("writing")
        _write(folder, understood, aligned, density, particle, method=method, checksums=checksums, keys=keep.keys)


class _Keeper:
    """Computes a stage, or takes what is kept of it; each stage depends on those before it."""

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder, self.resume = folder, resume
        self.keys: dict[str, str] = {}

    def __call__(self, name: str, code: Callable[..., Any], kind: type[T], make: Callable[[], T], settings: Any) -> T:
        before = list(self.keys.values())[-1:]
        key = fingerprint.digest({"code": fingerprint.parts(code), "settings": settings, "before": before})
        self.keys[name] = key
        path = self.folder / f"{name}.npz"
        stored = results.read_if_intact(path) if self.resume else None
        if stored is not None and stored[1].get("key") == key:
            return results.from_arrays(kind, stored[0])
        start = time.perf_counter()
        value = make()
        source = {"key": key, **results.environment(), "seconds": round(time.perf_counter() - start, 2)}
        results.write(path, results.to_arrays(value), source)
        # As the next run will read it, so that both go on from the same bits.
        return results.from_arrays(kind, results.read(path)[0])


@contextmanager
def _bar(name: str, shown: bool) -> Iterator[Callable[[str], None]]:
    import tqdm

    with tqdm.tqdm(total=4, desc=name, unit="stage", file=sys.stderr, disable=not shown, leave=False) as bar:
        first = True

        def step(text: str) -> None:
            nonlocal first
            bar.update(0 if first else 1)
            bar.set_postfix_str(text)
            first = False

        yield step


def _write(
    folder: Path,
    understood: Understood,
    aligned: stages.Aligned,
    density: stages.Density,
    particle: stages.Particle,
    *,
    method: str,
    checksums: Mapping[str, str],
    keys: Mapping[str, str],
) -> None:
    """Write everything that people and programs read; the summary last, since it says that all is there."""
    (folder / "summary.json").unlink(missing_ok=True)
    tomogram = Tomogram(density.values, density.voxel_size_nm, "relative density")
    for suffix in (".mrc", ".vti", ".hspy"):
        io.save(tomogram, folder / f"adf{suffix}")
    summary = _summary(understood, aligned, density, particle, method=method)
    _text(folder / "profiles.csv", _profiles(particle))
    _text(folder / "provenance.json", _json(_provenance(understood, aligned, density, method, checksums, keys)))
    _text(folder / "report.html", report_page(summary, tomogram, particle, table=understood.table()))
    _text(folder / "summary.json", _json(summary))


def _summary(
    understood: Understood, aligned: stages.Aligned, density: stages.Density, particle: stages.Particle, *, method: str
) -> dict[str, Any]:
    not_done = {}
    for what, roles in (("composition", ("eds",)), ("valence", ("low_loss", "core_loss"))):
        missing = [ROLES[role] for role in roles if role not in understood.channels]
        reason = f"no {' and no '.join(missing)} in the source" if missing else "not part of this pipeline yet"
        not_done[what] = reason
    unused = [ROLES[role] for role in understood.channels if role != "adf"]
    said = [*understood.notes, *aligned.warnings, *density.warnings, *particle.warnings]
    said += [f"{', '.join(unused)}: read and checked, but not used"] if unused else []
    return {
        "particle": understood.name,
        "method": method,
        "warnings": [note for note in said if not note.startswith("no ")],
        "limits": list(stages.LIMITS),
        "done": ["ADF alignment", "ADF tomography", "mask, shells and density profile"],
        "not_done": not_done,
        "values": {
            "n_tilts": int(aligned.series.n_tilts),
            "volume_nm3": round(particle.volume_nm3, 1),
            "largest_extent_nm": round(particle.largest_extent_nm, 2),
            "n_shells": int(particle.shells.max()),
            "r_factor": round(float(density.r_factor[-1]), 5),
            "surface_density": round(float(particle.density_mean[0]), 4),
        },
    }


def _profiles(particle: stages.Particle) -> str:
    rows = zip(particle.depth_nm, particle.n_voxels, particle.density_mean, particle.density_sd, strict=True)
    lines = [f"{depth:.4f},{n},{mean:.6f},{sd:.6f}" for depth, n, mean, sd in rows]
    return "\n".join(["depth_nm,n_voxels,density_mean,density_sd", *lines]) + "\n"


def _provenance(
    understood: Understood,
    aligned: stages.Aligned,
    density: stages.Density,
    method: str,
    checksums: Mapping[str, str],
    keys: Mapping[str, str],
) -> dict[str, Any]:
    shifts = np.asarray(aligned.alignment.shifts_px)
    return {
        "inputs": {name: f"sha256:{checksum}" for name, checksum in checksums.items()},
        "settings": dict(understood.settings),
        "method": method,
        "versions": results.environment(),
        "stages": dict(keys),
        "alignment": {
            "method": aligned.alignment.method,
            "why": list(aligned.alignment.why),
            "largest_shift_px": round(float(np.nanmax(np.abs(shifts))), 3),
            "axis_rotation_deg": round(aligned.alignment.axis_rotation_deg, 4),
        },
        "reconstruction": {"settings": density.method, "choices": list(density.choices)},
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _text(path: Path, text: str) -> None:
    with files.atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
