"""A build that is killed: what it started ends with it, and offline means npm too."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tools.book import ROOT, vendor

CODE = """
import sys
from pathlib import Path
from tools.book import child
child.end_when_told_to()
child.run([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"], cwd=Path("."))
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to end a child with its parent")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_killed_build_has_started_ends_with_it(how):
    parent = subprocess.Popen([sys.executable, "-c", CODE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(how)
    for _ in range(200):
        if not is_alive(pid):
            break
        time.sleep(0.02)
    assert not is_alive(pid)


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_offline_holds_for_npm_too(monkeypatch, tmp_path, value):
    monkeypatch.setenv("TRITOMO_OFFLINE", value)
    monkeypatch.setattr(vendor.shutil, "which", lambda _: "npm")
    assert vendor.fetch(vendor.PAGES, tmp_path) == "TRITOMO_OFFLINE forbids npm to use the network"
