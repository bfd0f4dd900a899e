"""The wires of the dialects that stream; apart from their registry, as few functions tell turns."""

from collections.abc import Mapping

from parley.dialects.apps import APPS
from parley.dialects.apps.codec import WIRE as APPS_WIRE
from parley.dialects.consultant import CONSULTANT
from parley.dialects.consultant.codec import WIRE as CONSULTANT_WIRE
from parley.dialects.openai import OPENAI
from parley.dialects.openai.codec import WIRE as OPENAI_WIRE
from parley.dialects.personas import PERSONAS
from parley.dialects.personas.codec import WIRE as PERSONAS_WIRE
from parley.dialects.sessions import SESSIONS
from parley.dialects.sessions.codec import WIRE as SESSIONS_WIRE
from parley.dialects.wire import Wire

WIRES: Mapping[str, Wire] = {
    OPENAI.name: OPENAI_WIRE,
    SESSIONS.name: SESSIONS_WIRE,
    APPS.name: APPS_WIRE,
    PERSONAS.name: PERSONAS_WIRE,
    CONSULTANT.name: CONSULTANT_WIRE,
}
"""By the names of their dialects."""

MOST_AROUND = max(wire.preamble + wire.longest_end for wire in WIRES.values())
"""How many events of a stream aren't pieces of the reply, at most."""
