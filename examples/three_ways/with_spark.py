"""How many primes are below two million? Counted in pieces, with Spark; see README.md beside."""

import primes
from primes import EXPECTED, PIECES, count
from pyspark.sql import SparkSession


def main() -> None:
    """Count the pieces, add them up."""
    session = SparkSession.builder.getOrCreate()
    session.sparkContext.addPyFile(primes.__file__)  # Spark's workers look nowhere else
    total = session.sparkContext.parallelize(PIECES, len(PIECES)).map(count).sum()
    assert total == EXPECTED
    print(f"{total:,} primes")
    session.stop()


if __name__ == "__main__":
    main()
