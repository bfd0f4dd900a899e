"""The event loop that functions run in."""

import asyncio


def loop_of_this_thread() -> asyncio.AbstractEventLoop:
    """The thread's event loop, which lives from one invocation to the next; made where it lacks."""
    try:
        return asyncio.get_event_loop()
    except RuntimeError:  # a worker thread has none
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop
