"""The section of the page on performance about valence."""

import pytest

from tools.book import valence_costs


def test_errors_are_pooled_over_the_states():
    row = {f"{s}_off": str(value) for s, value in zip(valence_costs.STATES, (1, -1, 5, -3), strict=True)}
    assert valence_costs.pooled(row, "off") == pytest.approx(3.0)


PARTICLES = pytest.mark.parametrize("particle", ["pristine-1", "cycled-200-1"])


def of_particle(particle):
    return {row["method"]: row for row in valence_costs.read() if row["particle"] == particle}


@PARTICLES
def test_sums_are_closer_to_the_truth_in_a_tenth_of_the_time(particle):
    rows = of_particle(particle)
    ours = rows["tritomo"]
    assert int(ours["spectra"]) == 4096
    peers = [row for name, row in rows.items() if name.startswith("pyEELSMODEL")]
    assert len(peers) == 2
    for theirs in peers:
        assert float(theirs["ms"]) >= 10 * float(ours["ms"])
        assert valence_costs.pooled(theirs, "off") > 1.5 * valence_costs.pooled(ours, "off")


@PARTICLES
def test_single_pixels_scatter_less_only_where_fewer_unknowns_are_fitted(particle):
    rows = of_particle(particle)
    off, scatter = ({name: valence_costs.pooled(row, what) for name, row in rows.items()} for what in ("off", "sd"))
    few, known = "tritomo, as few unknowns as the peer", "tritomo, background and continua known"
    assert scatter["pyEELSMODEL"] < scatter["tritomo"]
    # As few unknowns give the scatter of the peer, and a bias like its own.
    assert scatter[few] == pytest.approx(scatter["pyEELSMODEL"], rel=0.04)
    assert off[few] > 1.5 * off["tritomo, references as given"]
    # What is left to gain without a bias is small.
    assert 0.9 * scatter["tritomo, references as given"] < scatter[known]
    assert off[known] == pytest.approx(off["tritomo, references as given"], abs=0.1)


def test_averages_are_closer_from_the_number_of_pixels_that_balances_scatter_and_bias():
    def row(method, off, scatter):
        of_states = {f"{s}_off": str(off) for s in valence_costs.STATES}
        return (
            {"particle": "one", "method": method} | of_states | {f"{s}_sd": str(scatter) for s in valence_costs.STATES}
        )

    # 25 + 1/n of 400 against 1 + 1/n of 520: even at five pixels.
    rows = [row("tritomo", 1, 520**0.5), row("pyEELSMODEL", 5, 20)]
    assert valence_costs.closer_from(rows) == {"one": 5}
    with pytest.raises(ValueError, match="no closer to the truth"):
        valence_costs.closer_from([row("tritomo", 5, 20), row("pyEELSMODEL", 1, 520**0.5)])


def test_the_section_has_a_line_for_each():
    lines = valence_costs.section(valence_costs.read())
    assert len([line for line in lines if line.startswith(("| pristine", "| cycled"))]) == 12
    assert not any("nan" in line for line in lines)
