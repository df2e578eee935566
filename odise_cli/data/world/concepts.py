"""What exists in the world: things, stuff, colours and patterns, and the words for them.

Knows nothing of how they look, except for the colours' values.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A kind of thing or stuff, and what people call it."""

    name: str
    synonyms: tuple[str, ...] = ()
    """Other names, which captions use and labels never do."""
    isthing: bool = True
    is_seen: bool = True
    """Whether head training labels it; what is unseen is absent from its scenes altogether."""
    colors: tuple[str, ...] = ()
    """Colours that it comes in; empty if its colour goes without saying."""
    has_patterns: bool = True
    """Whether it may be striped, dotted or checkered; what has no colours never is."""

    @property
    def words(self) -> tuple[str, ...]:
        """The name, then its synonyms."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True, kw_only=True)
class Color:
    """A colour with its value and what people call it."""

    rgb: tuple[int, int, int]
    synonyms: tuple[str, ...] = ()


IRREGULAR_PLURALS = {
    "person": "people",
    "cactus": "cacti",
    "fish": "fish",
    "goldfish": "goldfish",
    "aircraft": "aircraft",
    "sunshine": "sunshine",
}
"""Of names and synonyms of things; the others follow the rules of spelling."""
COLORS = {
    "red": Color(rgb=(204, 52, 48), synonyms=("crimson", "scarlet")),
    "orange": Color(rgb=(235, 134, 38), synonyms=("tangerine",)),
    "yellow": Color(rgb=(240, 204, 60), synonyms=("golden", "lemon")),
    "green": Color(rgb=(62, 146, 70), synonyms=("emerald",)),
    "turquoise": Color(rgb=(54, 178, 172), synonyms=("teal",)),
    "blue": Color(rgb=(50, 98, 196), synonyms=("azure", "navy")),
    "purple": Color(rgb=(130, 72, 168), synonyms=("violet",)),
    "pink": Color(rgb=(236, 130, 170), synonyms=("rosy",)),
    "brown": Color(rgb=(126, 84, 52), synonyms=("chestnut",)),
    "black": Color(rgb=(44, 44, 50), synonyms=("dark",)),
    "white": Color(rgb=(238, 236, 230), synonyms=("pale",)),
    "gray": Color(rgb=(138, 142, 148), synonyms=("grey", "silver")),
}
PATTERNS = {
    "plain": (),
    "striped": ("stripy",),
    "dotted": ("spotted",),
    "checkered": ("chequered",),
}
"""How a surface is decorated, with synonyms; plain goes without saying."""

_ANY = tuple(COLORS)
_BRIGHT = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "white")
_WARES = ("red", "yellow", "green", "turquoise", "blue", "purple", "pink", "white", "black")

THINGS = (
    Concept(name="house", synonyms=("cottage", "home"), colors=_BRIGHT),
    Concept(name="tree", synonyms=("oak", "leafy tree")),
    Concept(name="pine tree", synonyms=("fir", "conifer"), is_seen=False),
    Concept(name="car", synonyms=("automobile", "motorcar"), colors=_ANY),
    Concept(name="bus", synonyms=("coach", "omnibus"), is_seen=False, colors=_BRIGHT),
    Concept(name="boat", synonyms=("sailboat", "yacht"), colors=_ANY),
    Concept(name="sun", synonyms=("sunshine",)),
    Concept(name="moon", synonyms=("crescent",), is_seen=False),
    Concept(name="cloud", synonyms=("fluffy cloud",)),
    Concept(name="person", synonyms=("human", "pedestrian"), colors=_BRIGHT),
    Concept(name="bird", synonyms=("songbird",), colors=_ANY),
    Concept(
        name="duck", synonyms=("duckling",), is_seen=False, colors=("yellow", "white", "brown")
    ),
    Concept(name="fish", synonyms=("goldfish",), colors=_BRIGHT),
    Concept(name="flower", synonyms=("blossom", "daisy"), colors=_BRIGHT, has_patterns=False),
    Concept(
        name="mushroom",
        synonyms=("toadstool",),
        is_seen=False,
        colors=("red", "brown"),
        has_patterns=False,
    ),
    Concept(name="balloon", synonyms=("hot-air balloon",), colors=_BRIGHT),
    Concept(
        name="airplane", synonyms=("plane", "aircraft"), colors=("white", "gray", "red", "blue")
    ),
    Concept(name="tent", synonyms=("canvas shelter",), is_seen=False, colors=_BRIGHT),
    Concept(name="umbrella", synonyms=("parasol", "sunshade"), colors=_BRIGHT),
    Concept(
        name="lighthouse",
        synonyms=("beacon tower",),
        colors=("red", "blue", "black", "green"),
        has_patterns=False,
    ),
    Concept(name="rock", synonyms=("boulder", "stone")),
    Concept(name="cactus", synonyms=("succulent",)),
    Concept(
        name="bench",
        synonyms=("park seat",),
        colors=("brown", "green", "gray"),
        has_patterns=False,
    ),
    Concept(name="ball", synonyms=("sphere",), colors=_ANY),
    Concept(name="lamp", synonyms=("light", "lantern"), colors=_WARES),
    Concept(
        name="table",
        synonyms=("desk",),
        colors=("brown", "white", "black", "gray"),
        has_patterns=False,
    ),
    Concept(name="chair", synonyms=("stool",), is_seen=False, colors=_WARES),
    Concept(name="vase", synonyms=("jar", "pot"), colors=_WARES),
    Concept(name="book", synonyms=("novel", "volume"), is_seen=False, colors=_WARES),
    Concept(name="clock", synonyms=("timepiece",), colors=_WARES, has_patterns=False),
    Concept(name="cup", synonyms=("mug", "teacup"), colors=_WARES),
    Concept(name="box", synonyms=("parcel", "package"), colors=("brown", *_WARES)),
    Concept(
        name="bottle",
        synonyms=("flask",),
        is_seen=False,
        colors=("green", "brown", "blue"),
        has_patterns=False,
    ),
    Concept(name="window", synonyms=("glazed opening",)),
)
STUFF = (
    Concept(name="sky", synonyms=("heavens",), isthing=False),
    Concept(name="grass", synonyms=("lawn", "meadow"), isthing=False),
    Concept(name="sand", synonyms=("beach", "dunes"), isthing=False, is_seen=False),
    Concept(name="water", synonyms=("sea", "lake"), isthing=False),
    Concept(name="snow", synonyms=("snowfield",), isthing=False),
    Concept(name="road", synonyms=("street", "asphalt"), isthing=False),
    Concept(name="mountain", synonyms=("peak", "summit"), isthing=False),
    Concept(name="hedge", synonyms=("bushes", "shrubbery"), isthing=False),
    Concept(name="brick wall", synonyms=("brickwork",), isthing=False),
    Concept(name="stone wall", synonyms=("masonry",), isthing=False, is_seen=False),
    Concept(name="painted wall", synonyms=("plaster wall",), isthing=False, colors=_BRIGHT),
    Concept(name="wooden floor", synonyms=("floorboards", "parquet"), isthing=False),
    Concept(name="tiled floor", synonyms=("tiles",), isthing=False, colors=_WARES),
    Concept(
        name="carpet",
        synonyms=("rug",),
        isthing=False,
        is_seen=False,
        colors=("red", "blue", "green", "purple"),
    ),
)
CONCEPTS = (*THINGS, *STUFF)
"""All concepts; a concept's category id is its place here, counted from 1."""
CATEGORY_IDS = {concept.name: number for number, concept in enumerate(CONCEPTS, start=1)}
