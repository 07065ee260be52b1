"""Rules for every test: no window is opened, and where TRITOMO_NO_SKIPS=1 a skipped test counts as a failure."""

import gc
import hashlib
import http.server
import os
import re
import sys
import threading
import time
from urllib.parse import unquote

import matplotlib as mpl
import pytest
import yaml

mpl.use("Agg")
# By default garbage is looked for after every 700 new objects, here among those of all tests and libraries.
gc.set_threshold(20_000)
# jsonschema would build 38 grammars of internationalized addresses (5 s a process); no schema here has such a field.
sys.modules.setdefault("rfc3987_syntax", None)


# Groups of the slow checks that take minutes, the longest first: what is started last must be short, or one worker is
# left with it while the other has nothing to do.
LONGEST = (
    "test_pages_browser.py",
    "a killed run",
    "twin/cycled-200-1/fused",
    "twin/cycled-200-1/valence",
    "tiny",
    "tomography/methods",
    "twin/damaged-exposures",
    "story/inhomogeneity",
    "tomography/weights",
    "test_small_book.py",
    "test_phantoms.py",
    "twin/pristine-1/valence",
    "twin/pristine-1/adf-tomograms",
    "composition/depth-profiles",
    "study/best/pristine-1",
    "test_alignment.py",
    "test_pages.py",
    "test_tomography_acceptance.py",
)


def pytest_collection_modifyitems(items):
    """With ``--dist loadgroup`` a file stays together, for what its tests share; a test may name a group of its own."""
    ranks = {}
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
        group = item.get_closest_marker("xdist_group").args[0]
        ranks[item] = LONGEST.index(group) if group in LONGEST else len(LONGEST)
    items.sort(key=ranks.get)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("TRITOMO_NO_SKIPS") == "1" and skipped and exitstatus == 0:
        reporter.write_line(f"TRITOMO_NO_SKIPS=1 and {len(skipped)} tests were skipped: counted as a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Server:
    """Serves `files` (path -> bytes), with ranges; `accidents` (path -> list) happen once each, in order."""

    def __init__(self):
        self.files, self.accidents, self.requests, self.sent = {}, {}, [], 0
        self.ignores_ranges, self.hides_length, self.delay_s = False, False, 0.0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *args):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler):
        path = unquote(handler.path)
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        waiting = self.accidents.get(path, [])
        accident = waiting.pop(0) if waiting else None
        if path not in self.files or isinstance(accident, str):
            handler.send_error(int(accident or 404))
            return
        body = self.files[path]
        start = 0
        if wanted and not self.ignores_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(body):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        if not self.hides_length:
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        time.sleep(self.delay_s)
        rest = body[start:] if accident is None else body[start : start + accident]
        self.sent += len(rest)  # before writing: the client may be done before this thread goes on
        handler.wfile.write(rest)

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server():
    """A server on the loopback, with accidents to order."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    """No mirror, a network, and a cache of its own."""
    for name in ("TRITOMO_DATA_MIRROR", "TRITOMO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Return a function that makes a manifest with one dataset, "toy", of files role=(name, urls, bytes)."""

    from tritomo_helpers.datasets import _manifest

    def make(**files):
        entry = {
            "title": "Toy",
            "description": "Random bytes.",
            "source": "https://example.org/toy",
            "technique": ["Other"],
            "license": "MIT",
            "citation": "nobody",
            "chapters": ["none"],
            "read": "as bytes",
            "files": [
                {
                    "role": role,
                    "file": name,
                    "url": urls,
                    "checksum": "sha256:" + hashlib.sha256(content).hexdigest(),
                    "size_bytes": len(content),
                }
                for role, (name, urls, content) in files.items()
            ],
        }
        path = tmp_path / "manifest.yaml"
        path.write_text(yaml.safe_dump({"toy": entry}))
        path.chmod(0o644)
        monkeypatch.setattr(_manifest, "manifest_path", lambda: path)
        return path

    return make


@pytest.fixture
def real(monkeypatch, tmp_path_factory):
    """Return a function like datasets.fetch; skips where neither mirror nor cache has the data."""
    if not os.environ.get("TRITOMO_DATA_DIR"):
        monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path_factory.getbasetemp() / "data"))

    from tritomo_helpers import datasets

    def fetch(name):
        mirror = os.environ.get("TRITOMO_DATA_MIRROR")
        if not mirror and not all(datasets.present(name).values()):
            pytest.skip(f"needs {name}: set TRITOMO_DATA_MIRROR, or fetch it into TRITOMO_DATA_DIR")
        return datasets.fetch(name, progress=False)

    return fetch
