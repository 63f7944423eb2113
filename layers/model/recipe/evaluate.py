"""Measure a bundle as it ships: `python evaluate.py --bundle FOLDER --data PARQUET --cache FOLDER`.

Everything runs through onnxruntime on one thread with Pillow's preprocessing; torch is not imported. The photographs
are the 9,000 that training held out (same --seed); the drawings are the demo's, with seeds that training never saw.
"""

import argparse
import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from captions import COLOURS, Speaker
from concepts import broader_terms
from pictures import Photographs, measure, photographs, split, square
from PIL import Image, ImageOps
from tokenizers import Tokenizer

from bucketlens.local.drawings import Drawing, collection

Floats = npt.NDArray[np.float32]
_QUERIES: tuple[tuple[str, Callable[[Drawing], bool]], ...] = (
    ("a red car", lambda d: d.kind == "car" and d.colour == "red"),
    ("blue car", lambda d: d.kind == "car" and d.colour == "blue"),
    ("sunset over the sea", lambda d: d.kind == "sunset"),
    ("bee", lambda d: d.kind == "bee"),
    ("two boats at night", lambda d: d.kind == "boat" and d.count == 2 and d.light == "night"),
    ("boats", lambda d: d.kind == "boat"),
    ("three yellow fish", lambda d: d.kind == "fish" and d.count == 3 and d.colour == "yellow"),
    ("a cat", lambda d: d.kind == "cat"),
    ("snowman", lambda d: d.kind == "snowman"),
    ("a mountain", lambda d: d.kind == "mountain"),
    ("animals", lambda d: "animal" in d.tags),
    ("vehicle", lambda d: "vehicle" in d.tags),
    ("a purple fish", lambda d: d.kind == "fish" and d.colour == "purple"),
    ("five yellow balloons", lambda d: d.kind == "balloon" and d.count == 5),
    ("night", lambda d: d.light == "night"),
    ("fog", lambda d: d.light == "fog"),
)


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "JPEG at quality 30": lambda image: _as_jpeg(image, 30),
    "half its size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "a third of its size": lambda image: image.resize((21, 21), Image.Resampling.BICUBIC),
    "two thirds of its size": lambda image: image.resize((43, 43), Image.Resampling.BICUBIC),
    "four times its size": lambda image: image.resize((256, 256), Image.Resampling.BICUBIC),
    "cropped to the middle 81 % of its area": lambda image: ImageOps.crop(image, 3),
    "cropped to the middle 64 % of its area": lambda image: ImageOps.crop(image, 6),
    "cropped to the lower right 77 % of its area": lambda image: image.crop((8, 8, 64, 64)),
}


class Bundle:
    """The two towers of a bundle folder, one thread, vectors of length 1."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        cpu = ["CPUExecutionProvider"]
        self._vision = onnxruntime.InferenceSession(str(folder / "onnx/vision_model.onnx"), options, cpu)
        self._text = onnxruntime.InferenceSession(str(folder / "onnx/text_model.onnx"), options, cpu)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        how = json.loads((folder / "preprocessor_config.json").read_text())
        self._mean, self._std = np.float32(how["image_mean"]), np.float32(how["image_std"])
        self._limit = json.loads((folder / "config.json").read_text())["text_config"]["max_position_embeddings"]

    def images(self, pixels: npt.NDArray[np.uint8], batch: int = 100) -> Floats:
        """Vectors [n, d] of [n, 64, 64, 3]."""
        found = []
        for start in range(0, len(pixels), batch):
            part = (pixels[start : start + batch].astype(np.float32) / 255 - self._mean) / self._std
            found.append(
                self._vision.run(["image_embeds"], {"pixel_values": part.transpose(0, 3, 1, 2).astype(np.float32)})[0]
            )
        return _unit(np.concatenate(found))

    def texts(self, texts: list[str]) -> Floats:
        """Vectors [n, d] of texts, one at a time."""
        found = []
        for text in texts:
            ids = np.asarray([self._tokenizer.encode(text).ids[: self._limit]], np.int64)
            found.append(self._text.run(["text_embeds"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0])
        return _unit(np.concatenate(found))


def asking() -> argparse.ArgumentParser:
    """What every measurement asks for: a bundle, the photographs, where they lie decoded, and the seed of the split."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--bundle", type=Path, required=True)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--cache", type=Path, required=True)
    ask.add_argument("--seed", type=int, default=7)
    return ask


def main() -> None:
    given = asking().parse_args()
    bundle = Bundle(given.bundle)
    photos = photographs(given.data, given.cache)
    _, held = split(photos.labels, given.seed)
    _photographs(bundle, photos, held)
    _altered(bundle, photos.pixels[held])
    _drawings(bundle)
    _costs(bundle, given.bundle, photos.pixels[held[:200]])


