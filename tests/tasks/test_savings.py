import math
from pathlib import Path

import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.errors import ActsearchError, InvalidValueError
from actsearch.task import laws
from actsearch_tasks.savings import EulerProblem, Savings
from actsearch_tasks.savings.endogenous_grid import solve_economy
from actsearch_tasks.savings.life_cycle import Economy, read_economy
from actsearch_tasks.savings.problem import strongest_bend

LIFE = "beta: 0.96\nrho: 2\nR: 1.03\nsd: 0.2\n"
SHORT = LIFE + "T: 2\n"
RETIRE = LIFE + "T: 4\nwork_cost: 0.7\npension: 0.3\n"


@pytest.fixture
def life(tmp_path):
    def write(text):
        path = tmp_path / "life.yaml"
        path.write_text(text)
        return str(path)

    return write


class TestSavings(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Savings

    @pytest.fixture
    def small(self, life):
        return {"model": life(LIFE + "T: 3\n"), "points": 50, "hidden": 4}

    @pytest.fixture(
        params=[{"age": None}, {"train": "euler"}, {"target": "value", "optimizer": "adam"}],
        ids=str,
    )
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, **options):
    task = laws.build_task(Savings, options, seed)
    if activation != "relu":
        Placement.uniform(activation, find_sites(task)).apply(task)
    return task


def policy(economy, cash, age=0):
    m = torch.tensor(cash, dtype=torch.float64)
    return solve_economy(economy, 6.0, 3000).policy(m, torch.full_like(m, age))


def test_two_ages_without_risk_are_the_closed_form():
    m = torch.linspace(0.02, 6, 500, dtype=torch.float64)
    for limit in (0.0, 0.3):
        economy = Economy(rho=1.0, sd=0.0, T=2, limit=limit)
        found = solve_economy(economy, 6.0).policy(m, torch.zeros_like(m))
        exact = torch.minimum(m + limit, (m + 1 / economy.R) / (1 + economy.beta))
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-13)


def brute_force(economy, m, age, working=True):
    """Value and policy at cash ``(*)`` by golden sections, over all that comes later."""
    if age == economy.T - 1:
        return economy.utility(m), m
    factors, shares = economy.shocks
    income = economy.profile[age + 1] * factors if working else torch.tensor([economy.pension])
    shares = shares if working else torch.ones(1)

    def worth(c):
        cash = economy.R * (m - c)[..., None] + income
        later = (brute_force(economy, cash, age + 1, working)[0] * shares.to(cash)).sum(-1)
        return economy.utility(c) + economy.discount[age] * later

    shares_eaten = torch.linspace(1e-6, 1, 21, dtype=m.dtype)
    tried = torch.stack([worth(share * (m + economy.limit)) for share in shares_eaten])
    best = tried.argmax(0)
    low, high = (shares_eaten[(best + way).clamp(0, 20)] * (m + economy.limit) for way in (-1, 1))
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(28):
        left, right = high - golden * (high - low), low + golden * (high - low)
        rising = worth(left) < worth(right)
        low, high = torch.where(rising, left, low), torch.where(rising, high, right)
    c = (low + high) / 2
    value = worth(c) - economy.work_cost * working
    if economy.work_cost and working:
        rest, eaten = brute_force(economy, m, age, working=False)
        value, c = torch.maximum(value, rest), torch.where(rest > value, eaten, c)
    return value, c


@pytest.mark.parametrize(
    "economy",
    [
        Economy(T=3),
        Economy(T=3, limit=0.2, income=(1.0, 1.5, 0.9), survival=(0.9, 0.8, 0.0)),
        Economy(T=3, rho=1.0, work_cost=0.7, pension=0.3, sd=0.0),
    ],
    ids=("saving", "profile", "retirement"),
)
def test_three_ages_are_what_brute_force_finds(economy):
    m = torch.tensor([0.3, 0.9, 1.3, 3.5], dtype=torch.float64)
    value, c = brute_force(economy, m, 0)
    found = solve_economy(economy, 6.0)
    torch.testing.assert_close(found.policy(m, 0 * m), c, rtol=0, atol=2e-6)
    torch.testing.assert_close(found.value(m, 0 * m), value, rtol=0, atol=3e-7)


# Of HARK 0.17.2, by tests/tasks/hark_policy.py.
HARK = [
    (0.3, 0.3000000),
    (0.7, 0.7000000),
    (0.85, 0.8500000),
    (0.9, 0.8916680),
    (1.0, 0.9301098),
    (1.2, 0.9858428),
    (1.6, 1.0579415),
    (2.5, 1.1713327),
    (4.0, 1.3375452),
    (6.0, 1.5548183),
]


