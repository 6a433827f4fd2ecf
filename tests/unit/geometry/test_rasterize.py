"""The z-buffer against closed forms and against a plain loop."""

import numpy as np
import pytest
import torch

from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import spacing
from nrw.geometry.rasterize import (
    LARGEST,
    NEIGHBOUR,
    SAME_SURFACE,
    DeepBuffer,
    color_pyramid,
    pyramid,
    rasterize,
    reaching,
    shade,
)


def camera(width=64, height=48, cam_from_world=None):
    pose = np.eye(3, 4) if cam_from_world is None else cam_from_world
    return Camera(width, height, 50.0, 52.0, 0.47 * width, 0.55 * height, pose)


def turned():
    """A pose that is neither axis-aligned nor at the origin."""
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    return np.hstack([rotation, [[0.2], [-0.1], [0.3]]])


def pixel_points(view, rows, columns, depth):
    """World points that project to the middle of the given pixels at the given depths."""
    x = (columns + 0.5 - view.cx) / view.fx * depth
    y = (rows + 0.5 - view.cy) / view.fy * depth
    in_camera = np.stack([x, y, np.broadcast_to(depth, x.shape)], axis=-1).reshape(-1, 3)
    return ((in_camera - view.cam_from_world[:, 3]) @ view.rotation).astype(np.float32)


def random_points(n, seed=0):
    return (np.random.default_rng(seed).random((n, 3)) * [4, 3, 4] - [2, 1.5, -0.5]).astype(np.float32)


def reference(points, view):
    """A loop over the points, in float64."""
    index = np.full((view.height, view.width), -1)
    depth = np.full(index.shape, np.inf)
    uv, z = view.project(points.astype(np.float64))
    for i, ((u, v), d) in enumerate(zip(uv, z, strict=True)):
        if d > 0 and 0 <= u < view.width and 0 <= v < view.height and d < depth[int(v), int(u)]:
            index[int(v), int(u)], depth[int(v), int(u)] = i, d
    return index, np.where(index >= 0, depth, 0)


def test_a_slanted_plane_has_its_depth_in_every_pixel():
    view = camera(cam_from_world=turned())
    rows, columns = np.mgrid[: view.height, : view.width]
    # n . X = 1 in the camera: z = 1 / (n . ray)
    rays = np.stack([(columns + 0.5 - view.cx) / view.fx, (rows + 0.5 - view.cy) / view.fy, np.ones(rows.shape)], -1)
    depth = 1 / (rays @ [0.1, -0.2, 0.4])
    buffer = rasterize([pixel_points(view, rows, columns, depth)], view)
    np.testing.assert_allclose(buffer.depth, depth, rtol=2e-6)
    np.testing.assert_array_equal(buffer.index, np.arange(depth.size).reshape(depth.shape))
    assert buffer.index.dtype == np.int32
    assert buffer.depth.dtype == np.float32
    assert buffer.density == 1


def test_agrees_with_a_plain_loop():
    view, points = camera(cam_from_world=turned()), random_points(20_000)
    buffer = rasterize([points], view)
    index, depth = reference(points, view)
    assert 0.2 < buffer.density < 1
    # float32 against float64: a point within 1e-5 pixel of a border may fall on its other side
    assert np.mean(buffer.index == index) > 0.9995
    same = buffer.index == index
    np.testing.assert_allclose(buffer.depth[same], depth[same], rtol=2e-6)


def test_the_nearest_point_wins_in_any_order():
    view = camera()
    point = [pixel_points(view, np.array(10), np.array(20), depth) for depth in (3.0, 2.0, 4.0)]
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        buffer = rasterize([np.concatenate([point[i] for i in order])], view)
        assert buffer.index[10, 20] == order.index(1)
        assert buffer.depth[10, 20] == 2
        assert buffer.hit.sum() == 1


def test_of_equal_points_the_first_is_seen():
    view = camera()
    points = np.repeat(pixel_points(view, np.array(5), np.array(6), 2.0), 1000, axis=0)
    assert rasterize([points], view).index[5, 6] == 0
    assert rasterize([points[:400], points[400:]], view).index[5, 6] == 0


