"""Discovery against an oracle that knows nothing of it.

The operations that reach torch's dispatcher, counted.
"""

import copy
import functools
import subprocess
import sys
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from actsearch import Placement, Site, find_sites
from actsearch.errors import PlacementError, UnknownNameError

# Elementwise nonlinear operations of torch's dispatcher, by the name that a site of theirs has.
OPERATIONS = {
    "relu": "relu",
    "relu_": "relu",
    "gelu": "gelu",
    "silu": "silu",
    "silu_": "silu",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "tanh": "tanh",
    "tanh_": "tanh",
    "hardswish": "hardswish",
    "hardswish_": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "hardtanh": "hardtanh",
    "leaky_relu": "leaky_relu",
    "leaky_relu_": "leaky_relu",
    "elu": "elu",
    "elu_": "elu",
    "_prelu_kernel": "prelu",
    "softplus": "softplus",
    "mish": "mish",
    "_softmax": "softmax",
}


class Oracle(TorchDispatchMode):
    """Count the elements that pass through each nonlinear operation."""

    def __init__(self):
        super().__init__()
        self.elements = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = OPERATIONS.get(function._schema.name.removeprefix("aten::"))
        if name is not None:
            self.elements[name] += args[0].numel()
        return function(*args, **(kwargs or {}))


def really_run(case):
    oracle = Oracle()
    with oracle:  # with gradients, because torch fuses transformer layers without
        case.run()
    return oracle.elements


def test_finds_every_nonlinearity_that_runs(case):
    sites = find_sites(case.model, case.example)
    found = Counter()
    for site in sites:
        found[site.activation] += site.elements or 0
    expected = really_run(case)
    inside_fused = any("softmax inside" in reason for _, reason in sites.missed)
    if inside_fused:
        expected.pop("softmax", None)
    assert +found == +expected
    assert sites.method == case.method
    assert len({site.name for site in sites}) == len(sites)


def test_touches_no_gate(case):
    sites = find_sites(case.model, case.example)
    # None of these models has one of them on its main path.
    gates = {"sigmoid", "hardsigmoid", "softmax"}
    assert not [site.name for site in sites.open if site.activation in gates]
    assert all(site.reason for site in sites.protected)
    assert bool(len(sites.open)) != case.gates
    opened = find_sites(case.model, case.example, include_gates=True)
    assert [site.name for site in opened.open] == [site.name for site in sites]
    assert {site.kind for site in opened if site.reason} <= {"gate"}


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        kept = torch.sigmoid(self.a(x)) * torch.tanh(self.b(x))
        return nn.functional.silu(self.a(kept)) * self.b(kept)


def test_what_lets_a_share_of_a_signal_pass_must_be_bounded_once_it_is_opened():
    sites = find_sites(Gated(), torch.randn(2, 3), include_gates=True)
    assert {site.activation: (site.kind, site.requires) for site in sites} == {
        "sigmoid": ("gate", "bounded"),
        "tanh": ("functional", ""),
        "silu": ("gate", ""),
    }


