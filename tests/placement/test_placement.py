"""The placement file: round trip, refusals, sharing by channel, and what importing it costs."""

import copy
import json
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import Placement, Site, find_sites
from actsearch.errors import ActsearchWarning, PlacementError, RequirementError, UnknownNameError
from actsearch.placement import SiteEntry, applied

X = torch.linspace(-2, 2, 12).reshape(3, 4)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def test_reusing_a_placement_imports_neither_optuna_nor_mlflow_nor_lightning():
    code = "import sys; from actsearch import Placement, find_sites; import actsearch.placement;"
    code += (
        "print([m for m in ('optuna', 'mlflow', 'lightning', 'pytorch_lightning', 'sklearn') if m"
        " in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_round_trip_gives_the_same_function_bit_for_bit(tmp_path):
    entry = {
        "activation": "prelu",
        "parameters": {"negative_slope": 0.12},
        "learn": ["negative_slope"],
        "share": "channel",
    }
    placement = Placement(
        sites={"1": SiteEntry.model_validate(entry)},
        initialisation="forward",
        found={"study": "digits"},
    )
    loaded = Placement.load(placement.save(tmp_path / "best.json"))
    assert loaded == placement
    first, second = placement.apply(model()), loaded.apply(model())
    assert torch.equal(first(X), second(X))
    z = first[0](X)
    torch.testing.assert_close(first(X), first[2](torch.where(z >= 0, z, 0.12 * z)))


def test_sharing_by_channel_follows_the_layer_that_feeds_the_site():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5, 7)

        def forward(self, x):
            return F.relu(self.fc(F.relu(self.conv(x)).mean((2, 3))))

    net = Net()
    x = torch.randn(2, 3, 6, 6)
    entry = {"activation": "prelu", "share": "channel", "parameters": {"negative_slope": 0.5}}
    Placement.uniform(entry, find_sites(net, x)).apply(net, x)
    sizes = {
        name: tuple(parameter.shape) for name, parameter in net.named_parameters() if "raw" in name
    }
    assert sizes == {"relu.raw_negative_slope": (5,), "relu@2.raw_negative_slope": (7,)}
    assert net(x).shape == (2, 7)


def test_channels_that_are_not_known_are_refused():
    net = nn.Sequential(nn.Identity(), nn.ReLU())
    entry = {"activation": "prelu", "share": "channel"}
    with pytest.raises(
        PlacementError,
        match=r"1 must have a known number of channels .* but got None. Pass an example",
    ):
        Placement.uniform(entry, ["1"]).apply(net)


def test_a_site_that_the_model_does_not_have():
    with pytest.raises(
        PlacementError, match="the placement does not fit Sequential: unknown site '2'; known: 1"
    ):
        Placement.uniform("relu", ["2"]).apply(model())


def test_functional_sites_of_a_model_that_does_not_trace_need_an_example():
    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x):
            return F.relu(self.a(x)) if x.sum() > -100 else x

    with pytest.raises(PlacementError, match="Pass an example_input to find functional calls"):
        Placement.uniform("tanh", ["relu"]).apply(Flow())
    net = Flow()
    assert torch.equal(Placement.uniform("tanh", ["relu"]).apply(net, X)(X), torch.tanh(net.a(X)))


def test_a_requirement_is_kept_unless_forced():
    net = nn.Sequential(nn.Linear(4, 4), Site("tanh", requires="bounded and bijective"))
    with pytest.raises(
        RequirementError, match=r"relu cannot stand at 1: .* Pass force=True to place it anyway"
    ):
        Placement.uniform("relu", ["1"]).apply(net)
    assert net[1].activation.name == "tanh"
    Placement.uniform("relu", ["1"]).apply(net, force=True)
    assert net[1].activation.name == "relu"
    with pytest.raises(RequirementError, match="relu cannot stand here"):
        Site("relu", requires="bounded")


def test_a_refused_placement_changes_nothing():
    net = nn.Sequential(
        nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), Site("tanh", requires="bounded")
    )
    before = net(X)
    with pytest.raises(RequirementError):
        Placement.uniform("relu", ["1", "3"]).apply(net)
    with pytest.raises(PlacementError):
        Placement.uniform("tanh", ["1", "nowhere"]).apply(net)
    assert torch.equal(net(X), before)
    assert applied(net) == []


