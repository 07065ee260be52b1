"""No public function takes an argument of a wrong kind silently, or ends in an error that is not ours."""

import dataclasses
import inspect
import warnings

import matplotlib.pyplot as plt
import pytest

from tests.battery import Case, cases_of, public_functions, verdict
from tritomo_helpers._validation import checked

# Would download, simulate or write; a result (a dataclass without checks) is made by the package and never by a caller.
SKIPPED = ("datasets.", "pipeline.", "products.", "store.", "teaching.")


def is_result(item):
    """A NamedTuple is one, too."""
    is_record = inspect.isclass(item) and (dataclasses.is_dataclass(item) or hasattr(item, "_fields"))
    return is_record and not hasattr(item, "__post_init__")


FUNCTIONS = {
    name: item for name, item in public_functions().items() if not name.startswith(SKIPPED) and not is_result(item)
}
CASES = {name: list(cases_of(name, item)) for name, item in FUNCTIONS.items()}
PACKAGES = sorted({name.split(".")[0] for name in FUNCTIONS})


@pytest.mark.parametrize("package", PACKAGES)
def test_bad_arguments_are_refused_by_an_error_that_says_what_to_do(package, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = {}
    for name in (n for n in FUNCTIONS if n.split(".")[0] == package):
        for case in CASES[name]:
            if case.hard or package not in ("plotting", "viewer"):  # what these accept is drawn: slow
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ResourceWarning)
                    problem = verdict(case)
                if problem:
                    said.setdefault(name, f"{case.name}: {problem}")
        plt.close("all")
    assert said == {}


def test_the_battery_is_large():
    assert sum(map(len, CASES.values())) >= 1500


def test_the_battery_sees_what_is_raw_and_what_is_silent():
    def unchecked(n_times: int) -> str:
        return "ab" * n_times

    right = {case.name: verdict(case) for case in cases_of("f", checked(unchecked))}
    wrong = {case.name: verdict(case) for case in cases_of("f", unchecked)}
    assert wrong["f(n_times=part)"].startswith("TypeError")
    assert wrong["f(n_times=true)"] == "accepted"
    assert [name for name, problem in right.items() if problem] == ["f(n_times=negative)"]
    assert verdict(Case("f", checked(unchecked), {"n_times": 2}, hard=False)) is None
