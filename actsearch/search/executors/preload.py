"""What the server of children loads once, so that no trial loads it again.

Nobody else imports this module.
"""

import gc
import importlib

import lightning.pytorch as L
from jsonargparse import ArgumentParser

from actsearch.activations.registry import catalogue

for module in (
    "actsearch.search.executors.child",
    "actsearch.search.training.train",
    "safetensors.torch",
    "sklearn.datasets",
    "sklearn.metrics",
    "sklearn.model_selection",
):
    importlib.import_module(module)
catalogue()  # imports every family
# Imports what reads docstrings.
ArgumentParser().add_class_arguments(L.Trainer, "trainer", fail_untyped=False)
# Children share the server's memory until they write to it: a garbage collection in each would
# write to all of it.
gc.collect()
gc.freeze()
