"""Rate limits per address for requests and messages. Standard library only."""

from __future__ import annotations

import ipaddress
import time

ADDRESSES = 256


class Bucket:
    """Token bucket: passes ``rate`` items per second, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left = rate, burst, burst
        self._at_s = time.monotonic()

    def take(self) -> bool:
        """Whether one more item may pass now."""
        self._fill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def full(self) -> bool:
        """Whether nothing is left of what was taken: equal to a new bucket."""
        self._fill()
        return self._left >= self._burst

    def _fill(self) -> None:
        now_s = time.monotonic()
        self._left = min(self._left + (now_s - self._at_s) * self._rate, self._burst)
        self._at_s = now_s


class Buckets:
    """A bucket per address. Of more than `ADDRESSES` busy addresses, the newest share one bucket.

    Parameters
    ----------
    rate, burst : float
        Of each bucket.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._shared = Bucket(rate, burst)
        self._buckets: dict[str, Bucket] = {}

    def take(self, address: str) -> bool:
        """Whether one more item of this address may pass now."""
        key = network_of(address)
        if key not in self._buckets and len(self._buckets) >= ADDRESSES:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.full}
        if key not in self._buckets and len(self._buckets) >= ADDRESSES:
            return self._shared.take()
        return self._buckets.setdefault(key, Bucket(self._rate, self._burst)).take()


def network_of(address: str) -> str:
    """Return what one host may change its address within: the IPv6 network of 64 bits, and all of loopback."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return "loopback"
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))
