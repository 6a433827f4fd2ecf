"""Models of a hub that runs on this machine: fetched once, found without it, and errors that say what to do."""

import json
import shutil

import pytest
from fake_hub import MODEL, NOBODY, SHA, serve, use
from small_disk import small_disk

from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.segmentation.hub import fetch
from nrw.segmentation.segmenter import Segmenter


@pytest.fixture
def repository(segformer, tmp_path):
    """A model as repositories have it, with what nobody needs beside it."""
    folder = tmp_path / "repository"
    shutil.copytree(segformer, folder)
    (folder / "pytorch_model.bin").write_bytes(b"0" * 1000)
    (folder / "README.md").write_text("a model")
    return folder


def test_a_model_is_fetched_once_and_then_needs_no_hub(repository, monkeypatch, tmp_path, pixels):
    with serve(repository) as (address, asked):
        use(monkeypatch, address, tmp_path / "cache")
        folder = fetch(MODEL)
        assert {path.name for path in folder.iterdir()} == {
            "config.json", "model.safetensors", "preprocessor_config.json",
        }  # fmt: skip
        assert (folder / "model.safetensors").read_bytes() == (repository / "model.safetensors").read_bytes()
        asked.clear()
        assert fetch(MODEL) == folder
        labels = Segmenter(MODEL, 64, "cpu")(pixels)
        assert asked == []
    use(monkeypatch, NOBODY, tmp_path / "cache", offline=True)
    assert (Segmenter(MODEL, 64, "cpu")(pixels) == labels).all()


def test_a_revision_is_one_of_its_own(repository, monkeypatch, tmp_path):
    with serve(repository) as (address, asked):
        use(monkeypatch, address, tmp_path / "cache")
        assert fetch(f"{MODEL}@v2").name == SHA
    assert any(path.endswith("/revision/v2") for path in asked)
    use(monkeypatch, NOBODY, tmp_path / "cache", offline=True)
    fetch(f"{MODEL}@v2")
    with pytest.raises(UserError, match="not in the cache"):
        fetch(MODEL)


def test_what_an_interruption_left_out_is_fetched(repository, monkeypatch, tmp_path):
    with serve(repository) as (address, _):
        use(monkeypatch, address, tmp_path / "cache")
        whole = {path.name for path in fetch(MODEL).iterdir()}
        (fetch(MODEL) / "preprocessor_config.json").unlink()
        assert {path.name for path in fetch(MODEL).iterdir()} == whole


@pytest.mark.parametrize(
    ("offline", "reason"),
    [(False, rf"{NOBODY} did not give it: .*Connect"), (True, "HF_HUB_OFFLINE forbids to fetch it")],
)
def test_a_hub_out_of_reach(monkeypatch, tmp_path, offline, reason):
    use(monkeypatch, NOBODY, tmp_path, offline)
    with pytest.raises(UserError, match=reason) as error:
        fetch(f"{MODEL}@v2")
    for part in (
        f"segmentation.model {MODEL}@v2 is not in the cache {tmp_path}",
        f"hf download {MODEL} --revision v2 --local-dir FOLDER",
        "set segmentation.model to it",
        "none",
    ):
        assert part in str(error.value)


def test_a_model_that_the_hub_does_not_have(repository, monkeypatch, tmp_path):
    with serve(repository) as (address, _):
        use(monkeypatch, address, tmp_path / "cache")
        with pytest.raises(UserError, match=r"segmentation\.model someone/other .*404"):
            fetch("someone/other")


def test_a_model_of_other_classes_is_refused_where_it_is_fetched(repository, monkeypatch, tmp_path):
    config = read_json(repository / "config.json") | {"id2label": {"0": "road", "1": "sidewalk"}}
    (repository / "config.json").write_text(json.dumps(config))
    with serve(repository) as (address, _):
        use(monkeypatch, address, tmp_path / "cache")
        with pytest.raises(UserError, match=f"{MODEL} does not label ADE20K's 150 classes"):
            fetch(MODEL)
    use(monkeypatch, NOBODY, tmp_path / "cache")
    with pytest.raises(UserError, match=f"{MODEL} does not label ADE20K's 150 classes"):
        fetch(MODEL)


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_disk_without_room_for_a_model_is_no_fault_of_the_hub(repository, monkeypatch, tmp_path):
    with serve(repository) as (address, _), small_disk(tmp_path / "cache", 1 << 14):
        use(monkeypatch, address, tmp_path / "cache")
        with pytest.raises(UserError, match=r"No space left on device.*Make room") as error:
            fetch(MODEL)
        assert "did not give it" not in str(error.value)
