"""Pictures drawn by this project itself, for the demo and for training: `draw`, `collection`, `encode`."""

from .collection import collection
from .drawing import Drawing, Subject, draw, draw_subject
from .encode import encode
from .vocabulary import KINDS, LIGHTS, STYLES

__all__ = ["KINDS", "LIGHTS", "STYLES", "Drawing", "Subject", "collection", "draw", "draw_subject", "encode"]
