"""A space bound to a model: what a trial is asked, under which names, and what stands where."""

from __future__ import annotations

import pytest
from optuna.trial import FixedTrial

from actsearch.errors import SearchSpaceError
from actsearch.placement import FoundSite, Sites
from actsearch.search.space.choices import bind
from actsearch.search.space.search_space import SearchSpace

RANGE = {"low": 0.01, "high": 0.3, "log": True}


class Asked(FixedTrial):
    """A trial that remembers what it was asked."""

    def __init__(self, params):
        super().__init__(params)
        self.names = []

    def suggest_categorical(self, name, choices):
        self.names.append((name, list(choices)))
        return super().suggest_categorical(name, choices)

    def suggest_float(self, name, low, high, *, log=False):
        self.names.append((name, (low, high, log)))
        return super().suggest_float(name, low, high, log=log)


def site(name, activation="relu", block="", **more):
    specification = {"activation": activation, "parameters": more.pop("parameters", {})}
    return FoundSite(name, "module", activation, specification, block=block, **more)


def space(granularity="layer", **activations):
    return SearchSpace(activations=activations, granularity=granularity)


def bound(given, *sites, **options):
    return bind(given, Sites(sites), **options)


def test_a_range_and_choices_are_asked_under_the_activations_name():
    settings = {"leaky_relu": {"negative_slope": RANGE}, "elu": {"alpha": {"choices": [0.5, 1]}}}
    binding = bound(space(**settings), site("a"))
    trial = Asked({"a": "leaky_relu", "a.leaky_relu.negative_slope": 0.1})
    assert binding.suggest(trial).sites["a"].parameters == {"negative_slope": 0.1}
    assert trial.names == [
        ("a", ["leaky_relu", "elu"]),
        ("a.leaky_relu.negative_slope", (0.01, 0.3, True)),
    ]
    trial = Asked({"a": "elu", "a.elu.alpha": 0.5})
    assert binding.suggest(trial).sites["a"].parameters == {"alpha": 0.5}
    assert trial.names[1] == ("a.elu.alpha", [0.5, 1])


def test_a_plain_value_is_not_asked():
    trial = Asked({"a": "elu"})
    placement = bound(space(elu={"alpha": 0.5}), site("a")).suggest(trial)
    assert placement.sites["a"].parameters == {"alpha": 0.5}
    assert trial.names == [("a", ["elu"])]


def test_a_start_and_a_share_are_asked_where_there_are_several():
    learn = {"learn": True, "start": [0.05, 0.25], "share": ["layer", "channel"]}
    binding = bound(space(prelu={"negative_slope": learn}), site("a", channels=4, channel_dim=2))
    name = "a.prelu.negative_slope"
    trial = Asked({"a": "prelu", name: 0.25, f"{name}.share": "channel"})
    entry = binding.suggest(trial).sites["a"]
    assert [asked for asked, _ in trial.names] == ["a", name, f"{name}.share"]
    assert entry.learn == ["negative_slope"]
    assert (entry.share, entry.channels, entry.channel_dim) == ("channel", 4, 2)
    entry = binding.suggest(Asked({"a": "prelu", name: 0.05, f"{name}.share": "layer"})).sites["a"]
    assert (entry.share, entry.channels) == (None, None), "a layer shares by default"
    assert entry.parameters == {"negative_slope": 0.05}


def test_what_is_not_learned_is_said_so_and_has_no_share():
    learn = {"learn": False, "start": 0.25}
    trial = Asked({"a": "prelu"})
    entry = bound(space(prelu={"negative_slope": learn}), site("a")).suggest(trial).sites["a"]
    assert (entry.learn, entry.parameters) == ([], {"negative_slope": 0.25})
    assert trial.names == [("a", ["prelu"])]


