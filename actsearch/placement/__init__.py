"""Where activations stand: sites found in any model, requirements, the placement file, apply."""

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
