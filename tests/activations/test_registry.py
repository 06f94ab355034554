"""Names are found, never overwritten."""

import pytest

from actsearch.activations import Activation, activation, catalogue, register
from actsearch.activations.expression.equivalence import equivalent, fingerprint
from actsearch.activations.registry import canonical_name, family
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.placement.discovery.torch_functions import NORMALISED, TORCH_MODULES


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
    assert {family(catalogue()[name]) for name in ("relu", "prelu")} == {"rectifiers"}
    assert {family(catalogue()[name]) for name in ("silu", "mish")} == {"gated"}
    assert family(catalogue()["tanh"]) == "squasher"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ReLU", "relu"),
        ("nn.ReLU", "relu"),
        ("torch.nn.SiLU", "silu"),
        ("GELU", "gelu"),
        ("LeakyReLU", "leaky_relu"),
        ("hard_swish", "hardswish"),
        ("HardSwish", "hardswish"),
        ("quick_gelu", "quick_gelu"),
        ("QuickGELU", "quick_gelu"),
        ("Swish", "swish"),
        ("nn.ReLU6", "relu6"),
        ("PReLU", "prelu"),
        ("mul(x,a)", None),
        ("x", None),
        ("relu7", None),
        ("nn.Linear", None),
        ("torch.relu", None),
        ("", None),
    ],
)
def test_names_as_torch_users_type_them(text, name):
    assert canonical_name(text) == name
    if name is not None:
        assert type(activation(text)) is catalogue()[name]
        assert equivalent(text, name)
        assert fingerprint(text) == fingerprint(name)


def test_every_name_is_its_own_and_no_two_differ_by_spelling_alone():
    assert all(canonical_name(name) == name for name in catalogue())
    assert len({name.replace("_", "") for name in catalogue()}) == len(catalogue())


def test_every_activation_of_torch_is_known_by_its_class():
    names = {kind.__name__: name for kind, name in TORCH_MODULES.items() if name not in NORMALISED}
    assert {kind: canonical_name(f"nn.{kind}") for kind in names} == names


def test_nearest_names_whatever_the_case_and_no_long_list():
    with pytest.raises(UnknownNameError, match=r"unknown activation 'TanhExpp'; nearest: tanhexp"):
        activation("TanhExpp")
    with pytest.raises(UnknownNameError) as caught:
        activation("qqqqqqqq")
    assert (
        str(caught.value)
        == f"unknown activation 'qqqqqqqq'; none of the {len(catalogue())} known is near."
        " `actsearch activations` lists them."
    )


def test_members_in_other_spellings():
    assert activation("mixture", members=["ReLU", "nn.Tanh"], like="Tanh").spec()["parameters"] == {
        "members": ["relu", "tanh"],
        "like": "tanh",
    }
    for members in (["ReLU", "relu"], ["relu", None], 3):
        with pytest.raises(InvalidValueError, match="members must be at least two different names"):
            activation("mixture", members=members)
