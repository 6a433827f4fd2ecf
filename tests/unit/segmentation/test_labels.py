"""Label maps of a chunk of photos, and the classes that all maps show."""

import numpy as np
import pytest

from nrw.core.ade20k import label_of
from nrw.core.errors import UserError
from nrw.core.io import read_image, read_json, write_image
from nrw.segmentation.labels import gather_classes, segment_photos


def test_a_chunk_is_labelled_and_resumed(segformer, tmp_path, pixels):
    images, out = tmp_path / "images", tmp_path / "segmentation"
    for i in range(3):
        write_image(images / f"000{i}.jpg", np.roll(pixels, i, axis=0))
    ids, settings = ["0000", "0002"], {"model": str(segformer), "max_size": 64, "device": "cpu"}
    segment_photos(images, out, ids, out / "chunks" / "1.key", **settings)
    assert sorted(path.name for path in out.glob("*.png")) == ["0000.png", "0002.png"]
    labels = read_image(out / "0002.png")
    assert labels.shape == pixels.shape[:2]
    assert labels.dtype == np.uint8

    kept = (out / "0000.png").stat().st_mtime_ns
    (out / "0002.png").unlink()
    segment_photos(images, out, ids, out / "chunks" / "1.key", **settings)
    assert (out / "0000.png").stat().st_mtime_ns == kept
    np.testing.assert_array_equal(read_image(out / "0002.png"), labels)

    segment_photos(images, out, ids, out / "chunks" / "1.key", **settings | {"max_size": 48})
    assert (out / "0000.png").stat().st_mtime_ns != kept


def test_classes_say_what_the_photos_show(tmp_path):
    sky, person, building = (label_of(name) for name in ("sky", "person", "building"))
    write_image(tmp_path / "0000.png", np.array([[sky, sky, building, building]], np.uint8))
    write_image(tmp_path / "0001.png", np.array([[sky, sky, person, 0]], np.uint8))
    write_image(tmp_path / "0002.png", np.array([[sky, sky, sky, sky]], np.uint8))  # of a photo that is gone
    write_image(tmp_path / "mine.png", np.array([[sky, sky, sky, sky]], np.uint8))
    gather_classes(
        tmp_path, tmp_path / "classes.json", ["0000", "0001"], model="some/model", transient=["person"], sky=["sky"]
    )
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["0000.png", "0001.png", "mine.png"]
    summary = read_json(tmp_path / "classes.json")
    assert (summary["model"], summary["photos"], summary["transient"], summary["sky"]) == (
        "some/model",
        2,
        ["person"],
        ["sky"],
    )
    assert summary["classes"] == [
        {"label": sky, "name": "sky", "share": 0.5, "photos": 2, "role": "sky"},
        {"label": building, "name": "building", "share": 0.25, "photos": 1, "role": "scene"},
        {"label": 0, "name": "unknown", "share": 0.125, "photos": 1, "role": "scene"},
        {"label": person, "name": "person", "share": 0.125, "photos": 1, "role": "transient"},
    ]
    with pytest.raises(UserError, match="nearest is 'person'"):
        gather_classes(tmp_path, tmp_path / "x.json", [], model="some/model", transient=["persn"], sky=[])
