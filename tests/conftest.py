"""Rules for every test: no window is opened, and where TRITOMO_NO_SKIPS=1 a skipped test counts as a failure."""

import os

import matplotlib as mpl
import pytest

mpl.use("Agg")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("TRITOMO_NO_SKIPS") == "1" and skipped and exitstatus == 0:
        reporter.write_line(f"TRITOMO_NO_SKIPS=1 and {len(skipped)} tests were skipped: counted as a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
