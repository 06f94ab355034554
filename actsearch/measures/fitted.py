"""What a measure may look at: a trained module, its batches, its loss, and its sites."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from actsearch.errors import ActsearchError, MeasureError
from actsearch.measures.batch import arguments, is_matrix, labels_of, moved, rows, to_device
from actsearch.measures.functional.forward import forward
from actsearch.measures.loaders import Part, loader_of
from actsearch.measures.loss import scalar, training_loss
from actsearch.measures.measure import Need
from actsearch.measures.undisturbed import undisturbed
from actsearch.measures.watched import FittedSite, WatchedSite, noting, watched

ROWS = 5000
"""Rows whose embeddings are looked at, at most; of training rows that serve as reference too."""


class Fitted:
    """A trained module as a measure sees it; made once after the fit.

    What is not told by conventions, a module says by methods of its own: ``labels(batch)``,
    ``logits(batch)``, ``embed(x)``, ``views(x)``, ``derivatives(batch)``, ``losses(batch)``, and
    the loaders ``labelled_dataloader()`` (training rows with labels) and ``second_dataloader()``.
    :data:`actsearch.measures.measure.NEEDS` has the conventions.

    Args:
        module: a LightningModule after its fit, or any module. It is not changed.
        data: its LightningDataModule, or loaders by part (``{"val": loader}``); the module's own
            where not given.
        example: an input of the model; ``example_input_array`` or the first batch's where not
            given.
        loss: from the module and a batch to the loss, where that is not its ``training_step``.
        part: the split that is measured: ``val`` in a search, ``test`` in a confirmation.
        name: what messages call it; its class where not given.
        start: the module before its training, where that is at hand; pictures compare with it.
    """

    def __init__(
        self,
        module: nn.Module,
        data: Any = None,
        *,
        example: Any = None,
        loss: Callable[[nn.Module, Any], Tensor] | None = None,
        part: Part = "val",
        name: str = "",
        start: Fitted | None = None,
    ) -> None:
        self.module, self.part, self.start = module, part, start
        self.name = name or type(module).__name__
        self._data, self._loss = data, loss
        self._example = example
        self._first: dict[Part, Any] = {}
        self._lacking: dict[Need, str] = {}

    def batches(self, part: Part | None = None) -> Iterator[Any]:
        """Yield the batches of a split, on the module's device; none where there is no loader.

        Args:
            part: the split, the measured one where not given; or ``labelled``, training rows with
                labels; or ``second``, the second data.
        """
        data = None if isinstance(self._data, Mapping) else self._data
        for batch in loader_of(part or self.part, self.module, self._data):
            yield moved(self.module, batch, data)

    def first(self, part: Part | None = None) -> Any:
        """Return the first batch of a split.

        Raises:
            MeasureError: it has none.
        """
        part = part or self.part
        if part not in self._first:
            with undisturbed(self.module):
                self._first[part] = next(self.batches(part), None)
        if self._first[part] is None:
            raise MeasureError(f"there are no {part} batches")
        return self._first[part]

    @property
    def example(self) -> Any:
        """One input of the model: a tuple of several arguments, a mapping of named ones, or one.

        Raises:
            MeasureError: none is known.
        """
        if self._example is None:
            self._example = getattr(self.module, "example_input_array", None)
        if self._example is None:
            given, named = arguments(self.module, self._any_batch())
            self._example = named or (given[0] if len(given) == 1 else given)
        return to_device(self.module, self._example)

    def predict(self, batch: Any) -> Any:
        """Return what the module's forward gives for a batch."""
        given, named = arguments(self.module, batch)
        return self.module(*given, **named)

    def loss(self, batch: Any, module: nn.Module | None = None) -> Tensor:
        """Return the training loss of a batch, with its gradient; nothing is logged.

        Args:
            batch: of the training data.
            module: another module to compute it by, such as a copy.

        Raises:
            MeasureError: the module optimises by hand, or returns no loss.
        """
        module = self.module if module is None else module
        return scalar((self._loss or training_loss)(module, batch))

    def labels(self, batch: Any) -> Tensor:
        """Return the classes of a batch, ``(N,)``.

        Raises:
            MeasureError: it has none.
        """
        own, count = self._own("labels"), rows(arguments(self.module, batch))
        found: Tensor | None = own(batch) if own else labels_of(batch, count)
        if found is None:
            raise MeasureError("its batches have no integers of shape (N,) beside the input")
        return found

    @torch.no_grad()
    def scores(self, batch: Any) -> Tensor:
        """Return the scores of all classes for a batch, labelled or not, ``(N, C)``.

        Raises:
            MeasureError: its forward returns something else.
        """
        own = self._own("logits")
        found = own(batch) if own else self.predict(batch)
        if isinstance(found, Mapping):
            found = found.get("logits")
        scores: Tensor = getattr(found, "logits", found)
        if not is_matrix(scores) or scores.shape[1] < 2:
            raise MeasureError("its forward does not return (N, C)")
        return scores

    def logits(self, batch: Any) -> Tensor:
        """Return the scores of a labelled batch, ``(N, C)``.

        Raises:
            MeasureError: its forward returns something else, or labels are not below C.
        """
        scores, classes = self.scores(batch), self.labels(batch)
        if len(scores) != len(classes):
            raise MeasureError("its forward does not return (N, C)")
        if int(classes.min()) < 0 or int(classes.max()) >= scores.shape[1]:
            raise MeasureError(f"its labels are not all from 0 to {scores.shape[1] - 1}")
        return scores

    @torch.no_grad()
    def embeddings(self, batch: Any) -> Tensor:
        """Return the embedding of each sample of a batch, or of an input alone, ``(N, D)``.

        Raises:
            MeasureError: it has no method ``embed``, and no last linear layer that sees
                ``(N, D)``.
        """
        given, named = arguments(self.module, batch)
        if own := self._own("embed"):
            found = own(*given, **named)
        else:
            linear = [p for p, m in self.module.named_modules() if isinstance(m, nn.Linear)]
            seen: dict[str, list[Tensor]] = {}
            with noting(self.module, linear, seen):
                self.module(*given, **named)
            found = list(seen.values())[-1][-1] if seen else None
        if not is_matrix(found, rows((given, named))):
            raise MeasureError("it has no method embed(x), and no last linear layer of (N, D)")
        return cast(Tensor, found)

    def views(self, batch: Any) -> tuple[Any, Any]:
        """Return two random views of the samples of a batch.

        Raises:
            MeasureError: it has no method ``views``.
        """
        given, named = arguments(self.module, batch)
        found: tuple[Any, Any] = self._method("views(x)")(*given, **named)
        return found

    def derivatives(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the true values of a batch and their derivatives, as far as they are known.

        Raises:
            MeasureError: it has no method ``derivatives``.
        """
        return tuple(self._method("derivatives(batch)")(batch))

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return the losses of a batch by name, with their gradients.

        Raises:
            MeasureError: it has no method ``losses``.
        """
        return {n: scalar(v) for n, v in self._method("losses(batch)")(batch).items()}

    def gather(
        self,
        *what: Literal["labels", "logits", "scores", "embeddings"],
        part: Part | None = None,
        most: int | None = None,
    ) -> tuple[Tensor, ...]:
        """Return something of all batches of a split, row by row, on the CPU.

        Args:
            *what: names of methods of this class.
            part: as for :meth:`batches`.
            most: rows after which it ends.

        Raises:
            MeasureError: there are no batches.
        """
        parts: list[tuple[Tensor, ...]] = []
        count = 0
        for batch in self.batches(part):
            parts.append(tuple(getattr(self, name)(batch).cpu() for name in what))
            count += len(parts[-1][0])
            if most is not None and count >= most:
                break
        if not parts:
            raise MeasureError(f"there are no {part or self.part} batches")
        return tuple(torch.cat(column)[:most] for column in zip(*parts, strict=True))

    @cached_property
    def watched(self) -> tuple[nn.Module, dict[str, WatchedSite]]:
        """A copy that shares the weights, in which every site is a module; and these, by path."""
        with undisturbed(self.module):
            return watched(self.module, None if self.lacking("example") else self.example)

    @cached_property
    def sites(self) -> tuple[FittedSite, ...]:
        """The open sites with what they see of one batch, or of the example.

        Those that do not run, and those that cannot be evaluated alone, are left out.
        """
        model, standing = self.watched
        seen: dict[str, list[Tensor]] = {}
        with undisturbed(model), noting(model, standing, seen), torch.no_grad():
            try:
                given, named = arguments(self.module, self.first())
                model(*given, **named)
            except Exception:  # what forward takes need not be what its batches hold
                seen.clear()
                forward(model, self.example)
        return tuple(
            FittedSite(w.site.name, w.site.activation, w.properties, tuple(seen[path]), w.function)
            for path, w in standing.items()
            if path in seen
        )

    def lacking(self, need: Need) -> str:
        """Return why the module does not offer something; empty where it does.

        It takes one batch, and may be asked before any training.
        """
        if need not in self._lacking:
            try:
                with undisturbed(self.module):
                    self._take(need)
                self._lacking[need] = ""
            except ActsearchError as error:
                self._lacking[need] = str(error)
            except Exception as error:  # the module's own code, told with its cause
                self._lacking[need] = " ".join(f"{type(error).__name__}: {error}".split())
        return self._lacking[need]

    def _take(self, need: Need) -> Any:
        match need:
            case "example":
                return self.example
            case "sites":
                if not self.sites:
                    raise MeasureError("no site was found")
            case "loss" | "losses":
                return getattr(self, need)(self.first("train"))
            case "labelled_training":
                return self.labels(self.first("labelled"))
            case "second_data":
                return self.first("second")
            case _:
                return getattr(self, need)(self.first())

    def _any_batch(self) -> Any:
        try:
            return self.first("train")
        except MeasureError:
            return self.first()

    def _method(self, call: str) -> Callable[..., Any]:
        """Return a method that the module itself has, told as it is called."""
        if (own := self._own(call.partition("(")[0])) is None:
            raise MeasureError(f"it has no method {call}")
        return own

    def _own(self, name: str) -> Callable[..., Any] | None:
        """Return a method that the module itself has; a submodule or a value is none."""
        found = getattr(self.module, name, None)
        return found if inspect.ismethod(found) else None
