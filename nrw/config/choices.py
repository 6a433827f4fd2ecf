"""Names that sections of the configuration share with the code, and decisions that rest on its values."""

from collections.abc import Mapping

TRAINING_STAGES = ("appearance", "rerender", "finetune", "completion")  # sections of `training`, folders of a scene
PHOTO_STAGES = TRAINING_STAGES[:3]  # the three of 2019; completion needs labels
VIDEO_KINDS = ("flythrough", "appearance", "joint")  # sections of `videos`
NOT_IN_RESULT = ("threads", "tick_kimg")  # keys of `training` that change no weight: nothing is retrained for them


def matcher_for(sfm: Mapping, photos: int) -> str:
    """Choose `exhaustive` or `retrieval`, for the section `sfm` and a number of photos."""
    if sfm["matcher"] == "auto":
        return "retrieval" if photos > sfm["retrieval_above"] else "exhaustive"
    return sfm["matcher"]


def mapper_for(sfm: Mapping, photos: int) -> str:
    """Choose `incremental`, `global` or `hierarchical`, for the section `sfm` and a number of photos."""
    if sfm["mapper"] == "auto":
        return "hierarchical" if photos > sfm["hierarchical_above"] else "incremental"
    return sfm["mapper"]


def stage_settings(config: Mapping, stage: str) -> dict:
    """Select the part of a complete configuration that the result of a training stage depends on.

    Snakemake's rerun triggers and the fingerprint of a checkpoint both use it: the settings of another stage, and those
    in NOT_IN_RESULT, retrain nothing.
    """
    others = {*TRAINING_STAGES, *NOT_IN_RESULT} - {stage}
    sections = {key: config[key] for key in ("device", "seed", "buffer", "network", "perceptual")}
    return {**sections, "training": {key: value for key, value in config["training"].items() if key not in others}}
