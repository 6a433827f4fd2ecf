"""The pairs that are matched: all, or those of similar photos."""

import pycolmap
import pytest
from corner_scene import MATCH, content, match, run_reconstruct

from nrw.core.errors import UserError
from nrw.sfm.pairs import retrieval_pairs


def test_retrieval_pairs_photos_of_one_place(scene):
    database = pycolmap.Database.open(scene / "features.db")
    ids = {image.image_id: int(image.name[:4]) for image in database.read_all_images()}
    pairs = retrieval_pairs(database, 2, threads=1, seed=1)
    again = retrieval_pairs(database, 2, threads=1, seed=1)
    database.close()
    assert pairs == again and len(set(pairs)) == len(pairs)
    pairs = {(ids[a], ids[b]) for a, b in pairs}
    assert {(a, a + 1) for a in range(9) if a != 5} <= pairs
    assert not {(a, b) for a, b in pairs if a < 6 <= b < 10}


def test_retrieval_above_a_number_of_photos(scene, tmp_path):
    def compared(path):
        database = pycolmap.Database.open(path)
        pairs, _ = database.read_num_matches()
        database.close()
        return len(pairs)

    match(scene / "features.db", tmp_path / "out.db", **(MATCH | {"matcher": "auto", "retrieval_above": 13}))
    assert 0 < compared(tmp_path / "out.db") < compared(scene / "database.db")
    exhaustive, retrieved = content(scene / "database.db"), content(tmp_path / "out.db")
    assert set(retrieved["two_view_geometries"]) < set(exhaustive["two_view_geometries"])
    summary, _ = run_reconstruct(scene, tmp_path / "out.db", tmp_path)
    assert summary["registered"] == 6


def test_unknown_names_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"sfm\.matcher is 'exact'.*auto, exhaustive, retrieval"):
        match(tmp_path / "a.db", tmp_path / "b.db", **(MATCH | {"matcher": "exact"}))
