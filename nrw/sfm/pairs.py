"""Choosing the pairs of photos to match: all of them, or those that image retrieval finds similar."""

import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap

from nrw.config.choices import matcher_for
from nrw.core.errors import UserError
from nrw.core.io import atomic_path, require_room
from nrw.core.progress import duration
from nrw.sfm.database import copied, opened

logger = logging.getLogger(__name__)

MATCHERS = ("auto", "exhaustive", "retrieval")
WORD_SAMPLES = 40  # descriptors per visual word when the vocabulary is learned (k-means wants at least 39)
MAX_WORDS = 8192


def choose_pairs(
    features_db: Path | str,
    pairs_txt: Path | str,
    *,
    matcher: str,
    retrieval_above: int,
    retrieval_neighbours: int,
    threads: int,
    reproducible: bool,
    seed: int,
) -> None:
    """Write the pairs of photos to match, a line `NAME NAME` per pair.

    matcher: `exhaustive` takes all pairs; `retrieval` takes, for each photo, the `retrieval_neighbours` most similar
    ones by a vocabulary tree learned from the photos' own features; `auto` is retrieval above `retrieval_above` photos.
    The pairs are the same in every run; for `retrieval` only where `reproducible` is set (indexing then uses one
    thread). Raises UserError for any other matcher.
    """
    if matcher not in MATCHERS:
        raise UserError(f"sfm.matcher is {matcher!r}; choose one of {', '.join(MATCHERS)}")
    with copied(features_db) as copy, opened(copy) as database:
        names = {image.image_id: image.name for image in database.read_all_images()}
        if matcher_for({"matcher": matcher, "retrieval_above": retrieval_above}, len(names)) == "retrieval":
            pairs = retrieval_pairs(database, retrieval_neighbours, 1 if reproducible else threads, seed)
        else:
            blocks = pycolmap.ExhaustivePairingOptions(block_size=20)
            pairs = pycolmap.ExhaustivePairGenerator(blocks, database).all_pairs()
            pairs = [(min(pair), max(pair)) for pair in pairs]  # in the other order the matches differ slightly
    with atomic_path(pairs_txt) as path:
        path.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in pairs), encoding="utf-8")
    logger.info("matching: %d photos, %d of %d pairs", len(names), len(pairs), len(names) * (len(names) - 1) // 2)


def retrieval_pairs(database: pycolmap.Database, neighbours: int, threads: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of image ids, smaller id first, each once: every photo with its `neighbours` most similar others."""
    similar = similar_photos(database, [], neighbours, threads, seed)
    return sorted({(min(photo, other), max(photo, other)) for photo, others in similar.items() for other in others})


def similar_photos(
    database: pycolmap.Database, images: Sequence[int], neighbours: int, threads: int, seed: int
) -> dict[int, list[int]]:
    """The `neighbours` most similar photos of each of `images` (of all where it is empty), the most similar first.

    Similarity is that of COLMAP's vote-and-verify image retrieval, with a vocabulary learned by k-means from a sample
    of the database's own descriptors, so that nothing is downloaded. The result is reproducible with `threads=1`.
    """
    pycolmap.set_random_seed(seed)
    every = [image.image_id for image in database.read_all_images()]
    described = [image for image in every if database.num_descriptors_for_image(image)]
    if len(described) < 2:
        return {}
    words = int(np.clip(database.num_descriptors() // WORD_SAMPLES, 64, MAX_WORDS))
    share = words * WORD_SAMPLES // len(described) + 1  # descriptors per photo
    rng = np.random.default_rng(seed)
    parts = []
    for image_id in described:
        descriptors = database.read_descriptors(image_id)
        rows = rng.permutation(len(descriptors.data))[:share]
        parts.append(pycolmap.FeatureDescriptors(descriptors.type, descriptors.data[rows]).to_float().data)
    sample = np.concatenate(parts)  # (n, 128) float32
    words = min(words, len(sample))

    start = time.monotonic()
    index = pycolmap.VisualIndex.create(sample.shape[1], 64)
    index.build(
        pycolmap.VisualIndex.BuildOptions(
            num_visual_words=words, num_iterations=10, num_rounds=1, num_checks=8, num_threads=threads
        ),
        pycolmap.FeatureDescriptorsFloat(descriptors.type, sample),
    )
    with tempfile.TemporaryDirectory() as folder:
        index.write(Path(folder) / "tree.bin")
        require_room(folder)
        options = pycolmap.VocabTreePairingOptions(
            vocab_tree_path=Path(folder) / "tree.bin",
            num_images=neighbours + 1,  # a photo's most similar one is itself
            num_threads=threads,
        )
        found = pycolmap.VocabTreePairGenerator(options, database, images).all_pairs()
    similar: defaultdict[int, list[int]] = defaultdict(list)
    for photo, other in found:
        if photo != other:
            similar[photo].append(other)
    logger.info("retrieval: %d visual words, %s", words, duration(time.monotonic() - start))
    return similar
