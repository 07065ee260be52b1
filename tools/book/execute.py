"""Run a notebook in a fresh kernel, measure it, and keep the result until anything it depends on changes."""

import ast
import asyncio
import contextlib
import copy
import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools.book import ROOT, lineage
from tritomo_helpers.products import registry
from tritomo_helpers.store import fingerprint
from tritomo_helpers.store.files import atomic_file

CELL_TIMEOUT_S = 900
SMALL_MACHINE_BYTES = 2 * 1024**3  # a free machine of the cloud (Binder), which a chapter has to fit
STOPPED = "ChapterStopped"  # raised by teaching.data where a dataset cannot be had


@dataclass
class Run:
    """What running one chapter gave and cost."""

    name: str
    notebook: Any
    seconds: float = 0.0
    busy_seconds: float = 0.0
    peak_mb: float = 0.0
    download_mb: float = 0.0
    key: str = ""
    error: str = ""
    unavailable: list[str] = field(default_factory=list)
    cached: bool = False
    memory_limit: int = -1  # bytes of address space that the kernel was held to; -1: none
    n_cores: int = 0

    @property
    def cost(self) -> dict[str, float]:
        """Seconds on the clock and of the processor, MB of memory and MB of downloads."""
        names = ("seconds", "busy_seconds", "peak_mb", "download_mb")
        return {name: getattr(self, name) for name in names}

    @property
    def limits(self) -> dict[str, int]:
        """Bytes of memory and number of cores that the kernel had."""
        return {"memory_limit": self.memory_limit, "n_cores": self.n_cores}


def records(notebook: Any, kind: str) -> list[dict[str, Any]]:
    """Return what ``tritomo_helpers.teaching`` recorded in the outputs: claims, checks, data, products, provenance."""
    published = []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get("tritomo", {}).get(kind)
            if record is not None:
                published.append({**record, "cell": index})
    return published


def dependencies(notebook: Path, root: Path = ROOT) -> dict[str, str]:
    """Return what the result of a notebook depends on, each with a digest.

    Its text; the code and data files of the package that it reaches; the products that it uses; locks, manifest and
    this runner.
    """
    content = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    code = "\n".join(ast.unparse(statement) for cell in cells for statement in lineage.statements(cell))
    known = registry.products()
    single = [notebook, *(root / name for name in ("requirements-lock.txt", "data_manifest.yaml"))]
    single.append(root / "tools" / "book" / "execute.py")
    return {
        **fingerprint.of_source(code, package=root / "tritomo_helpers"),
        **{name: _identity(known[name]) for name in lineage.products_used(code)},
        **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in single if path.exists()},
        "python": sys.version,
    }


def _identity(product: registry.Product) -> str:
    """Return what tells one result of a product from another: its code and data, and what the package ships of it."""
    shipped = registry.committed_path(product)
    return f"{product.key} {hashlib.sha256(shipped.read_bytes()).hexdigest() if shipped.exists() else 'not shipped'}"


def key_of(notebook: Path, root: Path = ROOT) -> str:
    """Return the key under which the result of `notebook` is kept."""
    return fingerprint.digest(dependencies(notebook, root))


@contextlib.contextmanager
def _measured(pid: int, run: Run) -> Iterator[None]:
    """Follow the resident memory of a process and its children, MB, and add up the time that they computed."""
    done = threading.Event()

    def follow() -> None:
        kernel = psutil.Process(pid)
        while True:
            with contextlib.suppress(psutil.Error):
                family = [kernel, *kernel.children(recursive=True)]
                run.peak_mb = max(run.peak_mb, sum(p.memory_info().rss for p in family) / 1e6)
            if done.wait(0.1):
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        # The sampling can miss a short peak of the kernel itself; Linux remembers it.
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            run.peak_mb = max(run.peak_mb, int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6)
        with contextlib.suppress(psutil.Error):
            run.busy_seconds = sum(psutil.Process(pid).cpu_times()[:4])
        done.set()
        thread.join()


def _hold(pid: int, run: Run) -> None:
    """Hold a kernel and its children to the memory of a small machine, where the system can: it is Linux that can.

    Address space is limited, which is stricter than the resident memory that a container counts.
    """
    if hasattr(psutil, "RLIMIT_AS"):
        kernel = psutil.Process(pid)
        hard = kernel.rlimit(psutil.RLIMIT_AS)[1]
        limit = SMALL_MACHINE_BYTES if hard == psutil.RLIM_INFINITY else min(hard, SMALL_MACHINE_BYTES)
        kernel.rlimit(psutil.RLIMIT_AS, (limit, limit))
        run.memory_limit, run.n_cores = kernel.rlimit(psutil.RLIMIT_AS)[0], len(kernel.cpu_affinity())


async def _run_cells(client: NotebookClient, run: Run, environment: dict[str, str]) -> None:
    """Run the cells in a kernel that is measured, up to the first that fails or whose dataset cannot be had."""
    async with client.async_setup_kernel(env=environment):
        _hold(client.km.provisioner.pid, run)
        with _measured(client.km.provisioner.pid, run):
            for index, cell in enumerate(run.notebook.cells):
                try:
                    await client.async_execute_cell(cell, index)
                except CellExecutionError as error:
                    if error.ename == STOPPED:
                        cell.outputs = [o for o in cell.outputs if o.output_type != "error"]
                        run.unavailable = [r["name"] for r in records(run.notebook, "unavailable")]
                    else:
                        run.error = f"cell {index}: {error}"
                    break


def run_notebook(path: Path) -> Run:
    """Run every cell of a notebook in a fresh kernel, in its own folder.

    The kernel is told that the book is being built, so that claims and checks are recorded in the outputs.

    Parameters
    ----------
    path : Path
        Notebook, left as it is.

    Returns
    -------
    Run
        With the executed notebook; ``error`` holds the traceback of a failing cell, ``unavailable`` the datasets that
        could not be had (the cells after that one are then left without outputs).
    """
    notebook = nbformat.read(path, as_version=4)
    run = Run(path.stem, notebook)
    environment = {**os.environ, "TRITOMO_BOOK_BUILD": "1"}
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns about its own transport
    )
    start = time.perf_counter()
    # In a thread where no other loop runs, by a loop that is closed at the end: nbclient's blocking calls leave one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(_run_cells(client, run, environment))).result()
    run.seconds = time.perf_counter() - start
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    data = {r["name"]: r["bytes"] for r in records(notebook, "data")}
    run.download_mb = sum(data.values()) / 1e6
    return run


def execute(path: Path, *, cache: Path, force: bool = False) -> Run:
    """Return the result of a notebook: kept, if nothing that it depends on has changed since, else run now.

    Only a complete run is kept: no error, every dataset there.
    """
    key = key_of(path)
    kept = cache / path.name
    if kept.exists() and not force:
        notebook = nbformat.read(kept, as_version=4)
        meta = notebook.metadata.pop("tritomo_run", {})
        if meta.get("key") == key:
            return Run(path.stem, notebook, **meta["cost"], **meta["limits"], key=key, cached=True)
    run = run_notebook(path)
    run.key = key
    # A file that changed while the chapter ran leaves a result of unknown origin: it is shown but not kept.
    if not run.error and not run.unavailable and key == key_of(path):
        notebook = copy.deepcopy(run.notebook)
        notebook.metadata["tritomo_run"] = {"key": key, "cost": run.cost, "limits": run.limits}
        with atomic_file(kept) as temporary:
            nbformat.write(notebook, temporary)
    else:
        kept.unlink(missing_ok=True)
    return run
