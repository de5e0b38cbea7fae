"""Fetches a clip from a URL that a client named: from hosts on a list, over public addresses, within limits.

A name is resolved once, every address of it is checked, and the connection goes to a checked one, so that a name cannot
mean something else a moment later. Redirects are followed by hand, each checked like the first URL. No proxy is used.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import urljoin, urlsplit

from r1omni.serve.failures import ApiError

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> its addresses."""
IsAllowed = Callable[[str], bool]
"""Whether an address may be connected to."""

_BLOCK_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)


def is_public(address: str) -> bool:
    """Return whether an address is reachable for everybody: not private, loopback, link-local, reserved or multicast.

    Args:
        address: IPv4 or IPv6; an IPv4 address inside an IPv6 one is looked at itself.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host.

    Args:
        host: a name or an address.
        port: where the connection goes.

    Raises:
        OSError: the name is unknown.
    """
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class RemoteClips:
    """Fetches clips.

    Args:
        hosts: names that clips may come from.
        max_bytes: size of a clip.
        timeout_s: seconds for all of it.
        max_redirects: redirects that are followed.
        resolve: finds a host's addresses.
        is_allowed: looks at an address.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        max_bytes: int,
        timeout_s: float,
        max_redirects: int,
        resolve: Resolve = resolve,
        is_allowed: IsAllowed = is_public,
    ) -> None:
        self.hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self.max_bytes, self.timeout_s, self.max_redirects = max_bytes, timeout_s, max_redirects
        self._resolve, self._is_allowed = resolve, is_allowed

    def fetch(self, url: str) -> bytes:
        """Return what a URL holds; blocks.

        Args:
            url: http or https.

        Raises:
            ApiError: it may not be fetched, or cannot be.
        """
        deadline_s = time.monotonic() + self.timeout_s
        for _ in range(self.max_redirects + 1):
            scheme, host, port, target = self._parts(url)
            connection = self._connect(scheme, host, port, deadline_s)
            try:
                connection.request("GET", target, headers={"Accept": "*/*", "Accept-Encoding": "identity"})
                with connection.getresponse() as response:
                    if response.status not in _REDIRECTS:
                        return self._read(response, host, deadline_s)
                    url = urljoin(url, response.headers.get("Location", ""))
            except (OSError, http.client.HTTPException) as error:
                raise _refused(f"{host} could not be read ({type(error).__name__}).") from error
            finally:
                connection.close()
        raise _refused(f"The URL leads to more than {self.max_redirects} redirects.")

    def _parts(self, url: str) -> tuple[str, str, int, str]:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise _refused(f"The URL cannot be read ({error}).") from error
        if parts.scheme not in _PORTS or parts.username is not None or parts.password is not None:
            raise _refused("The URL is not a data URL, and not an http(s) URL without a user.")
        if host not in self.hosts:
            allowed = ", ".join(sorted(self.hosts)) or "none"
            raise _refused(f"The host {host[:100]!r} is not one that clips are fetched from ({allowed}).")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if any(ord(character) <= 32 or ord(character) == 127 for character in target) or not target.isascii():
            raise _refused("The URL holds characters that must be percent-encoded.")
        return parts.scheme, host, port or _PORTS[parts.scheme], target

    def _connect(self, scheme: str, host: str, port: int, deadline_s: float) -> http.client.HTTPConnection:
        """Connect to an address that was checked."""
        try:
            addresses = self._resolve(host, port)
        except OSError as error:
            raise _refused(f"The host {host} is unknown.") from error
        # One bad address among good ones is reason enough to take none.
        if not addresses or not all(self._is_allowed(address) for address in addresses):
            raise _refused(f"The host {host} has an address that is not public.")
        left_s = max(0.01, deadline_s - time.monotonic())
        connection = http.client.HTTPConnection(host, port)
        try:
            connection.sock = socket.create_connection((addresses[0], port), left_s)
            if scheme == "https":
                connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=host)
        except OSError as error:
            connection.close()
            raise _refused(f"{host} does not answer ({type(error).__name__}).") from error
        return connection

    def _read(self, response: http.client.HTTPResponse, host: str, deadline_s: float) -> bytes:
        if response.status != 200:
            raise _refused(f"{host} answered with status {response.status}.")
        content = bytearray()
        while block := response.read1(_BLOCK_BYTES):
            content += block
            if len(content) > self.max_bytes:
                raise ApiError(413, f"The clip at {host} has more than {self.max_bytes:,} bytes.", "too_large", "url")
            if time.monotonic() > deadline_s:
                raise _refused(f"{host} took longer than {self.timeout_s:g} s.")
        return bytes(content)


def _refused(reason: str) -> ApiError:
    return ApiError(400, f"{reason} Send the clip as a data URL, or upload it to /v1/files.", "url_refused", "url")
