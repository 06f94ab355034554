"""Send the calls that a module makes to the activations that stand at its sites.

Calls of functions, and of one instance that it calls several times. A module with such sites gets a
subclass of its own class whose ``forward`` counts the calls that it makes itself: the n-th call of
a function goes to the activation registered for it as a submodule under the site's name. So its
parameters are in ``state_dict``, and ``copy.deepcopy``, ``pickle``, ``torch.compile`` and threads
work as before.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actsearch.placement.discovery.torch_functions import SPELLINGS, called
from actsearch.placement.torch_internals import has_forward_hook, remove_forward_hook

_LOCAL = threading.local()
_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


@dataclass(frozen=True)
class Route:
    """Which site each call of one function in one execution of its owner belongs to.

    Args:
        sequence: by number of the call, the index of its site.
        sites: by index, the name in the owner under which the activation stands, or ``None`` where
            the function stays.
        write_back: by index, whether the result is written into the input, as an in-place function
            does.
    """

    sequence: tuple[int, ...]
    sites: tuple[str | None, ...]
    write_back: tuple[bool, ...]

    def index(self, number: int) -> int:
        """Return the site of a call.

        Calls past the known ones repeat what repeats (a loop over time or layers).
        """
        return self.sequence[position(self.sequence, number)]


def position(sequence: Sequence[int], number: int) -> int:
    """Return where in a sequence its continuation would be: the shortest repeating end goes on.

    >>> [position((0, 1, 1), n) for n in range(5)]
    [0, 1, 2, 2, 2]
    >>> [position((0, 1, 0, 1), n) for n in (4, 5)]
    [2, 3]
    """
    length = len(sequence)
    if number < length:
        return number
    for start in range(length):
        for period in range(1, (length - start) // 2 + 1):
            if all(sequence[i] == sequence[i - period] for i in range(start + period, length)):
                return length - period + (number - length) % period
    return number % length


class Frame:
    """One execution of a module with redirected calls."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner = owner
        self.counts: dict[str, int] = {}

    def number(self, key: str) -> int:
        """Count a call and return its number."""
        number = self.counts.get(key, 0)
        self.counts[key] = number + 1
        return number


def _stack() -> list[Frame | None]:
    stack: list[Frame | None] | None = getattr(_LOCAL, "stack", None)
    if stack is None:
        stack = []
        _LOCAL.stack = stack
    return stack


class _Redirect(TorchFunctionMode):
    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = routed(self.frame, function, args, kwargs)
        return function(*args, **kwargs) if result is None else result


def routed(frame: Frame | None, function: Any, args: Any, kwargs: Any) -> Any:
    """Return what the activation at the site of a call gives.

    ``None`` where it is no site's or not this frame's.
    """
    stack = _stack()
    if function not in SPELLINGS or frame is None or not stack or stack[-1] is not frame:
        return None
    what = called(function, args, kwargs)
    routes: Mapping[str, Route] = vars(frame.owner).get("_actsearch_routes", {})
    route = routes.get(what.name) if what is not None else None
    x = args[0] if args else kwargs.get("input")
    if what is None or route is None or (isinstance(x, Tensor) and not x.is_floating_point()):
        return None
    index = route.index(frame.number(what.name))
    name = route.sites[index]
    return None if name is None else _act(frame.owner._modules[name], x, route.write_back[index])


def current() -> Frame | None:
    """Return the execution that is innermost in this thread."""
    stack = _stack()
    return stack[-1] if stack else None


def _act(module: Any, x: Tensor, write_back: bool) -> Tensor:
    stack = _stack()
    stack.append(None)  # what the activation calls itself is not the owner's call
    try:
        return x.copy_(module(x.clone())) if write_back else module(x)
    finally:
        stack.pop()


class Switch(nn.Module):
    """One activation instance that its owner calls several times, as one activation for each call.

    Args:
        key: the name under which calls are counted.
        sequence: as in :class:`Route`.
        members: the activation of each site.
    """

    def __init__(self, key: str, sequence: Sequence[int], members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.key = key
        self.sequence = tuple(sequence)
        for number, member in enumerate(members, start=1):
            self.add_module(str(number), member)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation of this call."""
        stack = _stack()
        frame = stack[-1] if stack else None
        number = frame.number(self.key) if frame is not None else 0
        member = self._modules[str(self.sequence[position(self.sequence, number)] + 1)]
        return _act(member, x, False)


def _rebuild(base: type[nn.Module]) -> nn.Module:
    cls = redirected(base)
    return cls.__new__(cls)


def redirected(base: type[nn.Module]) -> type[nn.Module]:
    """Return the subclass of a module class whose ``forward`` redirects calls.

    Name, signature and pickling stay.
    """
    if base in _CLASSES:
        return _CLASSES[base]
    original: Any = base.forward

    @functools.wraps(original)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        stack = _stack()
        depth = len(stack)
        frame = Frame(self)
        stack.append(frame)
        try:
            if not self._actsearch_routes:
                return original(self, *args, **kwargs)
            with _Redirect(frame):
                return original(self, *args, **kwargs)
        finally:
            del stack[depth:]

    def reduce(self: nn.Module, protocol: Any) -> Any:
        return _rebuild, (base,), self.__dict__

    names = {
        "forward": forward,
        "__reduce_ex__": reduce,
        "__module__": base.__module__,
        "__doc__": base.__doc__,
    }
    _CLASSES[base] = type(
        base.__name__,
        (base,),
        {**names, "__qualname__": base.__qualname__, "_actsearch_base": base},
    )
    return _CLASSES[base]


def redirect(owner: nn.Module, routes: Mapping[str, Route]) -> None:
    """Let a module send its own calls to its sites.

    With no routes it only counts calls for its switches.
    """
    if not hasattr(type(owner), "_actsearch_base"):
        owner.__class__ = redirected(type(owner))
    owner.__dict__["_actsearch_routes"] = dict(routes)


def unredirect(owner: nn.Module) -> None:
    """Give a module back its own class."""
    base = getattr(type(owner), "_actsearch_base", None)
    if base is not None:
        owner.__class__ = base
        owner.__dict__.pop("_actsearch_routes", None)


def _shield_enter(module: nn.Module, inputs: Any) -> None:
    _stack().append(None)


def _shield_leave(module: nn.Module, inputs: Any, output: Any) -> None:
    _stack().pop()


def shield(owner: nn.Module) -> None:
    """Keep the calls that the modules below an owner make from being counted as the owner's."""
    for module in _callers(owner):
        if not has_forward_hook(module, _shield_enter):
            module.register_forward_pre_hook(_shield_enter, prepend=True)
            module.register_forward_hook(_shield_leave, always_call=True)


def unshield(model: nn.Module) -> None:
    """Take every shield away."""
    for module in model.modules():
        for hook in (_shield_enter, _shield_leave):
            remove_forward_hook(module, hook)


def _callers(owner: nn.Module) -> Iterator[nn.Module]:
    for module in owner.modules():
        if (
            module is owner
            or isinstance(module, Switch)
            or hasattr(type(module), "_actsearch_base")
        ):
            continue
        home = type(module).__module__
        if not home.startswith("torch.nn.modules") or home.endswith(
            (".activation", ".transformer")
        ):
            yield module
