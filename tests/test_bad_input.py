"""No public function takes an argument of a wrong kind silently, or ends in an error that is not ours."""

import dataclasses
import inspect
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.typing import ArrayLike

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
# In the digest of simulated data: one more statement there makes an hour of tables stale.
EXCEPTED = {
    "spectroscopy.elastic.lateral_transfer": {"frequency_per_nm=inf", "thickness_nm=inf"},
    "spectroscopy.xray.bremsstrahlung_cross_section": {"elevation_deg=inf"},
    "spectroscopy.xray.line_shape": {"energy_ev=empty", "energy_ev=scalar", "energy_ev=inf", "line_kev=inf"},
}
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
                    said.setdefault(name, {})[case.name.removeprefix(f"{name}(").removesuffix(")")] = problem
        plt.close("all")
    left = {name: EXCEPTED[name] for name in EXCEPTED if name.split(".")[0] == package}
    assert {name: set(problems) for name, problems in said.items()} == left, said


def test_the_battery_is_large():
    assert sum(map(len, CASES.values())) >= 6000


def test_arrays_are_tried_by_whatever_name_numpy_gives_their_type():
    def doubled(values: ArrayLike, weights: ArrayLike | None = None) -> ArrayLike:
        return 2 * np.asarray(values)

    tried = {case.name for case in cases_of("f", doubled)}
    assert {"f(values=text)", "f(values=dates)", "f(weights=text)", "f(weights=big-endian)"} <= tried
    assert "f(weights=None)" not in {case.name for case in cases_of("f", doubled) if case.hard}


def test_the_battery_sees_what_is_raw_and_what_is_silent():
    def unchecked(n_times: int) -> str:
        return "ab" * n_times

    right = {case.name: verdict(case) for case in cases_of("f", checked(unchecked))}
    wrong = {case.name: verdict(case) for case in cases_of("f", unchecked)}
    assert wrong["f(n_times=part)"].startswith("TypeError")
    assert wrong["f(n_times=true)"] == "accepted"
    assert [name for name, problem in right.items() if problem] == ["f(n_times=negative)"]
    assert verdict(Case("f", checked(unchecked), {"n_times": 2}, hard=False)) is None