def _photographs(bundle: Bundle, photos: Photographs, held: npt.NDArray[np.int64]) -> None:
    pixels, labels = photos.pixels[held], photos.labels[held]
    speaker = Speaker(photos.names)
    seen = bundle.images(pixels)
    read = bundle.texts([f"a photo of a {speaker.first[w]}" for w in speaker.wnids])
    print(f"photographs held out          {len(held)}")
    print(f"top-1 of 200 classes          {np.mean((seen @ read.T).argmax(1) == labels):.3f}")
    alike = seen @ seen.T
    np.fill_diagonal(alike, -2)
    near = _first(alike, 10)
    print(f"image -> image p@10           {np.mean(labels[near] == labels[:, None]):.3f}")
    for how, texts in (
        ("'a photo of a <name>'", read),
        ("'<name>'", bundle.texts([speaker.first[w] for w in speaker.wnids])),
        ("'<synonym>'", bundle.texts([speaker.words[w][-1] for w in speaker.wnids])),
    ):
        right = labels[_first(texts @ seen.T, 10)] == np.arange(len(texts))[:, None]
        print(f"text -> image p@10            {right.mean():.3f}  {how}")
    terms = {term: np.asarray([speaker.wnids.index(w) for w in ids]) for term, ids in broader_terms().items()}
    top = _first(bundle.texts([f"a photo of a {t}" for t in terms]) @ seen.T, 10)
    each = {t: float(np.isin(labels[row], ids).mean()) for (t, ids), row in zip(terms.items(), top, strict=True)}
    print(f"broader terms p@10            {np.mean(list(each.values())):.3f}  {len(each)} terms; {_some(each)}")
    whole, _, _ = measure(pixels)
    top = _first(bundle.texts(list(COLOURS)) @ seen.T, 10)
    each = {c: float((whole[row, i] >= 0.2).mean()) for i, (c, row) in enumerate(zip(COLOURS, top, strict=True))}
    print(f"colour p@10 (>= 20 % of it)   {np.mean(list(each.values())):.3f}  {_some(each)}")
    print(f"  by chance                   {np.mean(whole >= 0.2):.3f}")
    bees = labels[_first(bundle.texts(["bee"]) @ seen.T, 10)[0]]
    print(f"'bee' brings                  {[speaker.first[speaker.wnids[b]] for b in bees]}")


def _altered(bundle: Bundle, pixels: npt.NDArray[np.uint8], count: int = 2000) -> None:
    """How often a changed copy finds its own original first among all."""
    seen = bundle.images(pixels)
    for how, change in ALTERATIONS.items():
        copies = np.stack([square(change(Image.fromarray(one))) for one in pixels[:count]])
        found = (bundle.images(copies) @ seen.T).argmax(1) == np.arange(len(copies))
        print(f"own original first            {found.mean():.3f}  {how}")


def _drawings(bundle: Bundle) -> None:
    drawn = list(collection())
    seen = bundle.images(np.stack([square(d.image) for d in drawn]))
    print(f"drawings of the demo          {len(drawn)}")
    order = np.argsort(-(bundle.texts([q for q, _ in _QUERIES]) @ seen.T), axis=1)
    shares = []
    for (query, fits), row in zip(_QUERIES, order, strict=True):
        depth = min(5, sum(map(fits, drawn)))
        found = [fits(drawn[i]) for i in row[:depth]]
        shares.append(sum(found) / max(1, depth))
        print(f"  {query:22} {sum(found)}/{depth}  {' '.join(drawn[i].name for i in row[:4])}")
    print(f"drawings p@k, k = min(5, n)   {np.mean(shares):.3f}")
    kinds = np.asarray([d.kind for d in drawn])
    alike = seen @ seen.T
    np.fill_diagonal(alike, -2)
    print(f"drawing -> drawing p@3        {np.mean(kinds[_first(alike, 3)] == kinds[:, None]):.3f}")
    print(f"most alike two drawings       {alike.max():.4f}")


def _costs(bundle: Bundle, folder: Path, pixels: npt.NDArray[np.uint8]) -> None:
    began = time.perf_counter()
    bundle.images(pixels, 1)
    each = (time.perf_counter() - began) / len(pixels) * 1000
    texts = ["a photo of a red car", "two boats at night", "", "蜂 🐝", "zzqx"] * 20
    began = time.perf_counter()
    vectors = bundle.texts(texts)
    each_text = (time.perf_counter() - began) / len(texts) * 1000
    print(f"one thread                    {each:.2f} ms an image, {each_text:.2f} ms a text")
    assert np.isfinite(vectors).all()
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    print(f"bytes                         {sum(sizes.values())}  {sizes}")


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    body = BytesIO()
    image.save(body, "JPEG", quality=quality)
    return Image.open(body)


def _first(scores: Floats, count: int) -> npt.NDArray[np.int64]:
    """Columns of the `count` best scores of every row, best first."""
    some = np.argpartition(-scores, count, axis=1)[:, :count]
    return np.take_along_axis(some, np.argsort(-np.take_along_axis(scores, some, 1), axis=1), 1)


def _some(each: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in sorted(each.items(), key=lambda item: -item[1]))


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
