import pytest

from nrw.core.errors import UserError
from nrw.dataset.split import read_split, split_photos, write_split

SETTINGS = {"min_density": 0.15, "validation_share": 0.1, "min_validation": 2, "seed": 1}


def densities(count):
    return {f"{i:04d}": 0.2 + i / 1000 for i in range(count)}


def train_val(rows):
    return {where: {row["id"] for row in rows if row["split"] == where} for where in ("train", "val", "dropped")}


class TestSplit:
    def test_every_usable_photo_is_in_one_part_and_the_share_holds(self):
        parts = train_val(split_photos(densities(60) | {"0060": 0.15, "0061": 0.0}, **SETTINGS))
        assert len(parts["val"]) == 6
        assert parts["dropped"] == {"0060", "0061"}
        assert not parts["train"] & parts["val"]
        assert len(parts["train"]) == 54

    def test_is_a_function_of_the_seed_and_not_of_the_order(self):
        photos = densities(40)
        rows = split_photos(photos, **SETTINGS)
        assert rows == split_photos(dict(reversed(photos.items())), **SETTINGS)
        assert train_val(rows) != train_val(split_photos(photos, **SETTINGS | {"seed": 2}))

    @pytest.mark.parametrize(("count", "validation"), [(3, 1), (4, 2), (10, 2), (30, 3)])
    def test_validation_has_a_floor_and_never_takes_more_than_half(self, count, validation):
        assert len(train_val(split_photos(densities(count), **SETTINGS))["val"]) == validation

    def test_too_few_usable_photos_name_the_densities_and_what_to_try(self):
        with pytest.raises(UserError, match=r"Only 2 of 3 .*0002: 0\.100.*splat"):
            split_photos({"0000": 0.5, "0001": 0.4, "0002": 0.1}, **SETTINGS)

    def test_csv_keeps_it(self, tmp_path):
        rows = split_photos(densities(5), **SETTINGS)
        write_split(tmp_path / "split.csv", rows)
        assert read_split(tmp_path / "split.csv") == {row["id"]: row["split"] for row in rows}
