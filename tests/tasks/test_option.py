import math

import pytest
import torch

from actsearch import Placement, activation, find_sites
from actsearch.errors import ActsearchError, InvalidValueError, RequirementError
from actsearch.task import laws
from actsearch_tasks.data.columns import read_columns
from actsearch_tasks.option import CallPrices
from actsearch_tasks.option.black_scholes import black_price, black_vega, implied_deviation
from actsearch_tasks.option.quotes import load_quotes, read_quotes

VARIANTS = [
    {},
    {"form": "positive", "loss": "vega"},
    {"form": "icnn", "data": "heston", "optimizer": "adam"},
    {"form": "free"},
    {"data": "heston", "loss": "bid_ask"},
]
NONE = {"butterfly": 0, "vertical": 0, "calendar": 0}


class TestOption(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return CallPrices

    @pytest.fixture
    def small(self):
        return {"units": 6, "strikes": 30}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(name, seed=0, force=False, **options):
    task = laws.build_task(CallPrices, options, seed)
    if name != "relu":
        Placement.uniform(name, find_sites(task)).apply(task, force=force)
    return task


def counts(task):
    found = task.arbitrage()
    return {name: int(found[name]) for name in NONE}


# Of QuantLib 1.44, by tests/tasks/heston_smile.py: a year, volatility 0.25, rate 0.03.
QUANTLIB = [
    (60.0, 41.8760503676756),
    (90.0, 16.9718757812035),
    (100.0, 11.3484768251435),
    (110.0, 7.2557763459711),
    (150.0, 0.8752721885798),
]


def test_black_and_scholes_is_quantlib_s_and_its_volatility_is_found_again():
    strike, price = torch.tensor(QUANTLIB, dtype=torch.float64).unbind(1)
    k = strike / (100 * math.exp(0.03))
    deviation = torch.tensor(0.25, dtype=torch.float64)
    found = 100 * black_price(k, deviation)
    torch.testing.assert_close(found, price, rtol=0, atol=1e-11)
    torch.testing.assert_close(implied_deviation(price / 100, k), deviation.expand(5))
    raised = 100 * black_price(k, deviation + 1e-6)
    torch.testing.assert_close((raised - found) / 1e-4, black_vega(k, deviation), atol=1e-5, rtol=0)
    beyond = torch.tensor([0.1, 1.0, 0.5], dtype=torch.float64)
    assert implied_deviation(beyond, torch.tensor([0.9, 1.0, 0.4]).double()).isnan().all()


@pytest.mark.claim
def test_one_unit_is_the_pay_off():
    price = torch.linspace(0, 200, 20_001, dtype=torch.float64)
    paid = activation("relu")(price - 100)
    assert torch.equal(paid, torch.clamp(price - 100, min=0))


@pytest.mark.claim
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_prices_of_a_mixture_cannot_be_arbitraged(noise):
    errors = {}
    for name in ("relu", "softplus"):
        task = build_with(name, noise=noise)
        found = laws.fit(task, 6 if noise == 0 else 1)
        assert counts(task) == NONE
        assert found["val_below_intrinsic"] < 1e-12
        errors[name] = found["val_error"]
    if noise == 0:
        assert errors["relu"] < 0.04
        assert errors["softplus"] < 0.015


def test_whatever_the_weights_a_later_maturity_is_worth_more():
    task = build_with("softplus", data="heston", units=8)
    generator = torch.Generator().manual_seed(0)
    form = task.price_form
    for _ in range(5):
        with torch.no_grad():
            for parameter in task.parameters():
                parameter.normal_(0, 2, generator=generator)
            form.log_gaps.div_(2)
        assert counts(task) == NONE
        with torch.no_grad():
            p, mean = form.probabilities(), (form.probabilities() * form.atoms()).sum(1)
        assert float(p.min()) > -1e-12
        torch.testing.assert_close(p.sum(1), torch.ones(4, dtype=torch.float64))
        torch.testing.assert_close(mean, torch.ones(4, dtype=torch.float64))


def test_sites_refuse_what_can_be_arbitraged_and_forced_it_is():
    for name, why in (("silu", "convex is False"), ("tanh", "convex is False")):
        with pytest.raises(RequirementError, match=why):
            build_with(name)
    with pytest.raises(RequirementError, match=r"derivative_bound is 1\.758"):
        build_with("selu", form="positive")
    for name in ("silu", "tanh"):
        task = build_with(name, force=True)
        laws.fit(task, 2)
        found = counts(task)
        assert found["butterfly"] + found["vertical"] > 0, (name, found)
    task = build_with("tanh", form="free")
    laws.fit(task, 1)
    assert sum(counts(task).values()) > 0


def test_positive_weights_allow_no_butterfly_but_other_arbitrage():
    for form in ("positive", "icnn"):
        task = build_with("softplus", form=form, units=16)
        laws.fit(task, 1)
        assert counts(task)["butterfly"] == 0
        assert counts(task)["vertical"] > 0


def test_a_smile_of_heston_and_what_is_written(tmp_path):
    task = build_with("softplus", data="heston", units=12)
    found = laws.fit(task, 3)
    assert counts(task) == NONE
    assert found["val_error"] < 0.5
    task.pictures(tmp_path)
    names = ("strike", "maturity", "price", "implied_volatility", "density")
    text = (tmp_path / "prices.csv").read_text().replace("nan", "0")
    (tmp_path / "prices.csv").write_text(text)
    strike, maturity, price, _, density = read_columns(str(tmp_path / "prices.csv"), names)
    one = maturity == maturity.max()
    assert float(torch.trapezoid(density[one], strike[one])) == pytest.approx(0.87, abs=0.1)
    assert float(price[one][0]) == pytest.approx(53.2, abs=1.5)
    assert bool((density >= -1e-9).all())


HEAD = "strike,maturity,bid,ask,spot,rate,dividend,type\n"


def quoted(kinds, spread=0.05):
    """Lines of quotes that put-call parity holds for."""
    lines = []
    for strike in range(80, 125, 3):
        k = torch.tensor(strike / (100 * math.exp(0.5 * 0.02)), dtype=torch.float64)
        call = 100 * math.exp(-0.5 * 0.01) * float(black_price(k, torch.tensor(0.2).double()))
        put = call - 100 * math.exp(-0.5 * 0.01) + strike * math.exp(-0.5 * 0.03)
        for kind in kinds:
            price = call if kind == "call" else put
            low, high = price - spread, price + spread
            lines.append(f"{strike},0.5,{low:.9f},{high:.9f},100,0.03,0.01,{kind}")
    return "\n".join(lines) + "\n"


def test_calls_and_puts_of_ones_own_within_bid_and_ask(tmp_path):
    path = tmp_path / "quotes.csv"
    path.write_text(HEAD + quoted(("call", "put")))
    quotes = read_quotes(str(path))
    torch.testing.assert_close(quotes.price[::2], quotes.price[1::2], rtol=0, atol=1e-8)
    assert float((quotes.ask - quotes.bid).max()) == pytest.approx(0.1)
    task = build_with("softplus", data=str(path), loss="bid_ask", units=12)
    found = laws.fit(task, 3)
    assert found["val_error"] < 0.1
    assert found["val_implied_volatility_error"] < 0.01
    assert counts(task) == NONE


def test_noise_is_drawn_by_the_seed_of_the_split():
    first, again, other = (load_quotes("black_scholes", 30, 0.1, seed) for seed in (0, 0, 1))
    assert torch.equal(first.price, again.price)
    assert not torch.equal(first.price, other.price)
    assert float((first.price - first.exact).std()) == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "strike,price\n1,1\n",
            "must have the columns strike, maturity, spot, rate",
        ),
        (HEAD + "90,1,1,2,100,0,0,C\n", "type in line 2 of .* must be call or put, but got 'C'"),
        (HEAD + "90,1,,2,100,0,0,call\n", "bid in line 2 of .* must be a finite number"),
        (HEAD + quoted(("put",)).replace("80,0.5", "-80,0.5"), "strike of .* above 0, but got -80"),
        (HEAD + quoted(("put",)).replace("80,0.5", "80,0"), "maturity of .* above 0, but got 0"),
        (HEAD + quoted(("put",), -0.01), "no ask below its bid, but got a bid .* of -0.02"),
        (HEAD + "90,1,1,2,100,0,0,call\n", "at least 10 quotes of one spot, but got 1 of 1"),
        (HEAD + quoted(("put",)).replace("100,", "101,", 1), "but got 15 of 2"),
        (
            HEAD + quoted(("put",)).replace("0.03", "0.04", 1),
            "rate and .* but got 2 for 1",
        ),
        (
            HEAD + quoted(("put",), 0).replace(",call", ",put").replace("100,0", "10,0"),
            "between in",
        ),
    ],
)
def test_files_that_are_no_quotes_get_one_line(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        CallPrices(data=str(tmp_path / "own.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "merton"}, "unknown data 'merton'"),
        ({"batch_size": 10}, "batch_size must be at least 55, all training rows"),
    ],
)
def test_options_that_do_not_fit_are_refused_too(options, message):
    with pytest.raises(ActsearchError, match=message):
        CallPrices(**options)
