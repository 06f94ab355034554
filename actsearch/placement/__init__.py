"""Where activations stand: sites of any model, the placement file, and putting activations there.

What a user reads stands here: :mod:`.site`, :mod:`.placement`, :mod:`.initialise`,
:mod:`.optimiser`, :mod:`.recurrent`.

To follow a model that marks its places with a :class:`Site`, read :mod:`.placement`,
:mod:`.discovery.candidates` and :mod:`.replacement.replace` (``_inside_site``): without an example
input nothing of it is traced. For any other model :mod:`.tracing` sees what it computes,
:mod:`.discovery` tells which operations are activations and which of these are gates, and
:mod:`.replacement` puts modules there.
"""

from actsearch.placement.discovery.find import find_sites as find_sites
from actsearch.placement.initialise import initialise as initialise
from actsearch.placement.placement import Placement as Placement
from actsearch.placement.placement import SiteEntry as SiteEntry
from actsearch.placement.replacement.replace import Applied as Applied
from actsearch.placement.replacement.replace import applied as applied
from actsearch.placement.replacement.replace import restore as restore
from actsearch.placement.site import FoundSite as FoundSite
from actsearch.placement.site import Site as Site
from actsearch.placement.site import Sites as Sites
