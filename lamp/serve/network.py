"""Addresses that servers listen on."""

import socket

from lamp.utils.errors import UserError

LOCAL = ("127.0.0.1", "localhost")
"""This computer's own names: where a server listens on them, only requests to them are answered, so that pages of other
sites cannot ask by a name that they let point here."""


def listening(host: str, port: int) -> socket.socket:
    """A socket of an address.

    Raises:
        UserError: it is taken, or not this computer's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another --port or --host"
        ) from error
