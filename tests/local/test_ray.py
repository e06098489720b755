"""What a drain of Ray's cannot save is not asked to leave, and the reason is said."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

from ebbtide.infra.platforms.local import marks
from tests.clusters import Stand, carried_out, run_spec, script, standing
from tests.contract.conftest import small
from tests.helpers import wait_until
from tests.load import starts

KEEPS = """
    import ray
    from tests.helpers import wait_until
    from tests.load import Total, at_work, burn

    def workers():
        return sum(n["Alive"] and n["Resources"].get("CPU", 0) > 0 for n in ray.nodes())

    def grown():
        ray.get([ray.remote(burn).remote(0.5) for _ in range(8)])
        return workers() >= 3

    @ray.remote
    def large():
        at_work(1.0)
        return bytes(1_000_000)

    ray.init(log_to_driver=False)
    wait_until(grown, 240, "workers came")
    adder = ray.remote(Total).remote()
    assert ray.get(adder.add.remote(5)) == 5
    objects = [large.remote() for _ in range(6)]
    ray.wait(objects, num_returns=6)
    homes = workers()
    ray.get(ray.remote(at_work).options(num_cpus=0).remote(15))
    print(ray.get(adder.add.remote(1)), [len(found) for found in ray.get(objects)])
    del objects
    """


def test_holders_of_actors_and_objects_stay(ebb_home: Path, tmp_path: Path) -> None:
    outcome = carried_out(ebb_home, run_spec("keeps", small("ray"), script(tmp_path, KEEPS)))
    assert outcome.error is None, outcome.errors()
    assert outcome.output() == f"6 {[1_000_000] * 6}\n"
    notes = " ".join(outcome.messages("note"))
    assert "stays: it holds an actor" in notes
    assert "stays: it keeps objects that are needed" in notes


LARGE = """
    import sys
    import ray
    from ray.util.placement_group import placement_group
    from tests.helpers import wait_until
    from tests.load import started, starts, tell_member_to_leave

    ray.init(log_to_driver=False)
    ray.get(placement_group([{"memory": 1}]).ready())
    large = ray.remote(started).remote(sys.argv[1], 1, 4.0, 2_000_000)
    wait_until(lambda: starts(sys.argv[1]), 60, "the task started")
    tell_member_to_leave("worker-0")
    ray.wait([large], fetch_local=False)
    ray.get(ray.remote(lambda: 0).options(num_cpus=0).remote())
    print(len(ray.get(large)))
    del large
    wait_until(lambda: sum(n["Alive"] for n in ray.nodes()) != 2, 60, "the worker left")
    """


def test_worker_that_leaves_keeps_its_large_result_and_waits_for_no_placement_group(
    ebb_home: Path, tmp_path: Path
) -> None:
    """Ray's own handler of SIGTERM loses the one: the raylet is gone before the result counts.

    The other is moved only when its node is gone, and nothing begins on a node that drains.
    """
    log = tmp_path / "starts"
    spec = run_spec("large", small("ray"), script(tmp_path, LARGE), words=(str(log),))
    outcome = carried_out(ebb_home, spec)
    assert outcome.error is None, outcome.errors()
    assert outcome.output() == "2000000\n"
    assert starts(log) == {"1": 1}
    for member, name in {"head": "gcs_server.out", "worker-0": "raylet.out"}.items():
        assert (outcome.folder / "artifacts" / member / name).stat().st_size, "its logs are kept"


def test_worker_told_to_leave_while_it_starts_leaves(home_of_module: Path) -> None:
    """As it was asked in the middle of the start, and not only once it is idle for long."""
    with standing(home_of_module, run_spec("early", small("ray")), autoscale=False) as stand:
        process = another_worker(stand, "worker-9")
        try:
            wait_until(lambda: "raylet" in commands_of(stand, "worker-9"), 60, "its raylet starts")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            wait_until(lambda: not commands_of(stand, "worker-9"), 10, "nothing of it is left")
        finally:
            process.kill()


def another_worker(stand: Stand, name: str) -> subprocess.Popen[bytes]:
    """What the supervisor starts for one more worker."""
    first = min(each.pid for each in members(stand, "worker-0"))
    pairs = Path(f"/proc/{first}/environ").read_text().rstrip("\0").split("\0")
    environment = dict(pair.split("=", 1) for pair in pairs)
    words = Path(f"/proc/{first}/cmdline").read_text().rstrip("\0").split("\0")
    changed = {key: value.replace("worker-0", name) for key, value in environment.items()}
    return subprocess.Popen([word.replace("worker-0", name) for word in words], env=changed)


def members(stand: Stand, name: str) -> list[marks.Marked]:
    every = marks.marked(stand.home, stand.view.cluster)
    return [each for each in every if each.name == name]


def commands_of(stand: Stand, name: str) -> str:
    """The command lines of a member's processes."""
    found = []
    for each in members(stand, name):
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{each.pid}/cmdline").read_bytes().split(b"\0")[0].decode())
    return " ".join(found)
