"""The words of the drawings: what can be drawn, in which colours, lights and styles."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noun:
    """What a kind is called. A `scene` fills the picture: its count is always one."""

    plural: str
    also: tuple[str, ...] = ()
    broader: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    scene: bool = False


_ANY = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black", "brown")
_BRIGHT = ("red", "blue", "green", "yellow", "orange", "purple", "pink")

KINDS: Mapping[str, Noun] = {
    "car": Noun("cars", ("automobile",), ("vehicle",), ("red", "blue", "green", "yellow", "orange", "white", "black")),
    "house": Noun("houses", ("home", "cottage"), ("building",), ("red", "blue", "yellow", "white", "brown", "pink")),
    "tree": Noun("trees", (), ("plant",), ("green", "orange", "yellow", "red", "pink")),
    "flower": Noun("flowers", ("blossom",), ("plant",), ("red", "blue", "yellow", "orange", "purple", "pink", "white")),
    "fish": Noun("fish", (), ("animal", "sea animal"), _BRIGHT),
    "bird": Noun("birds", (), ("animal",), ("red", "blue", "yellow", "green", "brown", "black", "white")),
    "cat": Noun("cats", ("kitten", "cat face"), ("animal", "pet"), ("orange", "black", "white", "brown", "grey")),
    "boat": Noun(
        "boats", ("sailing boat", "sailboat", "ship"), ("vehicle", "water"), ("red", "blue", "yellow", "green", "white")
    ),
    "sunset": Noun(
        "sunsets",
        ("sunset over the sea", "setting sun", "sun over the sea"),
        ("landscape", "water", "sea"),
        ("orange", "red", "pink", "purple"),
        True,
    ),
    "mountain": Noun(
        "mountains", ("snowy mountain", "mountain landscape"), ("landscape",), ("grey", "blue", "purple", "brown"), True
    ),
    "cup": Noun("cups", ("cup of coffee", "mug"), ("drink",), _ANY),
    "balloon": Noun("balloons", (), ("toy",), _BRIGHT),
    "star": Noun("stars", (), ("shape",), ("yellow", "orange", "blue", "red", "pink", "white")),
    "heart": Noun("hearts", (), ("shape",), ("red", "pink", "purple", "blue", "orange")),
    "umbrella": Noun("umbrellas", ("parasol",), (), (*_BRIGHT, "black")),
    "apple": Noun("apples", (), ("fruit", "food"), ("red", "green", "yellow")),
    "mushroom": Noun("mushrooms", ("toadstool",), ("food",), ("red", "brown", "orange", "white")),
    "butterfly": Noun("butterflies", (), ("insect", "animal"), _BRIGHT),
    "robot": Noun("robots", (), ("machine",), ("grey", "blue", "red", "green", "orange")),
    "train": Noun("trains", ("locomotive", "steam engine"), ("vehicle",), ("red", "blue", "green", "black", "orange")),
    "bicycle": Noun("bicycles", ("bike",), ("vehicle",), ("red", "blue", "green", "black", "orange")),
    "snowman": Noun("snowmen", (), ("winter",), ("red", "blue", "green", "purple")),
    "rocket": Noun("rockets", ("space rocket", "spaceship"), ("vehicle",), ("red", "blue", "white", "orange", "green")),
    "cactus": Noun("cacti", ("cactuses",), ("plant",), ("green",)),
    "lighthouse": Noun("lighthouses", ("beacon",), ("building", "tower"), ("red", "blue", "black", "green")),
    "bee": Noun("bees", ("honeybee",), ("insect", "animal"), ("yellow", "orange")),
    "teapot": Noun("teapots", ("pot of tea",), ("kitchenware",), (*_BRIGHT, "white", "brown")),
    "ice cream": Noun(
        "ice creams", ("ice cream cone",), ("dessert", "food"), ("pink", "brown", "white", "green", "yellow")
    ),
}

LIGHTS: tuple[str, ...] = ("day", "night", "dusk", "fog")
STYLES: tuple[str, ...] = ("flat", "outlined", "gradient", "watercolour", "sketch")
COUNTS: Mapping[int, str] = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}

LIGHT_PHRASES: Mapping[str, tuple[str, ...]] = {
    "day": ("by day", "in daylight", "on a sunny day"),
    "night": ("at night", "in the dark", "under the moon"),
    "dusk": ("at dusk", "at sunset", "in the evening"),
    "fog": ("in fog", "in the mist", "on a foggy day"),
}
STYLE_PHRASES: Mapping[str, tuple[str, ...]] = {
    "flat": ("flat drawing", "simple picture"),
    "outlined": ("outlined drawing", "cartoon"),
    "gradient": ("smooth illustration", "shaded illustration"),
    "watercolour": ("watercolour", "watercolor painting", "painting"),
    "sketch": ("sketch", "pencil sketch"),
}
