"""Captions and tags that are true of a drawing."""

from .vocabulary import COUNTS, KINDS, LIGHT_PHRASES, STYLE_PHRASES


def captions(kind: str, colour: str, count: int, style: str, light: str) -> tuple[str, ...]:
    """Three sentences, from the plain to the complete."""
    noun = KINDS[kind]
    if noun.scene:
        long = noun.also[0]
        return (
            long,
            f"{with_article(colour)} {kind}",
            f"{with_article(STYLE_PHRASES[style][0])} of {with_article(long)}, mostly {colour}",
        )
    several = count > 1
    plain = f"{COUNTS[count]} {colour} {noun.plural}" if several else f"{with_article(colour)} {kind}"
    when = LIGHT_PHRASES[light][0]
    return (plain, f"{plain} {when}", f"{with_article(STYLE_PHRASES[style][0])} of {plain} {when}")


def tags(kind: str, colour: str, style: str, light: str) -> tuple[str, ...]:
    """Single words: the kind, what it is a kind of, colour, style, light."""
    return tuple(dict.fromkeys((kind, *KINDS[kind].broader, colour, style, light, "drawing")))


def with_article(words: str) -> str:
    """`words` after "a" or "an"."""
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"
