"""One particle: from its files to a folder of results, each stage kept by what it depends on."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import io
from .._typing import Floats
from .._validation import check_option, check_positive, fail
from ..containers import Tomogram
from ..particles import rock_salt
from ..store import files, fingerprint, results
from . import stages
from .chemistry import OXIDE, Composition, compose
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
        Folder of the results, made if need be: ``adf`` (and with the paper's method each element, in at%) as .mrc, .vti
        and .hspy, ``profiles.csv``, ``summary.json``, ``provenance.json``, ``report.html``, ``stages/``.
    method : {"best", "paper"}
        ADF by total variation with its weight chosen on tilts set aside, and the mean composition; or the paper's
        chain: GENFIRE of ADF and of every element.
    k_factors : mapping of str to float, optional
        Of each element, for atomic fractions; computed from cross-sections by default.
    references : None
        For valence, which this pipeline does not compute yet.
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
    if references is not None:
        raise fail("references", expected="None", got=type(references).__name__, remedy="compute valence yourself")
    understood = understand(source)
    understood.check()
    if k_factors is not None:
        _check_k_factors(k_factors, understood)
    if client is not None:
        options = {"method": method, "k_factors": k_factors, "resume": resume}
        return Path(client.submit(process, source, out=out, pure=False, **options).result())
    folder = Path(out).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".lock"):
        _process(understood, folder, method=method, k_factors=k_factors, resume=resume, progress=progress)
    return folder


def _check_k_factors(k_factors: Mapping[str, float], understood: Understood) -> None:
    if set(k_factors) != set(understood.elements):
        raise fail(
            "k_factors",
            expected=f"one for each of {', '.join(understood.elements)}",
            got=", ".join(k_factors),
            remedy="name the elements in tritomo.yaml, and give their k-factors",
        )
    for element, value in k_factors.items():
        check_positive(value, f"k_factors[{element!r}]")


def _process(
    understood: Understood,
    folder: Path,
    *,
    method: str,
    k_factors: Mapping[str, float] | None,
    resume: bool,
    progress: bool,
) -> None:
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
        chemistry = None
        if "eds" in understood.channels:
            step("composing")
            chemistry = keep(
                "composition",
                compose,
                Composition,
                lambda: compose(
                    understood.load("eds"),  # type: ignore[arg-type]
                    aligned,
                    density,
                    particle,
                    elements=understood.elements,
                    k_factors=k_factors,
                    method=method,
                ),
                {
                    "method": method,
                    "elements": list(understood.elements),
                    "k_factors": None if k_factors is None else dict(k_factors),
                    "files": {path.name: checksums[path.name] for path in understood.channels["eds"].files},
                },
            )
        step("writing")
        made = _Made(understood, aligned, density, particle, chemistry, method)
        _write(folder, made, checksums=checksums, keys=keep.keys)


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

    with tqdm.tqdm(total=5, desc=name, unit="stage", file=sys.stderr, disable=not shown, leave=False) as bar:
        first = True

        def step(text: str) -> None:
            nonlocal first
            bar.update(0 if first else 1)
            bar.set_postfix_str(text)
            first = False

        yield step


@dataclass(frozen=True, eq=False)
class _Made:
    """Everything that was found out about a particle."""

    understood: Understood
    aligned: stages.Aligned
    density: stages.Density
    particle: stages.Particle
    chemistry: Composition | None
    method: str

    def tomograms(self) -> dict[str, Tomogram]:
        """Return the volumes by file name."""
        size = self.density.voxel_size_nm
        volumes = {"adf": Tomogram(self.density.values, size, "relative density")}
        for el, fractions in (self.chemistry.fractions if self.chemistry else {}).items():
            volumes[el] = Tomogram(100 * fractions, size, f"{el} (at%)")
        return volumes


def _write(folder: Path, made: _Made, *, checksums: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """Write everything that people and programs read; the summary last, since it says that all is there."""
    (folder / "summary.json").unlink(missing_ok=True)
    volumes = made.tomograms()
    for name, tomogram in volumes.items():
        for suffix in (".mrc", ".vti", ".hspy"):
            io.save(tomogram, folder / f"{name}{suffix}")
    columns = _profiles(made)
    summary = _summary(made)
    _text(folder / "profiles.csv", _csv(columns))
    _text(folder / "provenance.json", _json(_provenance(made, checksums, keys)))
    _text(folder / "report.html", report_page(summary, volumes, columns, table=made.understood.table()))
    _text(folder / "summary.json", _json(summary))


def _summary(made: _Made) -> dict[str, Any]:
    understood, chemistry, particle = made.understood, made.chemistry, made.particle
    done = ["ADF alignment", "ADF tomography", "mask, shells and density profile"]
    not_done = {}
    if chemistry is None:
        not_done["composition"] = "no EDS in the source"
    else:
        done.append("mean composition")
    if chemistry is not None and chemistry.fractions:
        done.append("composition of every voxel, as in the paper")
    elif chemistry is not None:
        not_done["composition of every voxel"] = "fused tomography is not part of this pipeline yet; see method paper"
    missing = [ROLES[role] for role in ("low_loss", "core_loss") if role not in understood.channels]
    not_done["valence"] = f"no {' and no '.join(missing)} in the source" if missing else "not part of this pipeline yet"
    unused = [ROLES[role] for role in ("low_loss", "core_loss") if role in understood.channels]
    said = [*understood.notes, *made.aligned.warnings, *made.density.warnings, *particle.warnings]
    said += [*(chemistry.warnings if chemistry else ())]
    said += [f"{', '.join(unused)}: read and checked, but not used"] if unused else []
    return {
        "particle": understood.name,
        "method": made.method,
        "warnings": [note for note in said if not note.startswith("no ")],
        "limits": list(stages.LIMITS),
        "done": done,
        "not_done": not_done,
        "values": {
            "n_tilts": int(made.aligned.series.n_tilts),
            "volume_nm3": round(particle.volume_nm3, 1),
            "largest_extent_nm": round(particle.largest_extent_nm, 2),
            "n_shells": int(particle.shells.max()),
            "r_factor": round(float(made.density.r_factor[-1]), 5),
            "surface_density": round(float(particle.density_mean[0]), 4),
            **(_composition_values(chemistry) if chemistry else {}),
        },
    }


def _composition_values(chemistry: Composition) -> dict[str, float]:
    values: dict[str, float] = {}
    for el, mean in chemistry.mean.items():
        values[f"{el}_at_percent"] = round(100 * mean, 3)
        values[f"{el}_standard_error"] = round(100 * chemistry.standard_error[el], 3)
    if set(chemistry.mean) == set(OXIDE):
        values["rock_salt_percent_of_metal"] = round(100 * float(rock_salt(chemistry.mean["O"]).per_metal), 2)
    values |= {f"{el}_rich_percent": round(100 * share, 3) for el, share in chemistry.rich_share.items()}
    return values


def _profiles(made: _Made) -> dict[str, Floats]:
    """Return the columns of profiles.csv: one value a shell."""
    particle = made.particle
    columns: dict[str, Floats] = {
        "depth_nm": particle.depth_nm,
        "n_voxels": particle.n_voxels.astype(np.float64),
        "density_mean": particle.density_mean,
        "density_sd": particle.density_sd,
    }
    for el in made.chemistry.profile_mean if made.chemistry else ():
        assert made.chemistry is not None
        columns[f"{el}_at_percent_mean"] = 100 * made.chemistry.profile_mean[el]
        columns[f"{el}_at_percent_sd"] = 100 * made.chemistry.profile_sd[el]
    return columns


def _csv(columns: Mapping[str, Floats]) -> str:
    lines = [",".join(f"{value:.7g}" for value in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join([",".join(columns), *lines]) + "\n"


def _provenance(made: _Made, checksums: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    shifts = np.asarray(made.aligned.alignment.shifts_px)
    provenance = {
        "inputs": {name: f"sha256:{checksum}" for name, checksum in checksums.items()},
        "settings": dict(made.understood.settings),
        "method": made.method,
        "versions": results.environment(),
        "stages": dict(keys),
        "alignment": {
            "method": made.aligned.alignment.method,
            "why": list(made.aligned.alignment.why),
            "largest_shift_px": round(float(np.nanmax(np.abs(shifts))), 3),
            "axis_rotation_deg": round(made.aligned.alignment.axis_rotation_deg, 4),
        },
        "reconstruction": {"settings": made.density.method, "choices": list(made.density.choices)},
    }
    if made.chemistry is not None:
        provenance["composition"] = {
            "k_factors": dict(made.chemistry.k_factors),
            "counts": dict(made.chemistry.counts),
            "choices": list(made.chemistry.choices),
        }
    return provenance


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _text(path: Path, text: str) -> None:
    with files.atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
