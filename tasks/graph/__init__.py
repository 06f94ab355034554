"""Classes of the nodes of a graph, by graph convolution."""

from .task import NodeClassification as NodeClassification
