import math
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

import actsearch
from actsearch.errors import InvalidValueError, RequirementError, TaskError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.rl import ContinuousControl
from actsearch_tasks.rl.environments import Environments, evaluate_policy, scale
from actsearch_tasks.rl.experience import Replay, Rollout
from actsearch_tasks.rl.losses import clipped_objective, generalised_advantages, soft_target
from actsearch_tasks.rl.networks import Actor, EnsembleLinear
from actsearch_tasks.rl.pictures import learning_curve

gymnasium = pytest.importorskip("gymnasium")

TINY = {"hidden": 8, "epoch_steps": 60, "warm_up": 20, "batch_size": 16, "episodes": 2}


class TestContinuousControl(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return ContinuousControl

    @pytest.fixture
    def small(self):
        return TINY


def build(seed=0, **options):
    return laws.build_task(ContinuousControl, TINY | options, seed)


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_every_network_learns_and_the_policy_is_measured(algorithm, tmp_path):
    task = build(algorithm=algorithm, envs=2)
    sites = {site.name: site for site in actsearch.find_sites(task, task.example_input_array)}
    assert list(sites) == [
        "actor.trunk.activation_1",
        "actor.trunk.activation_2",
        "actor.squash",
        "critic.trunk.activation_1",
        "critic.trunk.activation_2",
    ]
    assert sites["actor.squash"].requires == "bounded and bijective"
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    run = laws.trainer(2)
    run.fit(task)
    metrics = run.callback_metrics
    assert metrics["steps_per_second"] > 0
    assert metrics["env_steps"] == (140 if algorithm == "sac" else 120)
    assert metrics["valid_actions"] == 1
    assert -2000 < metrics["val_return"] < 0
    assert metrics["gradient_variance"] > 0
    assert metrics["gradient_variance_uncorrected"] > 0
    assert metrics["gradient_variance"] != metrics["gradient_variance_uncorrected"]
    assert math.isfinite(metrics["val_entropy"])
    unmoved = [name for name, p in task.named_parameters() if torch.equal(p, before[name])]
    assert not unmoved
    (result,) = laws.trainer().test(task, verbose=False)
    assert result["test_valid_actions"] == 1
    assert task.test_metric in result
    task.pictures(tmp_path)
    assert {"learning_curve.png", "episode.png"} <= {file.name for file in tmp_path.iterdir()}


def test_takes_any_environment_with_box_actions():
    task = build(env="MountainCarContinuous-v0", episodes=1)
    metrics = laws.fit(task)
    assert metrics["valid_actions"] == 1
    assert math.isfinite(metrics["val_return"])
    assert task.actor.trunk.linear_1.in_features == 2


def test_evaluates_20_episodes_of_fixed_seeds_and_tests_on_others():
    task = ContinuousControl()
    seeds = [
        next(iter(loader))[0].tolist() for loader in (task.val_dataloader(), task.test_dataloader())
    ]
    assert [len(part) for part in seeds] == [20, 20]
    assert not set(seeds[0]) & set(seeds[1])
    assert seeds[0] == next(iter(ContinuousControl().val_dataloader()))[0].tolist()


def test_the_band_of_the_learning_curve_is_over_the_episodes(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.fill_between",
        lambda self, steps, low, high, **_: drawn.append((list(low), list(high))),
    )
    history = [(10, [-4.0, -2.0]), (20, [-1.0, -1.0])]
    learning_curve(tmp_path / "curve.png", history, "Pendulum-v1")
    assert drawn == [(pytest.approx([-3.8, -1]), pytest.approx([-2.2, -1]))]


def test_writes_a_film_strip_where_the_environment_can_be_drawn(tmp_path):
    pytest.importorskip("pygame")
    build().pictures(tmp_path)
    assert (tmp_path / "film_strip.png").exists()
    assert (tmp_path / "episode.gif").read_bytes()[:6] == b"GIF89a"


def test_no_member_of_the_ensemble_touches_another():
    layer = EnsembleLinear(3, 4, 5)
    x = torch.randn(3, 7, 4)
    expected = torch.stack([x[i] @ layer.weight[i] + layer.bias[i] for i in range(3)])
    torch.testing.assert_close(layer(x), expected)


def test_the_target_critic_starts_at_the_critic_and_follows_it_slowly():
    task = build(smoothing=0.1, warm_up=64, batch_size=64, epoch_steps=1)
    task.on_fit_start()
    start = {name: tensor.clone() for name, tensor in task.target.items()}
    assert all(
        torch.equal(tensor, task.critic.get_parameter(name)) for name, tensor in start.items()
    )
    laws.fit(task)  # one update
    for name, tensor in task.target.items():
        expected = 0.9 * start[name] + 0.1 * task.critic.get_parameter(name).detach()
        torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-6)
    x = torch.randn(3, 4)
    assert not torch.equal(task.target_critic(x), task.critic(x))