def test_learned_parameters_without_a_value_start_at_what_they_replace():
    net = model()
    before = net(X)
    Placement.uniform("prelu", ["1"]).apply(net)
    assert torch.equal(net(X), before)
    assert applied(net)[0].difference == 0.0
    assert net[1].spec()["parameters"] == {"negative_slope": 0.0}


def test_ddp_refuses_what_it_would_not_synchronise():
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model())
        with pytest.raises(PlacementError, match="must be applied before DistributedDataParallel"):
            Placement.uniform("prelu", ["1"]).apply(wrapped)
        Placement.uniform("tanh", ["1"]).apply(wrapped)
        assert torch.equal(wrapped(X), wrapped.module[2](torch.tanh(wrapped.module[0](X))))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "sites: Field required"),
        ('{"schema": 2, "sites": {}}', "schema"),
        (
            '{"schema": 1, "sites": {"a": {"activation": "relu", "code": "import os"}}}',
            "sites.a.code",
        ),
        ("not json", "Expecting value"),
        ("[" * 100_000, "recursion"),
        (
            '{"schema": 1, "sites": {"a": {"activation": "relu"}, "a": {"activation": "elu"}}}',
            "'a' is given twice",
        ),
        ('{"schema": 1, "sites": {}, "learning_rate_factor": NaN}', "learning_rate_factor"),
        (
            '{"schema": 1, "sites": {"a": {"activation": "prelu", "channels": 30000000}}}',
            "sites.a.channels: Input should be less than or equal to 1000000",
        ),
        (
            '{"schema": 1, "sites": {"a": {"activation": "prelu", "channel_dim": 99}}}',
            "sites.a.channel_dim",
        ),
    ],
)
def test_a_file_that_is_no_placement(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(PlacementError, match="is not a placement file") as caught:
        Placement.load(path)
    assert message in str(caught.value)
    with pytest.raises(PlacementError, match="cannot be read"):
        Placement.load(tmp_path / "missing.json")


def test_what_would_never_end_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(PlacementError, match="cannot be read: it must be a regular file"):
            Placement.load(path)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PlacementError, match="it must have at most 16000000 bytes"):
        Placement.load(tmp_path / "large.json")


def test_figures_that_are_not_finite_are_written_and_read_as_none(tmp_path):
    found = {"gain": math.nan, "interval": [-math.inf, math.inf], "seeds": 8}
    file = Placement(sites={}, found=found).save(tmp_path / "best.json")
    json.loads(file.read_text(), parse_constant=pytest.fail)
    known = {"gain": None, "interval": [None, None], "seeds": 8}
    assert Placement.load(file).found == known
    file.write_text('{"schema": 1, "sites": {}, "found": {"gain": NaN, "seeds": 8}}')
    assert Placement.load(file).found == {"gain": None, "seeds": 8}


def test_another_number_of_channels_than_the_sites_is_refused():
    entry = {"activation": "prelu", "share": "channel", "channels": 7}
    with pytest.raises(PlacementError, match="1 has 6 channels, but the placement has 7"):
        Placement.uniform(entry, ["1"]).apply(model())
    assert Placement.uniform(entry | {"channels": 6}, ["1"]).apply(model())(X).shape == (3, 2)


def test_an_option_that_names_no_activation_is_refused():
    entry = {"activation": "bspline", "parameters": {"like": 3}}
    with pytest.raises(PlacementError, match="1: an activation must be a name or an expression"):
        Placement.uniform(entry, ["1"]).apply(model())
    many = {"activation": "mixture", "parameters": {"members": [f"add(x,{n})" for n in range(200)]}}
    with pytest.raises(PlacementError, match="64 at most") as told:
        Placement.uniform(many, ["1"]).apply(model())
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("share", ["layer", "channel"])
def test_an_expression_with_a_learned_constant_is_placed_saved_and_copied(tmp_path, share):
    entry = {"activation": "mul(x,sigmoid(mul(a,x)))", "share": share}
    placement = Placement.load(Placement.uniform(entry, ["1"]).save(tmp_path / "best.json"))
    net = placement.apply(model())
    assert dict(net.named_parameters())["1.raw_a"].shape == ((6,) if share == "channel" else (1,))
    with torch.no_grad():
        net[1].raw_a.fill_(0.5)
    z = net[0](X)
    torch.testing.assert_close(net(X), net[2](z * torch.sigmoid(0.5 * z)))
    assert torch.equal(copy.deepcopy(net)(X), net(X))
    fresh = placement.apply(model())
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(X), net(X))
    assert torch.equal(net[1].rebuilt().cpu()(z), placement.apply(model())[1](z))
    assert Placement.uniform("mul(x,a)", ["1"]).apply(model())[1].values == {"a": 1.0}


