"""The section of the page on performance about valence."""

import pytest

from tools.book import valence_costs


def test_errors_are_pooled_over_the_states():
    row = {f"{s}_off": str(value) for s, value in zip(valence_costs.STATES, (1, -1, 5, -3), strict=True)}
    assert valence_costs.pooled(row, "off") == pytest.approx(3.0)


@pytest.mark.parametrize("particle", ["pristine-1", "cycled-200-1"])
def test_sums_are_closer_to_the_truth_in_a_tenth_of_the_time(particle):
    rows = {row["method"]: row for row in valence_costs.read() if row["particle"] == particle}
    ours = rows.pop("tritomo")
    assert int(ours["spectra"]) == 4096
    assert len(rows) == 2
    for theirs in rows.values():
        assert float(theirs["ms"]) >= 10 * float(ours["ms"])
        assert valence_costs.pooled(theirs, "off") > 1.5 * valence_costs.pooled(ours, "off")


def test_the_section_has_a_line_for_each():
    lines = valence_costs.section(valence_costs.read())
    assert len([line for line in lines if line.startswith(("| pristine", "| cycled"))]) == 6