def test_leaves_the_model_as_it_was(case):
    model = case.model.train()
    before = copy.deepcopy(model.state_dict())
    attributes = {name: list(vars(module)) for name, module in model.named_modules()}
    modules = list(model.named_modules(remove_duplicate=False))
    state = torch.get_rng_state()
    find_sites(model, case.example)
    find_sites(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(model.named_modules(remove_duplicate=False)) == modules
    assert {name: list(vars(module)) for name, module in model.named_modules()} == attributes
    assert all(module.training for module in model.modules())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_without_an_example_gates_stay_protected(case):
    known = {site.name: site for site in find_sites(case.model, case.example)}
    sites = find_sites(case.model)
    assert {site.name for site in sites} <= set(known)
    assert not [site.name for site in sites.open if known[site.name].protected]
    if len(sites) < len(known):  # never silently
        assert any("not seen" in reason for _, reason in sites.missed)


class Everything(nn.Module):
    """One of each spelling."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(9))
        self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(9))
        self.act = functools.partial(F.leaky_relu, negative_slope=0.2)
        self.nonlinearity = lambda x: x.abs() + x
        self.last = nn.GELU(approximate="tanh")

    def forward(self, x):
        layers, n = self.layers, self.norms
        x = F.relu(n[0](layers[0](x)))
        x = torch.relu(n[1](layers[1](x)))
        x = n[2](layers[2](x)).relu()
        x = n[3](layers[3](x)).relu_()
        x = F.gelu(n[4](layers[4](x)), approximate="tanh")
        x = self.act(n[5](layers[5](x)))
        x = self.nonlinearity(n[6](layers[6](x)))
        x = n[7](layers[7](x)).clamp(min=0)
        return self.last(n[8](layers[8](x)))


def test_spellings():
    sites = find_sites(Everything(), torch.randn(2, 6))
    assert [(site.name, site.kind, site.activation) for site in sites] == [
        ("relu", "functional", "relu"),
        ("relu@2", "functional", "relu"),
        ("relu@3", "functional", "relu"),
        ("relu@4", "functional", "relu"),
        ("gelu", "functional", "gelu"),
        ("act", "attribute", "leaky_relu"),
        ("nonlinearity", "attribute", "<lambda>"),
        ("relu@5", "functional", "relu"),
        ("last", "module", "gelu"),
    ]
    assert sites.named("gelu").specification == {
        "activation": "gelu",
        "parameters": {"approximate": "tanh"},
    }
    assert sites.named("act").specification["parameters"] == {"negative_slope": 0.2}


def test_the_same_call_twice_is_two_sites_but_a_loop_over_time_is_one():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.step = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            left = F.relu(self.fc(x))
            right = F.relu(self.fc(-x))
            for _ in range(5):
                left = torch.tanh(self.step(left))
            return left + right

    sites = find_sites(Siamese(), torch.randn(3, 4))
    assert [site.name for site in sites] == ["relu", "relu@2", "tanh"]
    assert sites.named("tanh").elements == 60


def test_an_error_in_the_forward_of_training_is_told():
    class OnlyEvaluates(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act, self.aux = nn.Linear(4, 4), nn.ReLU(), nn.Tanh()

        def forward(self, x):
            if self.training and x.sum() < 1e9:
                raise ValueError("only at noon.")
            return self.a(self.act(self.a(x)))

    sites = find_sites(OnlyEvaluates(), torch.randn(3, 4))
    reason = "not seen while training: its forward raised ValueError: only at noon"
    assert ("OnlyEvaluates", reason) in sites.missed


def test_a_name_that_is_taken():
    class Taken(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return self.b(F.relu(self.a(self.relu(x))))

    assert [site.name for site in find_sites(Taken(), torch.randn(3, 4))] == ["relu", "relu()"]


def test_channels_and_elements():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn, self.fc = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(5, 7)
            self.tokens, self.act = nn.Linear(5, 11), nn.GELU()

        def forward(self, x):
            x = F.relu(self.bn(self.conv(x)))
            tokens = self.act(self.tokens(x.flatten(2).transpose(1, 2)))
            return torch.tanh(self.fc(x.mean((2, 3)))).sum() + tokens.sum()

    model = Mixed()
    sites = find_sites(model, torch.randn(2, 3, 6, 6))
    seen = {site.name: (site.channels, site.channel_dim, site.elements) for site in sites}
    assert seen == {"relu": (5, 1, 160), "act": (11, -1, 352), "tanh": (7, -1, 14)}
    unseen = {
        site.name: (site.channels, site.channel_dim, site.elements) for site in find_sites(model)
    }
    assert unseen == {"relu": (5, 1, None), "act": (11, -1, None), "tanh": (7, -1, None)}


def test_heads_and_classic_sigmoids():
    classic = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    sites = find_sites(classic)
    assert [site.name for site in sites.open] == ["1"]
    assert sites.named("3").reason == "output head: sigmoid after the last layer"
    assert sites.named("3").kind == "gate"


def test_marked_sites_are_never_taken_for_gates():
    model = nn.Sequential(nn.Linear(4, 4), Site("sigmoid", requires="bounded"))
    (site,) = find_sites(model)
    assert (site.kind, site.protected, site.requires, site.activation) == (
        "site",
        False,
        "bounded",
        "sigmoid",
    )


def test_recurrent_layers_are_missed_with_the_way_out():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(torch.relu(self.lstm(x)[0]))

    sites = find_sites(Tagger(), torch.randn(5, 2, 3))
    assert [site.name for site in sites] == ["relu"]
    assert sites.missed == (
        (
            "lstm",
            "tanh inside the fused nn.LSTM: actsearch.placement.recurrent has LSTM with a site",
        ),
    )


def test_dead_branches_and_training_only_calls():
    class Aux(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.unused = (
                nn.Linear(4, 4),
                nn.Linear(4, 4),
                nn.Linear(4, 4),
                nn.ReLU(),
            )

        def forward(self, x):
            y = F.relu(self.a(x))
            return (self.b(y), torch.tanh(self.c(y)) + 1) if self.training else self.b(y)

    sites = find_sites(Aux(), torch.randn(2, 4))
    assert [(site.name, site.elements) for site in sites] == [
        ("relu", 8),
        ("tanh", None),
        ("unused", 0),
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_inference(dtype):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).to(dtype)
    with torch.no_grad():
        (site,) = find_sites(model, torch.randn(2, 4))
    assert (site.name, site.elements) == ("1", 8)


def test_wrapped_models():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(2, 4)
    names = [site.name for site in find_sites(model, x)]
    assert [site.name for site in find_sites(torch.compile(model, backend="eager"), x)] == names
    assert [site.name for site in find_sites(nn.DataParallel(model), x)] == names


def test_ddp():
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert [site.name for site in find_sites(wrapped, torch.randn(2, 4))] == ["1"]
    finally:
        dist.destroy_process_group()


def test_lightning():
    import lightning

    class Wrapped(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    class Own(Wrapped):
        def __init__(self):
            super().__init__()
            self.example_input_array = torch.randn(3, 4)

        def forward(self, x):
            return self.net(F.silu(x))

    assert [site.name for site in find_sites(Wrapped())] == ["net.1"]
    sites = find_sites(Own())
    assert [(site.name, site.elements) for site in sites] == [("silu", 12), ("net.1", 12)]


def test_an_example_that_does_not_fit():
    with pytest.raises(
        PlacementError,
        match=r"example_input must be an input that Linear runs on, but it raised Runtime",
    ):
        find_sites(nn.Linear(4, 4), torch.randn(2, 5))


def test_the_table():
    sites = find_sites(
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2), nn.Sigmoid()), torch.randn(2, 4)
    )
    rows = sites.table()
    assert [row["status"] for row in rows] == ["open", "protected"]
    assert [row["share"] for row in rows] == [0.75, 0.25]
    assert sites.totals() == {
        "found": 2,
        "open": 1,
        "protected": 1,
        "missed": 0,
        "elements": 16,
        "method": "fx",
    }
    assert str(sites).splitlines()[-1] == "2 found, 1 open, 1 protected, 0 missed; by fx"
    with pytest.raises(UnknownNameError, match="unknown site '2'"):
        sites.named("2")


def test_names_are_the_same_in_another_process():
    code = "import torch; from torch import nn; from actsearch import find_sites;"
    code += "print([s.name for s in find_sites(nn.Transformer(8, 2, 1, 1, 8))])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout
        for environment in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    }
    assert printed == {"['encoder.layers.0.activation', 'decoder.layers.0.activation']\n"}


def test_a_decoder_of_seven_billion_parameters_on_meta():
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(use_cache=False))
    assert sum(p.numel() for p in model.parameters()) > 6.7e9
    sites = find_sites(model, {"input_ids": torch.zeros(1, 16, dtype=torch.long)})
    assert [site.elements for site in sites] == [16 * 11008] * 32
    assert all(site.reason.startswith("gated product") for site in sites)


def bottleneck(width_in, width, stride):
    class Bottleneck(nn.Module):
        def __init__(self):
            super().__init__()
            out = 4 * width
            self.conv1, self.bn1 = nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = (
                nn.Conv2d(width, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
            )
            self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
            self.relu = nn.ReLU(inplace=True)
            self.down = None
            if stride != 1 or width_in != out:
                self.down = nn.Sequential(
                    nn.Conv2d(width_in, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
            y += x if self.down is None else self.down(x)
            return self.relu(y)

    return Bottleneck()


def resnet50():
    model, width_in = nn.Sequential(), 64
    stem = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    model.add_module("stem", nn.Sequential(*stem))
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        layers = []
        for block in range(blocks):
            layers.append(bottleneck(width_in, width, 2 if stage > 1 and block == 0 else 1))
            width_in = 4 * width
        model.add_module(f"layer{stage}", nn.Sequential(*layers))
    model.add_module(
        "head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))
    )
    return model


def test_resnet50():
    torch.set_num_threads(1)
    model = resnet50()
    sites = find_sites(model)
    assert len(sites.open) == 49
    assert sites[3].name == "layer1.0.relu@3"
    assert (sites[3].block, sites[3].stage) == ("layer1.0", "layer1")
    measured = find_sites(model, torch.randn(1, 3, 64, 64))
    assert [site.name for site in measured] == [site.name for site in sites]
    assert len({site.block for site in sites}) == 17
    assert len({site.stage for site in sites}) == 5


NEVER = "never called: left alone"


class Unused(nn.Module):
    """Modules, an attribute, a shared instance and a marked site that forward never calls."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)
        self.used, self.never, self.sigmoid = nn.ReLU(), nn.ReLU(), nn.Sigmoid()
        self.act = F.gelu
        self.twice = nn.ModuleList([nn.Tanh()] * 2)
        self.site = Site("relu")
        self.aux = nn.Sequential(nn.Linear(4, 4), nn.SiLU(), nn.Linear(4, 2))

    def forward(self, x):
        y = self.used(self.a(x))
        return self.b(y), self.aux(y) if self.training else y


class Branching(Unused):
    """Does not trace."""

    def forward(self, x):
        return super().forward(x if x.sum() > -1e9 else -x)


@pytest.mark.parametrize("include_gates", [True, False])
def test_nothing_is_known_to_be_uncalled_where_nothing_was_traced(include_gates):
    sites = find_sites(Branching(), None, include_gates)
    assert NEVER not in {site.reason for site in sites.protected}


@pytest.mark.parametrize(("kind", "given"), [(Unused, True), (Unused, False), (Branching, True)])
@pytest.mark.parametrize("include_gates", [True, False])
def test_what_forward_never_calls_is_left_alone(kind, given, include_gates):
    model = kind()
    sites = find_sites(model, torch.randn(3, 4) if given else None, include_gates)
    left = {site.name for site in sites.protected if site.reason == NEVER}
    assert left == {"never", "sigmoid", "act", "twice.0", "twice.1"}
    assert [site.name for site in sites.open] == ["used", "aux.1", "site"]
    assert {site.kind for site in sites.protected} == {"module", "attribute", "shared"}
    Placement.uniform("tanh", ["never", "act", "twice.0"]).apply(
        model, torch.randn(3, 4) if given else None
    )
    assert (model.never.name, model.act.name, model.twice[0].name) == ("tanh", "tanh", "tanh")


def lightning_module():
    import lightning

    class Steps(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
            self.projector = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
            self.head = Head()
            self.never, self.act, self.site = nn.ReLU(), F.gelu, Site("relu")

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            return self.head(self.projector(self(batch))).sum()

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.act = nn.Linear(4, 4), F.silu

        def forward(self, x):
            return self.act(self.layer(x))

    return Steps()


def test_a_training_step_may_call_what_forward_does_not():
    model = lightning_module()
    x = torch.randn(3, 4)
    everything = ["net.1", "projector.1", "head.act", "never", "act", "site"]
    assert sorted(site.name for site in find_sites(model, x).open) == sorted(everything)
    called = set()
    handles = [
        module.register_forward_hook(lambda *_, path=path: called.add(path))
        for path, module in model.named_modules()
    ]
    model.training_step(x, 0)
    for handle in handles:
        handle.remove()
    for sites in (find_sites(model, x, called=called), find_sites(model, called=called)):
        assert {site.name: site.reason for site in sites.protected} == {"never": NEVER}
    sites = find_sites(model, x, called=())
    assert sorted(site.name for site in sites.open) == ["act", "net.1", "site"]


def test_what_was_called_elsewhere_is_open_in_any_model():
    sites = find_sites(Unused(), torch.randn(3, 4), called={"never", "twice.1"})
    assert {site.name for site in sites.protected} == {"sigmoid"}
