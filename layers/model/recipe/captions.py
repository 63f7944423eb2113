"""Words for pictures, and which pictures each wording is right for.

A *fact* is a short string such as `dog`, `class:n02099601`, `of:red`, `count:3`. A picture has facts that hold and
facts that may hold (nobody measured them); a wording states facts. A wording is right for a picture when all it states
holds, wrong when something it states cannot hold, and is left out of the loss otherwise.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from concepts import BROADER_WORDS, broader_terms, class_words, table

from bucketlens.local.drawings.vocabulary import COUNTS, KINDS, LIGHT_PHRASES, LIGHTS, STYLE_PHRASES, STYLES

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")

_PLAIN = (
    "{}",
    "a photo of {a}",
    "a picture of {a}",
    "{a}",
    "an image of {a}",
    "photo of {a}",
    "a photo of the {}",
    "{s}",
    "a photo of {s}",
)
_LOOSE = (
    "a small {}",
    "a close-up of {a}",
    "a good photo of {a}",
    "my {}",
    "the {}",
    "a photo of {a} outdoors",
    "there is {a}",
    "{a} in the picture",
)
_OF_DRAWING = (
    "a drawing of {a}",
    "a picture of {a}",
    "{a}",
    "{}",
    "an illustration of {a}",
    "drawing of {a}",
    "a painting of {a}",
    "a photo of {a}",
)
_BEFORE_DRAWING = ("a drawing of", "a picture of", "an illustration of", "drawing of", "a photo of")
_COLOUR = (
    "{0} {1}",
    "a {0} {1}",
    "a photo of a {0} {1}",
    "a {1} in {0}",
    "the {0} {1}",
    "a {1} that is {0}",
    "{0} coloured {1}",
)
_TERM_WORDS: Mapping[str, tuple[str, ...]] = {
    "light:dark": ("a dark picture", "dark", "a dark photo", "very dark"),
    "light:bright": ("a bright picture", "bright", "a bright photo", "light background"),
    "light:night": ("night", "at night", "a night scene", "in the dark", "moon"),
    "light:day": ("day", "by day", "daylight", "a sunny day"),
    "light:dusk": ("dusk", "at dusk", "evening", "in the evening light"),
    "light:fog": ("fog", "foggy", "mist", "in fog", "a misty day"),
    "medium:drawing": ("a drawing", "drawing", "an illustration", "a painting", "clip art", "a cartoon"),
    "medium:photo": ("a photo", "a photograph", "photo", "a real photo"),
    "style:watercolour": ("watercolour", "a watercolor painting", "painted in watercolour"),
    "style:sketch": ("a sketch", "a pencil sketch", "sketched"),
    "style:outlined": ("an outlined drawing", "a cartoon with outlines"),
}


@dataclass(frozen=True, slots=True)
class Wording:
    """A text and the facts it states."""

    text: str
    states: frozenset[str]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of one picture: `holds` is a part of `may`."""

    holds: frozenset[str]
    may: frozenset[str]
    say: Callable[[random.Random], Wording]


