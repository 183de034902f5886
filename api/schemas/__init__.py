"""What goes over the wire. Prices and money are decimal strings, quantities whole tonnes, times ISO 8601.

Shapes only: whether a well-formed request is granted is for the exchange to say. Accounts and units go by their ids
and codes, never by the numbers that the exchange uses inside. The bodies of the registry's commands have no shapes
here: they are made of the commands themselves (:mod:`api.verbs`).
"""

from api.schemas.access import *
from api.schemas.base import *
from api.schemas.clearing import *
from api.schemas.compliance import *
from api.schemas.corrections import *
from api.schemas.credits import *
from api.schemas.currencies import *
from api.schemas.defaults import *
from api.schemas.emissions import *
from api.schemas.market import *
from api.schemas.registry import *
from api.schemas.settlement import *
