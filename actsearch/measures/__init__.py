"""Measures: a number of a trained model, which a search logs, optimises or bounds by its name."""

from actsearch.measures.fitted import Fitted as Fitted
from actsearch.measures.measure import Direction as Direction
from actsearch.measures.measure import Measure as Measure
from actsearch.measures.measure import Need as Need
from actsearch.measures.measure import When as When
from actsearch.measures.needs import check as check
from actsearch.measures.needs import missing as missing
from actsearch.measures.needs import possible as possible
from actsearch.measures.registry import all_measures as all_measures
from actsearch.measures.registry import build as build
from actsearch.measures.registry import directions as directions
from actsearch.measures.registry import find as find
from actsearch.measures.watched import FittedSite as FittedSite
