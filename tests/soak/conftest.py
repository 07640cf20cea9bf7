"""The seed is told, as in the cluster's tests."""

from tests.cluster.conftest import seed

__all__ = ["seed"]
