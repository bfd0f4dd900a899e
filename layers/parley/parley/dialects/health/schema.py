"""What the health checks answer."""

from typing import Literal

from pydantic import BaseModel


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """What the deployment needs, and whether it can be reached."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "unreachable", "not_configured"]]
    """`store`: the tables; `model`: what the deployment was told to probe."""
