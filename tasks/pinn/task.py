"""Physics-informed networks: which activation solves a differential equation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.partial_derivatives import partial_derivatives
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.options import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import evaluating
from actsearch.task.tensors import Batch, Split, Splits, TensorLoader, divide, join

from ..nets.perceptron import plain_perceptron, smooth_site
from .pictures import draw_solution
from .points import (
    INTERIOR,
    MEASURED,
    Sampling,
    cell_middles,
    face_points,
    interior_points,
    points_of,
    read_measured,
)
from .problem import Derivatives, find_problem
from .shipped import PROBLEMS

JUDGED = 900
"""Points of the grid that the solution is judged on, about."""


class PhysicsInformed(FullBatchTask):
    r"""A network that is the solution u of a differential equation :math:`\mathcal N[u] = 0`.

    .. math:: L = \frac1N \sum_i |\mathcal N[u](x_i)|^2
                  + \beta \frac1M \sum_j |u(x_j) - g(x_j)|^2

    Interior points :math:`x_i`, and points :math:`x_j` where the solution g is prescribed or was
    measured, all in each step, in float64; derivatives by automatic differentiation. Adam comes
    first and L-BFGS, which does most of it, for all further epochs. Every site requires as many
    continuous derivatives as the equation has: the second one of ReLU is 0 everywhere, so that
    nothing of :math:`u_{xx}` is trained.

    Logged in validation and test: ``residual`` and ``boundary``, both terms of the loss on other
    points; ``second``, the mean size of the network's second derivatives; each unknown coefficient
    by its name; and ``error``, the relative L2 error on a grid against the exact solution. Where no
    exact one is known, ``error`` is that of measured rows which are held out; where there are none
    either, it is the square root of the loss on held-out points. Its pictures come with
    ``solution.csv``.

    An equation of one's own is a class (:class:`actsearch_tasks.pinn.Problem`, with an example);
    with measured rows, its coefficients are found as well::

        actsearch search pinn --task.problem mypackage.Rod
        actsearch search pinn --task.problem mypackage.Rod --task.data rod.csv  # x,t,u

    Where residuals are large, as those of elasticity, the boundary must weigh more, and L-BFGS must
    go on: ``--task.hidden 24 --task.depth 3 --task.boundary_weight 100 --trainer.max_epochs 20``.

    Shapes:
        input ``(N, inputs)``, output ``(N, outputs)``.

    Args:
        problem: ``heat``, :math:`u_t = 0.1 u_{xx}`; ``elasticity`` of a plate, by Navier and
            Cauchy; or the dotted path of a class of one's own.
        data: CSV file of measured rows, with the problem's inputs and outputs as columns.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        interior: points N, at least 1.
        boundary: points on the faces of the box, at least 1.
        boundary_weight: :math:`\beta`, above 0.
        boundary_form: ``soft``, as above; or ``hard``, a transform of the problem that keeps its
            conditions whatever the network is. Second derivatives of its solution come in part from
            the transform, of ReLU as well.
        sampling: of points: ``sobol``, ``grid`` or ``uniform``.
        resample_every: epochs of Adam after which interior points are drawn anew; 0 for never.
        adam_steps: before L-BFGS, at least 0; an epoch has 20, or 100 iterations of L-BFGS.
        lr: learning rate :math:`\eta` of Adam, above 0.
        **options: those of every :class:`FullBatchTask`; the shares are of measured rows.

    Raises:
        ActsearchError: an option out of its range, a class that is no problem, or a file that does
            not fit it.

    References:
        Physics-informed neural networks, M. Raissi, P. Perdikaris and G. Karniadakis, 2019,
        https://doi.org/10.1016/j.jcp.2018.10.045
        DeepXDE: a deep learning library for solving differential equations, L. Lu, X. Meng, Z. Mao
        and G. Karniadakis, 2021, https://doi.org/10.1137/19M1274067
    """

    monitor = "val_error"
    mode = "min"
    test_metric = "test_error"
    space = "fields"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 12}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 15, "confirm": 2, "seeds": 7}
    epoch_steps = 20
    iterations = 5
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        problem: str = "heat",
        data: str | None = None,
        hidden: PositiveInt = 20,
        depth: PositiveInt = 2,
        interior: PositiveInt = 400,
        boundary: PositiveInt = 100,
        boundary_weight: PositiveFloat = 10.0,
        boundary_form: Literal["soft", "hard"] = "soft",
        sampling: Sampling = "sobol",
        resample_every: NonNegativeInt = 0,
        adam_steps: NonNegativeInt = 200,
        lr: PositiveFloat = 2e-3,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, **options)
        self.problem = find_problem(problem, PROBLEMS)
        self.interior, self.boundary, self.sampling = interior, boundary, sampling
        self.boundary_weight, self.hard = boundary_weight, boundary_form == "hard"
        self.resample_every = resample_every
        self.starts = dict(self.problem.coefficients) if data else {}
        self.relative = nn.ParameterDict({n: nn.Parameter(torch.ones(())) for n in self.starts})
        self._hold_points(data)
        sizes = (len(self.problem.inputs), len(self.problem.outputs), hidden, depth)
        self.network = plain_perceptron(*sizes, lambda: smooth_site(self.problem.order))
        low, high = torch.cat([torch.tensor(self.problem.bounds).double().T, self._range()], 1)
        self.register_buffer("centre", (low + high) / 2)
        self.register_buffer("spread", torch.where(high > low, (high - low) / 2, 1.0))
        self.double()
        self._check_problem(problem)

    def _range(self) -> Tensor:
        """Return the least and the greatest value that each output shall have, ``(2, outputs)``."""
        _, values, known = self.select("train")
        given = values[known != INTERIOR]
        if not len(given):
            raise InvalidValueError(
                f"conditions of {type(self.problem).__name__} must prescribe values, or data have"
                " some, but got none."
            )
        low, high = given.nan_to_num(torch.inf).amin(0), given.nan_to_num(-torch.inf).amax(0)
        return torch.stack([low, high]).nan_to_num(posinf=0.0, neginf=0.0)

    def _check_problem(self, name: str) -> None:
        """Refuse a problem whose functions do not fit together."""
        x = self.tensors[0][:4]
        if self.hard and self.problem.transform(x, self.unconstrained(x)) is None:
            raise InvalidValueError(
                f"boundary_form must be soft of {name}, which has no transform, but got 'hard'."
            )
        if not self.residual(x).isfinite().all():
            raise InvalidValueError(f"residual of {name} must be finite, but got NaN or inf.")

    def _hold_points(self, data: str | None) -> None:
        """Take the points of each part; validation and test have a grid of their own inside."""
        problem, seed = self.problem, self.hparams["split_seed"]
        inputs, outputs = len(problem.inputs), len(problem.outputs)
        measured = torch.empty(0, inputs + outputs, dtype=torch.float64)
        rows = Splits(*torch.empty(3, 0, dtype=torch.long))
        if data is not None:
            measured = read_measured(data, problem)
            rows = divide(len(measured), *self._division)
        side = max(2, round(JUDGED ** (1 / inputs)))
        generator = torch.Generator().manual_seed(seed)
        parts: list[Batch] = []
        inside = (self.draw_interior(0), *(cell_middles(problem.bounds, side + n) for n in (0, 1)))
        for x, chosen in zip(inside, (rows.train, rows.val, rows.test), strict=True):
            faces = face_points(self.sampling, problem.bounds, self.boundary, generator)
            parts.append(points_of(problem, x, faces, measured[chosen]))
        self.hold_divided(*join(*parts))

    def draw_interior(self, epoch: int) -> Tensor:
        """Return interior points of training, as drawn in an epoch."""
        generator = torch.Generator().manual_seed(self.hparams["split_seed"] + 1_000_003 * epoch)
        return interior_points(self.sampling, self.problem.bounds, self.interior, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the solution."""
        u = self.unconstrained(x)
        return cast(Tensor, self.problem.transform(x, u)) if self.hard else u

    def unconstrained(self, x: Tensor) -> Tensor:
        """Return the network's values, which a hard boundary is then forced on."""
        inputs = x.shape[1]
        z = self.network((x - self.centre[:inputs]) / self.spread[:inputs])
        return cast(Tensor, self.centre[inputs:] + self.spread[inputs:] * z)

    def coefficients(self) -> dict[str, Tensor]:
        """Return the coefficients that are found, each as trained in units of its start."""
        return {name: start * self.relative[name] for name, start in self.starts.items()}

    def residual(self, x: Tensor) -> Tensor:
        """Return what the equations leave at points, ``(N, equations)``."""
        problem = copy.copy(self.problem)
        problem.coefficients = {**problem.coefficients, **self.coefficients()}
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            u = self(x)
            found = problem.residual(x, u, Derivatives(problem, x, u)).reshape(len(x), -1)
        return found if torch.is_grad_enabled() else found.detach()

    def misfit(self, x: Tensor, values: Tensor) -> Tensor:
        """Return by how much the solution misses what it shall be, 0 where it is free."""
        return torch.where(values.isnan(), 0.0, self(x) - values)

    @override
    def loss(self, batch: Batch) -> Tensor:
        residual, boundary = (squares.sum() / max(1, len(squares)) for squares in self.terms(batch))
        return residual + self.boundary_weight * boundary

    def terms(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the squares that the loss is made of, of interior and of other points."""
        x, values, known = batch
        inside = known == INTERIOR
        misfit = self.misfit(x[~inside], values[~inside])
        return self.residual(x[inside]).square().sum(1), misfit.square().sum(1)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        return dict(zip(("residual", "boundary"), self.terms(batch), strict=True))

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x, values, known = (column.to(self.device) for column in self.select(part))
        judged = (known == INTERIOR) & ~values.isnan().any(1)
        if not judged.any():
            judged = known == MEASURED
        with torch.inference_mode(False), torch.no_grad():
            second = partial_derivatives(self.unconstrained, x[known == INTERIOR].clone(), 2)[2]
        if judged.any():
            error = (self(x[judged]) - values[judged]).norm() / values[judged].norm()
        else:
            error = (means["residual"] + self.boundary_weight * means["boundary"]).sqrt()
        return {"error": error, "second": second.abs().mean(), **self.coefficients()}

    @override
    def train_dataloader(self) -> TensorLoader:
        loader = super().train_dataloader()
        assert isinstance(loader, TensorLoader)
        self.seen = loader.dataset.tensors
        return loader

    @override
    def on_train_epoch_start(self) -> None:
        """Draw interior points anew where that is asked for; L-BFGS needs them to stay."""
        epoch, every = self.current_epoch, self.resample_every
        by_adam = not self.by_lbfgs or self.global_step < self.adam_steps()
        if every and epoch and epoch % every == 0 and by_adam:
            x, _, known = self.seen
            x[known == INTERIOR] = self.draw_interior(epoch)

    @override
    def adam_steps(self) -> int:
        return int(self.hparams["adam_steps"])

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the solution, the exact one and their difference, and ``solution.csv``."""
        with evaluating(self):
            draw_solution(folder, self.problem, lambda x: self(x.to(self.device)).cpu())
