"""A token bucket: never more than the burst and the rate allow, and the wait that it names is enough."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from hearth.auth.token_bucket import TokenBucket


def test_fifty_threads_never_take_more_than_the_burst() -> None:
    for burst in (1, 7, 40):
        bucket, start = TokenBucket(1e-9, burst), threading.Barrier(50)

        def race(bucket: TokenBucket = bucket, start: threading.Barrier = start) -> int:
            start.wait()
            return sum(bucket.take() == 0 for _ in range(20))

        with ThreadPoolExecutor(50) as pool:
            taken = sum(future.result() for future in [pool.submit(race) for _ in range(50)])
        assert taken == burst


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=60),
)
def test_no_interval_has_more_than_burst_and_rate_allow(rate: float, burst: int, pauses: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(rate, burst, lambda: now)
    taken = []
    for pause in pauses:
        now += pause
        if wait := bucket.take():
            assert wait <= 1 / rate + 1e-9
            now += wait + 1e-6
            assert bucket.take() == 0, "a caller that waits as long as it was told is served"
        taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-3


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    now = 100.0
    bucket = TokenBucket(2.0, 3, lambda: now)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now += 0.25
    assert bucket.take() == 0.25
    now += 0.25
    assert [bucket.take(), bucket.take()] == [0, 0.5]
    now += 3600
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_the_clock_is_the_monotonic_one_by_default() -> None:
    bucket = TokenBucket(1e-3, 1)
    assert bucket.take() == 0
    assert 999 < bucket.take() <= 1000
