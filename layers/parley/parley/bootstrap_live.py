"""Puts real adapters behind the ports of live chats, once in a process.

It stands apart from `bootstrap` because importing it takes 50 ms, which only the functions behind
the WebSocket API shall pay.
"""

import functools

from parley.adapters.dynamodb.connections import DynamoConnections
from parley.adapters.dynamodb.event_log import DynamoEventLog
from parley.adapters.sockets import ApiGatewaySockets
from parley.adapters.workers import LambdaWorkers
from parley.bootstrap import services
from parley.dialects.tenant.frames import TenantFrames
from parley.services.live import LiveChats


@functools.cache
def live_chats() -> LiveChats:
    """Live chats over the adapters this process's environment names.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    base = services()
    basics = base.basics
    database, tables, clock = basics.database, basics.tables, basics.clock
    return LiveChats(
        credentials=base.credentials,
        directory=base.directory,
        store=base.store,
        turns=base.turns,
        counter=basics.counter,
        events=DynamoEventLog(database, tables, clock),
        connections=DynamoConnections(database, tables, clock),
        sockets=ApiGatewaySockets(basics.settings.sockets_endpoint),
        workers=LambdaWorkers(basics.settings.reply_function),
        wire=TenantFrames(),
        clock=clock,
        ids=basics.ids,
    )
