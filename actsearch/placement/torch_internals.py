"""What of torch's private side placement needs, each once; seen in torch 2.13.

Elsewhere only ``_modules``, ``_parameters`` and ``_buffers`` of a module are used.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside ``torch.compile`` and (Distributed) DataParallel."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(
            model, (nn.DataParallel, nn.parallel.DistributedDataParallel)
        ):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def is_compiled(model: nn.Module) -> bool:
    """Return whether ``torch.compile`` has wrapped a model or changed it in place."""
    return hasattr(model, "_orig_mod") or unwrap(model)._compiled_call_impl is not None


def has_forward_hook(module: nn.Module, hook: Any) -> bool:
    """Return whether a forward hook, before or after it, is on a module."""
    return hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())


def remove_forward_hook(module: nn.Module, hook: Any) -> None:
    """Take a forward hook off a module: one that a copy of the module has, no handle removes."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for number in [number for number, each in hooks.items() if each is hook]:
            del hooks[number]
            module._forward_hooks_always_called.pop(number, None)


def has_own_forward(model: nn.Module) -> bool:
    """Return whether a model's class defines a forward pass, and not only its steps."""
    name = getattr(type(model).forward, "__qualname__", "")
    return name not in ("_forward_unimplemented", "LightningModule.forward")
