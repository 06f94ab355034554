"""What of torch's private side is used is there, and does what it is used for."""

import copy

import torch
from torch import nn

from actsearch.placement.torch_internals import (
    has_forward_hook,
    has_own_forward,
    is_compiled,
    remove_forward_hook,
    unwrap,
)


def test_compiled_and_wrapped_models():
    model = nn.Linear(2, 2)
    compiled = torch.compile(model, backend="eager")
    assert (unwrap(model), unwrap(compiled), unwrap(nn.DataParallel(model))) == (model,) * 3
    assert (is_compiled(model), is_compiled(compiled)) == (False, True)
    model.compile(backend="eager")
    assert is_compiled(model)


def test_hooks_come_off_a_copy_too():
    def before(module, inputs): ...

    def after(module, inputs, output): ...

    model = nn.Linear(2, 2)
    model.register_forward_pre_hook(before)
    model.register_forward_hook(after, always_call=True)
    twin = copy.deepcopy(model)
    for hook in (before, after):
        assert has_forward_hook(twin, hook)
        remove_forward_hook(twin, hook)
        assert not has_forward_hook(twin, hook)
        assert has_forward_hook(model, hook)
    assert not twin._forward_hooks_always_called


def test_which_models_have_a_forward():
    import lightning

    assert has_own_forward(nn.Linear(2, 2))
    assert not has_own_forward(nn.ModuleList())
    assert not has_own_forward(lightning.LightningModule())