def test_points_behind_the_camera_or_outside_the_image_are_not_seen():
    view = Camera(4, 3, 1.0, 1.0, 2.0, 1.5, np.eye(3, 4))
    inside = [[-2, -1.5, 1], [1.99, 1.49, 1]]  # corners: the left and upper borders belong to the image
    outside = [
        [2, 0, 1],
        [-2.01, 0, 1],
        [0, 1.5, 1],
        [0, -1.51, 1],
        [0, 0, -1],
        [0, 0, 0],
        [np.nan, 0, 1],
        [1, 1, 1e-30],
    ]
    buffer = rasterize([np.array(outside + inside)], view)
    assert buffer.index[0, 0] == len(outside)
    assert buffer.index[2, 3] == len(outside) + 1
    assert buffer.hit.sum() == 2


def test_near_plane():
    view = camera()
    points = pixel_points(view, np.array([3, 3]), np.array([4, 4]), np.array([0.5, 1.0]))
    assert rasterize([points], view).index[3, 4] == 0
    assert rasterize([points], view, near=0.5).index[3, 4] == 1


def test_chunks_give_bitwise_the_whole():
    view, points = camera(cam_from_world=turned()), random_points(10_001)
    whole = rasterize([points], view)
    for size in (13, 1000, 9999):
        chunked = rasterize((points[i : i + size] for i in range(0, len(points), size)), view)
        np.testing.assert_array_equal(chunked.index, whole.index)
        np.testing.assert_array_equal(chunked.depth, whole.depth)


def test_an_empty_cloud_gives_an_empty_buffer():
    for chunks in ([], [np.zeros((0, 3), np.float32)]):
        buffer = rasterize(chunks, camera(), splat=3)
        assert buffer.index.shape == (48, 64)
        assert (buffer.index == -1).all()
        assert (buffer.depth == 0).all()
        assert buffer.density == 0


@pytest.mark.parametrize("splat", [1, 3, 5])
def test_a_splat_is_a_square_at_the_depth_of_its_point(splat):
    view = camera()
    points = pixel_points(view, np.array([20, 0]), np.array([30, 63]), np.array([2.0, 3.0]))
    buffer = rasterize([points], view, splat=splat)
    expected = np.full((48, 64), -1)
    r = splat // 2
    expected[20 - r : 21 + r, 30 - r : 31 + r] = 0
    expected[: 1 + r, 63 - r :] = 1  # cut by the corner of the image
    np.testing.assert_array_equal(buffer.index, expected)
    np.testing.assert_array_equal(buffer.depth, np.select([expected == 0, expected == 1], [2.0, 3.0], 0))


def test_overlapping_splats_show_the_nearest():
    view, points = camera(cam_from_world=turned()), random_points(500)
    single, splats = rasterize([points], view), rasterize([points], view, splat=3)
    depth = np.pad(np.where(single.hit, single.depth, np.inf), 1, constant_values=np.inf)
    nearest = np.min([depth[i : i + 48, j : j + 64] for i in range(3) for j in range(3)], axis=0)
    np.testing.assert_array_equal(splats.depth, np.where(np.isfinite(nearest), nearest, 0))
    assert splats.density > 1.5 * single.density


def test_splats_larger_than_the_image():
    view = Camera(2, 3, 1.0, 1.0, 1.0, 1.5, np.eye(3, 4))
    assert (rasterize([np.array([[0, 0, 1.0]])], view, splat=9).index == 0).all()


