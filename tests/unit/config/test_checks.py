"""What a configuration asks for and cannot have, through `resolve`, as a run meets it."""

import re

import pytest
import yaml

from nrw.config.resolve import resolve
from nrw.core.errors import UserError

ALIGNED = {"scenes": {"old": {"aligned": "p"}}}


def refusal(**user):
    with pytest.raises(UserError) as error:
        resolve(user if "scenes" in user else {"photos": "p", **user})
    return str(error.value)


@pytest.mark.parametrize(
    ("role", "name", "nearest"), [("transient", "cars", "car"), ("ground", "lawn", "land"), ("sky", "Skyy", "sky")]
)
def test_a_wrong_class_names_its_key_and_the_nearest_class(role, name, nearest):
    message = refusal(segmentation={role: [name]})
    assert f"segmentation.{role}: '{name}' is not one" in message and f"the nearest is '{nearest}'" in message


def test_every_wrong_class_is_named_at_once():
    message = refusal(
        segmentation={"transient": ["cars", "person"], "ground": "[lawn]"}, videos={"edit": {"gras": "sky"}}
    )
    for part in ("transient: 'cars'", "ground: 'lawn'", "videos.edit: 'gras'"):
        assert part in message
    assert "person" not in message


def test_classes_by_their_synonyms_and_none_at_all_are_accepted():
    segmentation = {"transient": ["Automobile", "people"], "ground": []}
    assert (
        resolve({"photos": "p", "segmentation": segmentation})["segmentation"]["transient"] == segmentation["transient"]
    )


@pytest.mark.parametrize("representation", ["corrected", "paper2019"])
def test_what_an_aligned_scene_cannot_have_is_listed_and_the_advice_works(representation):
    message = refusal(**ALIGNED, buffer={"representation": representation})
    assert "scenes.old is an aligned data set" in message
    assert "buffer.lighting: 12, buffer.view_direction: true, buffer.detail: true" in message
    advice = re.findall(r"set (buffer: \{.*?\})", message)
    buffer = {key: value for text in advice for key, value in yaml.safe_load(text)["buffer"].items()}
    assert resolve({**ALIGNED, "buffer": {"representation": representation, **buffer}})["buffer"]["lighting"] == 0


def test_the_preset_paper_suits_an_aligned_scene():
    assert resolve({**ALIGNED, "preset": "paper"})["buffer"]["lighting"] == 0


def test_the_channels_of_2019_leave_no_room_for_others():
    message = refusal(buffer={"representation": "paper2019", "levels": 1, "detail": False, "view_direction": False})
    assert "paper2019 has 7 channels" in message and "has buffer.lighting: 12: set" in message


def test_more_levels_than_the_network_halves():
    assert "takes at most 3: lower buffer.levels" in refusal(buffer={"levels": 4}, network={"stages": 2})
    assert resolve({"photos": "p", "buffer": {"levels": 3}, "network": {"stages": 2}})


def test_without_vgg_nothing_may_need_it():
    message = refusal(perceptual={"weights": "none"}, training={"losses": {"perceptual": 0.3}})
    assert "set training.appearance.kimg to 0" in message and "set training.losses.perceptual to 0" in message
    assert resolve({"photos": "p", "perceptual": {"weights": "none"}, "training": {"appearance": {"kimg": 0}}})
