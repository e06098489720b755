"""PageRank over a small graph: a cached table that is read again in every round.

Shows ``persist``: links are made once and kept on the workers. When an Ebb cluster shrinks
meanwhile, what a leaving worker has cached moves to those that stay.

    python examples/spark/cached_iterations.py                      # on this machine
    ebb run --framework spark examples/spark/cached_iterations.py   # on an autoscaling cluster
"""

from collections.abc import Iterator
from operator import add

from pyspark import StorageLevel
from pyspark.sql import SparkSession

PAGES, ROUNDS, DAMPING, PARTS = 500, 8, 0.85, 4


def links_of(page: int) -> list[int]:
    """Where a page points to; low numbers are linked most."""
    return sorted({page * page % PAGES, page // 2, (page + 1) % PAGES, 0})


def shares(joined: tuple[int, tuple[list[int], float]]) -> Iterator[tuple[int, float]]:
    """What a page gives to each page it links to."""
    _, (targets, rank) = joined
    for target in targets:
        yield target, rank / len(targets)


def damped(total: float) -> float:
    """A page's rank from what it was given."""
    return (1 - DAMPING) / PAGES + DAMPING * total


def in_plain_python() -> dict[int, float]:
    """The same without Spark."""
    ranks = dict.fromkeys(range(PAGES), 1 / PAGES)
    for _ in range(ROUNDS):
        given = dict.fromkeys(range(PAGES), 0.0)
        for page in range(PAGES):
            for target, share in shares((page, (links_of(page), ranks[page]))):
                given[target] += share
        ranks = {page: damped(total) for page, total in given.items()}
    return ranks


def main() -> None:
    """Iterate, compare."""
    session = SparkSession.builder.getOrCreate()
    pages = session.sparkContext.parallelize(range(PAGES), PARTS)
    links = pages.map(lambda page: (page, links_of(page))).partitionBy(PARTS)
    links.persist(StorageLevel.MEMORY_AND_DISK)
    nothing = links.mapValues(lambda _: 0.0)
    ranks = links.mapValues(lambda _: 1 / PAGES)
    for _ in range(ROUNDS):
        given = links.join(ranks, PARTS).flatMap(shares).union(nothing)
        ranks = given.reduceByKey(add, PARTS).mapValues(damped)
    found, expected = dict(ranks.collect()), in_plain_python()
    worst = max(abs(found[page] - expected[page]) for page in range(PAGES))
    assert worst < 1e-12, f"off by {worst}"
    best = sorted(found, key=lambda page: -found[page])[:3]
    print(f"{PAGES} pages, {ROUNDS} rounds")
    print(f"best pages: {', '.join(map(str, best))}")
    print("the answer is right")
    session.stop()


if __name__ == "__main__":
    main()
