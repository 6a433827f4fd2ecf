"""The files that a configuration names, checked before anything runs."""

import json

import pytest

from nrw.config.resolve import resolve
from nrw.core.errors import UserError
from nrw.preflight.files import check
from nrw.sfm import learned_weights


def config(**user):
    return resolve({"photos": "p", **user})


def refused(message, **user):
    with pytest.raises(UserError, match=message):
        check(config(**user))


def test_the_defaults_name_no_file():
    check(config())


def test_a_missing_model_folder(tmp_path):
    refused(r"segmentation\.model: there is no folder ./models/x", segmentation={"model": "./models/x"})
    check(config(segmentation={"model": "none"}))
    old = {"scenes": {"old": {"aligned": "p"}}, "preset": "paper", "perceptual": {"weights": "random"}}
    check(resolve({**old, "segmentation": {"model": "./models/x"}}))  # such scenes are not segmented


def test_missing_weights_of_vgg_have_the_nearest_name(tmp_path):
    (tmp_path / "vgg16-397923af.pth").touch()
    check(config(perceptual={"weights": str(tmp_path / "vgg16-397923af.pth")}))
    refused(r"no file .*vgg16\.pth\. Did you mean '.*af\.pth'", perceptual={"weights": str(tmp_path / "vgg16.pth")})
    refused("Did you mean 'random'", perceptual={"weights": "ranom"})
    refused("is a folder", perceptual={"weights": str(tmp_path)})


def test_a_camera_path_is_read_under_the_name_of_its_video(tmp_path):
    path = tmp_path / "path.json"
    videos = {"extra": {"evening": {"path": str(path)}}}
    refused(r"videos\.extra\.evening: camera path .*path\.json does not exist", videos=videos)
    path.write_text(json.dumps({"fps": 24, "widths": 480}))
    refused("Did you mean 'width'", videos=videos)


def test_a_rescue_without_its_weights(monkeypatch):
    check(config(sfm={"rescue": True}))
    monkeypatch.setattr(learned_weights, "find_spec", lambda _: None)
    check(config())
    refused("sfm.rescue is true, .* are not installed", sfm={"rescue": True})
    aligned = {"scenes": {"old": {"aligned": "p"}}, "preset": "paper", "perceptual": {"weights": "random"}}
    check(resolve({**aligned, "sfm": {"rescue": True}}))  # such scenes have no structure from motion


def test_an_edit_to_what_no_network_can_learn():
    check(config(videos={"edit": {"grass": "sidewalk"}}))
    refused("edit grass=car: the networks of this scene were not trained on car", videos={"edit": {"grass": "car"}})
    refused("see road and sidewalk as the same class", videos={"edit": {"road": "sidewalk"}})
