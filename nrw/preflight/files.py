"""The files that a configuration asks for, apart from the photos: stages that read them run hours after the start."""

from collections.abc import Mapping
from pathlib import Path

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.nearest import suggested_path
from nrw.scene import editing
from nrw.segmentation.model_files import check_model
from nrw.sfm.learned_weights import learned_weights

WEIGHTS = ("url", "random", "none")  # values of `perceptual.weights` that are no path


def check(config: Mapping) -> None:
    """Check a complete configuration: the segmentation model, all weights, camera paths, edited classes.

    Raises UserError for the first of them that is missing or wrong.
    """
    from_photos = any("photos" in source for source in config["scenes"].values())
    if config["segmentation"]["model"] != "none" and from_photos:
        check_model(config["segmentation"]["model"])
    if config["sfm"]["rescue"] and from_photos:
        learned_weights()
    _check_weights(config["perceptual"]["weights"])
    _check_paths(config["videos"]["extra"])
    editing.table(config["videos"]["edit"], {"classes": range(ade20k.N_GROUPS)})


def _check_weights(weights: str) -> None:
    if weights in WEIGHTS or Path(weights).is_file():
        return
    found, near = f"{weights} is a folder", ""
    if not Path(weights).exists():
        found, near = f"there is no file {weights}", suggested_path(weights, WEIGHTS)
    raise UserError(
        f"perceptual.weights: {found}.{near} Give the path of a VGG16 state dict of torchvision (.pth or "
        f".safetensors), or one of {', '.join(WEIGHTS)}."
    )


def _check_paths(videos: Mapping[str, Mapping]) -> None:
    for name, video in videos.items():
        from nrw.videos.camera_paths import read_path  # slow to load, and few runs have such videos

        try:
            read_path(video["path"])
        except UserError as error:
            raise UserError(f"videos.extra.{name}: {error}") from error