@pytest.mark.parametrize(
    "activation", ["prelu", "mul(x,a)", "mixture", "rational", "adaptive_slope", "rrelu"]
)
@pytest.mark.parametrize(
    "key", ["self", "text", "learn", "share", "channels", "channel_dim", "name_or_expression", "x"]
)
def test_a_parameter_that_no_activation_has(activation, key):
    placement = Placement.uniform({"activation": activation, "parameters": {key: 1}}, ["1"])
    with pytest.raises((PlacementError, UnknownNameError), match=rf"'{key}'") as caught:
        placement.apply(model())
    assert "\n" not in str(caught.value)


def test_names_are_stored_as_the_catalogue_has_them(tmp_path):
    placement = Placement.uniform("nn.SiLU", ["1"])
    assert placement.sites["1"].activation == "silu"
    assert placement == Placement.uniform("silu", ["1"])
    path = tmp_path / "typed.json"
    path.write_text(
        '{"schema": 1, "sites": {"1": {"activation": "LeakyReLU", "parameters": {"negative_slope":'
        " 0.3}}}}"
    )
    loaded = Placement.load(path)
    assert loaded.sites["1"].activation == "leaky_relu"
    assert loaded.apply(model())[1].values == {"negative_slope": 0.3}
    assert Site("GELU").activation.name == "gelu"
    assert Placement.uniform("mul(x,a)", ["1"]).sites["1"].activation == "mul(x,a)"


class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model()

    def forward(self, x):
        return F.relu(self.model(x))


@pytest.mark.parametrize("prefix", ["model.", "module.", "_orig_mod.", "a.b."])
def test_a_placement_of_a_wrapper_fits_the_bare_model(prefix):
    net = model()
    Placement.uniform("tanh", [f"{prefix}1"]).apply(net)
    assert net[1].name == "tanh"
    assert [done.site for done in applied(net)] == ["1"]


def test_a_placement_of_the_bare_model_fits_its_wrapper():
    net = Wrapper()
    Placement.uniform("tanh", ["1"]).apply(net)
    assert net.model[1].name == "tanh"
    marked = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(4, 4), Site("relu"))})
    Placement.uniform("tanh", ["1"]).apply(marked)
    assert marked["inner"][1].activation.name == "tanh"


def test_a_placement_that_fits_several_parts_names_them():
    both = nn.ModuleDict({"actor": model(), "critic": model()})
    with pytest.raises(PlacementError) as caught:
        Placement.uniform("tanh", ["1"]).apply(both)
    assert (
        str(caught.value)
        == "the placement's sites must fit one way, but in ModuleDict they fit as part of 'actor',"
        " and as part of 'critic'. Apply it to that part itself: placement.apply(model.actor)."
    )
    assert applied(both) == []
    Placement.uniform("tanh", ["1"]).apply(both.actor)
    assert (both.actor[1].name, type(both.critic[1])) == ("tanh", nn.ReLU)
    with pytest.raises(PlacementError, match="does not fit ModuleDict: unknown site '3'"):
        Placement.uniform("tanh", ["3"]).apply(both)


