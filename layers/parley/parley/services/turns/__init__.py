"""Turns: what was said is made durable, the model is asked, its reply is streamed and settled.

`service` has the use cases, `running` what this process does for a turn, `turn` what a caller hears
of one, be it for the first time or again, `journal` what is kept of it meanwhile, and `recovery`
what becomes of it when its process dies.
"""

from parley.services.turns.service import Turns
from parley.services.turns.turn import Turn

__all__ = ["Turn", "Turns"]
