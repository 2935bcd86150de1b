"""Where processes meet: this machine only, unless it is asked for otherwise."""

import ipaddress
import socket

from kerasdnn.errors import InputError

LOOPBACK = "127.0.0.1"


def check_address(host, *, insecure=False):
    """Returns the numeric address of `host`.

    The channels between the processes, Keras Tuner's and JAX's, have neither encryption nor
    passwords: whoever reaches the port takes part.

    Raises:
        InputError: the host is not known, or others can reach it and `insecure` is not given.
    """
    try:
        address = ipaddress.ip_address(socket.gethostbyname(host))
    except OSError:
        raise InputError(
            f"--host expects the name or address of this machine; '{host}' is not known. Leave it "
            "out for this machine only."
        ) from None
    if not address.is_loopback and not insecure:
        raise InputError(
            f"--host {host} can be reached from other machines, and whoever reaches it takes part "
            "in the work unasked: there is no password. Give --insecure too on a private network."
        )
    return str(address)


def choose_port(host, port=None):
    """Returns a free port, or `port` when it is free.

    Raises:
        InputError: the port is in use, or cannot be had.
    """
    if port is not None and not 0 < port < 65536:
        raise InputError(f"--port expects a number from 1 to 65535; received {port}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port or 0))
        except OSError as error:
            raise InputError(
                f"--port expects a free port; {host}:{port} is not ({error.strerror.lower()}). "
                "Leave it out to have one chosen, or end the other program."
            ) from None
        return probe.getsockname()[1]