def test_a_placement_that_changes_nothing_says_so():
    with pytest.warns(
        ActsearchWarning, match="nothing of Sequential was changed: the placement has no sites"
    ):
        Placement(sites={}).apply(model())
    with pytest.warns(
        ActsearchWarning,
        match=(
            "nothing of Sequential was changed: every site of the placement has its activation"
            " already .relu."
        ),
    ):
        Placement.uniform("relu", ["1"]).apply(model())
    net = Placement.uniform("prelu", ["1"]).apply(model())
    with torch.no_grad():
        net[1].raw_negative_slope.fill_(0.3)
    Placement.uniform({"activation": "prelu", "parameters": {"negative_slope": 0.0}}, ["1"]).apply(
        net
    )
    assert net[1].raw_negative_slope == 0.0, (
        "what was learned is put back to its start, which is a change"
    )
    with pytest.warns(ActsearchWarning, match=r"every site .* already \(prelu\)"):
        Placement.uniform(
            {"activation": "prelu", "parameters": {"negative_slope": 0.0}}, ["1"]
        ).apply(net)
    two = nn.Sequential(*model(), nn.ReLU())
    Placement(sites={"1": SiteEntry(activation="relu"), "3": SiteEntry(activation="tanh")}).apply(
        two
    )
    leaky = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.2))
    Placement.uniform("leaky_relu", ["1"]).apply(leaky)
    assert leaky[1].values == {"negative_slope": 0.01}


@pytest.mark.parametrize(
    ("found", "details", "study"),
    [
        (
            {
                "study": "digits",
                "metric": "test_accuracy",
                "gain": -0.0003,
                "interval": [-0.0049, 0.0044],
            },
            " (study 'digits', test_accuracy -0.0003, 95 % interval [-0.0049, +0.0044])",
            "digits",
        ),
        ({"study": "digits", "interval": None}, " (study 'digits')", "digits"),
        ({"gain": "much", "interval": ["a", 1]}, "", "<study>"),
    ],
)
@pytest.mark.parametrize("significant", [False, None])
def test_a_placement_that_was_not_confirmed_says_so(found, details, study, significant):
    placement = Placement.uniform("tanh", ["1"]).model_copy(
        update={"found": found | {"significant": significant}}
    )
    with pytest.warns(ActsearchWarning) as caught:
        placement.apply(model())
    assert [str(warning.message) for warning in caught] == [
        f"this placement was not confirmed as better than what the model has{details}. "
        f"Keep what you have, or confirm it: actsearch confirm {study}"
    ]


@pytest.mark.parametrize("found", [{}, {"study": "digits"}, {"significant": True}])
def test_a_placement_that_was_confirmed_or_made_by_hand_says_nothing(found):
    Placement.uniform("tanh", ["1"]).model_copy(update={"found": found}).apply(model())


def test_the_learning_rate_factor_of_new_and_earlier_files(tmp_path):
    placement = Placement.uniform("tanh", ["1"])
    assert "learning_rate_factor" not in placement.dumps()
    faster = placement.model_copy(update={"learning_rate_factor": 2.5})
    assert Placement.load(faster.save(tmp_path / "new.json")) == faster
    assert "learning rate × 2.5" in repr(faster)
    earlier = tmp_path / "earlier.json"
    earlier.write_text(
        '{"schema": 1, "sites": {"1": {"activation": "tanh"}}, "found": {"trial": 3,'
        ' "learning_rate_factor": 0.5}}'
    )
    loaded = Placement.load(earlier)
    assert (loaded.learning_rate_factor, loaded.found) == (0.5, {"trial": 3})
    assert Placement.load(loaded.save(tmp_path / "again.json")) == loaded
    for wrong in ("0", "-1", "null", '"fast"'):
        earlier.write_text(f'{{"schema": 1, "sites": {{}}, "learning_rate_factor": {wrong}}}')
        with pytest.raises(PlacementError, match="is not a placement file: learning_rate_factor"):
            Placement.load(earlier)


def test_a_placement_with_several_prefixes_too_many_is_told_so():
    nested = nn.ModuleDict({"a": nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "1": nn.ReLU()})
    with pytest.raises(
        PlacementError, match=r"they fit without 'a.', and without 'a.a.'. Rename them"
    ):
        Placement.uniform("tanh", ["a.a.1"]).apply(nested)


def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        path = Placement.uniform("relu", ["a"]).save(tmp_path / "best.json")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["best.json"]


def test_a_run_is_not_looked_for_where_there_is_no_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlacementError, match="must be in a store of MLflow, but MLFLOW_TRACKING"):
        Placement.load("runs:/" + "0" * 32 + "/placement.json")
    assert not list(tmp_path.iterdir())
