"""Ranges to compute at once."""

import torch
from launches import Launches
from mvs_scene import estimate, geometric_passes

from nrw.mvs.batches import AT_ONCE, batches

CPU = torch.device("cpu")


def test_ranges_cover_all_and_hold_as_much_as_is_computed_at_once():
    size = AT_ONCE["cpu"] // 3
    assert batches(7, size, CPU) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert batches(7, size, torch.device("cuda", 1)) == [slice(0, 7)]


def test_a_part_that_is_too_large_is_computed_alone():
    assert batches(2, 2 * AT_ONCE["cpu"], CPU) == [slice(0, 1), slice(1, 2)]
    assert batches(0, 1, CPU) == []


def test_a_photo_takes_few_launches(scene, monkeypatch):
    """Batches hold 16 planes, as on a GPU at 1000 pixels. There, SGM has 315 steps more than here, twice, of at most 11
    launches each: less than 20 000 for all passes.
    """
    monkeypatch.setitem(AT_ONCE, "cpu", 16 * 4 * 60 * 45)  # values: planes, sources, pixels at the coarse scale
    monkeypatch.setattr("nrw.mvs.geometric.pending", lambda ids, *_: ids[:1])
    with Launches() as photometric:
        estimate(scene, ["0000"], resume=False)
    passes = {}
    for kind in ("consensus", "geometric"):
        with Launches() as passes[kind]:
            geometric_passes(scene, kinds=[kind])
    counts = photometric.total, passes["consensus"].total, passes["geometric"].total
    assert all(count < limit for count, limit in zip(counts, (5500, 2200, 4600), strict=True)), counts
    assert sum(counts) + 2 * 315 * 11 < 20_000


def test_maps_do_not_depend_on_the_batches(scene, monkeypatch):
    paths = [path for kind in ("photometric", "geometric") for path in sorted(scene.mvs.rglob(f"0000*.{kind}.bin"))]
    assert len(paths) == 5
    before = [path.read_bytes() for path in paths]
    monkeypatch.setattr("nrw.mvs.geometric.pending", lambda ids, *_: ids[:1])
    for limit in (1, AT_ONCE["cuda"]):
        monkeypatch.setitem(AT_ONCE, "cpu", limit)
        estimate(scene, ["0000"], resume=False)
        geometric_passes(scene, kinds=["geometric"])
        assert [path.read_bytes() for path in paths] == before
