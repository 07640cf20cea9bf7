"""Who is the primary under a static lease."""

import pytest

from pylitefs.lease.static import PrimaryInfo, StaticLease


def test_the_candidate_is_the_primary_and_nobody_else() -> None:
    """`candidate` alone decides."""
    assert StaticLease(True, "a", "http://a:20202").is_primary
    assert not StaticLease(False, "a", "http://a:20202").is_primary


def test_a_replica_knows_its_primary_from_its_own_config() -> None:
    """Hostname and URL are taken as configured; a trailing slash is not part of the URL."""
    lease = StaticLease(False, "primary-host", "http://10.0.0.1:20202/")
    assert lease.primary() == PrimaryInfo("primary-host", "http://10.0.0.1:20202")


@pytest.mark.parametrize(
    ("url", "hostname"),
    [
        ("http://db1.example:20202", "db1.example"),
        ("http://127.0.0.1:20202", "127.0.0.1"),
        ("http://[::1]:20202", "::1"),
        ("", ""),
    ],
)
def test_without_a_hostname_the_urls_host_is_shown(url: str, hostname: str) -> None:
    """Real LiteFS shows an empty name here."""
    assert StaticLease(False, "", url).primary().hostname == hostname
