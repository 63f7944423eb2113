"""Graphs that ask for more than a model should are refused before any runtime sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.bundle import make_bundle

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
from bucketlens.model.vet import _INSIDE, DOMAINS, vet

Change = Callable[[onnx.ModelProto], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny")


def changed(folder: Path, change: Change, tower: str = "text") -> Path:
    path = folder / "onnx" / f"{tower}_model.onnx"
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def refusal(folder: Path, code: str = "unsafe_model") -> str:
    with pytest.raises(Misconfigured) as caught:
        Bundle.open(folder)
    assert caught.value.code == code
    assert caught.value.remedy
    return str(caught.value)


def test_the_ways_that_are_walked_are_those_of_the_format() -> None:
    """Every field of the format that can lead to a node or a tensor is walked; types and plain values lead to none."""
    leading = set(_INSIDE) | {"NodeProto", "TensorProto"}
    for name, ways in _INSIDE.items():
        fields = getattr(onnx, name).DESCRIPTOR.fields
        expected = {one.number: one.message_type.name for one in fields if one.message_type is not None}
        assert ways == {number: inner for number, inner in expected.items() if inner in leading}


def test_a_plain_bundle_reads_no_other_file(folder: Path) -> None:
    assert vet(folder / "onnx" / "vision_model.onnx", folder) == ()


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_operators_of_the_standards_and_of_the_runtime_are_allowed(folder: Path, domain: str) -> None:
    changed(folder, lambda model: model.graph.node.append(helper.make_node("Gelu", ["a"], ["b"], domain=domain)))
    Bundle.open(folder)


def foreign() -> onnx.NodeProto:
    return helper.make_node("Steal", ["a"], ["b"], domain="com.example.custom")


def graph() -> onnx.GraphProto:
    return helper.make_graph([foreign()], "inner", [], [])


def in_a_branch(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=graph(), else_branch=graph()))


def in_a_function(model: onnx.ModelProto) -> None:
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Local", ["a"], ["b"], [foreign()], opset))


def deep_inside(model: onnx.ModelProto) -> None:
    inner = graph()
    for _ in range(20):
        inner = helper.make_graph([helper.make_node("Loop", ["a"], ["b"], body=inner)], "inner", [], [])
    model.graph.node.append(helper.make_node("Loop", ["a"], ["b"], body=inner))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.graph.node.append(foreign()),
        lambda model: model.training_info.add().algorithm.node.append(foreign()),
        in_a_branch,
        in_a_function,
        deep_inside,
    ],
)
def test_a_foreign_operator_is_refused_by_name_wherever_it_hides(folder: Path, change: Change) -> None:
    changed(folder, change)
    message = refusal(folder)
    assert "com.example.custom::Steal" in message
    assert "text_model.onnx" in message


def external(location: str) -> onnx.TensorProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def reading(location: str) -> Change:
    return lambda model: model.graph.initializer.append(external(location))


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../../secret.bin",
        "../config.json",
        "inner/../../../secret.bin",
        "..\\..\\secret.bin",
        "C:\\secret.bin",
        "C:secret.bin",
        "\\secret.bin",
        "nul\0byte",
        "",
    ],
)
def test_weights_outside_the_bundle_are_refused_by_name(folder: Path, location: str) -> None:
    (folder.parent / "secret.bin").write_bytes(b"secret")
    changed(folder, reading(location))
    assert repr(location) in refusal(folder)


def test_weights_through_a_link_that_leaves_the_bundle_are_refused(folder: Path) -> None:
    (folder.parent / "secret.bin").write_bytes(b"secret")
    (folder / "onnx" / "weights.bin").symlink_to(folder.parent / "secret.bin")
    changed(folder, reading("weights.bin"))
    assert "not as a link" in refusal(folder)
    (folder / "onnx" / "weights.bin").unlink()
    (folder / "onnx" / "inner").symlink_to(folder.parent)
    changed(folder, reading("inner/secret.bin"))
    assert "inner/secret.bin" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor, model: model.graph.sparse_initializer.add().values.CopyFrom(tensor),
        lambda tensor, model: model.graph.node.append(helper.make_node("Constant", [], ["x"], value=tensor)),
        lambda tensor, model: model.graph.node.append(
            helper.make_node("If", ["c"], ["d"], then_branch=helper.make_graph([], "inner", [], [], [tensor]))
        ),
    ],
)
def test_weights_are_looked_for_wherever_a_tensor_can_stand(
    folder: Path, change: Callable[[onnx.TensorProto, onnx.ModelProto], object]
) -> None:
    changed(folder, lambda model: change(external("/etc/passwd"), model))
    assert "/etc/passwd" in refusal(folder)


def test_weights_marked_external_without_a_location_are_refused(folder: Path) -> None:
    tensor = TensorProto(name="weights", data_location=TensorProto.EXTERNAL)
    changed(folder, lambda model: model.graph.initializer.append(tensor))
    refusal(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    changed(folder, reading("text_model.onnx_data"))
    assert "'text_model.onnx_data'" in refusal(folder, "incomplete_bundle")


def test_weights_beside_the_model_are_read_and_count_in_the_checksum(folder: Path) -> None:
    before = Encoder(Bundle.open(folder)).text("red")
    path = folder / "onnx" / "text_model.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=1024)
    assert vet(path, folder) == (folder / "onnx" / "weights.bin",)
    bundle = Bundle.open(folder)
    assert np.array_equal(Encoder(bundle).text("red"), before)
    weights = folder / "onnx" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    assert Bundle.open(folder).identity.checksum != bundle.identity.checksum


def test_a_long_constant_is_passed_over_unread(folder: Path) -> None:
    """Weights are full of bytes that look like protobuf; none of them is taken for it."""
    noise = numpy_helper.from_array(np.frombuffer(external("/etc/passwd").SerializeToString() * 1000, np.uint8), "n")
    path = changed(folder, lambda model: model.graph.initializer.append(noise))
    assert vet(path, folder) == ()
