"""What a run downloads is fetched before its first rule, and only what its jobs load."""

import pytest
import torch
from fake_hub import NOBODY, use

from nrw.config.resolve import resolve
from nrw.core.errors import UserError
from nrw.preflight.downloads import fetch

TRAINING = {"train_appearance", "train_rerender", "train_finetune", "train_completion"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Empty caches, a hub that cannot be reached, and a list of what was asked of torch's."""
    asked = []

    def download(url, path, hash_prefix):
        asked.append(url)
        raise OSError("no route to host")

    use(monkeypatch, NOBODY, tmp_path / "hub")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return asked


def config(**user):
    return resolve({"photos": "p", "segmentation": {"model": "someone/some-model"}, **user})


def test_the_model_of_the_hub_is_missed_where_photos_are_to_be_labelled():
    fetch(config(), {"extract_features", *TRAINING})
    with pytest.raises(UserError, match=r"segmentation\.model someone/some-model is not in the cache"):
        fetch(config(), {"extract_features", "segment_photos"})


def test_a_folder_is_not_fetched(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    fetch(config(segmentation={"model": str(tmp_path)}), {"segment_photos"})


def test_vgg_is_missed_where_a_stage_compares_its_features(no_network):
    for preset in ("standard", "paper"):
        for rule in ("train_appearance", "train_rerender", "train_finetune"):
            with pytest.raises(UserError, match=r"perceptual\.weights is url"):
                fetch(config(preset=preset), {rule})
    asked = len(no_network)
    assert asked == 6
    fetch(config(preset="standard"), {"train_completion", "evaluate"})
    fetch(config(preset="standard", perceptual={"weights": "random"}), TRAINING)
    without = {"losses": {"perceptual": 0}}
    fetch(config(preset="standard", training=without), {"train_rerender", "train_finetune"})
    fetch(config(perceptual={"weights": "url"}, training={"appearance": {"kimg": 0}}), TRAINING)
    assert len(no_network) == asked


def test_weights_that_are_there_need_no_network(no_network, tmp_path):
    path = tmp_path / "torch" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    fetch(config(preset="standard"), TRAINING)
    assert no_network == []
