"""Which tasks count as left behind by one of several programs on a Dask cluster."""

from __future__ import annotations

from types import SimpleNamespace

from ebbtide.infra.frameworks.dask.unfinished import count_unfinished


class Task:
    """Stands for the scheduler's state of one task."""

    def __init__(self, state: str):
        self.state = state


def scheduler(**wanted: list[Task]) -> SimpleNamespace:
    names = {name.replace("_", "-"): tasks for name, tasks in wanted.items()}
    clients = {name: SimpleNamespace(wants_what=set(tasks)) for name, tasks in names.items()}
    return SimpleNamespace(clients=clients)


def test_tasks_that_have_not_ended_count() -> None:
    states = ("waiting", "queued", "no-worker", "processing", "memory", "erred", "released")
    assert count_unfinished(["me"], scheduler(me=list(map(Task, states)))) == 4


def test_tasks_of_other_clients_do_not_count_and_those_of_nobody_do() -> None:
    shared, forgotten, other = Task("processing"), Task("queued"), Task("processing")
    found = scheduler(me=[shared], fire_and_forget=[shared, forgotten], another=[shared, other])
    assert count_unfinished(["me"], found) == 2


def test_a_client_that_the_scheduler_does_not_know_has_left_nothing() -> None:
    assert count_unfinished(["me"], scheduler(another=[Task("processing")])) == 0


def test_a_task_that_two_of_its_clients_wait_for_is_one() -> None:
    shared, own = Task("processing"), Task("waiting")
    found = scheduler(first=[shared], second=[shared, own])
    assert count_unfinished(["first", "second"], found) == 2
