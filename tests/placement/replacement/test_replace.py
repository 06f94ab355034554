"""Replacement touches what it was asked to touch: on every model, and on the traps one by one."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import Placement, Site, activation, find_sites
from actsearch.errors import ActsearchWarning, PlacementError
from actsearch.placement import SiteEntry, applied, restore


def structure(model):
    return [
        (name, type(module), id(module))
        for name, module in model.named_modules(remove_duplicate=False)
    ]


@pytest.fixture(autouse=True)
def no_gradients(request):
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


def test_identity_swap_is_exact(case):
    before = case.run()
    keys = set(case.model.state_dict())
    sites = find_sites(case.model, case.example)
    known = {site.name: site.specification for site in sites.open if site.specification}
    same = Placement.model_validate({"sites": known})
    with pytest.warns(ActsearchWarning, match="nothing of .* was changed"):
        same.apply(case.model, case.example)
    assert torch.equal(case.run(), before)
    names = {site.name for site in sites.open}
    others = {key for key in keys if key.rpartition(".")[0] not in names}
    assert others <= set(case.model.state_dict())
    assert not any(module.training for module in case.model.modules())
    assert [site.name for site in find_sites(case.model, case.example)] == [
        site.name for site in sites
    ]


def test_undo_is_exact(case):
    before, keys, parts = case.run(), list(case.model.state_dict()), structure(case.model)
    sites = find_sites(case.model, case.example, include_gates=case.gates)
    attributes = {name: dict(vars(module)) for name, module in case.model.named_modules()}
    Placement.uniform(case.swap, sites).apply(case.model, case.example)
    Placement.uniform("tanh", sites).apply(case.model, case.example)
    assert restore(case.model) is case.model
    assert torch.equal(case.run(), before)
    assert list(case.model.state_dict()) == keys
    assert structure(case.model) == parts
    for name, module in case.model.named_modules():
        for key, value in vars(module).items():
            if not key.startswith("_"):
                assert value == attributes[name][key] or value is attributes[name][key]
        assert vars(module).keys() == attributes[name].keys()
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_swap_changes_the_output_and_copies_keep_it(case):
    before = case.run()
    sites = find_sites(case.model, case.example, include_gates=case.gates)
    Placement.uniform(case.swap, sites).apply(case.model, case.example)
    after = case.run()
    assert not torch.allclose(after, before)
    again = find_sites(case.model, case.example, include_gates=case.gates)
    changed = {site.name: site.activation for site in again.open}
    assert changed == dict.fromkeys((site.name for site in sites.open), case.swap)
    twin = copy.deepcopy(case.model)
    assert torch.equal(case.run(twin), after)
    restore(twin)
    assert torch.equal(case.run(twin), before)
    assert torch.equal(case.run(), after)


def test_one_site_at_a_time_changes_that_one_alone(case):
    sites = find_sites(case.model, case.example, include_gates=case.gates)
    last = sites.open[-1] if sites.open[-1].elements else sites.open[0]
    Placement.uniform("softsign", [last.name]).apply(case.model, case.example)
    after = {site.name: site.activation for site in find_sites(case.model, case.example)}
    expected = {site.name: site.activation for site in sites} | {last.name: "softsign"}
    assert after == expected


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))

    def forward(self, x):
        x = F.relu(self.a(x))
        x = self.inner(x)
        return torch.relu(self.b(x))


X = torch.linspace(-2, 2, 12).reshape(3, 4)


def test_calls_of_children_are_not_those_of_their_owner():
    model = Functional()
    expected = torch.tanh(model.b(model.inner(F.relu(model.a(X)))))
    Placement.uniform("tanh", ["relu@2"]).apply(model)
    assert torch.equal(model(X), expected)
    Placement.uniform("silu", ["inner.1"]).apply(model)
    inner = model.inner[2](F.silu(model.inner[0](F.relu(model.a(X)))))
    assert torch.equal(model(X), torch.tanh(model.b(inner)))
    assert [(row.site, row.was, row.now, row.path) for row in applied(model)] == [
        ("relu@2", "relu", "tanh", "relu@2"),
        ("inner.1", "relu", "silu", "inner.1"),
    ]
    assert all(model.get_submodule(row.path).name == row.now for row in applied(model))


def test_learned_activations_train_save_and_load_gradient():
    model = Functional()
    model.inner[1].weight_hint = "mine"
    Placement.uniform({"activation": "prelu", "share": "channel"}, find_sites(model, X)).apply(
        model, X
    )
    assert sum("raw" in name for name, _ in model.named_parameters()) == 3
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(X).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimiser.step()
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    fresh = Functional()
    Placement.uniform({"activation": "prelu", "share": "channel"}, find_sites(fresh, X)).apply(
        fresh, X
    )
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(fresh(X), model(X))
    assert torch.equal(pickle.loads(pickle.dumps(model))(X), model(X))


def test_hooks_sharing_and_training_mode_stay():
    calls = []
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU())
    model.train()
    shared.register_forward_hook(lambda *_: calls.append(1))
    Placement.uniform("tanh", find_sites(model, X)).apply(model)
    calls.clear()
    model(X)
    assert calls == [1, 1]
    assert model[0] is model[2] is shared
    assert all(module.training for module in model.modules())


class Inplace(nn.Module):
    """The overwritten tensor is read again: the skip sees the activation's output."""

    def __init__(self, style):
        super().__init__()
        self.conv, self.out, self.relu, self.style = (
            nn.Linear(4, 4),
            nn.Linear(4, 4),
            nn.ReLU(inplace=True),
            style,
        )

    def forward(self, x):
        x = self.conv(x)
        if self.style == "module":
            y = self.relu(x)
        elif self.style == "functional":
            y = F.relu(x, inplace=True)
        else:
            x.relu_()
            y = x
        return self.out(y) + x


