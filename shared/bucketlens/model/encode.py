"""Pictures and words to unit vectors. The only user of ONNX Runtime, imported when the first vector is made."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bucketlens.errors import BucketlensError, InvalidRequest, Misconfigured, UnreadableObject
from bucketlens.model.bundle import Bundle
from bucketlens.model.onnx_header import Shape, embedding_output
from bucketlens.model.preprocess import Recipe, pixels
from bucketlens.records import ModelIdentity, Vector

if TYPE_CHECKING:
    from bucketlens.model.decode import Picture
    from bucketlens.model.tokenize import Tokens, Words

_DTYPES: dict[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}

_NO_DIRECTION = "Leave it out, or use another model; half precision may overflow where single does not."

Tower = Literal["vision", "text"]


class Encoder:
    """The two towers of a bundle. Each is loaded when first needed, once; safe to use from many threads.

    Every vector is float32 (identity.dimension,), unit length, and depends on nothing but its own picture or text:
    each is run alone, because dynamically quantised towers let neighbours in a batch change each other.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Loads nothing. ``threads`` are ONNX Runtime's, per vector."""
        self._bundle = bundle
        self._lock = threading.Lock()
        self._vision = _Tower(bundle.vision, "image_embeds", threads, bundle.optimized)
        self._text = _Tower(bundle.text, "text_embeds", threads, bundle.optimized)
        self._words: Words | None = None

    @property
    def identity(self) -> ModelIdentity:
        """Which model makes these vectors."""
        return self._bundle.identity

    @property
    def recipe(self) -> Recipe:
        """How pictures are prepared."""
        return self._bundle.recipe

    def load(self, tower: Tower) -> None:
        """Load a tower now instead of with its first vector: after the fork, before the traffic, or to be measured.

        Raises Misconfigured when ONNX Runtime cannot load it.
        """
        (self._vision if tower == "vision" else self._text).load()

    def image(self, picture: Picture) -> Vector:
        """The vector of a picture. Raises as ``embed`` does."""
        return self.embed(pixels(picture.image, self.recipe, picture.frame))

    def embed(self, prepared: npt.NDArray[np.float32]) -> Vector:
        """The vector of a picture that is prepared by ``recipe``: float32 (3, height, width).

        Raises UnreadableObject (``no_vector``) when the model gives it none, Misconfigured when the model cannot run.
        """
        raw = self._vision.run({"pixel_values": prepared[np.newaxis]})
        return self._unit(raw, _shapeless)

    def images(self, pictures: Sequence[Picture]) -> list[Vector]:
        """The vectors of pictures, in their order; each as ``image`` makes it."""
        return [self.image(picture) for picture in pictures]

    def text(self, text: str) -> Vector:
        """The vector of a text, cut to the model's limit.

        Raises InvalidRequest (``no_vector``) when the model gives it none, Misconfigured when the model cannot run.
        """
        tokens = self._tokens(text)
        raw = self._text.run({"input_ids": tokens.ids, "attention_mask": tokens.mask})
        return self._unit(raw, lambda: _meaningless(text))

    def _tokens(self, text: str) -> Tokens:
        with self._lock:
            if self._words is None:
                from bucketlens.model.tokenize import Words

                self._words = Words(self._bundle.tokenizer, self._bundle.rule)
        return self._words.tokens(text)

    def _unit(self, raw: npt.NDArray[Any], refusal: Callable[[], BucketlensError]) -> Vector:
        vector = raw.reshape(-1).astype(np.float64)
        if vector.shape != (self.identity.dimension,):
            raise Misconfigured(
                f"The model gives vectors of shape {raw.shape}, not {self.identity.dimension} numbers.",
                code="bad_model",
                value=str(self._bundle.folder),
                remedy="Correct projection_dim or bucketlens.dimension in config.json.",
            )
        length = math.sqrt(vector @ vector)
        if not math.isfinite(length) or length == 0:
            raise refusal()
        return (vector / length).astype(np.float32)


class _Tower:
    """One ONNX graph, loaded at the first run."""

    def __init__(self, path: Path, output: str, threads: int, optimized: bool) -> None:
        self._path, self._output, self._threads, self._optimized = path, output, threads, optimized
        self._lock = threading.Lock()
        self._session: Any = None
        self._inputs: dict[str, str] = {}

    def run(self, offered: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The embedding for these inputs; offered inputs the graph does not name are left out, the others cast."""
        self.load()
        failures = _failures()
        try:
            feed = {name: offered[name].astype(_DTYPES[kind], copy=False) for name, kind in self._inputs.items()}
            return np.asarray(self._session.run([self._output], feed)[0])
        except failures as error:
            raise self._refusal(error) from error

    def load(self) -> None:
        """Load the graph, unless that was done."""
        with self._lock:
            if self._session is not None:
                return
            failures = _failures()
            try:
                self._open()
            except failures as error:
                raise self._refusal(error) from error

    def _open(self) -> None:
        import onnxruntime  # noqa: TID251

        ort: Any = onnxruntime
        ort.disable_telemetry_events()
        session = ort.InferenceSession(str(self._path), self._options(ort), providers=["CPUExecutionProvider"])
        shapes: dict[str, Shape] = {port.name: tuple(port.shape) for port in session.get_outputs()}
        self._output = embedding_output(shapes, self._output) or self._output
        self._inputs = {port.name: port.type for port in session.get_inputs()}
        self._session = session

    def _refusal(self, error: Exception) -> Misconfigured:
        return Misconfigured(
            "ONNX Runtime cannot run this model.",
            code="bad_model",
            value=f"{self._path}: {error}",
            remedy="Use another precision (MODEL_VARIANT), or an export with the inputs transformers.js gives it.",
        )

    def _options(self, ort: Any) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: library code does not print
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if self._optimized:  # optimised offline: optimising and packing again would cost ten times the loading
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.add_session_config_entry("session.disable_prepacking", "1")
        return options


def _shapeless() -> UnreadableObject:
    return UnreadableObject("The model gives this picture no direction.", code="no_vector", remedy=_NO_DIRECTION)


def _meaningless(text: str) -> InvalidRequest:
    return InvalidRequest("The model gives this text no direction.", code="no_vector", value=text, remedy=_NO_DIRECTION)


@cache
def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises on models it cannot load or run; KeyError for inputs nobody offers."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: TID251

    known = (getattr(state, name) for name in dir(state))
    return (KeyError, *(item for item in known if isinstance(item, type) and issubclass(item, Exception)))
