"""Run names: sayable, valid everywhere, repeatable for a seed."""

from __future__ import annotations

import re
from random import Random

import pytest

from ebbtide.infra.request.names import ADJECTIVES, ANIMALS, generate


@pytest.mark.parametrize("words", [ADJECTIVES, ANIMALS], ids=["adjectives", "animals"])
def test_sixty_different_words(words: tuple[str, ...]) -> None:
    assert len(set(words)) == len(words) == 60


def test_every_name_is_valid_as_a_run_name() -> None:
    longest = f"{max(ADJECTIVES, key=len)}-{max(ANIMALS, key=len)}"
    assert len(longest) <= 40
    assert all(re.fullmatch("[a-z]+", word) for word in ADJECTIVES + ANIMALS)


def test_the_same_seed_gives_the_same_name() -> None:
    assert generate(Random(7)) == generate(Random(7))


def test_the_name_is_an_adjective_and_an_animal() -> None:
    adjective, animal = generate(Random(1)).split("-")
    assert adjective in ADJECTIVES
    assert animal in ANIMALS