@pytest.mark.parametrize("style", ["module", "functional", "statement"])
def test_an_overwritten_input_that_is_read_again(style):
    model = Inplace(style)
    before = model(X)
    sites = find_sites(model, X)
    name = {"module": "relu"}.get(style, "relu()")
    assert sites.named(name).elements == 12
    with pytest.warns(ActsearchWarning, match="nothing of Inplace was changed"):
        Placement.uniform("relu", [name]).apply(model, X)
    assert torch.equal(model(X), before)
    Placement.uniform("tanh", [name]).apply(model, X)
    y = torch.tanh(model.conv(X))
    assert torch.equal(model(X), model.out(y) + y)
    with torch.enable_grad():
        model(X).sum().backward()
    assert model.conv.weight.grad is not None
    assert torch.equal(restore(model)(X), before)


# The first is torch's own, on its fast path; the second comes where ReLU replaces ReLU.
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:nothing of TransformerEncoder was changed")
@pytest.mark.parametrize("replaced", ["relu", "gelu", "silu"])
def test_the_fused_transformer_layer_does_not_pass_by_what_was_placed(replaced):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x = torch.randn(2, 5, 8)
    mask = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    before = model(x, src_key_padding_mask=mask)
    Placement.uniform(replaced, ["layers.0.activation"]).apply(model)
    after = model(x, src_key_padding_mask=mask)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        slow = model(x, src_key_padding_mask=mask)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    torch.testing.assert_close(after[~mask], slow[~mask])
    assert torch.equal(after, before) == (replaced == "relu")
    restore(model)
    assert torch.equal(model(x, src_key_padding_mask=mask), before)


def test_a_decoder_layer_survives_being_copied():
    model = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1).eval()
    Placement.uniform("silu", find_sites(model)).apply(model)
    x = torch.randn(2, 5, 8)
    assert torch.equal(copy.deepcopy(model)(x, x), model(x, x))


