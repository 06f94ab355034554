"""Call prices that cannot be arbitraged, whatever they are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.options import Interval, NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensors import Batch, Split

from .black_scholes import black_vega, implied_deviation
from .forms import AtomMixture, PriceForm, PriceNetwork
from .pictures import draw_prices
from .quotes import load_quotes, write_prices

CHECKED = 2001
"""Strikes of each maturity that arbitrage is looked for on."""

TOLERATED = 1e-9
"""Of a violation, in the currency: rounding."""

LEAST_VEGA = 0.02
"""Of the greatest, that a lower one counts as in the loss."""


class CallPrices(FullBatchTask):
    r"""Prices of calls as a function of strike and maturity, fitted to quotes.

    .. math:: C(K) = e^{-rT} \sum_i p_i \, b \, \varphi\Big(\frac{x_i - K}{b}\Big), \qquad
              p_i \ge 0, \; \sum_i p_i = 1

    One ReLU unit is the pay-off max(0, S - K); a mixture is its expectation, and the
    :math:`p_i` are risk-neutral probabilities of the prices :math:`x_i`. Softplus instead makes
    each of them a logistic density of width b. Where φ is convex, so is C: no butterfly costs less
    than nothing. Where its slope is from 0 to 1, that of C is from :math:`-e^{-rT}` to 0: nor does
    a vertical spread. The mean of the :math:`x_i` is the forward; later maturities move probability
    apart and keep it: nor does a calendar spread. That is what sites require; force another φ to
    see what it breaks.

    Logged in validation and test, in the currency: ``error`` (root mean square of quotes that
    were left out, or of their known prices) and ``implied_volatility_error`` (of those that have
    one; ``no_volatility`` is the share that has none); on 2,001 strikes of each maturity, how often
    prices can be arbitraged: ``butterfly``, ``vertical``, ``calendar``; ``worst_butterfly`` (the
    least second difference) and ``below_intrinsic`` (by how much prices are, at most). Its pictures
    come with ``prices.csv``: prices, implied volatilities and risk-neutral densities.

    Quotes of your own, a line each, calls or puts of one asset, with rates per year::

        actsearch search option --task.data quotes.csv --task.loss bid_ask
        # strike,maturity,bid,ask,spot,rate,dividend,type    or price instead of bid,ask; no type

    Shapes:
        input ``(N, 2)``, strike over forward and number of the maturity, from 0; output ``(N,)``,
        price over discounted forward.

    Args:
        data: ``black_scholes`` (spot 100, rate 0.03, half a year, volatility 0.25), ``heston``
            (four maturities), or a CSV file.
        form: ``mixture``; ``positive``, one layer whose output weights are not below 0; ``icnn``,
            input-convex; or ``free``, whose sites require nothing. All but the first do without the
            bounds of slope and maturity.
        units: atoms, or units of a layer, at least 3.
        depth: layers of ``icnn`` and ``free``, at least 1.
        loss: errors in ``price``, in implied volatility (``vega``), or beyond ``bid_ask``.
        strikes: of ``black_scholes``, for all three splits together, at least 20.
        noise: standard deviation of what is added to named data, in the currency.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`FullBatchTask`; ``split_seed`` draws the noise too.

    Raises:
        ActsearchError: an option out of its range, or quotes that are not that.

    References:
        Incorporating functional knowledge in neural networks, C. Dugas, Y. Bengio, F. Bélisle,
        C. Nadeau and R. Garcia, 2009, https://jmlr.org/papers/v10/dugas09a.html
        Input convex neural networks, B. Amos, L. Xu and J. Z. Kolter, 2017,
        https://arxiv.org/abs/1609.07152
        Prices of state-contingent claims implicit in option prices, D. Breeden and R.
        Litzenberger, 1978, https://doi.org/10.1086/296025
        Deep smoothing of the implied volatility surface, D. Ackerer, N. Tagasovska and T. Vatter,
        2020, https://arxiv.org/abs/1906.05065
    """

    monitor = "val_error"
    mode = "min"
    test_metric = "test_error"
    space = "payoffs"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 8}

    def __init__(
        self,
        data: str = "black_scholes",
        form: PriceForm = "mixture",
        units: Annotated[int, Interval(3)] = 24,
        depth: PositiveInt = 2,
        loss: Literal["price", "vega", "bid_ask"] = "price",
        strikes: Annotated[int, Interval(20)] = 93,
        noise: NonNegativeFloat = 0.0,
        lr: PositiveFloat = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, **options)
        quotes = load_quotes(data, strikes, noise, self._division[0])
        self.quotes, self.kind = quotes, loss
        self.maturities, number = quotes.maturity.unique(return_inverse=True)
        k = quotes.strike / quotes.forward
        observed, exact, bid, ask = (
            column / quotes.unit for column in (quotes.price, quotes.exact, quotes.bid, quotes.ask)
        )
        deviation = implied_deviation(observed, k)
        self.deviations = torch.stack(
            [self._typical(deviation[number == one]) for one in range(len(self.maturities))]
        )
        weight = self._weights(k, deviation, self.deviations[number], ask - bid)
        inputs = torch.stack([k, number.double()], 1)
        self.hold(
            inputs, observed, exact, bid, ask, weight, quotes.unit, stratify=self._strata(number)
        )
        self.price_form = (
            AtomMixture(units, self.deviations)
            if form == "mixture"
            else PriceNetwork(form, units, 1 if form == "positive" else depth, self.deviations)
        )
        self.double()

    def _typical(self, deviation: Tensor) -> Tensor:
        found = deviation.nanmedian()
        if not bool(found > 0):
            raise InvalidValueError(
                "data must have prices between intrinsic value and spot at each maturity, but got"
                " none. Check spot, rate and dividend."
            )
        return found

    def _strata(self, number: Tensor) -> Tensor | None:
        return number if len(self.maturities) > 1 and int(number.bincount().min()) > 5 else None

    def _weights(self, k: Tensor, deviation: Tensor, typical: Tensor, spread: Tensor) -> Tensor:
        """Return weights of squared errors: of all 1 on average, but for ``vega``."""
        if self.kind == "vega":
            vega = black_vega(k, deviation.where(deviation.isfinite(), typical))
            return vega.clamp_min(LEAST_VEGA * vega.max()) ** -2
        if not bool(spread.any()):
            return torch.ones_like(k)
        weight = spread.clamp_min(0.1 * float(spread.median())) ** -2
        return weight / weight.mean()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return prices over discounted forwards."""
        return cast(Tensor, self.price_form(inputs[:, 0], inputs[:, 1].long()))

    @override
    def loss(self, batch: Batch) -> Tensor:
        inputs, observed, _, bid, ask, weight, _ = batch
        found = self(inputs)
        error = found - observed
        if self.kind == "bid_ask":
            error = (bid - found).clamp_min(0) + (found - ask).clamp_min(0)
        scale = self.deviations[-1].square().to(found) if self.kind != "vega" else 1.0
        loss: Tensor = (weight * error.square()).mean() / scale
        return loss

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        inputs, _, exact, *_, unit = batch
        return {"squared_error": (unit * (self(inputs) - exact)).square()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs, _, exact, *_ = (column.to(self.device) for column in self.select(part))
        maturity = self.maturities.to(self.device)[inputs[:, 1].long()].sqrt()
        found = self(inputs)
        volatilities = [implied_deviation(c, inputs[:, 0]) / maturity for c in (found, exact)]
        error = volatilities[0] - volatilities[1]
        missing = volatilities[0].isnan() & ~volatilities[1].isnan()
        return {
            "error": means["squared_error"].sqrt(),
            "implied_volatility_error": error.square().nanmean().sqrt().nan_to_num(torch.inf),
            "no_volatility": missing.double().mean(),
            **self.arbitrage(),
        }

    def grid(self) -> tuple[Tensor, Tensor]:
        """Return even moneyness that quotes span, and prices there, ``(maturities, strikes)``."""
        k = self.quotes.strike / self.quotes.forward
        even = torch.linspace(float(k.min()), float(k.max()), CHECKED, dtype=torch.float64)
        count = len(self.maturities)
        numbers = torch.arange(count).repeat_interleave(CHECKED)
        inputs = torch.stack([even.repeat(count), numbers.double()], 1).to(self.device)
        return even.to(self.device), self(inputs).view(count, CHECKED)

    @torch.no_grad()
    def arbitrage(self) -> dict[str, Tensor]:
        """Return how often prices on a grid allow arbitrage, in the currency of the spot."""
        k, price = self.grid()
        step, spot = k[1] - k[0], self.quotes.spot
        slope, bend = price.diff(dim=1), price.diff(dim=1, n=2)
        tolerated = TOLERATED / spot
        vertical = (slope > tolerated) | (slope < -step - tolerated)
        intrinsic = (1 - k).clamp_min(0) - price
        return {
            "butterfly": (bend < -tolerated).sum().double(),
            "vertical": vertical.sum().double(),
            "calendar": (price.diff(dim=0) < -tolerated).sum().double(),
            "worst_butterfly": spot * bend.min(),
            "below_intrinsic": spot * intrinsic.max().clamp_min(0),
        }

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write residuals, implied volatility and density, and ``prices.csv``."""
        with evaluating(self):
            found = self(self.tensors[0].to(self.device)).cpu()
            k, price = (t.cpu() for t in self.grid())
        strike, maturity = self.quotes.strike, self.quotes.maturity
        root = maturity.sqrt()
        error = self.quotes.unit * (found - self.tensors[1])
        quoted = implied_deviation(self.tensors[1], self.tensors[0][:, 0]) / root
        numbers = self.tensors[0][:, 1].long()
        curves = []
        for number, years in enumerate(self.maturities.tolist()):
            own = numbers == number
            forward, unit = (float(t[own][0]) for t in (self.quotes.forward, self.quotes.unit))
            density = torch.zeros_like(k)
            density[1:-1] = price[number].diff(n=2) / (k[1] - k[0]) ** 2 / forward
            curves.append(
                {
                    "strike": k * forward,
                    "maturity": torch.full_like(k, years),
                    "price": price[number] * unit,
                    "implied_volatility": implied_deviation(price[number], k) / years**0.5,
                    "density": density,
                }
            )
        draw_prices(folder / "prices.png", (strike, numbers, error, quoted), curves)
        write_prices(
            folder / "prices.csv", {n: torch.cat([c[n] for c in curves]) for n in curves[0]}
        )
