"""What the workflow asks for follows the size of the set, the configuration and the attempt."""

import re
from pathlib import Path

import pytest

from nrw.config.resolve import resolve
from nrw.jobs import requests
from nrw.jobs.requests import Load, memory_mb, pieces, runtime_minutes, seconds

ROOT = Path(__file__).resolve().parents[3]
# CPU seconds and MB of the draft preset on 74 photos and on 10: the larger of what stands in benchmarks/RESULTS.md (an
# idle machine) and what an early version took on a busy one
MEASURED = {
    "import_photos": ((3, 155), (1, 145)),
    "extract_features": ((76, 634), (19, 599)),
    "match_pairs": ((324, 418), (6, 158)),
    "reconstruct": ((148, 324), (2, 155)),
    "photometric_depths": ((306, 552), (40, 533)),
    "consensus_depths": ((100, 603), (12, 598)),
    "geometric_depths": ((210, 618), (28, 579)),
    "mask_sky": ((25, 365),),  # on 74 photos only
    "fuse_depths": ((13, 758), (4, 395)),
    "rasterize_photos": ((7, 352), (5, 337)),
    "color_cloud": ((24, 627),),  # on 74 photos only
    "compose_aligned": ((13, 401), (7, 340)),
    "pack_dataset": ((5, 412), (3, 366)),
    "train_appearance": ((58, 918), (17, 575)),
    "train_rerender": ((394, 1616), (342, 899)),
    "train_finetune": ((780, 1027), (815, 846)),
    "evaluate": ((36, 815), (14, 665)),
    "film": ((46, 562), (46, 527)),
}


TRAINED = {"finetune": {"kimg": 2.0}}  # in the runs measured


def load(photos, threads=1, **config):
    return Load.of(photos, resolve({"photos": "place", **config}), threads)


@pytest.mark.parametrize("rule", MEASURED)
def test_what_was_measured_fits_into_what_is_asked_for(rule):
    for photos, (cpu, memory) in zip((74, 10), MEASURED[rule], strict=False):
        assert cpu < requests.SAFETY * seconds(rule, load(photos, training=TRAINED))
        assert runtime_minutes(rule, load(photos, training=TRAINED), 1, 1) >= cpu / 60
        assert memory_mb(rule, load(photos, threads=2), 1) - requests.SNAKEMAKE_MB > memory


def test_every_job_of_the_workflow_has_a_cost():
    asked = set()
    for file in (ROOT / "workflow" / "rules").glob("*.smk"):
        asked |= set(re.findall(r'\*\*asks\("(\w+)"\)', file.read_text()))
    assert asked == set(requests.COSTS)


@pytest.mark.parametrize("rule", requests.COSTS)
def test_another_attempt_asks_for_more(rule):
    assert memory_mb(rule, load(74), 2) == 2 * memory_mb(rule, load(74), 1)
    assert runtime_minutes(rule, load(74), 1, 3) == 3 * runtime_minutes(rule, load(74), 1, 1)


def test_matching_grows_with_the_photos_and_not_with_their_square():
    assert load(100).pairs == 100 * 99 // 2
    assert load(2000).pairs / load(1000).pairs == pytest.approx(2)
    assert load(2000, sfm={"matcher": "exhaustive"}).pairs == 2000 * 1999 // 2


def test_mapping_in_parts_grows_with_the_photos():
    small, large = (seconds("reconstruct", load(photos)) for photos in (1000, 5000))
    assert large / small == pytest.approx(5, rel=0.01)
    assert seconds("reconstruct", load(5000, sfm={"mapper": "incremental"})) > 10 * large


def test_more_photos_make_more_pieces_of_the_same_length():
    rules = ("segment_photos", "photometric_depths")
    assert pieces(rules, load(10), least=2) == 2
    for photos in (500, 5000):
        count = pieces(rules, load(photos), least=2)
        each = max(seconds(rule, load(photos)) for rule in rules) / count
        assert 60 < each <= 300
    assert pieces(rules, load(5000, chunk_minutes=10), least=2) < pieces(rules, load(5000), least=2)


def test_a_gpu_needs_fewer_pieces():
    assert pieces(("photometric_depths",), load(5000, device="cuda"), 1) < pieces(
        ("photometric_depths",), load(5000), 1
    )