@pytest.mark.parametrize("splat", [0, 2, -1])
def test_an_even_splat_is_refused(splat):
    with pytest.raises(UserError, match=r"framebuffers\.splat is .* odd"):
        rasterize([random_points(3)], camera(), splat=splat)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_refused():
    with pytest.raises(UserError, match="set device to cpu"):
        rasterize([random_points(3)], camera(), device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_what_the_cpu_gives():
    view, points = camera(cam_from_world=turned()), random_points(50_000)
    cpu, cuda = (rasterize([points], view, splat=3, device=device) for device in ("cpu", "cuda"))
    assert np.mean(cpu.index == cuda.index) > 0.999


@pytest.mark.parametrize("splat", [1, 3])
def test_pyramid_equals_rasterizing_at_each_size(splat):
    view, points = camera(cam_from_world=turned()), random_points(20_000)
    levels = pyramid(rasterize([points], view), levels=4, splat=splat)
    for level, buffer in enumerate(levels):
        coarse = rasterize([points], view.resized(64 >> level, 48 >> level), splat=splat)
        np.testing.assert_array_equal(buffer.index, coarse.index)
        np.testing.assert_array_equal(buffer.depth, coarse.depth)


def test_pyramid_of_an_indivisible_size_rounds_up():
    view, points = camera(width=61, height=45), random_points(20_000)
    levels = pyramid(rasterize([points], view), levels=4)
    for level, (height, width) in enumerate([(45, 61), (23, 31), (12, 16), (6, 8)]):
        assert levels[level].index.shape == (height, width)
        scale = 2.0**-level
        # the coarse grid reaches beyond the image, where no point was kept
        coarse = Camera(width, height, *(scale * np.array([view.fx, view.fy, view.cx, view.cy])), view.cam_from_world)
        uv, _ = view.project(points.astype(np.float64))
        kept = np.where(np.all((uv >= 0) & (uv < [61, 45]), axis=1)[:, None], points, np.float32(-100))
        np.testing.assert_array_equal(levels[level].index, rasterize([kept], coarse).index)


def test_pyramid_of_an_empty_buffer():
    empty = DeepBuffer(np.full((5, 7), -1, np.int32), np.zeros((5, 7), np.float32))
    assert [level.hit.any() for level in pyramid(empty, 3, splat=3)] == [False] * 3


def sparse_wall(view, step, depth=2.0):
    """World points at every `step`-th pixel of a wall that faces the camera."""
    rows, columns = np.mgrid[1 : view.height : step, 1 : view.width : step]
    return pixel_points(view, rows, columns, np.full(rows.shape, depth))


@pytest.mark.parametrize(("step", "levels"), [(3, 1), (5, 3), (8, 3)])
def test_points_reach_as_far_as_they_are_apart(step, levels):
    view = camera()
    points = sparse_wall(view, step)
    buffer = reaching(rasterize([points], view), spacing(points), view)
    assert np.median(buffer.reach[buffer.hit]) == round(0.75 * step)
    inner = slice(step, -step)
    for level, filled in enumerate(pyramid(buffer, levels, splat=3)):
        part = slice(inner.start >> level, (view.height - step) >> level), slice(step >> level, 64 - step >> level)
        assert filled.hit[part].all()
        np.testing.assert_array_equal(filled.depth[filled.hit], 2)
    assert step == 3 or not pyramid(rasterize([points], view), 1, splat=3)[0].hit[inner, inner].all()


def test_a_point_reaches_only_where_nothing_else_is():
    view = camera()
    wall, lone = sparse_wall(view, 1), pixel_points(view, np.array(20), np.array(30), 1.0)
    points = np.concatenate([lone, wall])
    buffer = reaching(rasterize([points], view), np.full(len(points), 1.0, np.float32), view)
    assert buffer.reach[20, 30] == LARGEST
    np.testing.assert_array_equal(np.argwhere(pyramid(buffer, 1, splat=3)[0].index == 0).mean(axis=0), [20, 30])
    assert (pyramid(buffer, 1, splat=3)[0].index == 0).sum() == 9
    alone = reaching(rasterize([lone], view), np.array([np.inf], np.float32), view)
    assert (pyramid(alone, 1, splat=3)[0].index == 0).sum() == (2 * LARGEST + 1) ** 2


def test_the_picture_grows_with_the_points():
    view = camera()
    points = sparse_wall(view, 6)
    colors = np.where(points[:, :1] < 0, [[10, 200, 30]], [[250, 20, 90]]).astype(np.uint8)
    buffer = reaching(rasterize([points], view), spacing(points), view)
    levels = pyramid(buffer, 2, splat=3)
    finest = shade([points], colors, view, buffer, levels[0], 3)
    for level, picture in zip(levels, color_pyramid(finest, levels, 3), strict=True):
        np.testing.assert_array_equal(picture.any(axis=2), level.hit)
        width = picture.shape[1]
        border = round(view.cx * width / 64)
        assert (picture[:, : border - 6][level.hit[:, : border - 6]] == [10, 200, 30]).all()
        assert (picture[:, border + 6 :][level.hit[:, border + 6 :]] == [250, 20, 90]).all()


def shaded_reference(points, colors, view, splat):
    """Sums over the points, pixel by pixel and splat by splat, in float64."""
    index, front = reference(points, view)
    sums = np.zeros((view.height, view.width, 4))
    uv, z = view.project(points.astype(np.float64))
    for (u, v), d, color in zip(uv, z, colors, strict=True):
        if d > 0 and 0 <= u < view.width and 0 <= v < view.height and d <= front[int(v), int(u)] * (1 + SAME_SURFACE):
            sums[int(v), int(u)] += [*color, 1]
    picture = np.zeros((view.height, view.width, 3))
    for y, x in np.ndindex(view.height, view.width):
        rows = range(max(0, y - splat // 2), min(view.height, y + splat // 2 + 1))
        columns = range(max(0, x - splat // 2), min(view.width, x + splat // 2 + 1))
        near = [(r, c) for r in rows for c in columns if index[r, c] >= 0]
        if near:
            limit = min(front[place] for place in near) * (1 + SAME_SURFACE)
            weights = {(r, c): NEIGHBOUR ** ((r - y) ** 2 + (c - x) ** 2) for r, c in near if front[r, c] <= limit}
            total = sum(weight * sums[place] for place, weight in weights.items())
            picture[y, x] = total[:3] / total[3]
    return picture


@pytest.mark.parametrize("splat", [1, 3])
def test_a_shaded_pixel_is_the_mean_of_its_surface(splat):
    view, points = camera(24, 18, turned()), random_points(2000)
    colors = np.random.default_rng(1).integers(0, 256, (2000, 3), dtype=np.uint8)
    buffer = rasterize([points], view)
    (splats,) = pyramid(buffer, 1, splat)
    picture = shade([points[:700], points[700:]], colors, view, buffer, splats, splat)
    np.testing.assert_allclose(picture, shaded_reference(points, colors, view, splat), atol=1)
    np.testing.assert_array_equal(picture, shade([points], colors, view, buffer, splats, splat))
    np.testing.assert_array_equal(picture.any(axis=2), splats.hit)


def test_what_is_behind_a_surface_does_not_shine_through():
    view = camera(8, 8)
    rows, columns = np.mgrid[:8, :8]
    wall, behind = (pixel_points(view, rows, columns, np.full(rows.shape, depth)) for depth in (1.0, 1.5))
    colors = np.repeat(np.uint8([[200, 100, 50], [0, 255, 0]]), 64, axis=0)
    points = np.concatenate([wall, behind])
    buffer = rasterize([points], view)
    assert (shade([points], colors, view, buffer, *pyramid(buffer, 1, splat=3), splat=3) == colors[0]).all()
    half = np.concatenate([wall[:32], behind])  # the wall's upper half alone: its edge keeps its colour
    colors = np.concatenate([colors[:32], colors[64:]])
    buffer = rasterize([half], view)
    picture = shade([half], colors, view, buffer, *pyramid(buffer, 1, splat=3), splat=3)
    assert (picture[:5] == colors[0]).all()
    assert (picture[5:] == colors[-1]).all()


def test_coarse_pictures_are_means_of_the_surface_they_show():
    """A checkerboard of single pixels turns gray, and not black or white; a far background is left out."""
    depth = np.full((6, 8), 2.0, np.float32)
    depth[0, 1], depth[4:, 6:] = 3.0, 0
    buffer = DeepBuffer(np.where(depth > 0, np.arange(48).reshape(6, 8), -1).astype(np.int32), depth)
    color = np.repeat(255 * (np.add.outer(np.arange(6), np.arange(8)) % 2)[..., None], 3, axis=2).astype(np.uint8)
    fine, coarse = color_pyramid(color, pyramid(buffer, 2))
    np.testing.assert_array_equal(fine, color)
    assert coarse.shape == (3, 4, 3)
    assert coarse[0, 0, 0] == 85  # two black pixels, one white one; the other white one is behind
    assert (coarse[2, 3] == 0).all()  # nothing is there
    assert (coarse[1] == 128).all()
    odd = color_pyramid(color[:5, :7], pyramid(DeepBuffer(buffer.index[:5, :7], buffer.depth[:5, :7]), 3))
    assert [picture.shape[:2] for picture in odd] == [(5, 7), (3, 4), (2, 2)]
