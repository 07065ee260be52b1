"""Claims state a number and its range, exercises answer, a missing dataset stops a chapter with a box."""

import re

import numpy as np
import pytest

from tritomo_helpers import datasets, teaching
from tritomo_helpers.teaching import _output, claims, exercises, quizzes


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        (0.1, {}, "0.100"),
        (0.0999, {"digits": 2}, "0.10"),
        (99.96, {}, "100"),
        (1234.5, {}, "1230"),
        (123456.0, {"digits": 4}, "123 500"),
        (20000, {}, "20 000"),
        (2024, {}, "2024"),
        (0.0, {}, "0"),
        (3.21e-7, {}, "3.21×10⁻⁷"),
        (-70.0, {"unit": "deg", "digits": 2}, "−70°"),
        (529.01, {"unit": "eV", "digits": 4}, "529.0 eV"),
        (0.08271, {"fmt": ".1%"}, "8.3%"),
        (12, {"unit": "tilts"}, "12 tilts"),
        (float("nan"), {}, "nan"),
        ("left", {}, "left"),
        (-0.004, {"fmt": ".2f"}, "0.00"),
    ],
)
def test_numbers_are_written_for_a_reader(value, options, shown):
    written = claims.number_text(value, **options)
    assert written.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ") == shown
    assert " " not in written, "a line could break between a number and its unit"


def test_claim_says_value_range_and_reason(capsys):
    teaching.claim("ratio", np.float64(0.12), low=0.1, high=0.2, why="scatter over 20 seeds")
    assert capsys.readouterr().out == "ratio = 0.120 (expected 0.1 to 0.2: scatter over 20 seeds)\n"
    teaching.claim("ratio", 0.3, high=0.2, why="scatter")
    assert "OUTSIDE THE EXPECTED RANGE (expected at most 0.2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a b", {"low": 0, "why": "x"}, "expected letters, digits, - and _"),
        ("", {"low": 0, "why": "x"}, "expected letters"),
        ("a", {"why": "x"}, "say which values are wrong"),
        ("a", {"low": 0}, "say where the range comes from"),
    ],
)
def test_claim_without_range_reason_or_name_is_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        teaching.claim(name, 1.0, **options)


def test_nan_and_infinity_are_in_no_range():
    assert not claims.in_range(float("nan"), None, 1)
    assert not claims.in_range(float("inf"), 0, 1e300)
    assert claims.in_range(1, 1, 1)


class _Published:
    """Stand in for a notebook and keep what is sent to it."""

    def __init__(self, monkeypatch, *, building):
        self.outputs = []
        monkeypatch.setattr(_output, "_in_notebook", lambda: True)
        monkeypatch.setenv("TRITOMO_BOOK_BUILD", "1" if building else "")
        monkeypatch.setattr(
            "IPython.display.publish_display_data", lambda data, meta: self.outputs.append((data, meta))
        )


def test_claim_in_a_build_is_glued_and_recorded(monkeypatch):
    published = _Published(monkeypatch, building=True)
    teaching.claim("small", 0.1, digits=2, low=0, high=1, why="a test")
    ((data, metadata),) = published.outputs
    assert data == {"application/papermill.record/text/plain": "'0.10'"}, "quoted, or myst-nb reads 0.1 from it"
    assert metadata["scrapbook"]["name"] == "small"
    assert metadata["tritomo"]["claim"]["value"] == 0.1
    assert metadata["tritomo"]["claim"]["high"] == 1


def test_claim_in_your_own_notebook_is_shown(monkeypatch):
    published = _Published(monkeypatch, building=False)
    teaching.claim("small", 5.0, low=0, high=1, why="a <test>")
    ((data, metadata),) = published.outputs
    assert "OUTSIDE" in data["text/html"]
    assert "&lt;test&gt;" in data["text/html"]
    assert metadata == {}


@pytest.fixture(autouse=True)
def stated(monkeypatch):
    """What the chapter has claimed: nothing so far."""
    numbers = {}
    for module in (claims, exercises):
        monkeypatch.setattr(module, "STATED", numbers)


@pytest.fixture
def registry(monkeypatch):
    def set_up(**entries):
        monkeypatch.setattr(exercises, "exercises", lambda: entries)

    return set_up


@pytest.mark.parametrize("answer", [None, ...])
def test_stub_is_not_yet(answer):
    assert teaching.judge("how-to-answer", answer).kind == "not yet"


def test_unknown_exercise_names_the_known_ones():
    with pytest.raises(ValueError, match=r"one of .*how-to-answer.* got 'how-to-anser'"):
        teaching.judge("how-to-anser", 1)


