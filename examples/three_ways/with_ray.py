"""How many primes are below two million? Counted in pieces, with Ray; see README.md beside."""

import ray
from primes import EXPECTED, PIECES, count


def main() -> None:
    """Count the pieces, add them up."""
    ray.init(log_to_driver=False)
    remote = ray.remote(count)
    total = sum(ray.get([remote.remote(piece) for piece in PIECES]))
    assert total == EXPECTED
    print(f"{total:,} primes")
    ray.shutdown()


if __name__ == "__main__":
    main()