def test_ten_ages_are_hark_s():
    m, wanted = np.array(HARK).T
    found = policy(Economy(T=11), m.tolist())
    assert found.numpy() == pytest.approx(wanted, abs=3e-4)


def test_the_policy_has_the_kink_and_the_value_has_none():
    economy = Economy()
    solution = solve_economy(economy, 6.0)
    m = torch.linspace(0.5, 1.5, 10_001, dtype=torch.float64)
    for age, wanted in ((0, 0.8825), (38, 0.9471)):
        c, v = (f(m, torch.full_like(m, age)) for f in (solution.policy, solution.value))
        assert float(strongest_bend(m, c)) == pytest.approx(wanted, abs=1e-3)
        slope = v.diff() / m.diff()
        at = int((m < wanted).sum())
        assert float(slope[at - 2] - slope[at + 1]) < 1e-3  # no jump
        bends = slope.diff() / m.diff()[1:]
        assert float(bends[at + 20] - bends[at - 20]) > 0.5  # but of its derivative
    before = policy(economy, [0.8825 - 0.05, 0.8825, 0.8825 + 0.05])
    assert before.diff().tolist() == pytest.approx([0.05, 0.05 * 0.39], abs=1e-3)


@pytest.mark.claim
def test_relu_is_nearer_at_the_kink_than_tanh(life):
    model = life(SHORT)  # what the last but one of forty ages is
    found = {
        name: laws.fit(build_with(name, model=model, points=300), 8) for name in ("relu", "tanh")
    }
    assert found["tanh"]["val_kink_error"] > 3 * found["relu"]["val_kink_error"]
    assert found["relu"]["val_kink_location"] == pytest.approx(0.947, abs=0.05)
    assert found["relu"]["val_euler_error"] < -2


def test_euler_finds_the_policy_of_all_ages_without_a_reference(life):
    options = {"age": None, "train": "euler", "points": 100, "hidden": 16}
    task = build_with("relu", model=life(LIFE + "T: 3\n"), **options)
    task.tensors[1][task.splits.train] = torch.nan  # no reference is looked at
    found = laws.fit(task, 10)
    assert found["val_away_error"] < 0.05
    assert found["val_euler_error"] < -1.5


def test_the_value_of_a_retirement_has_a_kink_where_the_policy_jumps(life):
    task = build_with("relu", model=life(RETIRE), target="value", points=200)
    kink = float(task.kinks[0])
    m = torch.tensor([-2e-3, -1e-3, 1e-3, 2e-3], dtype=torch.float64) + kink
    below, _, above = (task.problem.value(m, 0 * m).diff() / m.diff()).tolist()
    assert above > 1.2 * below
    policy = task.problem.reference(m, 0 * m)
    assert float(policy[2] - policy[1]) < -0.15
    assert laws.fit(task, 3)["val_kink_error"] < 0.1


class Logarithmic(EulerProblem):
    """Two ages, logarithmic utility, no risk: c = min(m, (m + y / R) / (1 + beta))."""

    def reference(self, cash, ages):
        return torch.minimum(cash, (cash + 1) / 1.9)

    def marginal(self, consumption):
        return 1 / consumption

    def inverse_marginal(self, utility):
        return 1 / utility

    def transition(self, assets, ages):
        return assets[:, None] + 1, torch.full_like(assets, 0.9)[:, None]


def test_a_class_of_ones_own_is_trained_by_its_euler_equation(tmp_path, monkeypatch):
    source = Path(__file__).read_text().partition("class Logarithmic")
    body = source[2].partition("\n\n\ndef ")[0]
    head = "import torch\nfrom actsearch_tasks.savings import EulerProblem\n\nclass Logarithmic"
    (tmp_path / "own_savings.py").write_text(head + body)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    task = build_with("relu", model="own_savings.Logarithmic", train="euler", points=100)
    assert float(task.kinks[0]) == pytest.approx(1 / 0.9, abs=2e-3)
    found = laws.fit(task, 6)
    assert found["val_kink_error"] < 0.05
    assert found["val_euler_error"] < -2


