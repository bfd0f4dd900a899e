"""Chats held live over connections: opened, spoken in, told of everything, and closed."""

from parley.services.live.chats import Handshake, LiveChats
from parley.services.live.wire import Said, Wire

__all__ = ["Handshake", "LiveChats", "Said", "Wire"]
