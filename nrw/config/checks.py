"""What a complete configuration asks for and cannot have, whatever the photos: found before anything has run."""

from collections.abc import Iterator, Mapping

from nrw.core import ade20k
from nrw.core.errors import UserError

# values of the section `buffer`
BUFFER_OF_2019 = {"levels": 1, "view_direction": False, "lighting": 0, "point_channels": 0, "detail": False}
WITHOUT_CLOUD = {"lighting": 0, "point_channels": 0, "view_direction": False, "detail": False}


def contradictions(config: Mapping) -> list[str]:
    """Describe, each with what to change, the values that do not go together or name no class of ADE20K."""
    return [*_classes(config), *_edit(config), *_buffer(config), *_network(config), *_perceptual(config)]


def _classes(config: Mapping) -> Iterator[str]:
    for role in ("transient", "sky", "ground"):
        yield from _unknown(f"segmentation.{role}", config["segmentation"][role])
    edit = config["videos"]["edit"]
    yield from _unknown("videos.edit", [*edit, *edit.values()])


def _unknown(key: str, names: list[str]) -> Iterator[str]:
    for name in names:
        try:
            ade20k.label_of(name)
        except UserError as error:
            yield f"{key}: {error}"


def _edit(config: Mapping) -> Iterator[str]:
    from_photos = any("photos" in source for source in config["scenes"].values())
    if config["videos"]["edit"] and config["segmentation"]["model"] == "none" and from_photos:
        yield "videos.edit edits label maps, but segmentation.model is none: name a model, or leave it out."


def _buffer(config: Mapping) -> Iterator[str]:
    buffer, splat = config["buffer"], config["framebuffers"]["splat"]
    if splat % 2 == 0:
        yield f"framebuffers.splat is {splat}: it must be odd, to be centred on its pixel."
    if buffer["representation"] == "paper2019" and (wrong := _other(buffer, BUFFER_OF_2019)):
        yield (
            f"buffer.representation paper2019 has 7 channels at one size, but the configuration has {wrong}: set "
            f"{_as_option(BUFFER_OF_2019)} (preset paper includes it)."
        )
    aligned = [scene for scene, source in config["scenes"].items() if "aligned" in source]
    if aligned and (wrong := _other(buffer, WITHOUT_CLOUD)):
        yield (
            f"scenes.{aligned[0]} is an aligned data set, without cloud and cameras, but the configuration has "
            f"{wrong}: set {_as_option(WITHOUT_CLOUD)} (preset paper includes it)."
        )


def _other(buffer: Mapping, wanted: Mapping) -> str:
    """List the keys of `buffer` that have other values than wanted."""
    return ", ".join(f"buffer.{key}: {_yaml(buffer[key])}" for key, value in wanted.items() if buffer[key] != value)


def _as_option(values: Mapping) -> str:
    return "buffer: {" + ", ".join(f"{key}: {_yaml(value)}" for key, value in values.items()) + "}"


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _network(config: Mapping) -> Iterator[str]:
    levels, network = config["buffer"]["levels"], config["network"]
    if network["architecture"] == "film" and levels > network["stages"] + 1:
        yield (
            f"buffer.levels is {levels}, but a network with network.stages = {network['stages']} takes at most "
            f"{network['stages'] + 1}: lower buffer.levels or raise network.stages."
        )


def _perceptual(config: Mapping) -> Iterator[str]:
    training = config["training"]
    if config["perceptual"]["weights"] != "none":
        return
    users = {"appearance.kimg": training["appearance"]["kimg"], "losses.perceptual": training["losses"]["perceptual"]}
    for key, value in users.items():
        if value > 0:
            yield (
                f"perceptual.weights is none, but training.{key} is {value}, which needs VGG16: choose url, random or "
                f"the path of a VGG16 state dict, or set training.{key} to 0."
            )
