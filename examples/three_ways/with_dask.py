"""How many primes are below two million? Counted in pieces, with Dask; see README.md beside."""

from distributed import Client
from primes import EXPECTED, PIECES, count


def main() -> None:
    """Count the pieces, add them up."""
    with Client() as client:
        total = sum(client.gather(client.map(count, PIECES)))
    assert total == EXPECTED
    print(f"{total:,} primes")


if __name__ == "__main__":
    main()
