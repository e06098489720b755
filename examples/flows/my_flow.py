"""A flow of one's own: a job on its own cluster, then several programs that share one."""

from pathlib import Path

from prefect import flow

from ebbtide import cluster, job, parallel

PROGRAMS = Path(__file__).resolve().parent.parent / "dask"


@flow
def my_flow(rows: int = 2) -> list[str]:
    first = job(PROGRAMS / "array_reduction.py", framework="dask", workers=(1, 2))
    with cluster("dask", workers=(1, 2), keep_while_suspended="30m") as held, parallel() as group:
        for number in range(rows):
            group.submit(held.run, PROGRAMS / "futures_with_failures.py", name=f"futures-{number}")
    return [first.run, held.name]


if __name__ == "__main__":
    my_flow()
