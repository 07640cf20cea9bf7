"""What counts as growth."""

import os

import pytest

from tests.soak.growth import Sample, growth


def told(values: list[tuple[int, int, int]]) -> dict[str, bool]:
    return {one.what: one.is_too_much for one in growth([Sample(*value) for value in values])}


def test_what_fills_up_first_and_then_stays_does_not_grow() -> None:
    values = [(1000 * n, n, n) for n in range(1, 11)] + [(10_000, 10, 10)] * 40
    assert told(values) == {"memory": False, "descriptors": False, "threads": False}


def test_a_leak_is_growth_also_a_slow_one() -> None:
    """A tenth more from half to half; of descriptors two."""
    values = [(10_000 + 40 * n, 30 + n // 20, 9) for n in range(50)]
    assert told(values) == {"memory": True, "descriptors": False, "threads": False}
    values = [(10_000, 30 + n // 10, 9 + n // 10) for n in range(50)]
    assert told(values) == {"memory": False, "descriptors": True, "threads": True}


def test_one_peak_is_none() -> None:
    values = [(10_000, 30, 9)] * 49 + [(90_000, 300, 90)]
    assert told(values) == {"memory": False, "descriptors": False, "threads": False}


def test_a_process_is_measured() -> None:
    found = Sample.of(os.getpid())
    assert found.memory > 1000
    assert found.descriptors > 2
    assert found.threads >= 1
    with pytest.raises(OSError):
        Sample.of(1 << 30)


def test_a_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="9 samples"):
        growth([Sample(1, 1, 1)] * 9)
