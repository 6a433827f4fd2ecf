"""The files of a segmentation model: what they say about it before it is loaded, read without torch.

The workflow checks a configured model with `check_model` before its first rule, hours before the model is needed.
"""

import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.core.nearest import suggested_path

MIN_AGREEING_NAMES = 100  # of 150: ADE20K models differ in a dozen synonyms, other data sets in nearly all names
PACKAGE_OF = {"timm_backbone": "timm", "dinat": "natten"}  # backbones that transformers leaves to other packages
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")  # OneFormer reads its task as a text
WEIGHTS = "model.safetensors"
AGAIN = "Fetch it again, whole, with `hf download`; or set segmentation.model to none to work without labels."


def check_model(model: str) -> None:
    """Check `segmentation.model`: a hub id by its form, a folder by its files.

    Raises UserError for a path that is no folder, and for a folder as `check_files` does.
    """
    folder = local_folder(model)
    if folder is not None:
        check_files(model, folder)


def check_files(model: str, folder: Path) -> None:
    """Check the files of a model, in a user's folder or in the hub's cache.

    Raises UserError for a folder that is not whole, has no safetensors, was not trained on ADE20K's 150 classes, or
    needs a package that is missing.
    """
    config = _read_object(model, folder / "config.json")
    check_config(model, config)
    processor = next((folder / name for name in PROCESSOR_FILES if (folder / name).is_file()), None)
    if processor is None:
        raise UserError(f"{_broken(model)} it has no {PROCESSOR_FILES[0]}\n{AGAIN}")
    _read_object(model, processor)
    if config.get("model_type") == "oneformer" and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(f"{_broken(model)} it has no {TOKENIZER_FILES[0]}\n{AGAIN}")
    _check_outputs(model, config, _shapes(model, folder))


def local_folder(model: str) -> Path | None:
    """The folder that `segmentation.model` names; None for a hub id. Raises UserError for a path that is no model."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"segmentation.model: the folder {model} holds no model: it has no config.json.")
        return folder
    name, _, _ = model.partition("@")
    is_path = folder.is_absolute() or model.startswith((".", "~")) or folder.exists()
    if is_path or name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
        found, near = f"{model} is a file, not a folder", ""
        if not folder.exists():
            found, near = f"there is no folder {model}", suggested_path(model, ["none"])
        raise UserError(
            f"segmentation.model: {found}.{near}\nGive a folder with a model in it, a hub "
            "id such as openmmlab/upernet-convnext-base, or none."
        )
    return None


def check_config(model: str, config: Mapping[str, Any]) -> None:
    """Check a model's config.json.

    Raises UserError unless its labels are ADE20K's 150 classes, in order, and the package that its backbone needs is
    installed.
    """
    labels = config.get("id2label") or {}
    if not isinstance(labels, Mapping):
        raise UserError(
            f"segmentation.model {model}: id2label in its config.json is a {type(labels).__name__}, and an object from "
            'number to name is expected. Write it as {"0": "wall", "1": "building", …}, or choose another model, or '
            "none."
        )
    names = [str(labels.get(str(index), labels.get(index, ""))) for index in range(ade20k.N_LABELS)]
    first_names = [name.partition(",")[0].partition(";")[0] for name in names]
    agreeing = sum(ade20k.find(name) == label for label, name in enumerate(first_names, start=1))
    if len(labels) != ade20k.N_LABELS or agreeing < MIN_AGREEING_NAMES:
        raise UserError(
            f"segmentation.model {model} does not label ADE20K's 150 classes: it has {len(labels)} labels, of "
            f"which {agreeing} have the name that ADE20K gives their number (first: {', '.join(first_names[:3])}). "
            "Choose a model trained on ADE20K, or none."
        )
    backbone = config.get("backbone_config") or {}
    kinds = {config.get("model_type"), backbone.get("model_type") if isinstance(backbone, Mapping) else None}
    kinds |= {"timm_backbone"} if config.get("use_timm_backbone") else set()
    for package in {PACKAGE_OF[kind] for kind in kinds if kind in PACKAGE_OF}:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"segmentation.model {model} needs the Python package {package}, which is not installed. Install it "
                f"beside nrw (`pip install {package}` in its environment), or choose another model, or none."
            )


def _read_object(model: str, path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{_broken(model)} {path.name}: {error}\n{AGAIN}") from error
    if not isinstance(value, dict):
        raise UserError(f"{_broken(model)} {path.name} holds a {type(value).__name__}, not an object\n{AGAIN}")
    return value


def _shapes(model: str, folder: Path) -> dict[str, list[int]]:
    """The shape of every weight, by name. Raises UserError where a file is missing or not whole."""
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file():
        files = {WEIGHTS}
    elif index.is_file():
        weight_map = _read_object(model, index).get("weight_map")
        files = set(map(str, weight_map.values())) if isinstance(weight_map, Mapping) else set()
    else:
        raise UserError(
            f"segmentation.model {model} has no weights in safetensors ({WEIGHTS}), and other formats can execute "
            "code. Choose a model or a revision that has them, or none."
        )
    if not files:
        raise UserError(f"{_broken(model)} {index.name} names no weights\n{AGAIN}")
    return {tensor: shape for name in sorted(files) for tensor, shape in _shapes_in(model, folder / name).items()}


def _shapes_in(model: str, path: Path) -> dict[str, list[int]]:
    """Read the shapes from a safetensors file: 8 bytes, little-endian, for the header's length; JSON; the weights."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length < size else {}
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max(entry["data_offsets"][1] for entry in entries.values())
        shapes = {name: list(entry["shape"]) for name, entry in entries.items()}
    except OSError as error:
        raise UserError(f"{_broken(model)} {path.name}: {error.strerror}\n{AGAIN}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{_broken(model)} {path.name} is not a whole safetensors file\n{AGAIN}") from error
    if size != end:
        raise UserError(f"{_broken(model)} {path.name} has {size} of {end} bytes\n{AGAIN}")
    return shapes


def _check_outputs(model: str, config: Mapping[str, Any], shapes: Mapping[str, list[int]]) -> None:
    """Raise UserError unless some weight has as many outputs as the model has classes.

    Universal models have one more, for masks that show no class.
    """
    semantic = any(str(name).endswith("ForSemanticSegmentation") for name in config.get("architectures") or [])
    expected = {ade20k.N_LABELS} if semantic else {ade20k.N_LABELS, ade20k.N_LABELS + 1}
    outputs = {name: shape[0] if shape else 0 for name, shape in shapes.items()}
    if expected & set(outputs.values()):
        return
    nearest = min(outputs, key=lambda name: abs(math.log((outputs[name] or 1) / ade20k.N_LABELS)))
    raise UserError(
        f"segmentation.model {model} names {ade20k.N_LABELS} classes in its config.json, but none of its weights has "
        f"{ade20k.N_LABELS} outputs (the nearest: {nearest} has {outputs[nearest]}): they are of a backbone "
        "without its head, or of a model for other classes. Choose a model trained on ADE20K's 150 classes, or none."
    )


def _broken(model: str) -> str:
    return f"segmentation.model: the model {model} cannot be read:"
