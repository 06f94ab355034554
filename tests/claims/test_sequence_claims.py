"""Gradients through 64 steps, digits read pixel by pixel: three seeds, before and after."""

import pytest

from actsearch import Placement
from actsearch.task import laws
from actsearch_tasks.sequence import SequenceTask

pytestmark = [pytest.mark.claim, pytest.mark.long]

LEAKY = {"activation": "leaky_relu", "parameters": {"negative_slope": 0.1}}
STEPS = 300


def figures(activation, trained=True, steps=STEPS, **options):
    """The figures of three seeds."""
    found = []
    for seed in range(3):
        task = laws.build_task(SequenceTask, options, seed)
        if activation != "tanh":
            Placement.uniform(activation, ["network.recurrent.activation_l0"]).apply(task)
        if trained:
            batches = len(task.train_dataloader())
            epochs = -(-steps // batches)
            run = laws.trainer(epochs, gradient_clip_val=1.0, max_steps=steps)
            run.fit(task)
            logged = {name.removeprefix("val_"): v for name, v in run.callback_metrics.items()}
            found.append({name: float(value) for name, value in logged.items()})
        else:
            task.on_fit_start()
            found.append(dict(task.figures("val", {})))
    return found


def span(found, name):
    values = [each[name] for each in found]
    return f"{min(values):.3g} to {max(values):.3g}"


def test_gradient_factors_at_an_orthogonal_start(claim):
    factors = {}
    for name in ("sigmoid", "silu", "gelu", "relu", "leaky_relu", "elu", "tanh", "identity"):
        found = figures(name, trained=False)
        factors[name] = max(each["gradient_factor"] for each in found)
        wanted = {"sigmoid": "≤ 0.25", "silu": "below tanh"}.get(name, "")
        factor = span(found, "gradient_factor")
        claim(f"sequence, {name}, orthogonal start: factor a step", factor, wanted)
    assert factors["sigmoid"] <= 0.25
    assert factors["silu"] < factors["tanh"]


def test_with_its_gain_and_training_swish_keeps_more(claim):
    plain = figures("silu", trained=False)
    scaled = figures("silu", trained=False, recurrent_init="gain")
    after = figures("silu")
    claim("sequence, silu, W × gain: factor a step", span(scaled, "gradient_factor"), "> 0.7")
    above = span(after, "slope_above_one")
    claim("sequence, silu, 300 steps: share of slopes above 1", above, "> 0")
    first, last = (
        [each["gradient_norm/back_63"] / each["gradient_norm/back_0"] for each in found]
        for found in (plain, after)
    )
    ratios = f"{max(first):.2g}, {min(last):.2g}"
    claim("sequence, silu: gradient at first over last step, before, after", ratios, "grows 1e6")
    assert min(each["gradient_factor"] for each in scaled) > 0.7
    assert min(each["slope_above_one"] for each in after) > 0
    assert min(last) > 1e6 * max(first)


@pytest.mark.parametrize(("init", "steps"), [("identity", STEPS), ("orthogonal", 500)])
def test_relu_leaves_dead_units_and_leaky_and_tanh_none(init, steps, claim):
    found = {
        name: figures(activation, recurrent_init=init, steps=steps)
        for name, activation in (("relu", "relu"), ("leaky 0.1", LEAKY), ("tanh", "tanh"))
    }
    for name, each in found.items():
        wanted = "> 0.02" if name == "relu" else "0"
        what = f"sequence, {init} start, {steps} steps, {name}"
        claim(f"{what}: dead units", span(each, "dead_units"), wanted)
        claim(f"{what}: accuracy", span(each, "accuracy"))
    assert min(each["dead_units"] for each in found["relu"]) > 0.02
    assert {each["dead_units"] for n in ("leaky 0.1", "tanh") for each in found[n]} == {0}


def test_the_adding_problem_agrees(claim):
    options = {"data": "adding", "recurrent_init": "identity", "steps": 250}
    for name, activation in (("relu", "relu"), ("leaky 0.1", LEAKY)):
        found = figures(activation, **options)
        claim(f"sequence, adding, 100 steps, {name}: dead units", span(found, "dead_units"))
        claim(f"sequence, adding, 100 steps, {name}: loss (mean: 0.167)", span(found, "loss"))