class Speaker:
    """Builds wordings for the classes of the data set (`names`: WordNet id -> comma separated names)."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.wnids = tuple(sorted(names))
        self.words = class_words(names)
        self.first = {wnid: words[0] for wnid, words in self.words.items()}
        self.terms = self._term_words()
        self._kind_relations = {kind: self._related(kind) for kind in KINDS}

    def facts(self) -> tuple[str, ...]:
        """Every fact there is, sorted."""
        found = {f"class:{wnid}" for wnid in self.wnids} | set(self.terms) | set(KINDS) | set(_TERM_WORDS)
        for noun in KINDS.values():
            found |= set(noun.broader)
        found |= {f"of:{c}" for c in COLOURS} | {f"colour:{c}" for c in COLOURS}
        found |= {f"count:{n}" for n in COUNTS} | {f"light:{x}" for x in LIGHTS} | {f"style:{x}" for x in STYLES}
        return tuple(sorted(found))

    def of_class(self, wnid: str, rng: random.Random) -> Wording:
        """Some wording of a class; its first name half of the time."""
        word = self.first[wnid] if rng.random() < 0.5 else rng.choice(self.words[wnid])
        template = rng.choice(_PLAIN if rng.random() < 0.85 else _LOOSE)
        return Wording(_misspell(_fill(template, word), rng), frozenset({f"class:{wnid}"}))

    def of_kind(self, kind: str, rng: random.Random) -> Wording:
        """Some wording of a kind of drawing."""
        word = kind if rng.random() < 0.7 else rng.choice((kind, *KINDS[kind].also))
        return Wording(_fill(rng.choice(_OF_DRAWING), word), frozenset({kind}))

    def of_term(self, fact: str, rng: random.Random) -> Wording:
        """Some wording of a broader term, a colour, a light or a medium."""
        word = rng.choice(self.terms[fact])
        if ":" in fact:
            return Wording(word, frozenset({fact}))
        return Wording(
            _misspell(_fill(rng.choice(_PLAIN if rng.random() < 0.9 else _LOOSE), word), rng), frozenset({fact})
        )

    def photograph(
        self, wnid: str, colours: Mapping[str, float], centre: Mapping[str, float], brightness: float
    ) -> Picture:
        """Facts of a photograph: `colours` and `centre` are shares of its pixels by colour name, brightness is 0..1."""
        strong = [c for c in COLOURS if colours.get(c, 0.0) >= 0.3]
        likely = [c for c in COLOURS if centre.get(c, 0.0) >= 0.4]
        broader = table()[wnid].broader
        holds = {f"class:{wnid}", "medium:photo", *(b for b in broader if b in self.terms)}
        holds |= {f"colour:{c}" for c in strong} | {f"of:{c}" for c in likely}
        holds |= {"light:dark"} if brightness < 0.25 else {"light:bright"} if brightness > 0.68 else set()
        may = holds | {f"count:{n}" for n in COUNTS} | {f"light:{x}" for x in LIGHTS}
        may |= {f"colour:{c}" for c in COLOURS if colours.get(c, 0.0) > 0.1}
        may |= {f"of:{c}" for c in COLOURS if centre.get(c, 0.0) > 0.15}
        may |= {k for k in KINDS if wnid in self._kind_relations[k]}
        may |= {
            x for x, low, high in (("light:dark", 0.0, 0.4), ("light:bright", 0.55, 1.1)) if low <= brightness < high
        }

        def say(rng: random.Random) -> Wording:
            choice = rng.random()
            if likely and choice < 0.5:
                colour = rng.choice(likely)
                noun, fact = (
                    (self.first[wnid], f"class:{wnid}") if choice < 0.25 or not broader else (rng.choice(broader), "")
                )
                if not fact and noun in self.terms:
                    fact = noun
                text = rng.choice(_COLOUR).format(colour, noun)
                return Wording(text, frozenset({fact or f"class:{wnid}", f"of:{colour}"}))
            if broader and choice < 0.75:
                word = rng.choice(broader)
                if word in self.terms:
                    return self.of_term(word, rng)
            return self.of_class(wnid, rng)

        return Picture(frozenset(holds), frozenset(may), say)

    def drawing(self, kind: str, colour: str, count: int, light: str, style: str, said: Sequence[str] = ()) -> Picture:
        """Facts of a drawing of this project's generator; `said` are its own captions, which state all of it."""
        noun = KINDS[kind]
        holds = {
            kind,
            *noun.broader,
            f"of:{colour}",
            f"colour:{colour}",
            f"count:{count}",
            f"light:{light}",
            f"style:{style}",
            "medium:drawing",
        }
        may = holds | {f"colour:{c}" for c in COLOURS} | {f"class:{w}" for w in self._kind_relations[kind]}
        may |= {"light:dark", "light:bright"} - ({"light:bright"} if light == "night" else {"light:dark"})
        may |= {"light:dusk", "light:day", "landscape", "water", "plant"}

        def say(rng: random.Random) -> Wording:
            facts = {kind}
            several = count > 1
            text = noun.plural if several else kind if rng.random() < 0.85 else rng.choice((kind, *noun.also))
            if (not noun.scene and rng.random() < 0.6) or (noun.scene and rng.random() < 0.2):
                text, facts = f"{colour} {text}", facts | {f"of:{colour}"}
            if several and rng.random() < 0.6:
                text, facts = f"{COUNTS[count] if rng.random() < 0.7 else count} {text}", facts | {f"count:{count}"}
            elif not several:
                text = f"{_article(text)} {text}" if rng.random() < 0.7 else text
            if rng.random() < 0.35 and light != "day":
                text, facts = f"{text} {rng.choice(LIGHT_PHRASES[light])}", facts | {f"light:{light}"}
            chance = rng.random()
            if chance < 0.15:
                text, facts = f"{rng.choice(STYLE_PHRASES[style])} of {text}", facts | {f"style:{style}"}
            elif chance < 0.5:
                text = f"{rng.choice(_BEFORE_DRAWING)} {text}"
            return Wording(text, frozenset(facts))

        return Picture(frozenset(holds), frozenset(may), say)

    def corpus(self) -> list[str]:
        """Every word and template once, for the tokenizer's vocabulary."""
        words = [w for group in (*self.words.values(), *self.terms.values()) for w in group]
        words += [w for kind, noun in KINDS.items() for w in (kind, noun.plural, *noun.also, *noun.broader)]
        words += [p for phrases in (*LIGHT_PHRASES.values(), *STYLE_PHRASES.values()) for p in phrases]
        lines = [
            t.replace("{0}", "").replace("{1}", "").replace("{a}", "").replace("{s}", "").replace("{}", "")
            for t in (*_PLAIN, *_LOOSE, *_OF_DRAWING, *_COLOUR)
        ]
        return (
            lines
            + words
            + [plural(w) for w in words]
            + list(COLOURS)
            + [f"{n} {w}" for n, w in COUNTS.items()]
            + ["an illustration of a", "something", "mostly"]
        )

    def _term_words(self) -> dict[str, tuple[str, ...]]:
        terms = {word: (word, word, *BROADER_WORDS.get(word, ())) for word in broader_terms()}
        for colour in COLOURS:
            also = ("gray",) if colour == "grey" else ()
            terms[f"colour:{colour}"] = tuple(
                t.format(c)
                for c in (colour, *also)
                for t in ("{}", "{}", "something {}", "a {} picture", "a mostly {} photo", "{} colour")
            )
        return terms | dict(_TERM_WORDS)

    def _related(self, kind: str) -> frozenset[str]:
        words = {kind, KINDS[kind].plural, *KINDS[kind].also}
        return frozenset(w for w in self.wnids if words & {*self.words[w], *table()[w].broader})


def plural(word: str) -> str:
    """A plain English plural; wrong for a few nouns, as people also are."""
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _article(word: str) -> str:
    return "an" if word[:1] in "aeiou" else "a"


def _fill(template: str, word: str) -> str:
    return template.replace("{a}", f"{_article(word)} {word}").replace("{s}", plural(word)).replace("{}", word)


def _misspell(text: str, rng: random.Random) -> str:
    if rng.random() > 0.04 or len(text) < 5:
        return text
    at = rng.randrange(1, len(text) - 1)
    return text[:at] + text[at + 1 :] if rng.random() < 0.5 else text[:at] + text[at + 1] + text[at] + text[at + 2 :]
