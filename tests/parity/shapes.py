"""The architectures that are compared, as numbers: nothing here needs torch.

Sizes are those of the published checkpoints. ``layers`` is the real depth for CLIP B/32 only: two layers tell as much
about parity as twelve, and are exported in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@dataclass(frozen=True, slots=True)
class Shape:
    """One architecture: ``vision`` and ``text`` are arguments of the configuration classes of transformers.

    ``family`` is ``clip``, ``siglip``, ``siglip2`` or ``mobileclip``; ``preprocessor`` is preprocessor_config.json.
    ``diff`` saves config.json without the values that are its class's defaults, as checkpoints of the Hub are saved.
    """

    name: str
    family: str
    vision: Mapping[str, int]
    text: Mapping[str, int]
    dimension: int
    preprocessor: Mapping[str, object]
    diff: bool = False


def _clip(edge: int) -> Mapping[str, object]:
    return {
        "crop_size": {"height": edge, "width": edge},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": _CLIP_MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": _CLIP_STD,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": edge},
    }


def _siglip(edge: int, resample: int) -> Mapping[str, object]:
    return {
        "do_convert_rgb": None,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor",
        "resample": resample,
        "rescale_factor": 1 / 255,
        "size": {"height": edge, "width": edge},
    }


def _tower(layers: int, width: int, heads: int, **more: int) -> Mapping[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": heads,
        **more,
    }


_MOBILE: Mapping[str, object] = {
    "crop_size": {"height": 256, "width": 256},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": False,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_processor_type": "CLIPFeatureExtractor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 256},
}

SHAPES = (
    Shape(
        "CLIP B/32",
        "clip",
        _tower(12, 768, 12, patch_size=32, image_size=224),
        _tower(12, 512, 8, vocab_size=49408),
        512,
        _clip(224),
    ),
    Shape(
        "CLIP B/16",
        "clip",
        _tower(2, 768, 12, patch_size=16, image_size=224),
        _tower(2, 512, 8),
        512,
        {**_clip(224), "size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor"},
        diff=True,
    ),
    Shape(
        "CLIP L/14",
        "clip",
        _tower(2, 1024, 16, patch_size=14, image_size=224),
        _tower(2, 768, 12),
        768,
        _clip(224),
    ),
    Shape(
        "SigLIP B/16",
        "siglip",
        _tower(2, 768, 12, patch_size=16, image_size=224),
        _tower(2, 768, 12),
        768,
        _siglip(224, 3),
        diff=True,
    ),
    Shape(
        "SigLIP 2 B/16-256",
        "siglip2",
        _tower(2, 768, 12, patch_size=16, image_size=256),
        _tower(2, 768, 12),
        768,
        _siglip(256, 2),
        diff=True,
    ),
    Shape("MobileCLIP", "mobileclip", {"image_size": 256}, _tower(2, 512, 8), 512, _MOBILE),
)
"""CLIP B/16 has the older one-number sizes. MobileCLIP is a convolutional stand-in with the files of its bundles, which
say no more than that it is a CLIP: 256 pixels, bilinear, not normalised, tokens padded with "!" to 77, and no mask."""
