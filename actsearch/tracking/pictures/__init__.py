"""Pictures of a study, each written as PNG and SVG, in one style (:mod:`.style`).

Drawn without a display or global state, so that any thread may.
"""

from actsearch.tracking.pictures.confirmation import confirmation as confirmation
from actsearch.tracking.pictures.curves import curves as curves
from actsearch.tracking.pictures.curves import sheet as sheet
from actsearch.tracking.pictures.history import history as history
from actsearch.tracking.pictures.importance import importance as importance
from actsearch.tracking.pictures.pareto import pareto as pareto
from actsearch.tracking.pictures.sites import heat_map as heat_map