@pytest.mark.parametrize("steps", [2, 9])
def test_a_loop_over_time_stays_one_site_at_any_length(steps):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x, steps=3):
            for _ in range(steps):
                x = F.relu(self.a(x))
                x = F.relu(self.b(x))
            return x

    model = Loop()
    sites = find_sites(model, X)
    assert [site.name for site in sites] == ["relu", "relu@2"]
    Placement.uniform("tanh", ["relu@2"]).apply(model, X)
    expected = X
    for _ in range(steps):
        expected = torch.tanh(model.b(F.relu(model.a(expected))))
    assert torch.equal(model(X, steps), expected)


def test_shared_parameters_of_an_activation_stay_shared_where_it_stays():
    act = nn.PReLU()
    model = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act, nn.Linear(4, 4), act)
    sites = find_sites(model)
    assert [(site.name, site.kind) for site in sites] == [
        ("1", "shared"),
        ("3", "shared"),
        ("5", "shared"),
    ]
    Placement.uniform("tanh", ["3"]).apply(model)
    assert model[1] is act
    assert model[5] is act
    assert isinstance(model[3], type(activation("tanh")))


def test_threads_do_not_disturb_each_other():
    from concurrent.futures import ThreadPoolExecutor

    model = Functional()
    Placement.uniform("tanh", ["relu@2"]).apply(model)
    expected = model(X)

    def work(_):
        with torch.no_grad():
            return torch.equal(model(X), expected)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))


# torch's own, while it loads its compiler.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_after_apply_without_a_break():
    model = Functional().eval()
    model.act = nn.ReLU()
    Placement.uniform("silu", find_sites(model)).apply(model)
    expected = model(X)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), expected)
    with pytest.raises(
        PlacementError,
        match=r"must be applied before torch\.compile, but got a compiled Functional",
    ):
        Placement.uniform("relu", ["relu"]).apply(compiled)


def test_checkpointed_modules_recompute_the_same_gradient():
    from torch.utils.checkpoint import checkpoint

    model = Functional()
    Placement.uniform("silu", find_sites(model)).apply(model)
    x = X.clone().requires_grad_()
    (plain,) = torch.autograd.grad(model(x).sum(), x)
    (recomputed,) = torch.autograd.grad(checkpoint(model, x, use_reentrant=False).sum(), x)
    assert torch.equal(plain, recomputed)


def test_a_checkpointed_function_is_missed_and_not_redirected():
    from torch.utils.checkpoint import checkpoint

    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x):
            return checkpoint(lambda y: F.relu(self.a(y)), x, use_reentrant=False)

    sites = find_sites(Partly(), X)
    assert len(sites) == 0
    assert (
        "relu",
        "inside a checkpointed function, so its call cannot be redirected",
    ) in sites.missed


def test_a_sequence_with_a_functional_call_is_missed():
    class Block(nn.Sequential):
        def forward(self, x):
            return F.relu(super().forward(x))

    sites = find_sites(Block(nn.Linear(4, 4)), X)
    assert len(sites) == 0
    assert sites.missed == (
        ("relu", "its owner runs its children in order, so its call cannot be redirected"),
    )


def test_marked_sites():
    model = nn.Sequential(nn.Linear(4, 4), Site("relu"))
    Placement.uniform("tanh", ["1"]).apply(model)
    assert isinstance(model[1], Site)
    assert torch.equal(model(X), torch.tanh(model[0](X)))
    assert applied(model)[0].path == "1.activation"
    assert torch.equal(restore(model)(X), torch.relu(model[0](X)))


def test_precision_and_device_follow_the_model():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).bfloat16()
    Placement(sites={"1": SiteEntry(activation="prelu")}).apply(model)
    assert model(X.bfloat16()).dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_restore_without_a_placement_does_nothing():
    model = nn.Linear(2, 2)
    assert restore(model) is model
    assert applied(model) == []


@pytest.mark.filterwarnings("ignore")  # what torch's exporters say of themselves
def test_exports_what_was_placed():
    model = Functional().eval()
    Placement.uniform("silu", find_sites(model)).apply(model)
    expected = model(X)
    torch.testing.assert_close(torch.export.export(model, (X,)).module()(X), expected)
    torch.testing.assert_close(torch.jit.trace(model, X)(X), expected)
