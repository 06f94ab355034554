"""The sampler's constants that were chosen; those learned from trainings are in metric.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Everything about the sampler that was chosen, not learned.

    *Tables* are the three of ``benchmarks/tables`` and two other pools of functions on the same
    problems, *sites* the problem of ``benchmarks/multi_site.py``; what these choices bring is in
    ``benchmarks/README.md``. Where a line names neither, the value was set once, and no comparison
    is on record. Scores are normal scores (quantiles of N(0, 1) at the ranks), so that variances
    are in units of the variance of the scores. A pair is the median of a log-normal prior, and the
    standard deviation of its logarithm.
    """

    # How a search begins.

    initial_activations: tuple[str, ...] = ("relu", "elu", "gelu", "tanh", "sigmoid", "square")
    """Tried first on one site, where they are choices: unlike each other; chosen on the tables."""

    initial_with_transfer: int = 1
    """How many of these, where source tasks tell of functions (≥ 1); chosen on held-out tables."""

    initial_placements: int = 4
    """Random placements that a search over several sites begins with, beside those of each site."""

    initial_placements_per_site: int = 2
    """Further random placements for each site; 6 to 20 in all were no better on the sites."""

    initial_placements_most: int = 14
    """The largest number of random placements at the beginning."""

    # What trials say.

    pruned_noise: float = 0.1
    """Observation noise of a pruned trial, a variance beside that of a training."""

    failed_noise: float = 0.2
    """Observation noise of a failed trial, a variance beside that of a training."""

    failed_score: float = -2.0
    """Normal score of a failed trial, or the lowest of the others if that is lower."""

    infeasible_gap: float = 0.5
    """How far the most infeasible trial is put below the feasible ones, in their range."""

    # The Gaussian process.

    learned_deviation: float = 0.5
    """Standard deviation of the logarithm of each learned hyperparameter: a search has few data."""

    site_variance: tuple[float, float] = (0.3, 0.4)
    """Prior of the sum of what single sites add: little beside the combination of all."""

    joint_variance: tuple[float, float] = (1.0, 0.4)
    """Prior of the variance of the combination of all sites."""

    average_variance: tuple[float, float] = (0.4, 0.4)
    """Prior of the variance of the functions averaged over the sites: which there are at all."""

    several_noise: tuple[float, float] = (0.07, 1.0)
    """Prior of the noise of a training unless there is one site, whose noise was learned."""

    other_length: tuple[float, float] = (0.7, 0.8)
    """Prior of the length scale of a parameter that is no activation; its range has length 1."""

    other_variance: tuple[float, float] = (0.4, 1.0)
    """Prior of the variance of such parameters, alone and together with the functions."""

    fitted_trials: int = 160
    """Trials that hyperparameters are fitted to at most: the best half, and random others."""

    conditioned_trials: int = 300
    """Trials that predictions are conditioned on at most: the best half, and random others."""

    fit_steps: int = 30
    """Steps of L-BFGS-B at most in the fit of the hyperparameters."""

    fit_range: float = 4.0
    """Standard deviations of its prior that a hyperparameter may be off the median."""

    jitter: float = 1e-6
    """Variance on the diagonal of every covariance, for its Cholesky factor."""

    # Transfer from source tasks: a model average over which of them tell of this one.

    source_trials: int = 200
    """Trials of an earlier study that are used at most, evenly from the best to the worst."""

    process_variance: float = 0.6
    """Factor on the variance of the process beside source tasks, in (0, 1]; on the tables."""

    constant_variance: float = 0.3
    """Variance of the constant beside source tasks; chosen on the tables."""

    weight_mean: float = 0.8
    """Mean of the weight of a source task that matters alone: like problems' scores correlate."""

    weight_variance: float = 0.2
    """Variance of the weight of a source task that matters alone; chosen on the tables."""

    total_weight_variance: float = 1.0
    """Sum of the variances of the weights where all matter (their mean is 0); on the tables."""

    all_odds: float = 3.0
    """Prior odds that all source tasks matter, against that none does; chosen on the tables."""

    # What a candidate is worth.

    confidence: float = 1.0
    """Standard deviations above the mean with several sites; 0.6 to 2 no better on the sites."""

    chebyshev_share: float = 0.05
    """Share of the plain weighted sum in the augmented Chebyshev scalarisation, as in ParEGO."""

    objective_draws: int = 128
    """Draws that the expected improvement of several objectives is averaged over."""

    # Which candidates there are.

    shortlist: int = 4096
    """A longer list of choices is not scored whole, but random ones and the best ones' like."""

    best: int = 6
    """Configurations of the largest expected score that further candidates are made of."""

    random: int = 512
    """Random candidates."""

    mutations: int = 768
    """Candidates that differ from one of the best in one to three parameters, or in numbers."""

    crossings: int = 256
    """Candidates that are a cross of two of the best."""

    climbs: int = 5
    """Times that the neighbours of the best are added: 0.0025 of accuracy on the sites."""

    move: float = 0.2
    """Standard deviation of a move of a number among the first candidates; its range is 1."""

    climb_move: float = 0.15
    """The same in the first climb."""

    climb_shrink: float = 3.0
    """Factor by which that shrinks with each climb."""

    climb_moves: int = 32
    """Moved copies of each configuration in a climb."""

    switch_share: float = 0.1
    """How often a move also draws a categorical parameter that is no activation anew."""

    pending: int = 8
    """Trials asked for at once whose proposals are worked out, so that this one differs."""

    # How functions are described.

    largest: float = 1e6
    """Values and slopes beyond it are cut: a function that grows faster is as useless."""

    smallest_deviation: float = 1e-4
    """Least standard deviation that outputs are divided by: a constant stays a constant."""

    broken_weight: float = 4.0
    """Weight of the share of points where a function is not finite: none of these was trained."""


DEFAULTS = Settings()
"""The settings of a sampler that is given none."""