@pytest.mark.parametrize(
    ("granularity", "expected"),
    [
        ("model", {"model": ["x.1", "x.2", "y.1"]}),
        ("block", {"x": ["x.1", "x.2"], "y": ["y.1"]}),
        ("layer", {"x.1": ["x.1"], "x.2": ["x.2"], "y.1": ["y.1"]}),
    ],
)
def test_a_choice_holds_for_the_sites_of_its_part(granularity, expected):
    sites = site("x.1", block="x"), site("x.2", block="x"), site("y.1", block="y")
    choices = bound(space(granularity, relu=None, tanh=None), *sites).choices
    assert {choice.name: [one.name for one in choice.sites] for choice in choices} == expected
    assert {choice.name: expected[choice.name] for choice in choices} == expected


def test_sites_of_one_part_with_other_candidates_choose_apart_as_part_and_site():
    sites = site("a"), site("b", requires="bounded"), site("c")
    binding = bound(space("model", relu=None, tanh=None), *sites)
    assert {c.name: [one.name for one in c.sites] for c in binding.choices} == {
        "model:a": ["a", "c"],
        "model:b": ["b"],
    }
    assert [(where, name) for where, name, _ in binding.refused] == [("b", "relu")]
    placement = binding.suggest(FixedTrial({"model:a": "relu", "model:b": "tanh"}))
    assert {name: one.activation for name, one in placement.sites.items()} == {
        "a": "relu",
        "c": "relu",
        "b": "tanh",
    }


def test_a_parameter_that_may_break_the_requirement_refuses_its_activation():
    given = space(leaky_relu={"negative_slope": {"low": 0.1, "high": 2.0}}, relu=None)
    binding = bound(given, site("a", requires="derivative_bound <= 1"))
    assert [one.name for one in binding.choices[0].candidates] == ["relu"]


def test_a_requirement_of_the_study_holds_at_every_site_and_force_lifts_it():
    given, sites = space(relu=None, tanh=None), (site("a"), site("b", requires="odd"))
    names = [
        [one.name for one in choice.candidates]
        for choice in bound(given, *sites, require="bounded").choices
    ]
    assert names == [["tanh"], ["tanh"]]
    forced = bound(given, *sites, require="bounded", force=True)
    assert [len(choice.candidates) for choice in forced.choices] == [2, 2]
    assert forced.refused == ()


def test_where_nothing_may_stand_the_last_reason_is_told():
    with pytest.raises(SearchSpaceError, match="no activation of the space may stand at site 'a'"):
        bound(space(relu=None), site("a", requires="bounded"))


def test_protected_sites_are_left_alone_and_a_model_of_these_alone_is_refused():
    left = site("b", protected=True, reason="a gate")
    assert [choice.name for choice in bound(space(relu=None), site("a"), left).choices] == ["a"]
    with pytest.raises(SearchSpaceError, match=r"no site to search.*--include-gates searches"):
        bound(space(relu=None), left)


@pytest.mark.parametrize(
    ("stands", "own"),
    [
        (site("a", "tanh"), {"a": "tanh"}),
        (
            site("a", "leaky_relu", parameters={"negative_slope": 0.1}),
            {"a": "leaky_relu", "a.leaky_relu.negative_slope": 0.1},
        ),
        (site("a", "leaky_relu", parameters={"negative_slope": 0.9}), None),
        (site("a", "elu", parameters={"alpha": 1.0}), {"a": "elu", "a.elu.alpha": 1.0}),
        (site("a", "elu", parameters={"alpha": 0.7}), None),
        (site("a", "celu", parameters={"alpha": 2.0}), {"a": "celu"}),
        (site("a", "celu", parameters={"alpha": 1.0}), None),
        (site("a", "softsign"), None),
    ],
)
def test_the_models_own_activation_is_a_choice_where_the_space_holds_it(stands, own):
    given = space(
        tanh=None,
        leaky_relu={"negative_slope": RANGE},
        elu={"alpha": {"choices": [0.5, 1.0]}},
        celu={"alpha": 2.0},
    )
    assert bound(given, stands).own() == own


def test_two_activations_of_a_model_are_no_single_choice():
    sites = site("a", "relu"), site("b", "tanh")
    assert bound(space("model", relu=None, tanh=None), *sites).own() is None
    assert bound(space("layer", relu=None, tanh=None), *sites).own() == {"a": "relu", "b": "tanh"}
