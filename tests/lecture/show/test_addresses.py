"""How students reach this machine."""

import ipaddress

import pytest

from pylitefs.lecture.show import addresses


def test_a_host_that_is_named_is_the_one() -> None:
    assert addresses.reachable("10.0.0.7") == [("10.0.0.7", "")]


def test_of_every_interface_the_likeliest_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the default route; what leads to machines inside this one is last."""
    found = [("172.17.0.1", "docker0"), ("192.168.7.1", "wlan0"), ("10.1.2.3", "eth0")]
    monkeypatch.setattr(addresses, "_ipv4", lambda: found)
    monkeypatch.setattr(addresses, "_ipv6", lambda: [("2001:db8::5", "eth0")])
    monkeypatch.setattr(addresses, "_default_route", lambda: "10.1.2.3")
    assert [one for one, _ in addresses.reachable("")] == [
        "10.1.2.3",
        "192.168.7.1",
        "2001:db8::5",
        "172.17.0.1",
    ]
    assert len(addresses.reachable("0.0.0.0")) == 3


def test_the_machine_s_own_addresses_are_read() -> None:
    """None of them is the loopback's; what there is depends on the machine."""
    for address, name in addresses.reachable(""):
        assert not ipaddress.ip_address(address).is_loopback and name


@pytest.mark.parametrize(
    ("host", "url"),
    [("10.0.0.7", "http://10.0.0.7:80/?token=t"), ("2001:db8::5", "http://[2001:db8::5]:80/?token=t")],
)
def test_a_link_can_be_typed(host: str, url: str) -> None:
    assert addresses.link(host, 80, "t") == url
    assert len(addresses.names()) == 2
