"""Matching in pieces, and after an interruption."""

import shutil

import pycolmap
import pytest
from corner_scene import MATCH, content, match

from nrw.sfm import matching
from nrw.sfm.matching import match_pairs, merge_matches
from nrw.sfm.pairs import choose_pairs


def test_pieces_of_the_pairs_give_the_same_database(scene, tmp_path):
    before = (scene / "features.db").stat().st_mtime_ns
    match(scene / "features.db", tmp_path / "database.db", pieces=3, **MATCH)
    whole, pieced = content(scene / "database.db"), content(tmp_path / "database.db")
    assert len(whole["two_view_geometries"]) == 14 * 13 // 2
    assert pieced == whole
    assert (scene / "features.db").stat().st_mtime_ns == before
    assert not list(tmp_path.rglob("*partial*"))


def test_more_pieces_than_pairs(scene, tmp_path):
    (tmp_path / "pairs.txt").write_text("0000.jpg 0001.jpg\n")
    results = [tmp_path / f"{item}.db" for item in ("1-of-2", "2-of-2")]
    for result in results:
        match_pairs(scene / "features.db", tmp_path / "pairs.txt", result.stem, result, seed=1)
    merge_matches(scene / "features.db", results, tmp_path / "database.db", seed=1)
    assert [len(content(result)["matches"]) for result in results] == [0, 1]
    assert content(tmp_path / "database.db")["matches"] == content(scene / "database.db")["matches"][:1]


def test_an_interrupted_piece_matches_only_the_pairs_that_are_missing(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(matching, "BATCH", 20)
    features, pairs, result = tmp_path / "features.db", tmp_path / "pairs.txt", tmp_path / "1-of-1.db"
    shutil.copyfile(scene / "features.db", features)
    choose_pairs(features, pairs, **MATCH)
    matched, original, interrupt_after = [], pycolmap.match_image_pairs, 40

    def counting(database, matching_options, pairing, verification):
        if len(matched) == interrupt_after:
            raise KeyboardInterrupt
        matched.extend(pairing.match_list_path.read_text().splitlines())
        original(database, matching_options, pairing, verification)

    monkeypatch.setattr(pycolmap, "match_image_pairs", counting)
    with pytest.raises(KeyboardInterrupt):
        match_pairs(features, pairs, "1-of-1", result, seed=1)
    assert not result.exists()
    interrupt_after = None
    match_pairs(features, pairs, "1-of-1", result, seed=1)
    assert len(matched) == len(set(matched)) == 14 * 13 // 2
    assert content(result)["two_view_geometries"] == content(scene / "database.db")["two_view_geometries"]

    result.rename(tmp_path / "1-of-1.partial.sqlite")
    features.touch()  # other features: what an earlier try left does not count
    matched.clear()
    match_pairs(features, pairs, "1-of-1", result, seed=1)
    assert len(matched) == 14 * 13 // 2
