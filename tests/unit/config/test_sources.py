"""Scenes remember the folders that they are made from."""

import shlex
from types import SimpleNamespace

import pytest
import yaml

from nrw.config.resolve import resolve
from nrw.config.sources import check_sources, recall, remember, scene_name
from nrw.core.errors import UserError
from nrw.core.folder import SOURCE


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A working directory with two folders of one last name; files of scenes by name."""
    monkeypatch.chdir(tmp_path)
    for city in ("rome", "paris"):
        (tmp_path / city / "images").mkdir(parents=True)

    def source(scene):
        return {scene: tmp_path / "results" / scene / SOURCE}

    return SimpleNamespace(root=tmp_path, source=source)


def scenes_of(message):
    """The scenes that the advised option names, as Snakemake reads it."""
    option = next(line for line in message.splitlines() if "--config" in line)
    flag, entry = shlex.split(option)
    assert flag == "--config"
    key, _, text = entry.partition("=")
    return resolve({key: yaml.load(text, yaml.loader.BaseLoader)})["scenes"]


def test_scene_names_are_safe():
    assert scene_name("/a/b'; rm -rf $HOME #") == "b_rm_-rf_HOME"
    assert scene_name("/a/../..") == "scene"


def test_another_folder_of_the_same_name_stops_with_both_paths_and_what_to_do(disk):
    remember(disk.source("images")["images"], {"photos": "rome/images"})
    with pytest.raises(UserError) as stopped:
        check_sources({"images": {"photos": "paris/images"}}, disk.source("images"))
    message = str(stopped.value)
    assert f"made from: {disk.root}/rome/images" in message and f"named now: {disk.root}/paris/images" in message
    assert scenes_of(message) == {"paris_images": {"photos": "paris/images"}}
    assert [line.strip() for line in message.splitlines() if "rm " in line] == [
        f"rm -r -- {disk.root}/results/images", f"rm -r -- {disk.root}/results/images/{SOURCE}",
    ]  # fmt: skip


def test_the_advised_name_is_free_or_has_the_same_source(disk):
    (disk.root / "other" / "paris" / "images").mkdir(parents=True)
    remember(disk.source("images")["images"], {"photos": "rome/images"})
    remember(disk.source("paris_images")["paris_images"], {"photos": "other/paris/images"})
    with pytest.raises(UserError) as stopped:
        check_sources({"images": {"photos": "paris/images"}}, disk.source("images"))
    assert list(scenes_of(str(stopped.value))) == ["paris_images_2"]
    with pytest.raises(UserError) as stopped:
        check_sources({"images": {"photos": "other/paris/images"}}, disk.source("images"))
    assert list(scenes_of(str(stopped.value))) == ["paris_images"]


@pytest.mark.parametrize("name", ['a "b" {c}', "it's: #1", "été 🗼", "a\\b, c"])
def test_the_advised_option_keeps_odd_names(disk, name):
    remember(disk.source("x")["x"], {"photos": "rome/images"})
    with pytest.raises(UserError) as stopped:
        check_sources({"x": {"photos": name}}, disk.source("x"))
    assert list(scenes_of(str(stopped.value)).values()) == [{"photos": name}]


def test_names_that_are_made_equal_are_told_apart(disk):
    (disk.root / "a b").mkdir()
    (disk.root / "a_b").mkdir()
    scene = resolve({"photos": "a b"})["scenes"]
    remember(disk.source("a_b")["a_b"], scene["a_b"])
    with pytest.raises(UserError, match=r"made from: .*/a b "):
        check_sources(resolve({"photos": "a_b"})["scenes"], disk.source("a_b"))


def test_the_same_folder_by_another_path_is_the_same_source(disk):
    remember(disk.source("images")["images"], {"photos": "rome/images"})
    (disk.root / "link").symlink_to("rome")
    for path in ("rome/images/", "./rome/../rome/images", str(disk.root / "rome" / "images"), "link/images"):
        check_sources({"images": {"photos": path}}, disk.source("images"))
    with pytest.raises(UserError, match=r"\(aligned\)"):  # its photos, or a data set in it
        check_sources({"images": {"aligned": "rome/images"}}, disk.source("images"))


def test_results_that_remember_nothing_are_taken_over_and_a_damaged_memory_is_said(disk):
    file = disk.source("images")["images"]
    check_sources({"images": {"photos": "paris/images"}}, disk.source("images"))
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(UserError, match=rf"damaged\. Delete it(.|\n)*rm -r -- {file}"):
        recall(file)


def test_photos_on_the_command_line_do_not_replace_a_scene_of_the_file(disk):
    scenes = {"images": {"photos": "rome/images"}}
    with pytest.raises(UserError, match=r"rome/images.*, named under `scenes`, and .*paris/images") as stopped:
        resolve({"scenes": scenes, "photos": "paris/images"})
    assert scenes_of(str(stopped.value)) == {"paris_images": {"photos": "paris/images"}}
    assert resolve({"scenes": scenes, "photos": "./rome/images"})["scenes"] == {"images": {"photos": "./rome/images"}}


def test_names_that_are_not_utf_8_are_remembered(disk):
    folder = str(disk.root / "a\udcff")
    remember(disk.source("a")["a"], {"photos": folder})
    check_sources({"a": {"photos": folder}}, disk.source("a"))
