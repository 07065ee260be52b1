"""One particle: from its files to a folder of results, each stage kept by what it depends on."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .._validation import check_option, check_positive, fail
from ..containers import SpectrumTiltSeries, TiltSeries
from ..store import files, fingerprint, results
from ..valence import ValenceMaps
from . import chemistry, committed, spectra, stages
from .inputs import Understood, line_window_ev, understand
from .outcome import Outcome, write

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
        Folder of the results, made if need be: ``adf``, each element (at%) and each valence state (% of its element) as
        .mrc, .vti and .hspy, ``profiles.csv``, ``summary.json``, ``provenance.json``, ``report.html``, ``stages/``.
    method : {"best", "paper"}
        ``"best"``: ADF by total variation, with the scattering inverted where the low loss gives the beam; line fits,
        absorption, and composition in 3D from ADF and EDS together; a forward model of raw EELS spectra. Intervals, and
        verdicts against nulls. ``"paper"``: the published chain, GENFIRE of every channel.
    k_factors : mapping of str to float, optional
        Of each element, for atomic fractions. By default those of the four pristine particles for the twin, and for
        other sources those computed from cross-sections; provenance says which.
    references : optional
        Spectra of the valence states: names of computed sets, or one or more `spectroscopy.references.ReferenceSet` of
        your own. By default both computed sets and every mix of them (``"best"``), or the first (``"paper"``).
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
    >>> import shutil, tempfile
    >>> from tritomo_helpers import datasets
    >>> folder = Path(tempfile.mkdtemp()) / "grain"
    >>> folder.mkdir()
    >>> adf_only = shutil.copy(datasets.fetch("twin/tiny", parts=["adf"])["adf"], folder)
    >>> out = process(folder, out=folder.parent / "results")
    >>> sorted(path.name for path in out.iterdir() if path.suffix == ".json")
    ['provenance.json', 'summary.json']
    """
    check_option(method, "method", METHODS)
    sets = spectra.reference_sets(references)
    understood = understand(source)
    understood.check()
    if k_factors is not None:
        _check_k_factors(k_factors, understood)
    if client is not None:
        options = {"method": method, "k_factors": k_factors, "references": references, "resume": resume}
        return Path(client.submit(process, source, out=out, pure=False, **options).result())
    folder = Path(out).expanduser()
    _check_out(folder, understood)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        _process(understood, folder, _Options(method, k_factors, sets), resume=resume, progress=progress)
    return folder


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of results; say so if another run has it, and wait for its end."""
    with files.locked_if_free(folder / ".lock") as free:
        if free:
            yield
            return
    sys.stderr.write(f"Another run writes to {folder}: waiting until it has ended.\n")
    with files.locked(folder / ".lock"):
        yield


def _check_out(folder: Path, understood: Understood) -> None:
    """Refuse a folder that holds what was recorded, such as adf.mrc, or the results of another particle."""
    for channel in understood.channels.values():
        for file in channel.files:
            if file.resolve().parent == folder.resolve():
                raise fail(
                    "out",
                    expected="a folder of its own for the results",
                    got=f"{folder}, which holds the recorded {file.name}",
                    remedy="name another folder: results could replace your data",
                )
    summary = folder / "summary.json"
    held = json.loads(summary.read_text(encoding="utf-8"))["particle"] if summary.is_file() else understood.name
    if held != understood.name:
        raise fail(
            "out",
            expected=f"a folder of its own for {understood.name}",
            got=f"{folder}, which holds the results of {held}",
            remedy="name another folder, or remove what is there",
        )


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


@dataclass(frozen=True, eq=False)
class _Options:
    method: str
    k_factors: Mapping[str, float] | None
    references: Any


def _process(understood: Understood, folder: Path, options: _Options, *, resume: bool, progress: bool) -> None:
    checksums = understood.checksums()
    keep = _Keeper(folder / "stages", understood, checksums, resume=resume)
    run = _Run(understood, options, keep)
    with _bar(understood.name, run.steps(), progress) as step:
        step("aligning")
        aligned = run.align()
        maps = None
        if run.has_eels and options.method == "best":
            step("fitting energy losses")
            maps = run.fit_losses(aligned)
        step("reconstructing")
        density = run.reconstruct(aligned, maps)
        particle = run.measure(density, aligned)
        composition = None
        if "eds" in understood.channels:
            step("composing")
            composition = run.compose(aligned, density, particle)
        states = None
        if run.has_eels:
            step("valence")
            states = run.valence(aligned, density, particle, composition, maps)
        step("writing")
        outcome = Outcome(understood, aligned, density, particle, composition, states, options.method)
        write(folder, outcome, checksums=checksums, keys=keep.keys)


class _Run:
    """The stages of one particle, each kept by what it depends on."""

    def __init__(self, understood: Understood, options: _Options, keep: "_Keeper") -> None:
        self.understood, self.options, self.keep = understood, options, keep
        self.has_eels = {"low_loss", "core_loss"} <= set(understood.channels)

    def steps(self) -> int:
        """Return how many steps the bar has."""
        return 3 + ("eds" in self.understood.channels) + self.has_eels * (1 + (self.options.method == "best"))

    def align(self) -> stages.Aligned:
        return self.keep("align", stages.align, stages.Aligned, lambda: stages.align(self._adf()), roles=("adf",))

    def fit_losses(self, aligned: stages.Aligned) -> ValenceMaps:
        references = self.options.references
        return self.keep(
            "energy-losses",
            spectra.fit_maps,
            ValenceMaps,
            lambda: spectra.fit_maps(
                self._spectra("core_loss"),
                self._spectra("low_loss"),
                aligned,
                references=references,
                **self.understood.optics,
            ),
            roles=("core_loss", "low_loss"),
            settings=spectra.digest_of(references),
        )

    def reconstruct(self, aligned: stages.Aligned, maps: ValenceMaps | None) -> stages.Density:
        method = self.options.method
        # What a thickness scatters onto the ring is known for this material and these optics alone.
        known = not self.understood.other_optics and set(self.understood.elements) == set(chemistry.OXIDE)
        given = {"adf": self._adf(), "thickness": maps.thickness} if maps is not None and known else {}
        return self.keep(
            "density",
            stages.reconstruct,
            stages.Density,
            lambda: stages.reconstruct(aligned, method=method, **given),
            roles=("adf",),
            settings=method,
        )

    def measure(self, density: stages.Density, aligned: stages.Aligned) -> stages.Particle:
        cut = aligned.alignment.extended
        return self.keep("particle", stages.measure, stages.Particle, lambda: stages.measure(density, cut=cut))

    def compose(
        self, aligned: stages.Aligned, density: stages.Density, particle: stages.Particle
    ) -> chemistry.Composition:
        options, elements = self.options, self.understood.elements
        beam = {name: value for name, value in self.understood.optics.items() if name == "beam_energy_kev"}
        lines = self.keep(
            "lines",
            chemistry.fit,
            chemistry.Lines,
            lambda: chemistry.fit(self._spectra("eds"), aligned, elements=elements, **beam),
            roles=("eds",),
            settings=list(elements),
        )
        best = options.method == "best"
        k, source = committed.k_factors(
            elements,
            twin=self.understood.name.startswith("twin/"),
            corrected=best,
            window_ev=line_window_ev(elements),
            **beam,
        )
        if options.k_factors is not None:
            k, source = dict(options.k_factors), "given"
        return self.keep(
            "composition",
            chemistry.compose,
            chemistry.Composition,
            lambda: chemistry.compose(
                lines, aligned, density, particle, k_factors=k, k_source=source, method=options.method
            ),
            settings={"method": options.method, "k": k, "source": source},
        )

    def valence(
        self,
        aligned: stages.Aligned,
        density: stages.Density,
        particle: stages.Particle,
        composition: chemistry.Composition | None,
        maps: ValenceMaps | None,
    ) -> spectra.Valence:
        if maps is not None:
            return self.keep(
                "valence",
                spectra.by_forward_model,
                spectra.Valence,
                lambda: spectra.by_forward_model(maps, aligned, density, particle, composition),
            )
        references = self.options.references
        return self.keep(
            "valence",
            spectra.by_published_chain,
            spectra.Valence,
            lambda: spectra.by_published_chain(
                self._spectra("core_loss"),
                self._spectra("low_loss"),
                self._adf(),
                aligned,
                particle,
                references=references,
            ),
            roles=("core_loss", "low_loss"),
            settings=spectra.digest_of(references),
        )

    def _adf(self) -> TiltSeries:
        series = self.understood.load("adf")
        assert isinstance(series, TiltSeries)
        return series

    def _spectra(self, role: str) -> SpectrumTiltSeries:
        series = self.understood.load(role)
        assert isinstance(series, SpectrumTiltSeries)
        return series


class _Keeper:
    """Computes a stage, or takes what is kept of it; each stage depends on those before it."""

    def __init__(self, folder: Path, understood: Understood, checksums: Mapping[str, str], *, resume: bool) -> None:
        self.folder, self.understood, self.checksums, self.resume = folder, understood, checksums, resume
        self.keys: dict[str, str] = {}

    def __call__(
        self,
        name: str,
        code: Callable[..., Any],
        kind: type[T],
        make: Callable[[], T],
        *,
        roles: Sequence[str] = (),
        settings: Any = None,
    ) -> T:
        before = list(self.keys.values())[-1:]
        made_of = {"code": fingerprint.parts(code), "inputs": self._of(roles), "settings": settings, "before": before}
        key = self.keys[name] = fingerprint.digest(made_of)
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

    def _of(self, roles: Sequence[str]) -> Any:
        if not roles:
            return None
        files = {name: self.checksums[name] for role in roles for name in self.understood.files_of(role)}
        reading = fingerprint.parts(Understood.load)
        return {"files": files, "settings": dict(self.understood.settings), "reading": reading}


@contextmanager
def _bar(name: str, n_steps: int, shown: bool) -> Iterator[Callable[[str], None]]:
    import tqdm

    with tqdm.tqdm(total=n_steps, desc=name, unit="stage", file=sys.stderr, disable=not shown, leave=False) as bar:
        first = True

        def step(text: str) -> None:
            nonlocal first
            bar.update(0 if first else 1)
            bar.set_postfix_str(text)
            first = False

        yield step
