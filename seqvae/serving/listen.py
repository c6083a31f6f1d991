"""Where a server listens, and how it ends."""

import socket
import ssl
from dataclasses import dataclass

from seqvae.errors import UserError


@dataclass(frozen=True)
class Listen:
    """Where a server listens, and how it ends.

    Raises:
        UserError: a value is out of its range.
    """

    host: str = "127.0.0.1"
    """Address; the default is reachable from this machine only."""
    port: int = 8000
    """Port; 0 takes any that is free."""
    tls_cert: str | None = None
    """PEM file with the certificate (and its chain): then only https is spoken."""
    tls_key: str | None = None
    """PEM file with its private key."""
    drain_seconds: float = 30.0
    """After SIGTERM, how long running requests may take."""
    notice_seconds: float = 0.0
    """After SIGTERM, how long requests are still taken while `/v2/health/ready` says no: the time
    a load balancer needs to notice."""

    def __post_init__(self) -> None:
        rules = {
            "port": (0 <= self.port < 1 << 16, "0 to 65535"),
            "drain_seconds": (0 <= self.drain_seconds <= 3600, "0 to 3600"),
            "notice_seconds": (0 <= self.notice_seconds <= 3600, "0 to 3600"),
        }
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise UserError(f"serve: {name} is {getattr(self, name)!r}; it must be {wanted}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UserError("serve: TLS needs both --tls-cert and --tls-key")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def bind(self) -> socket.socket:
        """The listening socket.

        Raises:
            UserError: the address is not this machine's, or taken.
        """
        try:
            family, *_, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            found = socket.create_server(address[:2], family=family, backlog=1024)
        except OSError as error:
            raise UserError(
                f"serve: cannot listen on {self.host} port {self.port}: "
                f"{error.strerror or error}; choose another --host or --port"
            ) from None
        # create_server leaves the protocol open (0), accepted sockets inherit that, and asyncio turns
        # Nagle's algorithm off only where it says TCP: answers would wait 40 ms for an ACK.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, found.detach())

    def check_tls(self) -> None:
        """Raise a UserError when the certificate and key cannot be used."""
        if self.tls_cert is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:  # ssl.SSLError is one
            raise UserError(
                f"serve: --tls-cert {self.tls_cert} with --tls-key {self.tls_key}: {error}"
            ) from None
