import hashlib
import os

from nrw import resources

SCENES = config["scenes"]
FROM_PHOTOS = [scene for scene, source in SCENES.items() if "photos" in source]
FROM_ALIGNED = [scene for scene, source in SCENES.items() if "aligned" in source]
KINDS = ["flythrough", "appearance", "joint", *config["videos"]["extra"]]
GPU = 1 if config["device"] == "cuda" else 0
SEGMENTED = FROM_PHOTOS if config["segmentation"]["model"] != "none" else []
LABELLED = SEGMENTED + [
    scene
    for scene in FROM_ALIGNED
    if any(Path(SCENES[scene]["aligned"]).rglob("*_seg*.png"))
]

# torch's threads spin shortly and then sleep: as fast as spinning on an idle machine, and many times faster on a busy one
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


wildcard_constraints:
    scene="|".join(map(re.escape, SCENES)),
    kind=r"[\w-]+",


def count_photos(scene):
    """Files in a scene's folder, an upper bound of its photos; known before anything has run."""
    source = SCENES[scene]
    names = [
        name for _, _, files in os.walk(next(iter(source.values()))) for name in files
    ]
    return max(
        1, sum("aligned" not in source or "_reference" in name for name in names)
    )


PHOTOS = {scene: count_photos(scene) for scene in SCENES}
LARGEST = resources.Load.of(max(PHOTOS.values()), config, threads=16)


# pieces of the photos where each takes seconds, where each takes a fraction of one, and pieces of the pairs
scattergather:
    chunk=resources.pieces(
        ("segment_chunk", "estimate_depths", "agree_depths", "geometric_depths"),
        LARGEST,
        config["chunks"],
    ),
    batch=resources.pieces(
        ("rasterize_photos", "compose_aligned"),
        LARGEST,
        config["chunks"],
    ),
    pairs=resources.pieces(("match_pairs",), LARGEST, config["chunks"]),


def asks(name):
    """What a job asks a cluster for, from its scene's photos, its share of them and the attempt."""

    def load(wildcards, threads):
        return resources.Load.of(PHOTOS[wildcards.scene], config, threads)

    def jobs(wildcards):
        return int(wildcards.get("scatteritem", "1-of-1").split("-of-")[1])

    return {
        "mem_mb": lambda wildcards, threads, attempt: resources.memory_mb(
            name, load(wildcards, threads), attempt
        ),
        "runtime": lambda wildcards, threads, attempt: resources.runtime_minutes(
            name, load(wildcards, threads), jobs(wildcards), attempt
        ),
    }


def pick(section, *keys):
    """The settings that a rule uses; it does not rerun when others of the section change."""
    return {key: config[section][key] for key in keys}


def training_settings(stage):
    """The settings that a stage depends on: another stage's do not retrain it."""
    settings = {
        key: config[key]
        for key in ("device", "seed", "buffer", "network", "perceptual")
    }
    stages = {"appearance", "rerender", "finetune", "completion"} - {stage}
    return {
        **settings,
        "training": {
            key: value for key, value in config["training"].items() if key not in stages
        },
    }


def any_of(scenes):
    """A wildcard constraint for these scenes; matches nothing where there are none."""
    return "|".join(map(re.escape, scenes)) or "(?!)"


def listing(folder):
    """A fingerprint of a folder's files: as a parameter it reruns the import when a photo is added, removed or changed.

    The folder is no `input`, because the import itself says best what is wrong with it.
    """
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(parent, name)
            status = os.stat(path) if os.path.exists(path) else None
            digest.update(
                os.fsencode(
                    f"{path}\0{status and (status.st_size, status.st_mtime_ns)}\0"
                )
            )
    return digest.hexdigest()


def labels(wildcards):
    """What a stage that uses label maps waits for; nothing where segmentation is `none`."""
    return (
        f"results/{wildcards.scene}/segmentation/classes.json"
        if wildcards.scene in SEGMENTED
        else []
    )


def completion(wildcards):
    """The model that predicts the labels of novel views; nothing where there are no labels."""
    return (
        f"results/{wildcards.scene}/completion/model.safetensors"
        if wildcards.scene in LABELLED
        else []
    )


def films(scene):
    """A scene's videos and posters; a data set that came aligned has no cloud to fly through."""
    return expand(
        f"results/{scene}/videos/{{kind}}.{{suffix}}",
        kind=KINDS if scene in FROM_PHOTOS else ["appearance"],
        suffix=["mp4", "png"],
    )
