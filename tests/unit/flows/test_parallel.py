"""Work side by side: errors are told, and leaving early stops all of it."""

from __future__ import annotations

import threading

import pytest

from ebbtide.flows.authoring.parallel import TaskGroup, parallel, stoppable


def wait_to_be_stopped(begun: threading.Barrier) -> str:
    over = threading.Event()
    with stoppable(over.set):
        begun.wait(10)
        assert over.wait(10), "nobody stopped it"
    return "stopped"


def test_results_come_in_the_order_of_asking() -> None:
    with parallel() as group:
        futures = [group.submit(pow, number, 2) for number in range(4)]
    assert [future.result() for future in futures] == [0, 1, 4, 9]


def test_one_that_fails_does_not_stop_the_others_and_is_told_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError), parallel() as group:  # noqa: PT012  the block is the test
        group.submit(divmod, 1, 0)
        good = group.submit(divmod, 7, 2)
    assert good.result() == (3, 1)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_leaving_early_stops_what_runs(error: type[BaseException]) -> None:
    begun = threading.Barrier(3)
    with pytest.raises(error), parallel() as group:  # noqa: PT012  the block is the test
        futures = [group.submit(wait_to_be_stopped, begun) for _ in range(2)]
        begun.wait(10)
        raise error
    assert [future.result() for future in futures] == ["stopped", "stopped"]


def test_what_has_not_begun_is_not_begun_after_leaving() -> None:
    begun = threading.Barrier(2)
    with pytest.raises(ValueError, match="enough"), parallel(limit=1) as group:  # noqa: PT012  the block is the test
        group.submit(wait_to_be_stopped, begun)
        waiting = group.submit(pow, 2, 2)
        begun.wait(10)
        raise ValueError("enough")
    assert waiting.cancelled()


def test_stopping_goes_on_until_it_is_heard() -> None:
    """What was just being made when the block was left is stopped when it is there."""
    asked, group = threading.Semaphore(0), TaskGroup(1)
    begun = threading.Event()

    def deaf_at_first() -> None:
        with stoppable(asked.release):
            begun.set()
            for _ in range(2):
                assert asked.acquire(timeout=10)

    future = group.submit(deaf_at_first)
    assert begun.wait(10)
    group.stop()
    assert future.exception() is None


def test_outside_of_a_block_nothing_stops_it() -> None:
    with stoppable(lambda: pytest.fail("stopped")):
        pass
