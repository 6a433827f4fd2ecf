import numpy as np
import pytest

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_csv, read_image, write_image
from nrw.dataset.format2019 import export_aligned, import_aligned
from nrw.dataset.pack import pack_dataset
from nrw.dataset.packed import PackedDataset
from nrw.dataset.split import read_split

SETTINGS = {"min_density": 0.15, "validation_share": 0.1, "min_validation": 2, "seed": 1}
LABELS = [ade20k.label_of(name) for name in ("building", "sky", "tree", "person")]


def write_photo(folder, number, size=(16, 24), density=0.5, labels=True, alpha=True):
    """One photo of a 2019 set: left `density` of the render is covered; returns its pictures."""
    rng = np.random.default_rng(int(number))
    height, width = size
    reference = rng.integers(0, 256, (height, width, 3), np.uint8)
    covered = np.broadcast_to(np.arange(width) < round(density * width), (height, width))
    color = np.where(covered[..., None], rng.integers(1, 256, (height, width, 3), np.uint8), 0).astype(np.uint8)
    depth = np.where(covered, rng.integers(300, 60000, (height, width)), 0).astype(np.uint16)
    label_map = rng.choice(LABELS, (height, width)).astype(np.uint8)
    write_image(folder / f"{number}_reference.png", reference)
    write_image(folder / f"{number}_color.png", np.dstack([color, covered.astype(np.uint8) * 255]) if alpha else color)
    write_image(folder / f"{number}_depth.png", depth)
    if labels:
        write_image(folder / f"{number}_seg_rgb.png", ade20k.colorize(label_map))
    return reference, color, depth, label_map


@pytest.fixture
def release(tmp_path):
    """A 2019 set in train/ and val/."""
    photos = {}
    for part, numbers in (("train", ("0000", "0002", "0005")), ("val", ("0001",))):
        for number in numbers:
            photos[number] = write_photo(tmp_path / "release" / part, number, alpha=number != "0002")
    return tmp_path / "release", photos


class TestImport:
    def test_pictures_split_and_labels_come_in(self, release, tmp_path):
        folder, photos = release
        import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        assert read_split(tmp_path / "aligned" / "split.csv") == {
            "0000": "train",
            "0001": "val",
            "0002": "train",
            "0005": "train",
        }
        for photo, (reference, color, depth, labels) in photos.items():
            for kind, pixels in (("reference", reference), ("depth", depth), ("seg", labels)):
                np.testing.assert_array_equal(read_image(tmp_path / "aligned" / f"{photo}_{kind}.png"), pixels)
            rgba = read_image(tmp_path / "aligned" / f"{photo}_color.png")
            np.testing.assert_array_equal(rgba[..., :3], color)
            np.testing.assert_array_equal(rgba[..., 3], np.where(color.any(-1), 255, 0))
        rows = read_csv(tmp_path / "aligned" / "index.csv")
        assert [row["id"] for row in rows] == ["0000", "0001", "0002", "0005"]
        assert rows[1] | {"file": "val/0001_reference.png", "width": "24", "height": "16", "density": "0.5"} == rows[1]

    def test_what_came_in_can_be_packed(self, release, tmp_path):
        folder, photos = release
        import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        pack_dataset(
            tmp_path / "aligned", None, tmp_path / "aligned" / "split.csv", tmp_path / "dataset", levels=2, splat=1
        )
        dataset = PackedDataset(tmp_path / "dataset")
        view = dataset.view("0001")
        np.testing.assert_array_equal(view.pixels, photos["0001"][0])
        np.testing.assert_array_equal(view.color[0], photos["0001"][1])
        np.testing.assert_array_equal(view.depth[0], photos["0001"][2])
        np.testing.assert_array_equal(view.labels, photos["0001"][3])
        assert view.camera is None
        assert dataset.val_ids == ["0001"]

    def test_numbers_in_both_folders_are_made_anew(self, tmp_path):
        for part in ("train", "val"):
            for number in ("0000", "0001"):
                write_photo(tmp_path / "release" / part, number)
        import_aligned(tmp_path / "release", tmp_path / "aligned", **SETTINGS)
        assert read_split(tmp_path / "aligned" / "split.csv") == {
            "0000": "train",
            "0001": "train",
            "0002": "val",
            "0003": "val",
        }

    def test_a_flat_folder_is_split_by_seed_and_sparse_renders_are_dropped(self, tmp_path):
        for number in range(8):
            write_photo(tmp_path / "flat", f"{number:04d}", density=0.1 if number == 3 else 0.5, labels=False)
        import_aligned(tmp_path / "flat", tmp_path / "aligned", **SETTINGS)
        parts = read_split(tmp_path / "aligned" / "split.csv")
        assert parts["0003"] == "dropped"
        assert sorted(parts.values()) == ["dropped", *["train"] * 5, *["val"] * 2]
        assert not list((tmp_path / "aligned").glob("*_seg*.png"))

    def test_sides_are_cut_to_multiples_of_8_in_the_middle(self, tmp_path):
        for number in range(3):
            pictures = write_photo(tmp_path / "flat", f"{number:04d}", size=(21, 27))
        import_aligned(tmp_path / "flat", tmp_path / "aligned", **SETTINGS)
        for kind, pixels in zip(("reference", "depth"), (pictures[0], pictures[2]), strict=True):
            cut = read_image(tmp_path / "aligned" / f"0002_{kind}.png")
            np.testing.assert_array_equal(cut, pixels[2:18, 1:25])

    def test_labels_of_an_earlier_import_do_not_stay(self, release, tmp_path):
        folder, _ = release
        import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        for path in folder.glob("*/*_seg_rgb.png"):
            path.unlink()
        import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        assert not list((tmp_path / "aligned").glob("*_seg*.png"))

    def test_photos_of_an_earlier_import_do_not_stay(self, release, tmp_path):
        folder, _ = release
        import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        for path in folder.glob("train/0002_*.png"):
            path.unlink()
        import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        assert {path.name[:4] for path in (tmp_path / "aligned").glob("*.png")} == {"0000", "0001", "0005"}
        export_aligned(tmp_path / "aligned", tmp_path / "out")
        assert not list((tmp_path / "out").glob("*/0002_*"))

    def test_all_problems_are_listed_at_once(self, release, tmp_path):
        folder, _ = release
        (folder / "train" / "0000_color.png").unlink()
        write_image(folder / "train" / "0002_depth.png", np.zeros((16, 24), np.uint8))
        write_image(folder / "train" / "0005_color.png", np.zeros((16, 16, 4), np.uint8))
        (folder / "val" / "0001_seg_rgb.png").unlink()
        depth = folder / "val" / "0001_depth.png"
        depth.write_bytes(depth.read_bytes()[:100])
        with pytest.raises(UserError) as error:
            import_aligned(folder, tmp_path / "aligned", **SETTINGS)
        assert str(error.value).splitlines()[1:] == [
            "  train/0000_color.png is missing",
            "  train/0002_depth.png is L, expected I;16",
            "  train/0005_color.png is 16x16, its reference 24x16",
            "  val/0001_depth.png is no picture, expected I;16",
            "  val/0001_seg_rgb.png is missing, though other photos have labels",
        ]
        assert not (tmp_path / "aligned").exists()

    def test_labels_that_ade20k_does_not_have(self, release, tmp_path):
        write_image(release[0] / "train" / "0002_seg.png", np.full((16, 24), 151, np.uint8))
        with pytest.raises(UserError, match=r"0002_seg\.png has the value 151"):
            import_aligned(release[0], tmp_path / "aligned", **SETTINGS)

    def test_a_folder_without_pictures(self, tmp_path):
        with pytest.raises(UserError, match=r"no aligned data set.*0000_reference\.png"):
            import_aligned(tmp_path, tmp_path / "aligned", **SETTINGS)

    def test_a_part_without_usable_photos(self, tmp_path):
        for number in range(3):
            write_photo(tmp_path / "release" / "train", f"{number:04d}")
        write_photo(tmp_path / "release" / "val", "0003", density=0.1)
        with pytest.raises(UserError, match=r"val/ has no usable photo \(of 1\)"):
            import_aligned(tmp_path / "release", tmp_path / "aligned", **SETTINGS)


