"""The worker: greet and refuse connections, and answer messages for as long as that takes."""

from parley.bootstrap_live import live_chats
from parley.domain.sockets import Job
from parley.edge.socket import job_handler


async def reply(job: Job) -> None:
    """Do one job."""
    await live_chats().perform(job)


handler = job_handler(reply)
