"""A world of its own for every test, one model for all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bundle import make_bundle
from tests.support.large import ROWS, Large, copied, make
from tests.support.world import World, tiny_encoder

from bucketlens.model.encode import Encoder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return tiny_encoder(make_bundle(tmp_path_factory.mktemp("model")))


@pytest.fixture
def world(tmp_path: Path, encoder: Encoder) -> World:
    return World(tmp_path, encoder)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return make(tmp_path_factory.mktemp("large"), ROWS)


@pytest.fixture(scope="session")
def made_several(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return make(tmp_path_factory.mktemp("several"), ROWS // 4)


@pytest.fixture
def large(made: Large, tmp_path: Path) -> Large:
    """One shard."""
    return copied(made, tmp_path)


@pytest.fixture
def several(made_several: Large, tmp_path: Path) -> Large:
    """Four shards."""
    return copied(made_several, tmp_path)
