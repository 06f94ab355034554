"""Savings: the policy of a life with risky income, and its kink where no more can be borrowed."""

from .problem import EulerProblem as EulerProblem
from .problem import SavingsProblem as SavingsProblem
from .task import Savings as Savings
