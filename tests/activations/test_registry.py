"""Names are found, never overwritten."""

import pytest

from actsearch.activations import Activation, activation, catalogue, register
from actsearch.activations.registry import family
from actsearch.errors import InvalidValueError, UnknownNameError


def test_a_second_class_of_one_name_is_refused():
    before = catalogue()["relu"]
    with pytest.raises(InvalidValueError, match="activation name 'relu' must be unique"):

        @register
        class Another(Activation):
            name = "relu"

    assert catalogue()["relu"] is before


def test_the_catalogue_cannot_be_changed():
    with pytest.raises(TypeError):
        catalogue()["mine"] = catalogue()["relu"]


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown activation 'softplu'; nearest: softplus"):
        activation("softplu")


def test_family_is_the_file_or_folder():
    assert {family(catalogue()[name]) for name in ("relu", "sine")} == {"fixed"}
    assert family(catalogue()["tanh"]) == "squasher"
    assert family(catalogue()["prelu"]) == "learnable"