@pytest.mark.parametrize(
    ("entry", "right", "wrong"),
    [
        ({"answer": 529.0, "tolerance": 1}, [529, 530.0, np.float32(528.2)], [530.1, "529", float("nan"), [529]]),
        ({"answer": 0.3, "relative": 0.1}, [0.1 + 0.2, 0.33], [0.34, -0.3]),
        ({"answer": 0.3}, [0.1 + 0.2], [0.301]),
        ({"answer": "Layered"}, ["layered", " LAYERED "], ["spinel", 3]),
        ({"answer": ["Mn", "Ni"]}, [["mn", "ni"], np.array(["Mn", "Ni"])], [["Ni", "Mn"], "Mn", ["Mn"]]),
        ({"answer": [1, 2], "tolerance": 0.1}, [(1.05, 2), np.array([1, 2.1])], [[2, 1], [1, 2, 3]]),
        ({"answer": True}, [True, np.True_], [False]),
    ],
)
def test_answers_are_judged_within_tolerance_and_shape(registry, entry, right, wrong):
    registry(x=entry)
    assert [teaching.judge("x", a).kind for a in right] == ["right"] * len(right)
    assert [teaching.judge("x", a).kind for a in wrong] == ["wrong"] * len(wrong)


def test_hints_for_usual_wrong_answers(registry):
    hints = [{"when": 532, "say": "the peak"}, {"above": 600, "say": "channels?"}, {"below": 0, "say": "sign?"}]
    registry(x={"answer": 529, "tolerance": 1, "unit": "eV", "hints": hints, "otherwise": "look again"})
    said = [teaching.judge("x", a).text for a in (532.5, 1024, -3, 540)]
    assert said == ["the peak", "channels?", "sign?", "look again"]
    assert "in eV" in teaching.judge("x", ...).text
    assert "a single value" in teaching.judge("x", [1, 2]).text


@pytest.mark.parametrize(
    ("entry", "answer", "words"),
    [
        ({"answer": 37.5, "unit": "nm", "tolerance": 0.1}, "37.5 nm", "without quotes and unit"),
        ({"answer": -80.0, "unit": "nm", "tolerance": 0.1}, 80, "Look at the sign"),
        ({"answer": 30.0, "unit": "deg"}, np.deg2rad(30), "np.rad2deg"),
        ({"answer": 34.0, "unit": "%", "tolerance": 0.4}, 0.34, "in percent"),
        ({"answer": 0.34, "tolerance": 0.01}, 34, "a fraction"),
        (
            {"answer": 4.63, "unit": "nm", "relative": 0.01},
            4630.0,
            "a factor of 1,000: mind the unit; the answer is in nm",
        ),
        (
            {"answer": 37.5, "hints": [{"slip": "degrees as radians", "when": -71.4, "tolerance": 0.1}]},
            -71.43,
            "np.deg2rad",
        ),
        ({"answer": 0, "tolerance": 0.1}, 3.0, "Go through the steps"),
    ],
)
def test_common_slips_are_named(registry, entry, answer, words):
    registry(x=entry)
    verdict = teaching.judge("x", answer)
    assert verdict.kind == "wrong"
    assert words in verdict.text


def test_number_that_the_chapter_states_above_is_recognized(registry, capsys):
    registry(x={"answer": 106.5, "tolerance": 1.6})
    assert "states above" not in teaching.judge("x", 43.2).text
    teaching.claim("step", 43.2, unit="nm", low=40, high=50, why="a test")
    assert "43.2 nm is a number that the chapter states above" in teaching.judge("x", 43.2).text.replace("\u00a0", " ")
    capsys.readouterr()


def test_question_shows_its_answers_and_says_why(monkeypatch, capsys):
    teaching.quiz("how-to-read-gray")
    assert capsys.readouterr().out.count("( )") == 2
    published = _Published(monkeypatch, building=True)
    teaching.quiz("how-to-read-gray")
    ((data, metadata),) = published.outputs
    assert data["text/html"].count('type="radio"') == 2
    assert data["text/html"].count("Right.") == 1
    assert metadata["tritomo"]["quiz"] == {"id": "how-to-read-gray"}
    with pytest.raises(ValueError, match=r"one of .*how-to-read-gray.* got 'how'"):
        teaching.quiz("how")


OPTIONS = [{"text": "a", "why": "b", "right": True}, {"text": "c", "why": "d"}]


