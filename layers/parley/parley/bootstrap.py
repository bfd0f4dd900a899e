"""Puts real adapters behind the ports, once in a process."""

import functools
from dataclasses import dataclass

from parley.ports import Models
from parley.services.conversations import Conversations
from parley.services.credentials import Credentials
from parley.services.limits import Limits
from parley.services.turns import Turns
from parley.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases, ready to run."""

    credentials: Credentials
    limits: Limits
    conversations: Conversations
    turns: Turns
    models: Models


@functools.cache
def services() -> Services:
    """The services over the adapters this process's environment names.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    return build(Settings.from_environment())
