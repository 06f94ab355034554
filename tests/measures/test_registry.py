"""Measures by name: ours, another project's through an entry point, and own ones by dotted path."""

from __future__ import annotations

import sys

import pytest

from actsearch.errors import ActsearchError, InvalidValueError, MeasureError, UnknownNameError
from actsearch.measures import all_measures, build, directions, find
from actsearch.measures.builtin.certified_accuracy import CertifiedAccuracy
from actsearch.measures.builtin.latency import Latency

THEIRS = """
from actsearch.measures import Measure

class WeightNorm(Measure):
    \"\"\"Norm of all weights.\"\"\"

    name = "weight_norm"
    direction = "min"

    def __init__(self, order: int = 2):
        self.order = order

    def __call__(self, fitted):
        return sum(float(p.norm(self.order)) for p in fitted.module.parameters())

class Unfinished(Measure):
    name = "unfinished"
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Return a function that installs a distribution ``other`` with some entry points."""

    def install(entries, text=THEIRS):
        (tmp_path / "other-1.0.dist-info").mkdir()
        (tmp_path / "other-1.0.dist-info/METADATA").write_text(
            "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
        )
        (tmp_path / "other-1.0.dist-info/entry_points.txt").write_text(
            f"[actsearch.measures]\n{entries}\n"
        )
        (tmp_path / "other_measures.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop("other_measures", None)


NEITHER_BETTER = {
    "gradient_cosine",
    "gradient_flow",
    "gradient_ratio",
    "linear_regions",
    "novelty",
    "privacy",
    "regions_on_segment",
    "robustness",
    "saliency",
    "spectrum",
    "verification",
}


def test_directions_are_of_the_measures_that_have_one():
    several = {"gradient_flow", "novelty"}  # values, some the better the larger, some the smaller
    assert directions() == {
        name: cls.direction for name, cls in all_measures().items() if name not in NEITHER_BETTER
    }
    assert {find(name).direction for name in several} == {None}


def test_measures_of_another_project_are_found_by_their_name(other):
    other("weight_norm = other_measures:WeightNorm")
    assert "other_measures" not in sys.modules
    assert find("latency") is Latency
    assert "other_measures" not in sys.modules, "what is not asked for is not imported"
    assert find("weight_norm").__module__ == "other_measures"
    assert list(all_measures()).index("weight_norm") == len(all_measures()) - 1
    assert directions()["weight_norm"] == "min"


def test_an_own_measure_is_found_by_its_path_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(THEIRS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    assert build("mine.WeightNorm", {"order": "1"}).order == 1
    for path, why in (
        ("mine.Nothing", "must be a complete subclass of actsearch.measures.Measure, but is None"),
        ("mine.Unfinished", "must be a complete subclass of actsearch.measures.Measure"),
        ("nowhere.WeightNorm", "must be importable, but there is no module 'nowhere'"),
    ):
        with pytest.raises(MeasureError, match=f"^'{path}' {why}"):
            find(path)
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    ("entries", "text", "why"),
    [
        ("a = other_measures:A", "x = = 1", "must be importable, but got SyntaxError: "),
        ("a = other_measures:A", "", "must be importable, but got AttributeError: "),
        ("a = other_measures:A", "A = 3", "must be a Measure of the name 'a', but got 3"),
        ("a = other_measures:WeightNorm", THEIRS, "must be a Measure of the name 'a', but got "),
        ("a = other_measures:Unfinished", THEIRS, "must be a Measure of the name 'a', but got "),
    ],
)
def test_a_broken_one_is_named_in_one_line(other, entries, text, why):
    other(entries, text)
    with pytest.raises(MeasureError) as raised:
        all_measures()
    assert f"a measure of other, {why}" in str(raised.value)
    assert "Reinstall or remove other." in str(raised.value)
    assert "\n" not in str(raised.value)
    assert find("latency") is Latency


def test_a_name_is_that_of_one_measure(other):
    other("latency = other_measures:WeightNorm")
    with pytest.raises(MeasureError, match="'latency' must be the name of one measure, but other"):
        find("latency_")


@pytest.mark.parametrize(
    ("measure", "options", "error", "message"),
    [
        ("certified_acuracy", {}, UnknownNameError, "measure 'certified_acuracy'; nearest: cert"),
        ("zzz", {}, UnknownNameError, "of the [0-9]+ known is near.*by dotted path"),
        (
            "certified_accuracy",
            {"radios": 1},
            UnknownNameError,
            "unknown option of certified_accuracy 'radios'; nearest: radius",
        ),
        (".x.Measure", {}, MeasureError, "'.x.Measure' must be a dotted path, such as package"),
        ("certified_accuracy", {"radius": "far"}, InvalidValueError, "radius"),
        ("certified_accuracy", {"radius": -1}, InvalidValueError, "at least 0, but got -1"),
        ("latency", {"rounds": 1}, UnknownNameError, "option of latency 'rounds'; known: none"),
        ("gradient_flow", {"quantities": ["death"]}, UnknownNameError, "nearest: dead"),
        ("knn_accuracy", {"k": 0}, InvalidValueError, "k must be at least 1"),
        ("linear_probe", {"penalty": 0}, InvalidValueError, "penalty must be above 0"),
        ("gradient_variance", {"draws": 1}, InvalidValueError, "draws must be at least 2"),
        ("spectrum", {"shares": -1}, InvalidValueError, "shares must be at least 0"),
        ("smoothness_on_segments", {"order": 0}, InvalidValueError, "order, segments and cells"),
    ],
)
def test_bad_input_gets_one_line(measure, options, error, message):
    with pytest.raises(error, match=message) as raised:
        build(measure, options)
    assert isinstance(raised.value, ActsearchError)
    assert "\n" not in str(raised.value)


def test_options_are_read_as_their_type():
    assert build("certified_accuracy", {"radius": "0.5"}).radius == 0.5
    assert build(CertifiedAccuracy, {"radius": 1}).radius == 1
    assert build("gradient_flow", {"quantities": ["kappa"]}).quantities == ("kappa",)
    assert build("knn_accuracy").k == 10
