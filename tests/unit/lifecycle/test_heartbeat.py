"""When a lease is renewed again."""

from __future__ import annotations

from ebbtide.infra.lifecycle.heartbeat import pause_after


def test_renewal_that_failed_is_tried_again_soon_and_then_less_often() -> None:
    pauses = [pause_after(failures, 8.0) for failures in (0, 1, 2, 3, 4, 5, 10_000)]
    assert pauses == [8.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
