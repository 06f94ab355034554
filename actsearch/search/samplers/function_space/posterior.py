"""What is expected of configurations once some were trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actsearch.search.samplers.function_space.distances import Pairs
from actsearch.search.samplers.function_space.gaussian_process import GaussianProcess
from actsearch.search.samplers.function_space.model_average import ModelAverage
from actsearch.search.samplers.function_space.observations import best_and_random
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings
from actsearch.search.samplers.function_space.transfer import SourceTasks, in_parts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Posterior:
    """A Gaussian process and source tasks, given data.

    Args:
        process: the kernel and its distances.
        source_tasks: what is expected of configurations on each source task.
        rows: the configurations.
        scores: theirs.
        observation_noise: variance of each score beside the noise of a training.
        average: what these tell.
        settings: the priors of what source tasks weigh.
    """

    process: GaussianProcess
    source_tasks: SourceTasks
    rows: Array
    scores: Array
    observation_noise: Array
    average: ModelAverage
    settings: Settings

    @classmethod
    def fitted(
        cls,
        process: GaussianProcess,
        source_tasks: SourceTasks,
        rows: Array,
        scores: Array,
        observation_noise: Array,
        rng: np.random.Generator,
        settings: Settings = DEFAULTS,
    ) -> Posterior:
        """Fit the hyperparameters of the process to data, and condition on these.

        Where there are many data, hyperparameters are fitted to the best ones and random others.

        Args:
            process: the process before any data.
            source_tasks: what is expected of configurations on each source task.
            rows: the configurations.
            scores: theirs, of zero mean and a variance near 1.
            observation_noise: variance of each score beside the noise of a training.
            rng: draws the others.
            settings: how many data hyperparameters are fitted to.
        """
        part = best_and_random(scores, settings.fitted_trials, rng)
        pairs = Pairs.of(process.distances(rows[part], rows[part]))
        θ = process.kernel.fit(pairs, scores[part], observation_noise[part], settings)
        return cls._conditioned(process, source_tasks, θ, rows, scores, observation_noise, settings)

    @classmethod
    def _conditioned(
        cls,
        process: GaussianProcess,
        source_tasks: SourceTasks,
        θ: Array,
        rows: Array,
        scores: Array,
        observation_noise: Array,
        settings: Settings,
    ) -> Posterior:
        average = ModelAverage.conditioned(
            process.kernel,
            θ,
            process.distances(rows, rows),
            source_tasks(rows),
            source_tasks.prior_odds,
            scores,
            observation_noise,
            settings,
        )
        return cls(process, source_tasks, rows, scores, observation_noise, average, settings)

    def hypotheses(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the scores under each hypothesis on transfer."""
        means, deviations = [], []
        for part in in_parts(rows):
            distances = self.process.distances(part, self.rows)
            mean, deviation = self.average.predict(distances, self.source_tasks(part))
            means.append(mean)
            deviations.append(deviation)
        return np.concatenate(means, 1), np.concatenate(deviations, 1)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the score of configurations."""
        means, deviations = self.hypotheses(rows)
        probability = np.exp(self.average.log_probability)
        mean = probability @ means
        return mean, np.sqrt(probability @ (deviations**2 + (means - mean) ** 2))

    def kriging_believer(self, pending: Array) -> Posterior:
        """Return the posterior as if configurations in flight had given what it expects of them.

        Each believed score is a datum with the noise of a training, as a finished one: the
        deviation there shrinks, not to 0, and the probabilities of the hypotheses move a little.
        The hyperparameters stay.

        References:
            Kriging Is Well-Suited to Parallelize Optimization, D. Ginsbourger, R. Le Riche and
            L. Carraro, 2010, https://doi.org/10.1007/978-3-642-10701-6_6

        """
        if not len(pending):
            return self
        return Posterior._conditioned(
            self.process,
            self.source_tasks,
            self.average.θ,
            np.concatenate([self.rows, pending]),
            np.concatenate([self.scores, self.predict(pending)[0]]),
            np.concatenate([self.observation_noise, np.zeros(len(pending))]),
            self.settings,
        )