@pytest.mark.parametrize(
    "options", [OPTIONS[:1], [OPTIONS[0], OPTIONS[0]], [OPTIONS[1], OPTIONS[1]], [OPTIONS[0], {"text": "c"}]]
)
def test_question_without_one_right_answer_or_a_reason_is_refused(options, tmp_path, monkeypatch):
    import yaml

    monkeypatch.setattr(quizzes, "FOLDER", tmp_path)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"q": {"question": "Why?", "options": options}}))
    with pytest.raises(ValueError, match="one of them right"):
        quizzes.quizzes.__wrapped__()
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"q": {"question": "Why?", "options": OPTIONS}}))
    assert quizzes.quizzes.__wrapped__()["q"]["chapter"] == "a"


EXERCISES = exercises.exercises()


@pytest.mark.parametrize("name", EXERCISES)
def test_every_exercise_knows_its_answer_and_its_hints(name):
    entry = EXERCISES[name]
    assert teaching.judge(name, entry["answer"]).kind == "right"
    assert teaching.judge(name, ...).kind == "not yet"
    assert entry.get("hints"), "an exercise has a hint for at least one usual wrong answer"
    for hint in entry["hints"]:
        wrong = hint.get("when", hint.get("above", 0) + 1 if "above" in hint else hint.get("below", 0) - 1)
        wrong = np.full(np.shape(entry["answer"]), wrong) if np.shape(wrong) != np.shape(entry["answer"]) else wrong
        verdict = teaching.judge(name, wrong[()] if isinstance(wrong, np.ndarray) else wrong)
        assert (verdict.kind, verdict.text) == ("wrong", hint.get("say", exercises.SLIPS.get(hint.get("slip", ""))))


def test_check_shows_the_verdict(monkeypatch, capsys):
    teaching.check("how-to-answer", 2)
    assert capsys.readouterr().out.startswith("Not this. That is two times one.")
    published = _Published(monkeypatch, building=True)
    teaching.check("how-to-answer", 4)
    ((data, metadata),) = published.outputs
    assert "tt-right" in data["text/html"]
    assert metadata["tritomo"]["check"] == {"id": "how-to-answer", "kind": "right"}


REAL = "NMC_EELS_linescan_Jia"


def test_missing_dataset_is_named_and_stops_the_chapter(monkeypatch, tmp_path):
    for name in ("TRITOMO_DATA_MIRROR", "TRITOMO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TRITOMO_OFFLINE", "1")
    published = _Published(monkeypatch, building=True)
    with pytest.raises(teaching.ChapterStopped, match=REAL) as stopped:
        teaching.data(REAL)
    ((data, metadata),) = published.outputs
    assert "tt-unavailable" in data["text/html"]
    assert "TRITOMO_DATA_MIRROR" in data["text/html"]
    assert metadata["tritomo"]["unavailable"] == {"name": REAL}
    assert stopped.value._render_traceback_() == [str(stopped.value)], "a reader is spared the traceback"


def test_data_records_what_a_reader_downloads(monkeypatch, tmp_path):
    published = _Published(monkeypatch, building=True)
    monkeypatch.setattr(datasets, "fetch", lambda _, **__: {"adf": tmp_path / "adf.dm3"})
    assert teaching.data(REAL, parts=["adf"]) == {"adf": tmp_path / "adf.dm3"}
    ((_, metadata),) = published.outputs
    adf = next(f for f in datasets.dataset(REAL).files if f.role == "adf")
    assert metadata["tritomo"]["data"] == {"name": REAL, "bytes": adf.size_bytes}


def test_provenance_names_dataset_checksum_version_parameters_and_command():
    page = teaching.data.__globals__["provenance_box"](
        [REAL], parameters={"dose_e_per_A2": 120, "note": "<b>"}, command="plot(a < b)"
    )
    checksum = datasets.dataset(REAL).files[0].checksum
    for words in (REAL, checksum, "tritomo_helpers", "dose_e_per_A2 = 120", "a &lt; b", "&lt;b&gt;"):
        assert words in page
    assert re.match(r"<details(?! open)", page), "closed until asked for"


def test_reasons_are_a_list_with_what_they_are_about_in_bold(monkeypatch):
    published = _Published(monkeypatch, building=True)
    teaching.show_list(["method: common-line, as asked", "a < b", "turn: -2.6 +- 0.06 deg"])
    ((data, _),) = published.outputs
    items = "<li><strong>method:</strong> common-line, as asked</li><li>a &lt; b</li>"
    items += "<li><strong>turn:</strong> −2.6 ± 0.06°</li>"
    assert data["text/html"] == f'<ul class="tt-why">{items}</ul>'
