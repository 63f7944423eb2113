"""Handlers over an empty bucket, and over one that holds something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.bundle import make_bundle
from tests.support.functions import CAR, SEA, Functions
from tests.support.world import BLUE, CORRUPT, RED, World, plain, tiny_encoder


@pytest.fixture(scope="module")
def world_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    encoder = tiny_encoder(make_bundle(tmp_path_factory.mktemp("model")))
    return lambda: World(tmp_path_factory.mktemp("world"), encoder)


@pytest.fixture
def functions(world_of: Callable[[], World]) -> Functions:
    return Functions(world_of())


@pytest.fixture(scope="module")
def filled(world_of: Callable[[], World]) -> Functions:
    """A red car, a blue sea and a file that is no image; the car is compacted, the rest logged."""
    functions = Functions(world_of())
    functions.put(CAR, plain(RED))
    functions.index(CAR)
    functions.compact({}, None)
    functions.put(SEA, plain(BLUE))
    functions.put("images/bad.jpg", CORRUPT)
    functions.index(SEA, "images/bad.jpg")
    return functions
