"""A world of its own for every test, one model for all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bundle import make_bundle
from tests.support.world import World, tiny_encoder

from bucketlens.model.encode import Encoder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return tiny_encoder(make_bundle(tmp_path_factory.mktemp("model")))


@pytest.fixture
def world(tmp_path: Path, encoder: Encoder) -> World:
    return World(tmp_path, encoder)
