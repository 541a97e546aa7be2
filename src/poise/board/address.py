"""Where the board listens."""

import errno
import ipaddress
import os
import socket

from poise.errors import RunError

__all__ = ["is_loopback", "listen"]

# So many ports are tried, one after the other.
_TRIES = 100


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the first port from ``port`` on that is free.

    Raises:
        RunError: when the address is none of this machine, or none of a hundred ports is free.
    """
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise RunError(f"--host {host} is no address of this machine: {error}") from error
    for candidate in range(port, min(port + _TRIES, 65536)):
        listening = socket.socket(family)
        if os.name == "posix":  # elsewhere it would share the port with its owner
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address[0], candidate))
            listening.listen()
        except OSError as error:
            listening.close()
            if error.errno != errno.EADDRINUSE:
                raise RunError(f"{host}:{candidate} cannot be listened on: {error.strerror}") from error
        else:
            return listening
    raise RunError(f"no port from {port} to {port + _TRIES - 1} is free; give another --port")
