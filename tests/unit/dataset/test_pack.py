import errno
import json
import pickle

import numpy as np
import pytest
import torch

from nrw.core.ade20k import GROUPS, label_of
from nrw.core.errors import UserError
from nrw.core.io import write_csv, write_image
from nrw.dataset.pack import DepthPercentiles, pack_dataset
from nrw.dataset.packed import PackedDataset
from nrw.dataset.split import write_split
from nrw.framebuffers.aligned import INDEX_FIELDS, POSE_FIELDS
from nrw.framebuffers.levels import Level, level_path, save_level

COLORS = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]], np.uint8)


def test_depth_percentiles_agree_with_numpy():
    rng = np.random.default_rng(0)
    depth = np.exp(rng.normal(0, 2, (40, 50, 60))).astype(np.float32)
    streamed = DepthPercentiles()
    for part in depth:
        streamed.add(np.concatenate([part, np.zeros_like(part), -part]))
    assert streamed.percentiles(1, 50, 99) == pytest.approx(np.percentile(depth, [1, 50, 99]), rel=2e-3)


def write_level(buffers, photo_id, index, depth, color):
    arrays = (color, depth, index, 255 * (depth > 0).astype(np.uint8))
    save_level(level_path(buffers, photo_id), Level(*(torch.from_numpy(np.array(array)) for array in arrays)))


@pytest.fixture
def scene(tmp_path):
    """Three photos of 16x8, a raster each by hand: a near point over a far one, in the 2x2 block at the top left."""
    rng = np.random.default_rng(0)
    aligned, buffers = tmp_path / "aligned", tmp_path / "framebuffers"
    aligned.mkdir()
    buffers.mkdir()
    np.save(buffers / "colors.npy", COLORS)
    references, labels, rasters = {}, {}, {}
    for i, photo in enumerate(["0000", "0001", "0002"]):
        references[photo] = rng.integers(0, 256, (8, 16, 3), np.uint8)
        labels[photo] = np.full((8, 16), label_of("building"), np.uint8)
        labels[photo][0] = 0
        labels[photo][1] = label_of("person")
        index, depth = np.full((8, 16), -1, np.int32), np.zeros((8, 16), np.float32)
        index[0, 0], depth[0, 0] = 0, 4
        index[1, 1], depth[1, 1] = 1, 2 + i
        index[5, 9], depth[5, 9] = 2, 3
        rasters[photo] = index, depth
        write_image(aligned / f"{photo}_reference.png", references[photo])
        write_image(aligned / f"{photo}_seg.png", labels[photo])
        color = np.where(rasters[photo][0][..., None] >= 0, COLORS[rasters[photo][0]], 0).astype(np.uint8)
        write_image(aligned / f"{photo}_color.png", np.dstack([color, np.full((8, 16), 255, np.uint8)]))
        write_level(buffers, photo, index, depth, color)
    rows = [
        {"id": photo, "density": 1, "split": where, "reason": ""}
        for photo, where in [("0000", "train"), ("0001", "val"), ("0002", "dropped")]
    ]
    write_split(aligned / "split.csv", rows)
    camera = dict.fromkeys(POSE_FIELDS, 0) | {f"cam_from_world_{i}{i}": 1 for i in range(3)}
    camera |= {"fx": 15, "fy": 15.5, "cx": 8, "cy": 4, "cam_from_world_03": 0.1, "cam_from_world_23": -3}
    size = {"width": 16, "height": 8}
    write_csv(aligned / "index.csv", [{"id": photo, **size, **camera} for photo in references], INDEX_FIELDS)
    return aligned, buffers, references, labels, rasters


def pack_scene(scene, out, **options):
    aligned, buffers, *_ = scene
    options = {"levels": 2, "scale": 2, "splat": 3, "transient": ["person"], "sky": ["sky"]} | options
    pack_dataset(aligned, buffers, aligned / "split.csv", out, colors_npy=buffers / "colors.npy", **options)
    return PackedDataset(out)


