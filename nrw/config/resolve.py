"""The configuration: schema defaults, then the preset, then what the user wrote; validated, unknown keys named."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from nrw.config.checks import contradictions
from nrw.config.sources import with_photos
from nrw.config.written import as_typed, checked
from nrw.core.errors import UserError, exit_with_message
from nrw.core.folder import check_folder
from nrw.core.nearest import suggestion

SCHEMA = Path(__file__).with_name("schema.yaml")
PRESETS = Path(__file__).with_name("presets")


def resolve(user: dict, typed: Iterable[str] = ()) -> dict:
    """Complete what the user wrote (any subset of the keys) to a configuration; `photos=` becomes a scene.

    typed: the entries of `--config` as typed, `KEY=TEXT`; they go over what YAML made of them.
    Raises UserError for an unknown key (naming the nearest known one), a wrong value, an unknown preset, values that
    do not go together (`checks`), or two sources of one scene.
    """
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    user = checked(_typed({**user, **as_typed(typed, schema)}, schema), schema)
    _reject_unknown_keys(user, schema)
    config = merge(complete_preset(user.get("preset", "draft")), user)
    validator = jsonschema.Draft202012Validator(schema)
    problems = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(config)
    ]
    if problems:
        raise UserError("The configuration is not valid:\n  " + "\n  ".join(problems) + "\nEvery key: config/README.md")
    if "photos" in config:
        config["scenes"] = with_photos(config["scenes"], config.pop("photos"))
    if problems := contradictions(config):
        raise UserError("The configuration cannot work:\n  " + "\n  ".join(problems))
    return config


def resolve_or_exit(user: dict, typed: Iterable[str]) -> dict:
    """Resolve for the Snakefile: an error, or a folder that cannot be read, ends the process with its message alone."""
    with exit_with_message():
        config = resolve(user, typed)
        check_folders(config["scenes"])
    return config


def complete_preset(name: str) -> dict:
    """Return every key that has a value, as a preset has it."""
    return merge(_defaults(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))), {"preset": name, **read_preset(name)})


def check_folders(scenes: dict) -> None:
    """Raises UserError for a scene whose folder is missing or cannot be read, or if there is no scene."""
    if not scenes:
        raise UserError(
            "No photos: name a folder with --config photos=/path/to/folder, or list scenes in config/config.yaml."
        )
    for scene, source in scenes.items():
        for kind, folder in source.items():
            try:
                check_folder(folder)
            except UserError as error:
                raise UserError(f"scenes.{scene}.{kind}: {error}") from error


def read_preset(name: str) -> dict:
    """Read the keys that a preset sets."""
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        known = sorted(preset.stem for preset in PRESETS.glob("*.yaml"))
        raise UserError(f"preset: there is no {name!r}.{suggestion(name, known)} Choose one of {', '.join(known)}.")
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


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


def _typed(value: Any, schema: dict, where: str = "") -> Any:
    """Read text as YAML where the schema wants no text: --config passes nested values as text."""
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return {key: _typed(entry, parts.get(key, {}), f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, list):
        return [_typed(entry, schema.get("items", {}), where) for entry in value]
    if isinstance(value, str) and schema.get("type", "string") != "string":
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(
                f"{where[1:]}: {value!r} is not YAML, such as {{key: value}}. Names with # or : need quotes in it."
            ) from None
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