def test_the_target_critic_takes_the_activations_of_a_placement():
    task = build()
    places = [site for site in actsearch.find_sites(task) if site.name.startswith("critic")]
    actsearch.Placement.uniform(
        {"activation": "prelu", "parameters": {"negative_slope": 0.7}}, places
    ).apply(task)
    metrics = laws.fit(task)
    assert math.isfinite(metrics["val_return"])
    learned = [name for name in task.target if name.endswith("raw_negative_slope")]
    assert len(learned) == 2


def test_soft_target_is_the_formula():
    torch.manual_seed(0)
    actor = Actor(3, 1, 8, 1)
    batch = {
        "next_observation": torch.randn(6, 3),
        "reward": torch.randn(6),
        "terminated": torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 0.0]),
    }
    torch.manual_seed(1)
    _, action, log_density = actor.sample(batch["next_observation"])
    members = torch.stack([action[:, 0], 2 * action[:, 0] + 1])
    torch.manual_seed(1)
    found = soft_target(
        batch, actor, lambda x: torch.stack([x[:, 3], 2 * x[:, 3] + 1]), torch.tensor(0.3), 0.9
    )
    follow = members.min(0).values - 0.3 * log_density
    expected = batch["reward"] + 0.9 * (1 - batch["terminated"]) * follow
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[[1, 3]], batch["reward"][[1, 3]])  # nothing follows a terminal state


def test_generalised_advantages_are_the_sum_that_defines_them():
    torch.manual_seed(0)
    steps, copies, discount, trace = 7, 3, 0.9, 0.8
    reward, value, after = torch.randn(3, steps, copies, dtype=torch.float64)
    terminated = (torch.rand(steps, copies) < 0.2).double()
    ended = torch.maximum(terminated, (torch.rand(steps, copies) < 0.2).double())
    found = generalised_advantages(reward, value, after, terminated, ended, discount, trace)
    for n in range(copies):
        for t in range(steps):
            total, factor = 0.0, 1.0
            for s in range(t, steps):
                delta = reward[s, n] + discount * (1 - terminated[s, n]) * after[s, n] - value[s, n]
                total += factor * float(delta)
                factor *= discount * trace
                if ended[s, n]:
                    break
            assert found[t, n].item() == pytest.approx(total, rel=1e-10)


def test_clipped_objective_gives_no_gradient_beyond_the_clip_where_it_would_gain():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.0], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    (gradient,) = torch.autograd.grad(clipped_objective(ratio, advantage, 0.2), ratio)
    assert (gradient != 0).tolist() == [False, True, True, False, True]


def test_a_restart_does_not_leak_into_the_transition_before_it():
    envs = Environments("Pendulum-v1", 2, seed=0)
    action = np.zeros((2, 1), dtype=np.float32)
    reference = gymnasium.make("Pendulum-v1")
    seen, _ = reference.reset(seed=0)
    np.testing.assert_array_equal(envs.observation[0], seen)
    for t in range(200):
        step = envs.step(action, action)
        seen, reward, terminated, truncated, _ = reference.step(np.zeros(1, dtype=np.float32))
        np.testing.assert_array_equal(step.next_observation[0], seen)
        assert step.reward[0] == reward
        assert bool(step.ended[0]) is (t == 199) is bool(truncated)
        assert not step.terminated.any()
        assert not terminated
    assert not np.array_equal(envs.observation, step.next_observation)  # the next episode has begun
    envs.close()


