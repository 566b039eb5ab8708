"""The class names of the scenes, objects first."""

OBJECT_CLASSES: tuple[str, ...] = (
    "person", "dog", "cat", "cow", "horse", "bird",
    "house", "barn", "skyscraper", "lighthouse", "windmill", "kiosk", "tent", "fountain",
    "car", "bus", "truck", "bicycle", "tractor", "train", "digger", "crane",
    "sailboat", "ship", "rowboat", "airplane", "balloon", "helicopter",
    "tree", "flower", "bench", "swing", "slide", "street lamp", "traffic light", "signpost", "flagpole", "snowman",
    "table", "chair", "sofa", "bed", "lamp", "cupboard", "bookshelf", "picture", "clock", "vase", "bowl",
    "stove", "sink", "refrigerator", "kettle", "pan", "cup",
)  # fmt: skip

PART_CLASSES: tuple[str, ...] = (
    "head", "eye", "hat", "torso", "arm", "leg", "passenger",
    "animal head", "animal body", "animal leg", "tail", "ear", "horn", "mane", "beak", "wing",
    "window", "pane", "door", "cockpit", "side window", "oven window", "vehicle door", "cabinet door", "foot", "knob",
    "roof", "chimney", "antenna", "lantern", "rotor", "blade", "counter", "awning",
    "basin", "jet",
    "wheel", "hub", "headlight", "taillight", "windscreen", "handle", "container", "cab", "cabin", "saddle", "pedal",
    "handlebar", "smokestack", "locomotive", "wagon",
    "hull", "mast", "sail", "flag", "emblem", "porthole", "anchor", "oar", "engine", "envelope", "basket", "propeller",
    "skid",
    "trunk", "crown", "fruit", "nest", "leaf", "blossom", "seat", "back", "rope", "ladder", "chute", "bulb", "signal",
    "board", "jib", "counterweight", "hook", "bucket", "track",
    "drawer", "tablecloth", "base", "shade", "pillow", "armrest", "headboard", "blanket", "shelf", "book", "painting",
    "dial", "pot", "curtain", "burner", "oven", "magnet", "spout", "lid", "tap",
)  # fmt: skip

CLASS_NAMES: tuple[str, ...] = OBJECT_CLASSES + PART_CLASSES
