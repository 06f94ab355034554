"""Option prices that allow no arbitrage: one unit is a pay-off, a mixture of them a price."""

from .task import CallPrices as CallPrices
