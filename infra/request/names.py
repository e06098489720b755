"""Two words for a run that a person can remember, say and type.

Does not belong here: whether a name is already taken (the ledger knows).
"""

from __future__ import annotations

from random import Random

_ADJECTIVES = """
agile amber autumn azure bold brave breezy bright brisk bronze calm candid cedar clever cobalt
copper coral cosmic crimson curious dapper dawn deep eager early easy fair fleet frosty gentle
glad golden grand happy hazel honest humble indigo ivory jade jolly keen kind lively lucid lunar
mellow merry mild misty nimble noble olive patient proud quick quiet rapid silver sunny
"""
_ANIMALS = """
alpaca badger bear beaver bison bobcat bunny camel canary caribou cat cheetah condor crane
cricket deer dingo dolphin dove eagle egret elk falcon ferret finch fox gazelle gecko gibbon
heron horse ibex iguana jaguar koala lark lemur lion llama lynx magpie marmot marten moose newt
ocelot orca osprey otter owl panda parrot pelican puffin quail rabbit raven robin seal swan
"""
ADJECTIVES = tuple(_ADJECTIVES.split())
ANIMALS = tuple(_ANIMALS.split())


def generate(random: Random) -> str:
    """Return a random name like ``copper-heron``."""
    return f"{random.choice(ADJECTIVES)}-{random.choice(ANIMALS)}"
