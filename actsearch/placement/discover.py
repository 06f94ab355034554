"""Find every site of a model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.placement.site import FoundSite, Site, Sites

# Torch's elementwise activation modules, by the catalogue's name for them, with the constructor arguments that carry over.
TORCH_MODULES: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.Identity: ("identity", ()),
    nn.ReLU: ("relu", ()),
    nn.LeakyReLU: ("leaky_relu", ("negative_slope",)),
    nn.Tanh: ("tanh", ()),
}


def find_sites(model: nn.Module, example_input: Any = None) -> Sites:
    """Find the places of a model where an activation acts.

    Args:
        model: any module.
        example_input: one input of the model, a tuple or a mapping of several; without it modules alone are found.
    """
    found: list[FoundSite] = []
    inside: set[nn.Module] = set()
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if module in inside:
            continue
        if isinstance(module, Site):
            inside.update(module.modules())
            label, spec = describe(module.activation)
            found.append(FoundSite(name, "site", label, spec, module.requires.text, block=name.rpartition(".")[0]))
        elif type(module) in TORCH_MODULES and not isinstance(module, nn.Identity):
            label, spec = describe(module)
            found.append(FoundSite(name, "module", label, spec, block=name.rpartition(".")[0]))
    if example_input is not None:
        found = _measure(model, example_input, found)
    return Sites(found)


def describe(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return the catalogue name and specification of what stands at a site; the class name and ``{}`` where it has none."""
    if isinstance(module, Activation):
        spec = module.spec()
        return spec["activation"], spec
    entry = TORCH_MODULES.get(type(module))
    if entry is None:
        return type(module).__name__, {}
    name, arguments = entry
    parameters = {key: getattr(module, key) for key in arguments}
    return name, {"activation": name} | ({"parameters": parameters} if parameters else {})


def _measure(model: nn.Module, example_input: Any, found: list[FoundSite]) -> list[FoundSite]:
    from dataclasses import replace

    import torch

    seen: dict[str, FoundSite] = {}
    by_name = {site.name: site for site in found}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            dim = -1 if x.ndim == 3 or x.ndim < 2 else 1
            seen[name] = replace(by_name[name], channels=x.shape[dim], channel_dim=dim, elements=x.numel())

        return hook

    handles = [model.get_submodule(site.name).register_forward_pre_hook(watch(site.name)) for site in found]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()
            if isinstance(example_input, dict):
                model(**example_input)
            elif isinstance(example_input, (tuple, list)):
                model(*example_input)
            else:
                model(example_input)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return [*seen.values(), *(site for site in found if site.name not in seen)]
