"""What an activation is: the catalogue, its properties, and expressions."""

from actsearch.activations.base import Activation as Activation
from actsearch.activations.base import Option as Option
from actsearch.activations.base import Parameter as Parameter
from actsearch.activations.bijective import Bijective as Bijective
from actsearch.activations.properties.estimate import properties as properties
from actsearch.activations.properties.properties import Properties as Properties
from actsearch.activations.properties.requirement import Requirement as Requirement
from actsearch.activations.registry import activation as activation
from actsearch.activations.registry import catalogue as catalogue
from actsearch.activations.registry import from_spec as from_spec
from actsearch.activations.registry import register as register