def test_a_policy_of_ones_own_and_the_one_that_is_written(tmp_path):
    m = np.linspace(0.1, 5, 200)
    c = np.minimum(m, 0.6 + 0.3 * m) + 0.4
    rows = "".join(f"{a},{age},{b}\n" for a, b in zip(m, c, strict=True) for age in (30, 31))
    (tmp_path / "own.csv").write_text("m,age,c\n" + rows)
    task = build_with("relu", model=str(tmp_path / "own.csv"), age=None)
    assert task.problem.limit == pytest.approx(0.4)
    assert (task.low, task.high) == (0.1, 5.0)
    assert task.kinks.tolist() == pytest.approx([0.6 / 0.7] * 2, abs=0.03)
    found = laws.fit(task, 2)
    assert "val_euler_error" not in found
    task.pictures(tmp_path)
    again = Savings(model=str(tmp_path / "policy.csv"), age=1)
    cash = again.tensors[0]
    with torch.no_grad():
        wanted = task(torch.cat([cash, torch.ones_like(cash)], 1))
    # Between rows, straight lines: at the kink off by a share of a row's distance.
    torch.testing.assert_close(again.tensors[1], wanted, rtol=0, atol=5e-4)


def test_a_profile_of_income_and_survival(tmp_path):
    (tmp_path / "income.csv").write_text("age,income,survival\n60,1,0.9\n61,0.7,0.8\n62,0.6,0\n")
    (tmp_path / "life.yaml").write_text(LIFE + "income: income.csv\nlimit: 0.1\n")
    economy = read_economy(str(tmp_path / "life.yaml"))
    assert (economy.T, economy.income, economy.survival) == (3, (1, 0.7, 0.6), (0.9, 0.8, 0))
    assert economy.discount.tolist() == pytest.approx([0.96 * 0.9, 0.96 * 0.8, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta: 0.9\n", "must have the keys beta, rho, R and sd, and may have T, .* got beta"),
        (LIFE + "borrow: 1\n", "but got beta, rho, R, sd, borrow"),
        ("", "but got None"),
        (LIFE + "beta: 0.9\n", "life.yaml:5: 'beta' is given twice"),
        (LIFE + "T: 1\n", "T must be between 2 and 200, but got 1"),
        (LIFE + "T: ten\n", "T must be between 2 and 200, but got 'ten'"),
        (LIFE.replace("0.96", "-1"), "beta must be a finite number above 0, but got -1"),
        (LIFE + "limit: 0.8\n", "limit must be a debt that the worst income repays, but got 0.8"),
        (LIFE + "work_cost: 1\n", "work_cost must come with a pension above 0 and limit 0"),
        (LIFE + "income: [1, 2]\n", "income of .* must be a CSV file beside it, but got"),
        (LIFE + "income: none.csv\n", "none.csv must be a CSV file, but reading it failed"),
    ],
)
def test_files_that_are_no_economy_get_one_line(life, text, message):
    with pytest.raises(InvalidValueError, match=message) as caught:
        Savings(model=life(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "savings"}, "unknown model 'savings'; nearest: saving"),
        ({"model": "no_such.Problem"}, "there is no module 'no_such' from this folder"),
        ({"model": "math.pi"}, "must be a subclass of actsearch_tasks.savings.SavingsProblem, but"),
        ({"age": 39}, "age must be below 39, but got 39"),
        ({"low": 7.0}, "low and high must lie between .*, but got 7 and 6"),
        ({"low": 0.0}, "low and high must lie between .*, but got 0 and 6"),
        ({"train": "euler", "target": "value"}, "train must be fit where the target is no policy"),
        ({"batch_size": 10}, "batch_size must be at least 600, all training rows"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ActsearchError, match=message) as caught:
        Savings(**options)
    assert "\n" not in str(caught.value)


def test_policies_that_do_not_fit_are_refused(tmp_path, life):
    file = tmp_path / "policy.csv"
    rows = "".join(f"{i},{i / 2}\n" for i in range(1, 12))
    for text, message in (
        ("m,c,x\n1,1,1\n", "must have the columns m, c, but got m, c, x"),
        ("m,c\n1,1\n", "must have at least 10 rows of each age, and each m once, but got 1 of"),
        ("m,c\n1,1\n" + rows, "but got 12 of age 0, 11 with an m of their own"),
        ("age,m,c\n1,1,1\n3,1,1\n", "age of .* must go on by 1 each, but got 1, 3"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidValueError, match=message):
            Savings(model=str(file))
    file.write_text("m,c\n" + rows)
    with pytest.raises(InvalidValueError, match=r"between 1 and 11, but got 0.5 and 11"):
        Savings(model=str(file), low=0.5)
    with pytest.raises(InvalidValueError, match="target must be policy where the model has no"):
        Savings(model=str(file), target="value")
    with pytest.raises(InvalidValueError, match="train must be fit"):
        Savings(model=life(RETIRE), train="euler")
