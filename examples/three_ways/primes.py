"""The problem that the three programs share: a plain function of a plain value."""

LIMIT, STEP = 2_000_000, 250_000
PIECES = list(range(0, LIMIT, STEP))
EXPECTED = 148_933


def count(start: int) -> int:
    """How many primes there are from ``start`` on, below ``start + STEP``."""
    end = start + STEP
    is_prime = bytearray([1]) * STEP
    for divisor in range(2, int(end**0.5) + 1):
        first = max(divisor * divisor, (start + divisor - 1) // divisor * divisor)
        is_prime[first - start :: divisor] = bytes(len(range(first - start, STEP, divisor)))
    if start == 0:
        is_prime[0] = is_prime[1] = 0
    return sum(is_prime)