class TestPack:
    def test_view_gives_back_what_was_packed(self, scene, tmp_path):
        dataset = pack_scene(scene, tmp_path / "dataset")
        _, _, references, labels, rasters = scene
        assert (dataset.ids, dataset.train_ids, dataset.val_ids, len(dataset)) == (
            ["0000", "0001"],
            ["0000"],
            ["0001"],
            2,
        )
        for photo in dataset.ids:
            view, (index, depth) = dataset.view(photo), rasters[photo]
            np.testing.assert_array_equal(view.pixels, references[photo])
            np.testing.assert_array_equal(view.labels, labels[photo])
            np.testing.assert_array_equal(view.index[0], index)
            np.testing.assert_array_equal(view.depth[0], depth)
            np.testing.assert_array_equal(view.color[0], np.where(index[..., None] >= 0, COLORS[index], 0))

    def test_a_coarse_pixel_shows_the_nearest_point_beneath_it(self, scene, tmp_path):
        view = pack_scene(scene, tmp_path / "dataset").view("0000")
        assert view.index[1].shape == view.depth[1].shape == view.color[1].shape[:2] == (4, 8)
        assert (view.index[1][0, 0], view.depth[1][0, 0]) == (1, 2.0)
        assert (view.index[1][2, 4], view.depth[1][2, 4]) == (2, 3.0)
        assert np.count_nonzero(view.index[1] >= 0) == 2
        np.testing.assert_array_equal(view.color[1][0, 0], COLORS[1])

    def test_coverage_is_packed_and_a_coarse_pixel_has_the_mean(self, scene, tmp_path):
        dataset = pack_scene(scene, tmp_path / "dataset")
        fine, coarse = dataset.view("0000").coverage
        np.testing.assert_array_equal(fine, np.where(scene[4]["0000"][0] >= 0, 255, 0))
        assert (coarse[0, 0], coarse[2, 4], coarse[3, 0]) == (128, 64, 0)  # 2 and 1 of 4, rounded up
        assert (dataset.meta["scale"], dataset.meta["splat"]) == (2, 3)

    def test_lighting_is_packed_and_a_coarse_pixel_has_that_of_the_surface_it_shows(self, scene, tmp_path):
        _, buffers, *_ = scene
        lighting = np.array([[10, 20], [30, 40], [50, 60], [16, 28]], np.uint8)
        np.save(buffers / "lighting.npy", lighting)
        shown = np.zeros((8, 16, 2), np.uint8)
        shown[0, 0], shown[1, 1], shown[5, 9] = [13, 24], [30, 40], [50, 60]
        for photo_id in ("0000", "0001"):
            index, depth = scene[4][photo_id]
            color = np.where(index[..., None] >= 0, COLORS[index], 0).astype(np.uint8)
            write_level(buffers, photo_id, index, depth, np.dstack([color, shown]))
        dataset = pack_scene(scene, tmp_path / "dataset", lighting_npy=buffers / "lighting.npy")
        fine, coarse = dataset.view("0000").lighting
        np.testing.assert_array_equal(fine, shown)
        assert coarse.shape == (4, 8, 2)
        assert [coarse[place].tolist() for place in ((0, 0), (2, 4))] == [[30, 40], [50, 60]]
        np.testing.assert_array_equal(dataset.point_lighting, lighting)
        assert dataset.meta["lighting"] == 2

    def test_lighting_of_another_cloud_is_an_error(self, scene, tmp_path):
        _, buffers, *_ = scene
        np.save(buffers / "lighting.npy", np.zeros((3, 2), np.uint8))
        with pytest.raises(UserError, match=r"of 3 points.*of 4: they are of different clouds"):
            pack_scene(scene, tmp_path / "dataset", lighting_npy=buffers / "lighting.npy")

    def test_meta_says_what_the_set_holds(self, scene, tmp_path):
        meta = pack_scene(scene, tmp_path / "dataset").meta
        assert meta["near"] == pytest.approx(2, rel=2e-3)
        assert meta["far"] == pytest.approx(4, rel=2e-3)
        assert meta["classes"] == [GROUPS[label_of("building")]]
        assert meta["transient"] == [label_of("person")]
        assert meta["sky"] == [label_of("sky")]
        assert (meta["levels"], meta["has_index"], meta["n_points"], meta["lighting"]) == (2, True, len(COLORS), 0)

    def test_arrays_lie_over_the_mapped_files(self, scene, tmp_path):
        dataset = pack_scene(scene, tmp_path / "dataset")
        first, again = dataset.view("0001"), dataset.view("0001")
        for a, b in zip(
            [first.pixels, first.labels, *first.color, *first.depth, *first.index],
            [again.pixels, again.labels, *again.color, *again.depth, *again.index],
            strict=True,
        ):
            assert isinstance(a, np.memmap)
            assert np.shares_memory(a, b)
            assert not a.flags.writeable

    def test_another_process_receives_the_path_only(self, scene, tmp_path):
        dataset = pack_scene(scene, tmp_path / "dataset")
        sent = pickle.dumps(dataset)
        assert len(sent) < 500
        np.testing.assert_array_equal(pickle.loads(sent).view("0001").pixels, dataset.view("0001").pixels)

    def test_cameras_come_from_the_index(self, scene, tmp_path):
        camera = pack_scene(scene, tmp_path / "dataset").view("0000").camera
        assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (16, 8, 15, 15.5, 8, 4)
        np.testing.assert_array_equal(camera.cam_from_world, [[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 1, -3]])

    def test_a_photo_without_a_row_in_the_index_is_named(self, scene, tmp_path):
        write_csv(scene[0] / "index.csv", [{"id": "0000", "width": 16, "height": 8}], INDEX_FIELDS)
        with pytest.raises(UserError, match=r"0001 is in .*split\.csv but not in .*index\.csv"):
            pack_scene(scene, tmp_path / "dataset")

    def test_sets_without_cameras_have_none(self, scene, tmp_path):
        rows = [{"id": photo, "width": 16, "height": 8} for photo in ("0000", "0001")]
        write_csv(scene[0] / "index.csv", rows, INDEX_FIELDS)
        assert pack_scene(scene, tmp_path / "dataset").view("0000").camera is None

    def test_without_segmentation_labels_are_unknown(self, scene, tmp_path):
        for file in scene[0].glob("*_seg.png"):
            file.unlink()
        dataset = pack_scene(scene, tmp_path / "dataset")
        assert dataset.meta["classes"] == []
        assert not dataset.view("0000").labels.any()

    def test_without_a_cloud_the_pixels_are_the_points(self, scene, tmp_path):
        aligned, _, _, _, rasters = scene
        for photo, (_, depth) in rasters.items():
            write_image(aligned / f"{photo}_depth.png", (depth * 1000).astype(np.uint16))
        pack_dataset(aligned, None, aligned / "split.csv", tmp_path / "dataset", levels=2)
        dataset = PackedDataset(tmp_path / "dataset")
        view, (index, depth) = dataset.view("0000"), rasters["0000"]
        assert view.index is None
        assert not dataset.meta["has_index"]
        np.testing.assert_array_equal(view.depth[0], depth * 1000)
        np.testing.assert_array_equal(view.color[0], np.where(index[..., None] >= 0, COLORS[index], 0))
        np.testing.assert_array_equal(view.color[1][0, 0], COLORS[1])
        assert view.depth[1][0, 0] == 2000

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            ("framebuffers/0001_level.npz", np.zeros((8, 8), np.int32), r"0001_level.npz has shape \(8, 8\)"),
            ("framebuffers/0001_level.npz", np.full((8, 16), 4, np.int32), "names point 4, but colors.npy has 4"),
            ("aligned/0001_seg.png", np.zeros((8, 8), np.uint8), "0001_seg.png is 8x8, its photo 16x8"),
            ("aligned/0001_seg.png", np.zeros((8, 16), np.uint16), "1 channels of uint16"),
            ("aligned/0001_reference.png", np.zeros((8, 12, 3), np.uint8), "12x8: its sides must be multiples of 8"),
        ],
    )
    def test_what_disagrees_is_named_and_nothing_is_written(self, scene, tmp_path, name, array, message):
        if name.endswith(".npz"):
            color = np.zeros((*array.shape, 3), np.uint8)
            write_level(tmp_path / "framebuffers", "0001", array, array.astype(np.float32), color)
        else:
            write_image(tmp_path / name, array)
        with pytest.raises(UserError, match=message):
            pack_scene(scene, tmp_path / "dataset")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["aligned", "framebuffers"]

    @pytest.mark.parametrize(
        "name",
        [
            "aligned/0001_reference.png",
            "aligned/0001_seg.png",
            "framebuffers/colors.npy",
            "framebuffers/0001_level.npz",
        ],
    )
    def test_what_is_missing_is_named(self, scene, tmp_path, name):
        (tmp_path / name).unlink()
        with pytest.raises(UserError, match=name.split("/")[1]):
            pack_scene(scene, tmp_path / "dataset")

    @pytest.mark.parametrize("reader", ["load_level", "np.load"])
    def test_a_lack_of_memory_is_no_fault_of_the_framebuffers(self, scene, tmp_path, monkeypatch, reader):
        def read(*arguments, **options):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        monkeypatch.setattr(f"nrw.dataset.pack.{reader}", read)
        with pytest.raises(UserError, match="Memory ran out"):
            pack_scene(scene, tmp_path / "dataset")


class TestDamage:
    def test_a_truncated_or_missing_file_is_named(self, scene, tmp_path):
        pack_scene(scene, tmp_path / "dataset")
        file = tmp_path / "dataset" / "depth_1.f32"
        file.write_bytes(file.read_bytes()[:-4])
        with pytest.raises(UserError, match=r"depth_1\.f32 has 252 bytes instead of 256"):
            PackedDataset(tmp_path / "dataset")
        file.unlink()
        with pytest.raises(UserError, match=r"depth_1\.f32 is missing"):
            PackedDataset(tmp_path / "dataset")

    @pytest.mark.parametrize("text", ["{", json.dumps({"format": 99, "photos": []}), "[]"])
    def test_damaged_json(self, scene, tmp_path, text):
        pack_scene(scene, tmp_path / "dataset")
        (tmp_path / "dataset" / "dataset.json").write_text(text)
        with pytest.raises(UserError, match=r"damaged or of another version: dataset\.json"):
            PackedDataset(tmp_path / "dataset")

    def test_not_a_data_set(self, tmp_path):
        with pytest.raises(UserError, match="Run the dataset stage"):
            PackedDataset(tmp_path)
