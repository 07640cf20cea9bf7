"""Which lease a config asks for."""

import pytest

from pylitefs.config import Config, ConsulConfig, HttpConfig, LeaseConfig
from pylitefs.errors import ConfigError
from pylitefs.lease.consul import ConsulLease
from pylitefs.lease.make import make_lease
from pylitefs.lease.static import StaticLease

CONSUL = ConsulConfig(url="http://c:8500", key="k")


def test_each_type_is_its_own() -> None:
    """With Consul a node is reached at its own name and port, unless the config says otherwise."""
    static = make_lease(Config(lease=LeaseConfig(type="static", advertise_url="http://db1:1")))
    assert static == StaticLease(True, "db1", "http://db1:1")
    http = HttpConfig(addr=":7")
    made = make_lease(Config(http=http, lease=LeaseConfig(type="consul", hostname="db2", consul=CONSUL)))
    assert isinstance(made, ConsulLease)
    assert (made.type, made.hostname, made.advertise_url) == ("consul", "db2", "http://db2:7")
    made.close()
    with pytest.raises(ConfigError):
        make_lease(Config(lease=LeaseConfig(type="consul")))
