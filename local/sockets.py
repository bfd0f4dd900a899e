"""Listening sockets that outlive the process which answers on them."""

import errno
import socket


class PortBusyError(Exception):
    """Another program listens on the port."""


def listen(host: str, port: int) -> socket.socket:
    """A socket on which connections queue up at once; port 0 takes any that is free.

    Raises:
        PortBusyError: another program listens there.
        OSError: the host isn't this machine's, or the port isn't allowed.
    """
    if port and _answers(port):
        raise PortBusyError
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusyError from error
        raise
    listener.listen(socket.SOMAXCONN)
    return listener


def inherited(descriptor: int) -> socket.socket:
    """The listening socket that the parent process has opened."""
    return socket.socket(fileno=descriptor)


def _answers(port: int) -> bool:
    """Whether somebody answers on the loopback address, whatever address they have bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
