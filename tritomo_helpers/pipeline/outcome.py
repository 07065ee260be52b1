"""Everything that was found out about a particle, and the files that say so."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import io
from .._typing import Floats
from ..constants import SPECIES_ELEMENT
from ..containers import Tomogram
from ..particles import rock_salt
from ..store import files, results
from . import stages
from .chemistry import OXIDE, Composition
from .inputs import ROLES, Understood
from .report import report_page
from .spectra import Valence
from .volumes import Shares

LEVEL = 0.05
"""False positives that a verdict accepts."""
VOLUME_SUFFIXES = (".mrc", ".vti", ".hspy")


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of every stage of one particle."""

    understood: Understood
    aligned: stages.Aligned
    density: stages.Density
    particle: stages.Particle
    chemistry: Composition | None
    states: Valence | None
    method: str

    def volumes(self) -> Iterator[tuple[str, Tomogram]]:
        """Yield the volumes by file name."""
        size = self.density.voxel_size_nm
        yield "adf", Tomogram(self.density.values, size, "relative density")
        for shares, unit in self.all_shares():
            for name, values in shares.values.items():
                yield name, Tomogram(100 * values, size, f"{name} ({unit_of(name, unit)})")

    def all_shares(self) -> Iterator[tuple[Shares, str]]:
        """Yield what is known of voxels: elements in at%, states in % of their element."""
        if self.chemistry is not None and self.chemistry.shares is not None:
            yield self.chemistry.shares, "at%"
        if self.states is not None and self.states.shares is not None:
            yield self.states.shares, "%"


def unit_of(name: str, unit: str) -> str:
    """Return the unit of a volume in words, such as "% of Mn"."""
    return f"% of {SPECIES_ELEMENT[name]}" if unit == "%" else unit


