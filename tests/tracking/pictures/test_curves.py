"""Each function of the placement that is handed back is drawn, once, with where it stands."""

from __future__ import annotations

from safetensors.torch import save_file

from actsearch import activation
from actsearch.placement import Placement, SiteEntry
from actsearch.tracking.pictures.curves import curves


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def placed(*entries, **found):
    names = [f"net.layer_{n}.act" for n in range(len(entries))]
    return Placement(sites=dict(zip(names, map(SiteEntry.model_validate, entries), strict=True)),
                     found=found)  # fmt: skip


def clipped(ceiling):
    return {"activation": "clipped_relu", "parameters": {"ceiling": ceiling}}


def test_a_curve_for_each_parameter_and_none_twice(study, drawn, tmp_path):
    run = study([], sites=3)
    placement = placed(clipped(6), clipped(1), clipped(6))  # whole numbers, as a file has them
    figure, _ = drawn(curves, run, placement, tmp_path / "curves.png")
    assert titles(figure) == [
        "clipped_relu\nceiling=6\nat layer_0, layer_2",
        "clipped_relu\nceiling=1\nat layer_1",
    ]
    highest = [max(axes.lines[0].get_ydata()) for axes in figure.axes]
    assert highest == [6, 1], "the corner of either is in the picture"


def test_one_function_everywhere_says_so(study, drawn, tmp_path):
    run = study([])
    figure, _ = drawn(curves, run, placed({"activation": "tanh"}, {"activation": "tanh"}), tmp_path)
    assert titles(figure) == ["tanh\nat all 2 sites"]


def test_a_learned_function_is_drawn_as_it_was_learned(study, drawn, tmp_path):
    run = study([])
    prelu = {"activation": "prelu"}
    weights = run.folder / "trials" / "00004" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    learned = activation("prelu", negative_slope=-0.1).state_dict()
    save_file({f"net.layer_1.act.{name}": value for name, value in learned.items()}, weights)
    figure, texts = drawn(curves, run, placed(prelu, prelu, trial=4), tmp_path)
    first, second = titles(figure)
    assert first == "prelu\nat layer_0", "its weights are not there"
    assert second == "prelu\nnegative_slope=0 → -0.1\nat layer_1", "it starts at the ReLU it was"
    assert abs(figure.axes[1].lines[0].get_ydata()[0] - 0.65) < 1e-6
    assert "as it started" in texts


def test_one_that_learns_by_channel_has_a_line_for_each(study, drawn, tmp_path):
    run = study([], sites=1)
    weights = run.folder / "confirmed" / "00001" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    learned = activation("prelu", share="channel", channels=3).state_dict()
    save_file({f"net.layer_0.act.{name}": value for name, value in learned.items()}, weights)
    entry = {"activation": "prelu", "share": "channel"}
    figure, _ = drawn(curves, run, placed(entry, trial=1), tmp_path)
    solid = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert len([line for line in solid if len(line.get_xdata()) > 2]) == 3


def test_weights_that_cannot_be_read_cost_a_curve(study, drawn, tmp_path):
    run = study([], sites=1)
    weights = run.folder / "trials" / "00001" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"torn")
    figure, _ = drawn(curves, run, placed({"activation": "prelu"}, trial=1), tmp_path)
    assert titles(figure) == ["prelu"]
