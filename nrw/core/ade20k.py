"""The 150 classes of ADE20K, their colours, and their collapse to the 29 groups of the 2019 system.

Labels are uint8: 1–150 in the order of the MIT Scene Parsing Benchmark's objectInfo150 list, 0 where unknown. (Models
on the Hugging Face hub number the same classes from 0.)
"""

import difflib
from collections.abc import Iterable

import numpy as np

from nrw.core.errors import UserError

N_LABELS = 150

# The first synonym of each line of objectInfo150, as in the hub's ADE20K label file.
_NAMES = (
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, "
    "door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, "
    "field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, "
    "signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, "
    "stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, "
    "coffee table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, "
    "swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, "
    "streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, "
    "ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, "
    "swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, "
    "trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, "
    "vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, "
    "glass, clock, flag"
)
ADE20K_NAMES: tuple[str, ...] = tuple(_NAMES.split(", "))

# Other names of the same classes: synonyms of objectInfo150, and the names that detectron2 and the models trained with
# it (Mask2Former, OneFormer) use instead. Synonyms of two classes ("ground", "screen") are left out.
SYNONYMS: dict[str, str] = {
    "edifice": "building",
    "route": "road",
    "window": "windowpane",
    "pavement": "sidewalk",
    "people": "person",
    "mount": "mountain",
    "automobile": "car",
    "picture": "painting",
    "couch": "sofa",
    "stone": "rock",
    "tub": "bathtub",
    "rail": "railing",
    "pillar": "column",
    "sign": "signboard",
    "staircase": "stairway",
    "steps": "stairs",
    "stair": "step",
    "palm tree": "palm",
    "street lamp": "streetlight",
    "tv": "television receiver",
    "television": "television receiver",
    "plane": "airplane",
    "aeroplane": "airplane",
    "clothes": "apparel",
    "handrail": "bannister",
    "motorbike": "minibike",
    "motorcycle": "minibike",
    "bike": "bicycle",
    "toy": "plaything",
    "pool": "swimming pool",
    "falls": "waterfall",
    "trash can": "ashcan",
    "wharf": "pier",
}

_LABEL_OF = {name: label for label, name in enumerate(ADE20K_NAMES, start=1)}
_LABEL_OF |= {synonym: _LABEL_OF[name] for synonym, name in SYNONYMS.items()}

# The 29 groups of the 2019 system: all classes of a group have the same colour in the networks' input. ADE20K has
# "stairs; steps" and "step; stair": both are steps here. The last group is everything else, and label 0.
GROUP_MEMBERS: tuple[tuple[str, ...], ...] = (
    ("wall",),
    ("building",),
    ("sky",),
    ("fountain",),
    ("sea",),
    ("stairway",),
    ("tree",),
    ("road", "sidewalk", "floor"),
    ("person",),
    ("plant",),
    ("mountain",),
    ("chair",),
    ("ceiling",),
    ("water",),
    ("rock",),
    ("earth",),
    ("grass",),
    ("bench",),
    ("step", "stairs"),
    ("poster",),
    ("boat",),
    ("tower",),
    ("painting",),
    ("streetlight",),
    ("column",),
    ("windowpane",),
    ("door",),
    ("sculpture",),
    (),
)
N_GROUPS = len(GROUP_MEMBERS)
OTHER_GROUP = N_GROUPS - 1
GROUP_NAMES: tuple[str, ...] = (*(members[0] for members in GROUP_MEMBERS[:-1]), "other")

# (151,) uint8: the group, 0–28, of each label. Index it with a label map.
GROUPS = np.full(N_LABELS + 1, OTHER_GROUP, np.uint8)
for _group, _members in enumerate(GROUP_MEMBERS[:-1]):
    GROUPS[[_LABEL_OF[_name] for _name in _members]] = _group

# The colours of the benchmark's standard palette for the classes that have a group; black for everything else.
_COLORS: dict[str, tuple[int, int, int]] = {
    "wall": (120, 120, 120),
    "building": (180, 120, 120),
    "sky": (6, 230, 230),
    "fountain": (8, 184, 170),
    "sea": (9, 7, 230),
    "stairway": (31, 0, 255),
    "tree": (4, 200, 3),
    "road": (140, 140, 140),
    "sidewalk": (235, 255, 7),
    "floor": (80, 50, 50),
    "person": (150, 5, 61),
    "plant": (204, 255, 4),
    "mountain": (143, 255, 140),
    "chair": (204, 70, 3),
    "ceiling": (120, 120, 80),
    "water": (61, 230, 250),
    "rock": (255, 41, 10),
    "earth": (120, 120, 70),
    "grass": (4, 250, 7),
    "bench": (194, 255, 0),
    "step": (255, 0, 143),
    "stairs": (255, 224, 0),
    "poster": (143, 255, 0),
    "boat": (173, 255, 0),
    "tower": (255, 184, 184),
    "painting": (255, 6, 51),
    "streetlight": (0, 71, 255),
    "column": (255, 8, 41),
    "windowpane": (230, 230, 230),
    "door": (8, 255, 51),
    "sculpture": (255, 255, 0),
}
# (29, 3) uint8: the colour of each group, that of its first class.
PALETTE_2019 = np.array([*(_COLORS[members[0]] for members in GROUP_MEMBERS[:-1]), (0, 0, 0)], np.uint8)