def write(folder: Path, outcome: Outcome, *, checksums: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """Write everything that people and programs read; the summary last, since it says that all is there."""
    (folder / "summary.json").unlink(missing_ok=True)
    volumes = dict(outcome.volumes())
    for name in _volumes_of_an_earlier_run(folder).difference(volumes):
        for suffix in VOLUME_SUFFIXES:
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    for name, tomogram in volumes.items():
        for suffix in VOLUME_SUFFIXES:
            io.save(tomogram, folder / f"{name}{suffix}")
    columns = profiles(outcome)
    summary = summarized(outcome)
    _text(folder / "profiles.csv", _csv(columns))
    _text(folder / "provenance.json", _json(_provenance(outcome, checksums, keys)))
    _text(folder / "report.html", report_page(summary, volumes, columns, table=outcome.understood.table()))
    _text(folder / "summary.json", _json(summary))


def _volumes_of_an_earlier_run(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["volumes"])
    except (OSError, ValueError, KeyError):
        return set()


def profiles(outcome: Outcome) -> dict[str, Floats]:
    """Return the columns of profiles.csv: one value a shell."""
    particle = outcome.particle
    columns: dict[str, Floats] = {
        "depth_nm": particle.depth_nm,
        "n_voxels": particle.n_voxels.astype(np.float64),
        "density_mean": particle.density_mean,
        "density_sd": particle.density_sd,
    }
    for shares, unit in outcome.all_shares():
        what = "at_percent" if unit == "at%" else "percent"
        for name in shares.values:
            for column, values in (
                ("mean", shares.profile_mean),
                ("sd", shares.profile_sd),
                ("standard_error", shares.profile_error),
                ("spread", shares.spread),
            ):
                padded = np.full(particle.depth_nm.size, np.nan)
                padded[: values[name].size] = 100 * values[name]
                columns[f"{name}_{what}_{column}"] = padded
    return columns


def summarized(outcome: Outcome) -> dict[str, Any]:
    """Return what summary.json holds."""
    particle = outcome.particle
    done, not_done = _done(outcome)
    parts = (outcome.aligned, outcome.density, particle, outcome.chemistry, outcome.states)
    said = [*outcome.understood.notes, *(note for stage in parts if stage is not None for note in stage.warnings)]
    values: dict[str, float | None] = {
        "n_tilts": int(outcome.aligned.series.n_tilts),
        "volume_nm3": round(particle.volume_nm3, 1),
        "largest_extent_nm": round(particle.largest_extent_nm, 2),
        "n_shells": int(particle.shells.max()),
        "r_factor": round(float(outcome.density.r_factor[-1]), 5),
        "surface_density": round(float(particle.density_mean[0]), 4),
    }
    # Of other materials nobody knows what a unit of the ADF tomogram holds.
    if outcome.chemistry is not None and set(outcome.chemistry.mean) == set(OXIDE):
        values["atoms_per_nm3"] = round(outcome.density.atoms_per_nm3, 2)
    if outcome.chemistry is not None:
        values |= _composition_values(outcome.chemistry)
    if outcome.states is not None:
        values |= _valence_values(outcome.states)
    return {
        "particle": outcome.understood.name,
        "method": outcome.method,
        "warnings": [note for note in dict.fromkeys(said) if not note.startswith("no ")],
        "limits": [*outcome.density.limits, *_limits_of_optics(outcome)],
        "done": done,
        "not_done": not_done,
        "values": {name: value for name, value in values.items() if value is not None},
        "verdicts": _verdicts(outcome),
    }


def _limits_of_optics(outcome: Outcome) -> list[str]:
    other = outcome.understood.other_optics
    if not other or outcome.states is None or outcome.method != "paper":
        return []
    stated = ", ".join(f"{name} = {value:g}" for name, value in other.items())
    return [f"the paper's chain fits continua of its own optics, not of {stated}"]


def _done(outcome: Outcome) -> tuple[list[str], dict[str, str]]:
    chemistry, channels = outcome.chemistry, outcome.understood.channels
    done = ["ADF alignment", "ADF tomography", "mask, shells and density profile"]
    not_done = {}
    if chemistry is None:
        not_done["composition"] = "no EDS in the source"
    else:
        done.append("mean composition")
        if chemistry.shares is not None:
            done.append("composition of every voxel")
        else:
            not_done["composition of every voxel"] = chemistry.not_done
    if outcome.states is None:
        missing = [ROLES[role] for role in ("low_loss", "core_loss") if role not in channels]
        not_done["valence"] = f"no {' and no '.join(missing)} in the source"
    else:
        done.append("valence of manganese and cobalt")
    withheld = [s for s, value in (outcome.states.percent if outcome.states else {}).items() if not np.isfinite(value)]
    if withheld:
        not_done[f"percentages of {', '.join(withheld)}"] = "the references do not describe the spectra well enough"
    return done, not_done


def _composition_values(chemistry: Composition) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for el, mean in chemistry.mean.items():
        error = chemistry.standard_error[el]
        values[f"{el}_at_percent"] = round(100 * mean, 3)
        values[f"{el}_standard_error"] = _finite(100 * error)
        values[f"{el}_low"], values[f"{el}_high"] = (_finite(100 * (mean + z * error)) for z in (-1.96, 1.96))
    if set(chemistry.mean) == set(OXIDE):
        share = rock_salt(chemistry.mean["O"])
        for per in ("visible_atom", "metal", "volume"):
            values[f"rock_salt_percent_of_{per}"] = round(100 * float(getattr(share, f"per_{per}")), 2)
    values |= {f"{el}_rich_percent": round(100 * share, 3) for el, share in chemistry.rich_share.items()}
    values |= {f"{el}_null_rich_percent": round(100 * share, 3) for el, share in chemistry.null_rich_share.items()}
    for el, (decay, low, high) in (chemistry.shares.decay_nm if chemistry.shares else {}).items():
        if el != "O":
            values |= {f"{el}_decay_nm": _finite(decay), f"{el}_decay_low_nm": _finite(low)}
            values[f"{el}_decay_high_nm"] = _finite(high)
    return values


def _valence_values(states: Valence) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for state, percent in states.percent.items():
        values[f"{state}_percent"] = _finite(percent)
        values[f"{state}_low"], values[f"{state}_high"] = _finite(states.low[state]), _finite(states.high[state])
    for name, value in zip(("coupling", "coupling_low", "coupling_high", "coupling_p"), states.coupling, strict=True):
        values[f"Mn_Mn4_{name}"] = _finite(value)
    return values


def _finite(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def _verdicts(outcome: Outcome) -> list[dict[str, Any]]:
    """Every statement with what was measured, what the null gives, and whether the null is beaten."""
    verdicts = []
    for shares, unit in outcome.all_shares():
        for statement, (statistic, low, high, p) in shares.verdicts.items():
            segregated = statement.endswith("segregated")
            # Variances in points squared, slopes in points per nm.
            scale = 1e4 if segregated else 100
            verdicts.append(
                {
                    "statement": statement,
                    "unit": f"({unit})²" if segregated else f"{unit} per nm",
                    "measured": float(f"{scale * statistic:.4g}"),
                    "null": [float(f"{scale * value:.4g}") for value in (low, high)],
                    "p_value": round(float(p), 4),
                    "positive": bool(p <= LEVEL),
                }
            )
    return verdicts


def _provenance(outcome: Outcome, checksums: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    shifts = np.asarray(outcome.aligned.alignment.shifts_px)
    provenance: dict[str, Any] = {
        "inputs": {name: f"sha256:{checksum}" for name, checksum in checksums.items()},
        "settings": dict(outcome.understood.settings),
        "method": outcome.method,
        "versions": results.environment(),
        "stages": dict(keys),
        "volumes": [name for name, _ in outcome.volumes()],
        "alignment": {
            "method": outcome.aligned.alignment.method,
            "why": list(outcome.aligned.alignment.why),
            "largest_shift_px": round(float(np.nanmax(np.abs(shifts))), 3),
            "axis_rotation_deg": round(outcome.aligned.alignment.axis_rotation_deg, 4),
        },
        "reconstruction": {"settings": outcome.density.method, "choices": list(outcome.density.choices)},
    }
    if outcome.chemistry is not None:
        provenance["composition"] = {
            "k_factors": dict(outcome.chemistry.k_factors),
            "counts": dict(outcome.chemistry.counts),
            "choices": list(outcome.chemistry.choices),
        }
    if outcome.states is not None:
        provenance["valence"] = {"choices": list(outcome.states.choices)}
    return provenance


def _csv(columns: Mapping[str, Floats]) -> str:
    lines = [",".join(f"{value:.7g}" for value in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join([",".join(columns), *lines]) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _text(path: Path, text: str) -> None:
    with files.atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
