"""Joining the parts of a set: which pairs are matched, and what becomes of the database."""

import shutil

import numpy as np
import pycolmap
import pytest
from corner_scene import RECONSTRUCT, content, run_reconstruct

from nrw.core.io import read_json, write_json
from nrw.sfm import rescue
from nrw.sfm.database import image_ids, opened
from nrw.sfm.matching import verification
from nrw.sfm.reconstruction import find_parts
from nrw.sfm.rescue import append_features, append_matches, join_parts, pairs_between, supporting_pairs, without_print
from nrw.sfm.stationary import Picture, read_pictures

JOIN = dict(device="cpu", threads=1, reproducible=True, seed=1)


def test_pairs_are_of_different_parts_the_most_similar_first():
    parts = [{1, 2, 3}, {3, 4, 5}]
    similar = {4: [5, 3, 2, 6, 1], 6: [4, 1], 5: [1, 4]}
    assert pairs_between(similar, parts, 99) == [(2, 4), (1, 5), (4, 6), (1, 6), (1, 4)]
    assert pairs_between(similar, parts, 2) == [(2, 4), (1, 5)]
    assert pairs_between({1: [2], 2: [1]}, [], 99) == [(1, 2)]


def test_a_photo_is_supported_by_those_of_its_part_with_most_matches():
    inliers = {(1, 2): 40, (1, 3): 90, (2, 3): 50, (1, 4): 99, (4, 5): 20, (5, 6): 0}
    parts = [{1, 2, 3}, {4, 5, 6}]
    assert supporting_pairs([5, 1], inliers, parts, 1) == [(1, 3), (4, 5)]
    assert supporting_pairs([1, 2], inliers, parts, 2) == [(1, 3), (1, 2), (2, 3)]
    assert supporting_pairs([7], inliers, parts, 3) == []


def test_learned_matches_of_print_are_left_out():
    rng = np.random.default_rng(0)
    print_ = rng.uniform([10, 180], [150, 195], (30, 2))  # at one place of all photos
    pictures = {
        image: Picture(np.concatenate([print_, rng.uniform(0, [320, 170], (60, 2))]), np.array([320.0, 240.0]))
        for image in (1, 2, 3)
    }
    every = np.stack([np.arange(90)] * 2, 1)
    found = without_print(pictures, {(1, 2): every, (1, 3): every, (2, 3): every})
    for matches in found.values():
        assert matches.min() >= 30 and len(matches) > 50


@pytest.fixture
def database(scene, tmp_path):
    """The database of photos 0 to 5 and others, without matches between 0, 1, 2 and 3, 4, 5."""
    path = tmp_path / "database.db"
    shutil.copy(scene / "database.db", path)
    ids = image_ids(path)
    with opened(path) as connection:
        for a in range(3):
            for b in range(3, 6):
                pair = ids[f"{a:04}.jpg"], ids[f"{b:04}.jpg"]
                connection.delete_matches(*pair)
                connection.delete_two_view_geometry(*pair)
    return path


def test_learned_keypoints_stand_behind_those_of_sift_and_matches_are_shifted(database):
    points = np.array([[10.5, 20.25], [30, 40]])
    with opened(database) as connection:
        before = connection.read_keypoints(1)
        assert append_features(connection, 1, points) == len(before)
        after = connection.read_keypoints(1)
        np.testing.assert_array_equal(after[: len(before)], before)
        np.testing.assert_array_equal(after[len(before) :, :2], points)

        known = connection.read_two_view_geometry(1, 2).inlier_matches
        append_matches(connection, (1, 2), known[:50], verification(1))
        matches = connection.read_matches(1, 2)
        np.testing.assert_array_equal(matches, np.concatenate([known, known[:50]]))
        assert len(connection.read_two_view_geometry(1, 2).inlier_matches) > 0.9 * len(matches)


class TrueMatcher:
    """In place of the networks: the features and verified matches of the complete database."""

    def __init__(self, path):
        self.ids = image_ids(path)
        with opened(path) as database:
            self.pictures = read_pictures(database)
            pairs, geometries = database.read_two_view_geometries()
        pairs = map(pycolmap.pair_id_to_image_pair, pairs)
        self.matches = {pair: geometry.inlier_matches for pair, geometry in zip(pairs, geometries, strict=True)}

    def picture(self, name):
        return self.pictures[self.ids[name]]

    def match(self, pairs, what):
        none = np.zeros((0, 2), int)
        return [self.matches.get((self.ids[a], self.ids[b]), none).astype(int) for a, b in pairs]


def test_parts_that_match_become_one_model(scene, database, tmp_path, monkeypatch):
    complete = shutil.copy(scene / "database.db", tmp_path / "complete.db")
    monkeypatch.setattr(rescue, "LearnedMatcher", lambda *_: TrueMatcher(complete))
    parts, joined = tmp_path / "parts.json", tmp_path / "joined.db"
    find_parts(scene / "images", database, parts, **RECONSTRUCT)
    members = [{int(name[:4]) for name in part} for part in read_json(parts)]
    assert {0, 1, 2} in members and {3, 4, 5} in members
    join_parts(scene / "images", database, parts, joined, **JOIN)
    summary, model = run_reconstruct(scene, joined, tmp_path / "out")
    assert summary["models"][0]["photos"] == 6
    assert {image.name for image in model.images.values()} == {f"{number:04}.jpg" for number in range(6)}


def test_a_set_in_one_piece_keeps_its_database(scene, database, tmp_path):
    write_json(tmp_path / "parts.json", [sorted(image_ids(database))])
    join_parts(scene / "images", database, tmp_path / "parts.json", tmp_path / "joined.db", **JOIN)
    assert content(tmp_path / "joined.db") == content(database)


def test_the_same_database_is_written_again(scene, database, tmp_path, monkeypatch):
    complete = shutil.copy(scene / "database.db", tmp_path / "complete.db")
    monkeypatch.setattr(rescue, "LearnedMatcher", lambda *_: TrueMatcher(complete))
    write_json(tmp_path / "parts.json", [[f"{number:04}.jpg" for number in part] for part in ((0, 1, 2), (3, 4, 5))])
    before = database.read_bytes()
    for name in ("a.db", "b.db"):
        join_parts(scene / "images", database, tmp_path / "parts.json", tmp_path / name, **JOIN)
    assert content(tmp_path / "a.db") == content(tmp_path / "b.db") != content(database)
    assert database.read_bytes() == before