# Every class of a group is recognized by its own colour too: programs that write the format differ in which of road,
# sidewalk and floor gives the group its colour. Colours further than the tolerance from all of them are "other".
_KNOWN_COLORS = np.array([*_COLORS.values(), (0, 0, 0)], np.int32)  # (32, 3)
_KNOWN_LABELS = np.array([*(_LABEL_OF[name] for name in _COLORS), 0], np.uint8)
COLOR_TOLERANCE = 40  # Euclidean, of RGB values 0–255


def find(name: str) -> int:
    """The label, 1–150, of a class given by its ADE20K name or a synonym, in any case; 0 for any other name."""
    return _LABEL_OF.get(name.strip().lower(), 0)


def label_of(name: str) -> int:
    """The label, 1–150, of a class given by its ADE20K name or a synonym, in any case.

    Raises UserError, with the nearest name, for a name that ADE20K does not have.
    """
    label = find(name)
    if not label:
        nearest = difflib.get_close_matches(name.strip().lower(), _LABEL_OF, n=1, cutoff=0.0)[0]
        raise UserError(
            f"'{name}' is not one of the 150 class names of ADE20K; the nearest is '{nearest}'. "
            "The names are listed in nrw/core/ade20k.py (ADE20K_NAMES)."
        )
    return label


def labels_of(names: Iterable[str]) -> frozenset[int]:
    """The labels of several class names; raises UserError as label_of does."""
    return frozenset(label_of(name) for name in names)


def mask(labels: np.ndarray, names: Iterable[str]) -> np.ndarray:
    """True where a label map (…) uint8 shows one of the named classes: same shape, bool."""
    table = np.zeros(256, bool)
    table[sorted(labels_of(names))] = True
    return table[labels]


def collapse(labels: np.ndarray) -> np.ndarray:
    """Group indices 0–28 uint8 of a label map (…) uint8 with values 0–150; unknown pixels fall into the last group."""
    return GROUPS[labels]


def colorize(labels: np.ndarray) -> np.ndarray:
    """The colours (…, 3) uint8 of the collapsed groups of a label map (…) uint8 with values 0–150."""
    return PALETTE_2019[collapse(labels)]


def labels_from_colors(colors: np.ndarray) -> np.ndarray:
    """Labels (H, W) uint8 of a colour-coded label image (H, W, 3) uint8, such as the 2019 sets' `_seg_rgb.png`.

    A pixel gets the class with the nearest palette colour. That class stands for its group:
    `collapse(labels_from_colors(colorize(x)))` equals `collapse(x)`. A colour near none of them becomes 0, unknown.
    """
    nearest, distance = _nearest_known(colors)
    return np.where(distance <= COLOR_TOLERANCE**2, _KNOWN_LABELS[nearest], 0).astype(np.uint8)


def palette_distance(colors: np.ndarray) -> np.ndarray:
    """Euclidean distance (H, W) float32 of colours (H, W, 3) uint8 to the nearest palette colour, black included."""
    return np.sqrt(_nearest_known(colors)[1], dtype=np.float32)


def _nearest_known(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of _KNOWN_COLORS (H, W) and its squared distance (H, W) int32 for colours (H, W, 3) uint8."""
    codes = colors.astype(np.int32) @ np.array([65536, 256, 1], np.int32)  # (H, W)
    present, inverse = np.unique(codes, return_inverse=True)
    present = np.stack([present >> 16, present >> 8 & 255, present & 255], axis=-1)  # (U, 3)
    nearest, distance = np.empty(len(present), np.uint8), np.empty(len(present), np.int32)
    for start in range(0, len(present), 1 << 16):  # a blended image may have as many colours as pixels
        part = slice(start, start + (1 << 16))
        squares = ((present[part, None] - _KNOWN_COLORS) ** 2).sum(-1)  # (U, 32)
        nearest[part], distance[part] = squares.argmin(-1), squares.min(-1)
    return nearest[inverse].reshape(codes.shape), distance[inverse].reshape(codes.shape)
