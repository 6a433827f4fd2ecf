"""What the files of a model say, without loading it; test_segmenter.py loads it."""

import json
import shutil
from collections.abc import Callable

import pytest
import torch
from random_segmenters import segformer_config
from safetensors.torch import load_file, save_file
from transformers import SegformerForSemanticSegmentation

from nrw.core.ade20k import ADE20K_NAMES
from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.segmentation.model_files import check_model
from nrw.segmentation.segmenter import Segmenter


@pytest.fixture
def folder(segformer, tmp_path):
    shutil.copytree(segformer, tmp_path / "model")
    return tmp_path / "model"


def configure(folder, change: Callable):
    path = folder / "config.json"
    path.write_text(json.dumps(change(read_json(path))))


def test_a_good_folder_and_a_hub_id_pass(folder):
    check_model(str(folder))
    check_model("openmmlab/upernet-convnext-base@main")


def test_weights_in_several_files_pass_and_a_missing_one_is_named(segformer, folder):
    model = SegformerForSemanticSegmentation.from_pretrained(segformer)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    check_model(str(folder))
    parts[1].unlink()
    with pytest.raises(UserError, match=rf"{parts[1].name}: No such file"):
        check_model(str(folder))


@pytest.mark.parametrize("model", ["./models", "models/sub/models", "/nowhere/models"])
def test_a_missing_folder_is_told_from_a_hub_id(model):
    with pytest.raises(UserError, match=f"there is no folder {model}"):
        check_model(model)


def test_a_missing_folder_has_a_suggestion(folder):
    wrong = folder.with_name("models")
    with pytest.raises(UserError, match=rf"no folder {wrong}. Did you mean '{folder}'"):
        check_model(str(wrong))
    with pytest.raises(UserError, match=r"no folder None\. Did you mean 'none'"):
        check_model("None")
    with pytest.raises(UserError, match="is a file, not a folder"):
        check_model(str(folder / "model.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config | {"id2label": list(ADE20K_NAMES)}, "id2label in its config.json is a list"),
        (lambda config: config | {"id2label": {"0": "road", "1": "sidewalk"}}, "classes: it has 2 labels"),
        (lambda config: config | {"id2label": dict(enumerate(reversed(ADE20K_NAMES)))}, "150 labels, of which 0"),
        (lambda config: {key: value for key, value in config.items() if key != "id2label"}, "it has 0 labels"),
        (lambda config: config | {"backbone_config": {"model_type": "timm_backbone"}}, "needs the Python package timm"),
        (lambda config: config | {"use_timm_backbone": True}, "pip install timm"),
        (lambda config: config | {"backbone_config": {"model_type": "dinat"}}, "needs the Python package natten"),
        (lambda config: [config], "config.json holds a list"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said_before_loading(folder, monkeypatch, change, message):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    configure(folder, change)
    for read in (check_model, lambda model: Segmenter(model, 64, "cpu")):
        with pytest.raises(UserError, match=message):
            read(str(folder))


def test_a_package_that_is_there_is_not_asked_for(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: object())
    configure(folder, lambda config: config | {"use_timm_backbone": True})
    check_model(str(folder))


def test_weights_for_another_number_of_classes(folder):
    weights = load_file(folder / "model.safetensors")
    heads = {name: value for name, value in weights.items() if "classifier" in name}
    weights |= {name: torch.cat([value, value[:1]]) for name, value in heads.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"none of its weights has 150 outputs .*classifier.* has 151"):
        check_model(str(folder))
    save_file({name: value for name, value in weights.items() if name not in heads}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"none of its weights has 150 outputs .*without its head"):
        check_model(str(folder))


def test_weights_that_are_not_whole(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for content, message in (
        (whole[:-1], f"has {len(whole) - 1} of {len(whole)} bytes"),
        (b"version https://git-lfs.github.com/spec/v1", "is not a whole safetensors file"),
        (b"", "is not a whole safetensors file"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"cannot be read: model.safetensors {message}"):
            check_model(str(folder))
    path.unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="no weights in safetensors"):
        check_model(str(folder))


def test_a_missing_or_broken_part(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: Expecting"):
        check_model(str(folder))
    segformer_config().save_pretrained(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"has no preprocessor_config\.json"):
        check_model(str(folder))
