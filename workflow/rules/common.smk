import os
import sys
from fnmatch import fnmatch

from nrw.config.choices import PHOTO_STAGES, VIDEO_KINDS, stage_settings
from nrw.config.sources import check_sources
from nrw.core.folder import list_folder
from nrw.jobs import messages, requests
from nrw.scene.files import SceneFiles

SCENES = config["scenes"]
FROM_PHOTOS = [scene for scene, source in SCENES.items() if "photos" in source]
FROM_ALIGNED = [scene for scene, source in SCENES.items() if "aligned" in source]
# the files of each scene's folder, hidden ones and links to folders treated as the import does
FOUND = {scene: list_folder(*source.values()) for scene, source in SCENES.items()}
FILES = SceneFiles(Path("results", "{scene}"))
SOURCES = {scene: FILES.of(scene).source for scene in SCENES}
DETAILED = config["buffer"]["detail"]
KINDS = [*VIDEO_KINDS, *config["videos"]["extra"]]
GPU = 1 if config["device"] == "cuda" else 0
# labels of what shows nothing lasting: it neither matches nor colors the cloud
MASKED = config["segmentation"]["transient"] + config["segmentation"]["sky"]
SEGMENTED = FROM_PHOTOS if config["segmentation"]["model"] != "none" else []
LABELLED = SEGMENTED + [
    scene
    for scene in FROM_ALIGNED
    if any(fnmatch(name, "*_seg*.png") for name in FOUND[scene].files)
]

if workflow.is_main_process:
    with exit_with_message():
        check_sources(SCENES, SOURCES)
    if locked := messages.locked(Path(".snakemake/locks"), SCENES, sys.argv):
        print(locked, file=sys.stderr)

# torch's threads spin shortly and then sleep: as fast as spinning on an idle machine, and many times faster on a busy one
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


wildcard_constraints:
    scene="|".join(map(re.escape, SCENES)) or "(?!)",
    kind=r"[\w-]+",


def count_photos(scene):
    """Files in a scene's folder, an upper bound of its photos; known before anything has run."""
    names = FOUND[scene].files
    return max(1, sum(scene in FROM_PHOTOS or "_reference" in name for name in names))


PHOTOS = {scene: count_photos(scene) for scene in SCENES}
LARGEST = requests.Load.of(max(PHOTOS.values(), default=1), config, threads=16)


scattergather:
    chunk=requests.pieces(requests.CHUNKED, LARGEST, config["chunks"]),
    batch=requests.pieces(requests.BATCHED, LARGEST, config["chunks"]),
    pairs=requests.pieces(requests.PAIRED, LARGEST, config["chunks"]),


def gathered(process, path):
    """The files of all pieces of a scattered rule; path: of one, with {scatteritem} in it."""
    return process(str(path).replace("{scene}", "{{scene}}"))


def asks(name):
    """What a job asks a cluster for, from its scene's photos, its share of them and the attempt."""

    def load(wildcards, threads):
        return requests.Load.of(PHOTOS[wildcards.scene], config, threads)

    def jobs(wildcards):
        return int(wildcards.get("scatteritem", "1-of-1").split("-of-")[1])

    return {
        "mem_mb": lambda wildcards, threads, attempt: requests.memory_mb(
            name, load(wildcards, threads), attempt
        ),
        "runtime": lambda wildcards, threads, attempt: requests.runtime_minutes(
            name, load(wildcards, threads), jobs(wildcards), attempt
        ),
    }


def pick(section, *keys):
    """The settings that a rule uses; it does not rerun when others of the section change."""
    return {key: config[section][key] for key in keys}


def any_of(scenes):
    """A wildcard constraint for these scenes; matches nothing where there are none."""
    return "|".join(map(re.escape, scenes)) or "(?!)"


def listing(wildcards):
    """The fingerprint of a scene's folder: as a parameter it reruns the import when a photo is added, removed or changed.

    The folder is no `input`, because the import itself says best what is wrong with it, and no parameter, because it is
    the same however it is spelt.
    """
    return FOUND[wildcards.scene].fingerprint()


def cloud(wildcards):
    """The cloud; nothing for a scene that came aligned."""
    files = FILES.of(wildcards.scene)
    return files.cloud if wildcards.scene in FROM_PHOTOS else []


def colors(wildcards):
    """The points' colors; nothing for a scene that came aligned."""
    files = FILES.of(wildcards.scene)
    return files.colors if wildcards.scene in FROM_PHOTOS else []


def lighting(wildcards):
    """The points' lighting; nothing where the deep buffer has none."""
    lit = wildcards.scene in FROM_PHOTOS and config["buffer"]["lighting"]
    return FILES.of(wildcards.scene).lighting if lit else []


def labels(wildcards):
    """What a stage that uses label maps waits for; nothing where segmentation is `none`."""
    files = FILES.of(wildcards.scene)
    return files.classes if wildcards.scene in SEGMENTED else []


def sky_masks(wildcards):
    """What a stage that keeps out the sky waits for; nothing where labels show it, or for a scene that came aligned."""
    scene = wildcards.scene
    files = gathered(gather.batch, FILES.sky_masked("{scatteritem}"))
    unlabelled = scene in FROM_PHOTOS and scene not in SEGMENTED
    return expand(files, scene=scene) if unlabelled else []


def detail(wildcards):
    """What other photos show of each photo's view; nothing for a scene that came aligned, or where it is off."""
    files = FILES.of(wildcards.scene)
    return files.training_detail if DETAILED and wildcards.scene in FROM_PHOTOS else []


def detailed_photos(wildcards):
    """The photos at the size in which views are scored; nothing for a scene that came aligned: it has no views."""
    return (
        FILES.of(wildcards.scene).detailed_photos
        if wildcards.scene in FROM_PHOTOS
        else []
    )


def completion(wildcards):
    """The model that predicts the labels of novel views; nothing where there are no labels."""
    files = FILES.of(wildcards.scene)
    return files.model("completion") if wildcards.scene in LABELLED else []


def films(scene):
    """A scene's videos and posters; a data set that came aligned has no cloud to fly through."""
    return expand(
        [FILES.video("{kind}"), FILES.poster("{kind}")],
        scene=scene,
        kind=KINDS if scene in FROM_PHOTOS else ["appearance"],
    )
