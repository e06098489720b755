"""Count words in actors that keep their counts: each owns the words of one first letter.

Shows actors: state that lives in a process of its own, calls that are answered in order. A worker
that holds an actor is not asked to leave when an Ebb cluster shrinks, and ``ebb run`` says so.

    python examples/ray/actors_with_state.py                    # on this machine
    ebb run --framework ray examples/ray/actors_with_state.py   # on an autoscaling cluster
"""

from collections import Counter
from random import Random

import ray

WORDS = ["ant", "asp", "bee", "bat", "cat", "cod", "dog", "doe", "elk", "emu", "fox", "fly"]
LINES, LENGTH = 200, 50


@ray.remote(num_cpus=0.1)
class Counts:
    """The words of some letters."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, words: list[str]) -> int:
        """Count these too; gives how many there are now."""
        self.counts.update(words)
        return self.counts.total()

    def most_common(self) -> tuple[str, int]:
        """The most frequent one."""
        return self.counts.most_common(1)[0]


def line(number: int) -> list[str]:
    """A line of text, the same each time."""
    return Random(number).choices(WORDS, k=LENGTH)


def main() -> None:
    """Deal the words out, ask for the totals; a plain Counter checks them."""
    letters = sorted({word[0] for word in WORDS})
    owners = {letter: Counts.remote() for letter in letters}
    totals = {}
    for number in range(LINES):
        for letter in letters:
            words = [word for word in line(number) if word[0] == letter]
            totals[letter] = owners[letter].add.remote(words)
    counted = sum(ray.get(list(totals.values())))
    best = max(
        ray.get([owner.most_common.remote() for owner in owners.values()]), key=lambda p: p[1]
    )
    check = Counter(word for number in range(LINES) for word in line(number))
    assert counted == check.total(), "words were lost"
    assert check[best[0]] == best[1] == max(check.values()), "the wrong word won"
    print(f"{counted:,} words counted by {len(owners)} actors")
    print(f"most frequent: {best[0]}, {best[1]} times")
    print("the answer is right")


if __name__ == "__main__":
    ray.init(log_to_driver=False)
    main()
    ray.shutdown()
