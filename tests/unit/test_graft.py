"""A grafted bundle gives what projecting the original's vectors gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.bundle import make_bundle
from tests.support.pictures import drawing, encoded

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import Bundle
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.model.graft import graft
from bucketlens.projection import project


@pytest.mark.parametrize("half", [False, True])
def test_both_towers_end_in_the_matrix_and_a_second_graft_adds_to_the_first(tmp_path: Path, half: bool) -> None:
    original = Bundle.open(make_bundle(tmp_path / "a", half=half))
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((64, 64)).astype(np.float32) / 8 for _ in range(2))
    once = graft(original, first, tmp_path / "b", "tuned-1")
    twice = graft(once, second, tmp_path / "c", "tuned-2")
    picture = decode(encoded(drawing(seed=1), "PNG"), max_pixels=10**6)
    close = 5e-3 if half else 1e-5
    for bundle, matrix in ((once, first), (twice, first @ second)):
        image = project(Encoder(original).image(picture)[None], matrix)[0]
        text = project(Encoder(original).text("red")[None], matrix)[0]
        assert np.abs(Encoder(bundle).image(picture) - image).max() < close
        assert np.abs(Encoder(bundle).text("red") - text).max() < close
    assert (once.identity.id, twice.identity.id) == ("tuned-1", "tuned-2")
    assert len({bundle.identity.checksum for bundle in (original, once, twice)}) == 3


def test_a_folder_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    original = Bundle.open(make_bundle(tmp_path / "a"))
    with pytest.raises(Misconfigured, match="exists"):
        graft(original, np.eye(64, dtype=np.float32), tmp_path / "a", "x")
