"""Noise is called that, and what was stopped early counts."""

from __future__ import annotations

import random

import pytest

from actsearch.tracking.effects import Tried, differ, effects, tried
from actsearch.tracking.pictures.importance import importance
from actsearch.tracking.pictures.sites import heat_map

NAMES = ("relu", "tanh", "elu")


def trials(count, value, seed=0, sites=2):
    """Draw what stands where at random, and what came of it."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        stands = [draw.choice(NAMES) for _ in range(sites)]
        found.append((stands, value(stands, draw), "complete"))
    return found


def noise(stands, draw):
    return draw.gauss(1, 0.1)


def first_matters(stands, draw):
    return draw.gauss(1, 0.1) - 0.5 * (stands[0] == "tanh")


def test_a_site_that_matters_is_found_and_the_other_is_not():
    made = [Tried({"a": s[0], "b": s[1]}, v) for s, v, _ in trials(30, first_matters)]
    first, second = effects(made, "min")
    assert (first.sites, first.is_seen) == (("a",), True)
    assert (second.sites, second.is_seen) == (("b",), False)
    assert second.share < second.chance < first.share


def test_noise_is_taken_for_an_effect_as_rarely_as_the_level_says():
    hits = 0
    for seed in range(200):
        made = [Tried(dict(enumerate(s)), v) for s, v, _ in trials(20, noise, seed, sites=4)]
        hits += any(effect.is_seen for effect in effects(made, "max"))
    assert hits <= 20, "5 % of 200, and twice that by chance in 1 of 1000 cases"


def test_what_was_always_stopped_is_an_effect_without_a_single_value():
    made = [Tried({"a": "relu"}, 1.0 + n / 9) for n in range(6)]
    made += [Tried({"a": "softplus"}, None) for _ in range(6)]
    (effect,) = effects(made, "min")
    assert effect.is_seen


def test_sites_that_nobody_can_tell_apart_are_one():
    made = [Tried({"a": s[0], "b": s[0]}, v) for s, v, _ in trials(12, noise)]
    assert [effect.sites for effect in effects(made, "min")] == [("a", "b")]


@pytest.mark.parametrize("values", [[0.5] * 9, [0.1, 0.2]])
def test_nothing_is_tested_where_all_are_equal_or_few(values):
    made = [Tried({"a": NAMES[n % 2]}, value) for n, value in enumerate(values)]
    assert effects(made, "min") == []


def test_placements_are_compared_with_their_seeds():
    apart = [Tried({"a": name}, n, 4, 0.5) for n, name in enumerate(NAMES)]
    assert differ(apart) < 0.05
    assert differ([Tried({"a": name}, 0.1 * n, 4, 0.5) for n, name in enumerate(NAMES)]) > 0.05
    assert differ([Tried({"a": name}, n) for n, name in enumerate(NAMES)]) is None


def test_other_learning_rates_and_own_mistakes_are_not_compared(study):
    run = study(
        [
            (None, 1.0, "complete"),
            (["tanh", "elu"], 2.0, "pruned"),
            (["elu", "elu"], 0.0, "failed"),
        ],
        reason="error: KeyError",
    )
    made = tried(run)
    assert [(one.value, one.activations["net.layer_0.act"]) for one in made] == [
        (1.0, "relu"),
        (None, "tanh"),
    ]


def test_a_map_of_noise_ranks_nothing(study, drawn, tmp_path):
    figure, texts = drawn(heat_map, study(trials(20, noise)), tmp_path / "sites.png")
    assert any("no effect seen" in text for text in texts)
    cells = {patch.get_facecolor()[:3] for patch in figure.axes[0].patches}
    assert len(cells) == 1, "one colour for all"


def test_a_map_of_an_effect_has_colours_and_marks_single_trainings(study, drawn, tmp_path):
    made = [*trials(30, first_matters), (["gelu", "relu"], 7.0, "complete")]
    made += [(["mish", "relu"], 9.0, "pruned")] * 2
    figure, texts = drawn(heat_map, study(made), tmp_path / "sites.png")
    assert len({patch.get_facecolor()[:3] for patch in figure.axes[0].patches}) > 3
    assert "(7)\nn=1" in texts
    assert "2×" in texts, "what was stopped is there"
    assert "layer_1\n(no effect seen)" in texts


def test_importance_says_where_it_is_noise(study, drawn, tmp_path):
    _, texts = drawn(importance, study(trials(20, noise)), tmp_path / "importance.png")
    assert texts.count("no effect seen") == 2
    assert any("no effect seen at any site" in text for text in texts)
