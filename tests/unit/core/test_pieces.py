"""The photos of a chunk, and those that are left of it over reruns with the same and with other inputs."""

import os

import pytest

from nrw.core.pieces import chunk, pending, remove_others


def test_chunks_cover_everything_once():
    ids = [f"{number:04}" for number in range(11)]
    pieces = [chunk(ids, f"{number}-of-3") for number in (1, 2, 3)]
    assert sorted(photo_id for piece in pieces for photo_id in piece) == ids
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


@pytest.fixture
def three_photos(tmp_path):
    """A chunk of three photos with two files each: a function that runs `pending`, and one that does a photo."""
    source = tmp_path / "cloud.ply"
    source.write_text("points")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "cameras.bin").write_text("cameras")

    def paths_of(photo_id):
        return [tmp_path / f"{photo_id}_index.npy", tmp_path / f"{photo_id}_depth.npy"]

    def run(size=320):
        fingerprint = {"inputs": [source, folder], "size": size}
        return pending(["0000", "0001", "0002"], tmp_path / "keys" / "1-of-2.json", fingerprint, paths_of)

    def do(photo_id):
        for path in paths_of(photo_id):
            path.write_text("result")

    return run, do, paths_of, source, folder


def test_everything_is_pending_at_first(three_photos):
    run, *_ = three_photos
    assert run() == ["0000", "0001", "0002"]


def test_what_is_done_is_skipped(three_photos):
    run, do, paths_of, *_ = three_photos
    run()
    do("0001")
    assert run() == ["0000", "0002"]
    paths_of("0001")[1].unlink()  # half a result is none
    assert run() == ["0000", "0001", "0002"]


def test_another_parameter_starts_anew_and_deletes_the_old(three_photos):
    run, do, paths_of, *_ = three_photos
    run()
    do("0001")
    assert run(size=640) == ["0000", "0001", "0002"]
    assert not any(path.exists() for path in paths_of("0001"))
    do("0002")
    assert run(size=640) == ["0000", "0001"]


@pytest.mark.parametrize("change", ["size", "time", "file in a folder"])
def test_another_input_starts_anew(three_photos, change):
    run, do, _, source, folder = three_photos
    run()
    do("0000")
    stat = source.stat()
    if change == "size":
        source.write_text("more points")
        os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    else:
        (folder / "images.bin").write_text("images")
    assert run() == ["0000", "0001", "0002"]


def test_results_of_unknown_origin_do_not_count(three_photos):
    run, do, *_ = three_photos
    do("0000")  # no key file says what they were made from
    assert run() == ["0000", "0001", "0002"]


def test_a_missing_input_is_an_error(three_photos):
    run, _, _, source, _ = three_photos
    source.unlink()
    with pytest.raises(FileNotFoundError):
        run()


def test_files_of_photos_that_are_gone_are_deleted_and_no_others(tmp_path):
    for name in ("0000_seg.png", "0001_seg.png", "0001_seg_rgb.png", "0001.png", "my_seg.png", "index.csv"):
        (tmp_path / name).touch()
    remove_others(["0000"], lambda photo_id: [tmp_path / f"{photo_id}_seg.png", tmp_path / f"{photo_id}_depth.png"])
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"0000_seg.png", "0001_seg_rgb.png", "0001.png", "my_seg.png", "index.csv"}