class TestExport:
    def test_what_goes_out_comes_back(self, release, tmp_path):
        import_aligned(release[0], tmp_path / "aligned", **SETTINGS)
        export_aligned(tmp_path / "aligned", tmp_path / "out")
        names = ("color", "depth", "reference", "seg", "seg_rgb")
        assert sorted(path.name for path in (tmp_path / "out" / "val").iterdir()) == [
            f"0001_{kind}.png" for kind in names
        ]
        import_aligned(tmp_path / "out", tmp_path / "again", **SETTINGS)
        first, again = ({path.name: path for path in (tmp_path / name).iterdir()} for name in ("aligned", "again"))
        assert first.keys() == again.keys()
        for name in first:
            if name.endswith(".png"):
                np.testing.assert_array_equal(read_image(first[name]), read_image(again[name]))
            else:
                assert first[name].read_text() == again[name].read_text()

    def test_dropped_photos_stay_behind(self, tmp_path):
        for number in range(4):
            write_photo(tmp_path / "flat", f"{number:04d}", density=0.1 if number == 1 else 0.5)
        import_aligned(tmp_path / "flat", tmp_path / "aligned", **SETTINGS)
        export_aligned(tmp_path / "aligned", tmp_path / "out")
        assert not list((tmp_path / "out").glob("*/0001_*"))
        assert len(list((tmp_path / "out").glob("*/*_reference.png"))) == 3

    def test_errors(self, release, tmp_path):
        with pytest.raises(UserError, match=r"no split\.csv"):
            export_aligned(tmp_path, tmp_path / "out")
        import_aligned(release[0], tmp_path / "aligned", **SETTINGS)
        with pytest.raises(UserError, match="exists"):
            export_aligned(tmp_path / "aligned", tmp_path / "aligned")
        (tmp_path / "aligned" / "0001_depth.png").unlink()
        with pytest.raises(UserError, match=r"lacks 0001_depth\.png"):
            export_aligned(tmp_path / "aligned", tmp_path / "out")
        assert not (tmp_path / "out").exists()
