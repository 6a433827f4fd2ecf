"""The configuration: schema defaults, then the preset, then what the user wrote; validated, unknown keys named."""

import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from nrw.core import ade20k
from nrw.core.errors import UserError

SCHEMA = Path(__file__).with_name("schema.yaml")
PRESETS = Path(__file__).with_name("presets")


def resolve(user: dict) -> dict:
    """Complete what the user wrote (any subset of the keys) to a configuration; `photos=` becomes a scene.

    Raises UserError for an unknown key (naming the nearest known one), a wrong value, an unknown preset, a class
    that ADE20K does not have, or no scene.
    """
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    user = json.loads(json.dumps(user))
    if isinstance(user.get("photos"), str):
        folder = user.pop("photos")
        user["scenes"] = {**user.get("scenes", {}), scene_name(folder): {"photos": folder}}
    _reject_unknown_keys(user, schema)
    user = _typed(user, schema)
    config = merge(complete_preset(user.get("preset", "draft")), user)
    validator = jsonschema.Draft202012Validator(schema)
    problems = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(config)
    ]
    if problems:
        raise UserError("The configuration is not valid:\n  " + "\n  ".join(problems) + "\nEvery key: config/README.md")
    if config["framebuffers"]["splat"] % 2 == 0:
        raise UserError(
            f"framebuffers.splat is {config['framebuffers']['splat']}: it must be odd, to be centred on its pixel."
        )
    _check_edit(config)
    if not config["scenes"]:
        raise UserError(
            "No photos: name a folder with --config photos=/path/to/folder, or list scenes in config/config.yaml."
        )
    return config


def resolve_or_exit(user: dict) -> dict:
    """Resolve for the Snakefile: an error, or a missing folder, ends the process with nothing but its message."""
    try:
        config = resolve(user)
        check_folders(config["scenes"])
    except UserError as error:
        sys.exit(f"Error: {error}")
    return config


def complete_preset(name: str) -> dict:
    """Return every key that has a value, as a preset has it."""
    return merge(_defaults(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))), {"preset": name, **read_preset(name)})


def _check_edit(config: dict) -> None:
    """Check `videos.edit` as far as possible before anything has run."""
    edit = config["videos"]["edit"]
    ade20k.labels_of([*edit, *edit.values()])
    if edit and config["segmentation"]["model"] == "none" and any("photos" in it for it in config["scenes"].values()):
        raise UserError("videos.edit edits label maps, but segmentation.model is none: name a model, or leave it out.")


def check_folders(scenes: dict) -> None:
    """Raises UserError for a scene whose folder is missing."""
    for scene, source in scenes.items():
        for kind, folder in source.items():
            if not Path(folder).is_dir():
                found = "is a file" if Path(folder).exists() else "does not exist"
                key = f"scenes.{scene}.{kind}"
                raise UserError(f"{key}: the folder {folder!r} {found}. Name the folder that holds the photos.")


def read_preset(name: str) -> dict:
    """Read the keys that a preset sets."""
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        known = sorted(preset.stem for preset in PRESETS.glob("*.yaml"))
        raise UserError(f"preset: there is no {name!r}; choose one of {', '.join(known)}.")
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def scene_name(folder: str) -> str:
    """Name a scene after its folder; anything but letters, digits, dots and dashes becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", Path(folder).resolve().name).strip("._") or "scene"


def merge(base: dict, over: dict) -> dict:
    """Override the values of `base` by those of `over`, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        merged[key] = merge(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return merged


def _defaults(schema: dict) -> dict:
    defaults = {}
    for key, part in schema["properties"].items():
        if "default" in part:
            defaults[key] = part["default"]
        elif "properties" in part:
            defaults[key] = _defaults(part)
    return defaults


def _typed(value: Any, schema: dict) -> Any:
    """Read text as YAML where the schema wants no text: --config passes nested values as text."""
    if isinstance(value, dict):
        return {key: _typed(entry, schema.get("properties", {}).get(key, {})) for key, entry in value.items()}
    if isinstance(value, list):
        return [_typed(entry, schema.get("items", {})) for entry in value]
    if isinstance(value, str) and schema.get("type", "string") != "string":
        return yaml.safe_load(value)
    return value


def _reject_unknown_keys(config: dict, schema: dict, prefix: str = "") -> None:
    known = schema["properties"]
    for key, value in config.items():
        if key not in known:
            near = difflib.get_close_matches(prefix + key, every_key(), 1, 0.4) or difflib.get_close_matches(
                key, known, 1, 0
            )
            raise UserError(
                f"Unknown configuration key {prefix + key!r}: did you mean {near[0]!r}? Every key: config/README.md"
            )
        if isinstance(value, dict) and "properties" in known[key]:
            _reject_unknown_keys(value, known[key], f"{prefix}{key}.")


def every_key() -> list[str]:
    """List the dotted names of all keys, sections included."""
    return _paths(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def _paths(schema: dict, prefix: str = "") -> list[str]:
    """Dotted names of all keys."""
    paths = []
    for key, part in schema["properties"].items():
        paths.append(prefix + key)
        if "properties" in part:
            paths += _paths(part, f"{prefix}{key}.")
    return paths