def test_actions_reach_both_ends_of_a_lopsided_box_and_never_leave_it():
    box = gymnasium.spaces.Box(np.float32([-0.1, 0.3]), np.float32([0.7, 1e6]))
    np.testing.assert_array_equal(
        scale(np.float32([[-1, -1], [1, 1]]), box), np.stack([box.low, box.high])
    )
    rng = np.random.default_rng(0)
    assert all(
        box.contains(a) for a in scale(rng.uniform(-1, 1, (5000, 2)).astype(np.float32), box)
    )


def test_evaluation_has_fixed_episodes_and_stops_each_at_its_end():
    seen = []

    def policy(observation):
        seen.append(len(observation))
        return np.zeros((len(observation), 1), dtype=np.float32)

    first, again = (evaluate_policy("Pendulum-v1", [7, 8, 9], policy) for _ in range(2))
    np.testing.assert_array_equal(first.returns, again.returns)
    assert len(set(first.returns)) == 3
    assert seen == [3] * 400
    assert first.observations.shape == (600, 3)
    assert first.valid == 1


def uniform(shape, seed):
    rng = np.random.default_rng(seed)

    def policy(observation):
        action = rng.uniform(-1, 1, (len(observation), *shape)).astype(np.float32)
        return action, action

    return policy


def test_replay_gives_as_many_updates_as_steps_and_forgets_the_oldest():
    envs = Environments("Pendulum-v1", 3, seed=0)
    options = {"steps": 30, "batch_size": 8, "capacity": 24, "warm_up": 12, "seed": 0}
    for updates in (1.0, 0.5, 2.0):
        replay = Replay(envs, uniform((1,), 0), **options, updates=updates)
        for epoch in (1, 2):
            assert len(list(replay)) == len(replay) == 30 * updates
            assert replay.taken == 12 + 30 * epoch
    assert all(len(tensor) == 24 for tensor in replay.memory.values())
    newest = torch.from_numpy(envs.observation)
    assert (replay.memory["next_observation"][:, None] == newest).all(-1).any(0).all()
    envs.close()


def test_rollout_goes_over_every_transition_once_a_pass():
    envs = Environments("Pendulum-v1", 2, seed=0)
    rollout = Rollout(envs, uniform((1,), 0), dict, steps=20, batch_size=8, passes=3, seed=0)
    batches = list(rollout)
    assert len(batches) == len(rollout) == 9
    seen = torch.cat([batch["u"] for batch in batches]).flatten().view(3, 20).sort(-1).values
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    assert len(seen[0].unique()) == 20
    envs.close()


def test_squash_takes_bounded_bijections_alone_and_names_what_is_missing():
    task = build()
    with pytest.raises(
        RequirementError, match=r"relu cannot stand at actor\.squash: bounded is False"
    ):
        actsearch.Placement.uniform("relu", ["actor.squash"]).apply(task)
    actsearch.Placement.uniform("relu", ["actor.squash"]).apply(task, force=True)
    with pytest.raises(
        TaskError, match="squash must be a bijection that states its log-derivative, but got 'relu'"
    ):
        task(task.example_input_array)


def test_the_same_seed_of_ppo_gives_the_same_numbers():
    first, again, other = (laws.fit(build(seed, algorithm="ppo")) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"env": "Pendulum-v9"}, UnknownNameError, "'Pendulum-v9'; nearest: Pendulum-v1"),
        ({"env": "CartPole-v1"}, TaskError, "action space of CartPole-v1 must be a Box of one"),
        ({"warm_up": 10}, InvalidValueError, "warm_up must be a whole number of at least 16, but"),
        ({"capacity": 1}, InvalidValueError, "capacity must be a whole number of at least 16, but"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        ContinuousControl(**(TINY | options))


@pytest.mark.skipif(find_spec("mujoco") is not None, reason="says what is missing only where it is")
def test_says_what_an_environment_needs():
    with pytest.raises(
        TaskError, match=r"environment 'HalfCheetah-v5' needs .*gymnasium\[mujoco\]"
    ) as caught:
        ContinuousControl(env="HalfCheetah-v5")
    assert "\n" not in str(caught.value)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(
        TaskError, match=r"rl needs gymnasium, which is not installed. Install actsearch\[rl\]"
    ):
        ContinuousControl()
