"""What the 200 classes of the photographs are called: own words, and the broader words that also fit.

One line a class: WordNet id, words of its own besides the data set's names, and, after the bar, broader words.
A broader word is a concept in its own right: every class that lists `dog` is a right answer to "dog".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_TABLE = """
n01443537 | fish, pet, animal
n01629819 salamander, fire salamander, newt | amphibian, animal
n01641577 | frog, amphibian, animal
n01644900 toad | frog, amphibian, animal
n01698640 alligator, crocodile, gator | reptile, animal
n01742172 boa, python | snake, reptile, animal
n01768244 fossil |
n01770393 | arachnid, animal
n01774384 black widow spider | spider, arachnid, animal
n01774750 tarantula spider | spider, arachnid, animal
n01784675 millipede | insect, animal
n01855672 wild goose | bird, animal
n01882714 | animal
n01910747 medusa | sea animal, animal
n01917289 coral | sea animal
n01944390 | animal
n01945685 | animal
n01950731 | sea animal, animal
n01983481 lobster | crustacean, sea animal, animal, seafood
n01984695 | crustacean, sea animal, animal, seafood
n02002724 stork | bird, animal
n02056570 penguin | bird, animal
n02058221 seagull | bird, animal
n02074367 manatee, sea cow | sea animal, animal
n02085620 chihuahua dog | dog, pet, animal
n02094433 yorkie, terrier | dog, pet, animal
n02099601 retriever | dog, pet, animal
n02099712 labrador, lab | dog, pet, animal
n02106662 | dog, pet, animal
n02113799 poodle | dog, pet, animal
n02123045 striped cat | cat, pet, animal
n02123394 persian, fluffy cat | cat, pet, animal
n02124075 | cat, pet, animal
n02125311 | big cat, wild animal, animal
n02129165 lioness | big cat, wild animal, animal
n02132136 bear, grizzly | wild animal, animal
n02165456 | beetle, insect, animal
n02190166 housefly | insect, animal
n02206856 honeybee, honey bee, bumblebee | insect, animal
n02226429 cricket, locust | insect, animal
n02231487 | insect, animal
n02233338 | insect, animal
n02236044 praying mantis | insect, animal
n02268443 | insect, animal
n02279972 orange butterfly | butterfly, insect, animal
n02281406 yellow butterfly | butterfly, insect, animal
n02321529 | sea animal, animal
n02364673 hamster | pet, animal
n02395406 piglet, boar | farm animal, animal
n02403003 cow, bull, cattle | farm animal, animal
n02410509 buffalo | wild animal, animal
n02415577 sheep, ram | wild animal, animal
n02423022 antelope, deer | wild animal, animal
n02437312 camel | animal
n02480495 | monkey, ape, wild animal, animal
n02481823 | monkey, ape, wild animal, animal
n02486410 | monkey, wild animal, animal
n02504458 elephant | wild animal, animal
n02509815 | wild animal, animal
n02666196 counting frame |
n02669723 graduation gown, graduate, graduation | clothes, person
n02699494 church altar | church
n02730930 | clothes, person
n02769748 school bag | bag
n02788148 stair rail, stairs, staircase |
n02791270 barber, barber shop, hairdresser | shop
n02793495 farmhouse | building, house
n02795169 wooden barrel, keg | container
n02802426 basketball player, basketball game | ball, sport
n02808440 | bathroom
n02814533 | car, vehicle
n02814860 light tower | tower, building
n02815834 | glass, container
n02823428 beer | bottle, container, drink
n02837789 woman in a bikini | swimwear, clothes, person
n02841315 |
n02843684 bird house, nesting box |
n02883205 man in a bow tie | clothes, person
n02892201 sign |
n02906734 | tool
n02909870 | container
n02917067 high-speed train | train, vehicle
n02927161 butcher, butchery, meat shop | shop
n02948072 candles, candlelight, flame | light
n02950826 | weapon
n02963159 sweater, jumper | clothes, person
n02977058 bank machine | machine
n02988304 | electronics
n02999410 metal chain | metal
n03014705 treasure chest, wooden chest | furniture
n03026506 christmas, christmas sock |
n03042490 ruins, rock dwelling | building, ruin
n03085013 keyboard, computer | electronics
n03089624 sweets, candy, sweet shop | shop
n03100240 cabriolet, convertible car | car, vehicle
n03126707 construction crane, building crane |
n03160309 water dam, reservoir | water
n03179701 work desk, computer desk, table | furniture
n03201208 table, dinner table | furniture
n03250847 drum, drumsticks, drummer | musical instrument
n03255030 weights, barbell, gym | sport
n03355925 flag | pole
n03388043 water fountain | water
n03393912 train car, goods wagon, boxcar | train, vehicle
n03400231 pan | kitchenware
n03404251 fur, woman in a fur coat | coat, clothes, person
n03424325 gas mask, mask |
n03444034 gokart, race car, kart | vehicle
n03447447 venice, gondolier | boat, vehicle, water
n03544143 sand clock, egg timer | clock
n03584254 mp3 player, music player | electronics
n03599486 | vehicle
n03617480 woman in a kimono | dress, clothes, person
n03637318 | lamp, light
n03649909 | machine
n03662601 rescue boat | boat, ship, vehicle, water
n03670208 stretch limousine | car, vehicle
n03706229 compass | instrument
n03733131 |
n03763968 soldier, uniform, army | clothes, person
n03770439 skirt, woman in a miniskirt | clothes, person
n03796401 removal van, lorry, moving truck | truck, vehicle
n03804744 nails, fingernail |
n03814639 |
n03837869 | tower, monument
n03838899 clarinet | musical instrument
n03854065 church organ | musical instrument
n03891332 |
n03902125 telephone, phone booth, payphone, phone box |
n03930313 fence, white fence, wooden fence |
n03937543 pills, medicine | bottle, container
n03970156 toilet plunger | tool
n03976657 | pole
n03977966 police car | car, vehicle
n03980874 | clothes, person
n03983396 cola, lemonade | bottle, container, drink
n03992509 potter, pottery, clay pot |
n04008634 rocket | weapon
n04023962 boxing, boxer | sport
n04067472 fishing reel, film reel |
n04070727 fridge | kitchen
n04074963 tv remote | electronics
n04099969 chair | furniture
n04118538 rugby | ball, sport
n04133789 sandals | shoe, clothes
n04146614 yellow bus | bus, vehicle
n04149813 score board |
n04179913 | machine
n04251144 snorkeling, diver, diving mask, scuba diver | water
n04254777 socks | clothes
n04259630 mexican hat, straw hat | hat, clothes, person
n04265275 heater, electric heater |
n04275548 cobweb, web |
n04285008 racing car, supercar, ferrari | car, vehicle
n04311004 arch bridge | bridge
n04328186 timer | clock
n04356056 glasses | person
n04366367 hanging bridge | bridge
n04371430 swimming shorts, swim trunks | swimwear, clothes, person
n04376876 needle, injection |
n04398044 tea pot, tea | kitchenware
n04399382 stuffed toy, plush bear, toy bear | toy
n04417672 straw roof, hut, thatched cottage, cottage | building, house
n04456115 olympic torch, torch flame, fire | light
n04465501 farm tractor | vehicle
n04486054 triumph arch, arch | monument, building
n04487081 trolley, tram, streetcar | bus, vehicle
n04501370 subway gate |
n04507155 parasol, umbrellas |
n04532106 priest, bishop, priestly robe | clothes, person
n04532670 aqueduct, railway bridge | bridge
n04540053 volleyball player, beach volleyball | ball, sport
n04560804 jug, pitcher | container
n04562935 | tower
n04596742 | kitchenware, food
n04597913 spoon | kitchenware
n06596364 comic, comics, manga |
n07579787 dish, meal | food
n07583066 avocado dip | food
n07614500 sundae, gelato | dessert, food
n07615774 ice pop | dessert, food
n07695742 pretzels | food
n07711569 mash | food
n07715103 | vegetable, food
n07720875 pepper, paprika, capsicum | vegetable, food
n07734744 toadstool, fungus, mushrooms | food
n07747607 orange fruit, tangerine | fruit, food
n07749582 lemons | fruit, food
n07753592 bananas | fruit, food
n07768694 | fruit, food
n07871810 | meat, food
n07873807 | food
n07875152 pie | food
n07920052 coffee, cup of coffee, cappuccino | drink, cup
n09193705 alps, snowy mountain | mountain, landscape
n09246464 cliffs, steep coast | rock, landscape
n09256479 reef, corals | sea, underwater, water
n09332890 lake, lake shore | landscape, water
n09428293 beach, ocean, sandy beach, waves | sea, landscape, water
n12267677 acorns, oak nut, nut | plant
"""

BROADER_WORDS: Mapping[str, tuple[str, ...]] = {
    "animal": ("creature", "beast"),
    "insect": ("bug", "insects and bugs"),
    "dog": ("puppy", "doggy", "hound", "pup"),
    "cat": ("kitten", "kitty", "house cat"),
    "vehicle": ("means of transport", "transport"),
    "car": ("automobile", "auto", "motor car", "motorcar"),
    "clothes": ("clothing", "garment", "wear", "fashion"),
    "food": ("something to eat", "dish of food", "meal"),
    "fruit": ("fresh fruit",),
    "vegetable": ("veggie", "greens"),
    "building": ("architecture", "structure"),
    "house": ("home", "cottage"),
    "person": ("people", "human", "man", "woman", "someone"),
    "boat": ("ship", "vessel"),
    "furniture": ("piece of furniture",),
    "landscape": ("scenery", "nature", "outdoor view", "natural landscape"),
    "bird": ("birds", "feathered animal"),
    "sea animal": ("marine animal", "sea creature", "underwater animal"),
    "wild animal": ("wildlife",),
    "water": ("water scene",),
    "shop": ("store", "market"),
    "electronics": ("electronic device", "gadget"),
    "sport": ("sports", "game"),
    "container": ("vessel for liquids",),
    "kitchenware": ("cookware", "kitchen utensil", "cooking pot"),
    "drink": ("beverage",),
    "musical instrument": ("instrument", "music"),
    "fish": ("fishes",),
    "mountain": ("mountains", "peak"),
    "monkey": ("primate",),
    "dessert": ("sweet", "sweet food"),
}


@dataclass(frozen=True, slots=True)
class Concept:
    """One class of photographs: `own` words name it and nothing else, `broader` words name what it is a kind of."""

    own: tuple[str, ...]
    broader: tuple[str, ...]


@cache
def table() -> Mapping[str, Concept]:
    """The table by WordNet id."""
    rows: dict[str, Concept] = {}
    for line in _TABLE.strip().splitlines():
        left, _, right = line.partition("|")
        wnid, _, own = left.strip().partition(" ")
        rows[wnid] = Concept(_split(own), _split(right))
    return rows


def class_words(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The words of every class, its first name first, from the data set's `names` column and this table.

    A word that two classes share ("wagon") stays only with the class whose first name it is, so that no wording has
    two right answers; a broader word that only one class has ("mountain") is a word of that class.
    """
    first = {wnid: _split(text)[0] for wnid, text in names.items()}
    shared = broader_terms()
    all_words = {
        wnid: tuple(dict.fromkeys(_split(text) + table()[wnid].own + table()[wnid].broader))
        for wnid, text in names.items()
    }
    uses: dict[str, int] = {}
    for words in all_words.values():
        for word in words:
            uses[word] = uses.get(word, 0) + 1
    return {
        wnid: tuple(w for w in words if w == first[wnid] or (uses[w] == 1 and w not in shared))
        for wnid, words in all_words.items()
    }


def broader_terms(least: int = 2) -> dict[str, frozenset[str]]:
    """Broader words that at least `least` classes share, with the WordNet ids they stand for."""
    found: dict[str, set[str]] = {}
    for wnid, concept in table().items():
        for word in concept.broader:
            found.setdefault(word, set()).add(wnid)
    return {word: frozenset(ids) for word, ids in found.items() if len(ids) >= least}


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())
