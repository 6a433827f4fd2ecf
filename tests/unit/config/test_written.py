"""What the user wrote: names as typed, and values that YAML took for something else."""

from datetime import date

import pytest

from nrw.config.resolve import resolve
from nrw.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "as_yaml"),
    [
        ("Trip #1", "Trip"), ("2019", 2019), ("2019_05", 201905), ("007", 7), ("Rome: Trevi", {"Rome": "Trevi"}),
        ("2019-05-01", "2019-05-01"), ("'Trip'", "Trip"), ("[a]", ["a"]), ("nan", float("nan")), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_a_name_on_the_command_line_is_taken_as_typed(text, as_yaml):
    scenes = resolve({"photos": as_yaml}, ["preset=paper", f"photos={text}"])["scenes"]
    assert list(scenes.values()) == [{"photos": text}]


def test_settings_on_the_command_line_are_yaml():
    config = resolve({"photos": "p", "preset": 1, "seed": 7, "mvs": {"sources": "5"}}, ["seed=0o7", "preset=paper"])
    assert (config["seed"], config["mvs"]["sources"], config["preset"]) == (7, 5, "paper")


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"photos": 201905}, r'photos: a text is expected, but YAML reads this as a number \(201905\)'),
        ({"photos": date(2019, 5, 1)}, r'a date \(2019-05-01\)\. .* quotes, such as "2019-05-01"; .* \./2019-05-01$'),
        ({"photos": {"Rome": "Trevi"}}, "photos: .* a mapping"),
        ({"photos": None}, "photos: .* as nothing"),
        ({"scenes": {"a": {"photos": 2019}}}, r"scenes\.a\.photos: .* a number"),
        ({"scenes": {"a": {"photos": ["p", "q"]}}}, r"scenes\.a\.photos: .* a list"),
        ({"scenes": {2019: {"photos": "p"}}}, r"scenes: a name is expected, but YAML reads this one as a number"),
        ({"scenes": {date(2019, 5, 1): {"photos": "p"}}}, r"scenes: a name is expected, .* a date"),
        ({True: 1}, "A name is expected, .* a truth value"),
        ({"photos": "p", "segmentation": {"transient": ["car", False]}}, r"segmentation\.transient: .* truth value"),
        ({"photos": "p", "videos": {"extra": {"a": {"path": 7}}}}, r"videos\.extra\.a\.path: .* a number"),
        ({"photos": "p", "seed": date(2019, 5, 1)}, "seed: .* is not of type 'integer'"),
    ],
)  # fmt: skip
def test_where_yaml_lost_what_was_written_the_message_says_what_to_write(user, message):
    with pytest.raises(UserError, match=message):
        resolve(user)


def test_a_section_without_keys_changes_nothing():
    assert resolve({"photos": "p", "scenes": None, "mvs": None}) == resolve({"photos": "p"})


def test_home_is_expanded_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    config = resolve(
        {
            "scenes": {"a": {"photos": "~/a"}, "b": {"aligned": "~/b"}},
            "segmentation": {"model": "~/model"},
            "perceptual": {"weights": "~/vgg.pt"},
            "videos": {"extra": {"evening": {"path": "~/path.json"}}},
            "buffer": {"lighting": 0, "view_direction": False, "detail": False},  # what an aligned set can have
        },
        ["photos=~/c"],
    )
    assert config["scenes"] == {
        "a": {"photos": "/home/ann/a"}, "b": {"aligned": "/home/ann/b"}, "c": {"photos": "/home/ann/c"},
    }  # fmt: skip
    assert config["segmentation"]["model"] == "/home/ann/model"
    assert config["perceptual"]["weights"] == "/home/ann/vgg.pt"
    assert config["videos"]["extra"]["evening"]["path"] == "/home/ann/path.json"
