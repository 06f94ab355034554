"""Search spaces: what a file says is what a trial is asked."""

from __future__ import annotations

import json

import optuna
import pytest
import torch
from torch import nn

from actsearch import Site, find_sites
from actsearch.errors import SearchSpaceError
from actsearch.search.space.choices import bind
from actsearch.search.space.search_space import SearchSpace, description
from actsearch.task import plugins


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Linear(2, 4),
        nn.ReLU(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 1),
        Site("tanh", requires="bounded"),
    )


def asked(space, sites, params):
    fixed = optuna.trial.FixedTrial(params)
    placement = bind(space, sites).suggest(fixed)
    return placement, set(fixed.params)


@pytest.mark.parametrize("name", plugins.members("search_spaces"))
def test_presets_are_read_and_say_when_to_choose_them(name):
    space = SearchSpace.load(name)
    assert space.candidates
    head = plugins.find_member("search_spaces", name).read_text().split("\n\n")[0]
    assert len(description(plugins.find_member("search_spaces", name))) > 10
    assert head.startswith("# ")


def test_fixed_searched_learned(model):
    space = SearchSpace(
        activations={
            "leaky_relu": {"negative_slope": {"low": 0.01, "high": 0.3, "log": True}},
            "prelu": {
                "negative_slope": {
                    "learn": True,
                    "start": [0.05, 0.25],
                    "share": ["layer", "channel"],
                }
            },
            "elu": {"alpha": 0.5},
            "tanh": None,
        }
    )
    sites = find_sites(model, torch.zeros(1, 2))
    params = {
        "1": "leaky_relu", "1.leaky_relu.negative_slope": 0.2,
        "3": "prelu", "3.prelu.negative_slope": 0.25, "3.prelu.negative_slope.share": "channel",
        "5": "tanh",
    }  # fmt: skip
    placement, names = asked(space, sites, params)
    assert names == set(params)
    assert placement.sites["1"].parameters == {"negative_slope": 0.2}
    learned = placement.sites["3"]
    assert (learned.learn, learned.share, learned.channels, learned.channel_dim) == (
        ["negative_slope"],
        "channel",
        4,
        -1,
    )
    assert learned.parameters == {"negative_slope": 0.25}
    applied = placement.apply(model)
    assert applied[3].raw_negative_slope.shape == (4,)
    assert json.loads(placement.dumps())["sites"]["5"] == {"activation": "tanh"}


def test_requirement_filters_and_is_reported(model):
    sites = find_sites(model)
    bound = bind(SearchSpace(activations={"relu": None, "tanh": None}), sites)
    by_name = {d.name: [c.name for c in d.candidates] for d in bound.choices}
    assert by_name == {"1": ["relu", "tanh"], "3": ["relu", "tanh"], "5": ["tanh"]}
    assert bound.refused == (("5", "relu", "bounded is False, but the site requires bounded"),)
    with pytest.raises(SearchSpaceError, match="no activation of the space may stand at site '5'"):
        bind(SearchSpace(activations={"relu": None}), sites)
    forced = bind(SearchSpace(activations={"relu": None}), sites, force=True)
    assert len(forced.choices) == 3


def test_granularity_joins_only_sites_with_the_same_candidates(model):
    space = SearchSpace(activations={"relu": None, "tanh": None}, granularity="model")
    assert [
        (d.name, [s.name for s in d.sites]) for d in bind(space, find_sites(model)).choices
    ] == [
        ("model:1", ["1", "3"]),
        ("model:5", ["5"]),
    ]


def test_site_rules_override_by_pattern(model):
    space = SearchSpace(
        activations={"relu": None, "elu": {"alpha": {"low": 0.5, "high": 2.0}}, "tanh": None},
        sites={"3": {"activations": ["elu"]}, "5": {"activations": {"softsign": None}}},
    )
    bound = bind(space, find_sites(model))
    assert [[c.name for c in d.candidates] for d in bound.choices] == [
        ["relu", "elu", "tanh"],
        ["elu"],
        ["softsign"],
    ]
    assert bound.choices[1].candidates[0].settings, "a rule by name keeps the settings of the space"
    with pytest.raises(
        SearchSpaceError,
        match=r"site pattern 'head.\*' must match a site, but matches none of 1, 3, 5",
    ):
        bind(
            SearchSpace(activations={"relu": None}, sites={"head.*": {"activations": ["relu"]}}),
            find_sites(model),
        )


def test_own_activations_as_parameters(model):
    sites = find_sites(model)
    inside = bind(SearchSpace(activations={"relu": None, "tanh": None}), sites).own()
    assert inside == {"1": "relu", "3": "relu", "5": "tanh"}
    assert bind(SearchSpace(activations={"elu": None, "tanh": None}), sites).own() is None


def test_generated_pool_is_large_distinct_and_repeatable():
    space = SearchSpace(activations={"relu": None}, generate={"count": 50, "depth": 2, "seed": 3})
    names = [c.name for c in space.candidates]
    assert len(set(names)) == len(names) >= 50
    assert names == [c.name for c in SearchSpace.model_validate(space.model_dump()).candidates]


def test_names_as_torch_users_type_them(model):
    space = SearchSpace(
        activations={"nn.ReLU": None, "LeakyReLU": {"negative_slope": 0.2}, "tanh": None},
        sites={"3": {"activations": ["leaky_relu"]}, "5": {"activations": ["Tanh"]}},
    )
    assert [c.name for c in space.candidates] == ["relu", "leaky_relu", "tanh"]
    bound = bind(space, find_sites(model))
    assert [[c.name for c in d.candidates] for d in bound.choices] == [
        ["relu", "leaky_relu", "tanh"],
        ["leaky_relu"],
        ["tanh"],
    ]
    assert bound.choices[1].candidates[0].settings == {"negative_slope": 0.2}


def test_one_activation_in_two_spellings_is_refused(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("# Two.\nactivations:\n  ReLU:\n  tanh:\n  relu:\n")
    with pytest.raises(
        SearchSpaceError,
        match=r"space.yaml:5: activations: relu is given twice, as ReLU too. Leave one",
    ):
        SearchSpace.load(path)
    path.write_text(
        "# Two.\nactivations:\n  tanh:\nsites:\n  a.b:\n    activations: [relu, nn.ReLU]\n"
    )
    with pytest.raises(
        SearchSpaceError, match=r"sites.a.b.activations: nn.ReLU is given twice, as relu too"
    ):
        SearchSpace.load(path)


@pytest.mark.parametrize("key", ["learn", "self", "share", "channels", "name_or_expression"])
def test_a_setting_that_is_no_parameter(key):
    with pytest.raises(ValueError, match=f"'{key}'"):
        SearchSpace(activations={"prelu": {key: 1}})


def test_an_own_optuna_study_gets_placements():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    space = SearchSpace(
        activations={"relu": None, "elu": {"alpha": {"low": 0.5, "high": 2.0}}, "nn.SiLU": None}
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    placements = [space.suggest(study.ask(), find_sites(model)) for _ in range(8)]
    assert {tuple(p.sites) for p in placements} == {("1", "3")}
    assert {entry.activation for p in placements for entry in p.sites.values()} == {
        "relu",
        "elu",
        "silu",
    }
    placements[0].apply(model)
    assert model(torch.zeros(1, 2)).shape == (1, 1)
