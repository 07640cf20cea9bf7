"""The lease that a config asks for.

The rule: a static lease loads nothing that it does not need, no HTTP client either.
"""

from pylitefs.config import Config
from pylitefs.lease.base import Lease
from pylitefs.lease.static import StaticLease


def make_lease(config: Config) -> Lease:
    """The node's lease. Raises ConfigError for a Consul that cannot be one."""
    lease = config.lease
    if lease.type != "consul":
        return StaticLease(lease.candidate, lease.shown_hostname, lease.advertise_url)
    from pylitefs.lease.consul import ConsulLease

    url = lease.advertise_url or f"http://{lease.shown_hostname}:{config.http.host_port[1]}"
    return ConsulLease(lease.consul, hostname=lease.shown_hostname, advertise_url=url)
