"""The data folder of a stack, which one stack at a time may use."""

import fcntl
import os
import time
from pathlib import Path

PATIENCE_SECONDS = 15.0
"""How long the processes of a stack whose supervisor was killed may take to save and end."""

AWS_ADDRESS = "aws-address"
"""The file that holds the URL of the AWS services while a stack runs, for the operator's commands.
"""


class FolderBusyError(Exception):
    """A running stack uses the folder; the message is its process id."""


class Folder:
    """A data folder held for this stack.

    The lock belongs to the open file, and so to every process that has inherited `descriptor`: it
    is free when the last of them has ended.
    """

    def __init__(self, path: Path) -> None:
        """Take the folder, creating it where there is none.

        Raises:
            FolderBusyError: another stack runs on it.
        """
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        gives_up = time.monotonic() + PATIENCE_SECONDS
        while not self._take():
            owner = os.pread(self.descriptor, 32, 0).decode().strip()
            if _runs(owner) or time.monotonic() > gives_up:
                os.close(self.descriptor)
                raise FolderBusyError(owner)
            time.sleep(0.05)
        os.truncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Give the folder up, as far as this process is concerned."""
        os.close(self.descriptor)

    def _take(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
