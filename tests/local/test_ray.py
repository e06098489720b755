"""What a drain of Ray's cannot save is not asked to leave, and the reason is said."""

from __future__ import annotations

from pathlib import Path

from tests.clusters import carried_out, run_spec, script
from tests.contract.conftest import small

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
