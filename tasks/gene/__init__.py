"""How a gene responds to a measured regulator."""

from .task import GeneRegulation as GeneRegulation
