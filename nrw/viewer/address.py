"""Where the viewer listens: an address and port of this machine, tried before the server starts.

viser tries port after port in another thread, and waits for ever where the address is not this machine's.
"""

import errno
import socket

from nrw.core.errors import UserError

FIRST_PORT = 8080
PORTS = 1000  # tried from the first one on


def free_port(host: str, port: int | None) -> int:
    """Return `port` if this machine can listen on it; without one, the first from 8080 on that is free.

    Raises UserError for an address that is not this machine's, and for a port that is taken or not allowed.
    """
    for number in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]:
        try:
            return _listen(host, number)
        except (socket.gaierror, UnicodeError) as error:  # the latter for what cannot be a name
            raise UserError(f"--host {host}: there is no such address. {_hosts()}") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _refusal(host, number, error) from error
    taken = f"port {port} is" if port is not None else f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are"
    raise UserError(f"{taken} in use by another program. Give a free one with --port, or 0 for any.")


def url(host: str, port: int) -> str:
    """The address to open in a browser on this machine."""
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def _listen(host: str, port: int) -> int:
    """Bind for a moment, as the server will, and return the port."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
    return port


def _refusal(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRNOTAVAIL:
        return UserError(f"--host {host}: this machine does not have that address. {_hosts()}")
    if error.errno == errno.EACCES:
        return UserError(f"port {port}: this user may not listen on it. Give one above 1023 with --port.")
    return UserError(f"the viewer cannot listen on {host}, port {port}: {error.strerror}. {_hosts()}")


def _hosts() -> str:
    return "Give --host 127.0.0.1 for browsers on this machine only, or 0.0.0.0 to admit other machines as well."
