"""Whether a run went well, and what to change: judgements from its numbers.

The limits are rules of thumb from the scenes in benchmarks/RESULTS.md; each finding says the number it rests on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GOOD, FAIR, POOR = "good", "fair", "poor"

REGISTERED = (0.8, 0.5)  # share of the usable photos, from which it is good, from which it is fair
COVERED = (0.5, 0.3)  # share of the pixels that could show a point, in the typical photo
COVERED_WITH_SKY = (0.35, 0.2)  # the same where no label map tells the sky
DROPPED = 0.2  # share of the registered photos
FEW_PHOTOS = 20  # training photos
FEW_VALIDATION = 4
TIE_PSNR, TIE_SSIM = 0.2, 0.01  # dB and SSIM within which two pictures count as equally good
FALLEN = 0.3  # dB below the best validation score
RISING = 0.3  # dB gained over the last third of the ticks
SECOND_MODEL = 0.1  # share of the usable photos


@dataclass(frozen=True)
class Finding:
    """level: good, fair or poor. title: the judgement. text: the numbers behind it. advice: what to try, best first."""

    level: str
    title: str
    text: str
    advice: tuple[str, ...] = ()


def headline(findings: Sequence[Finding]) -> tuple[str, str]:
    """(level, one sentence) for the run as a whole."""
    poor = sum(finding.level == POOR for finding in findings)
    fair = sum(finding.level == FAIR for finding in findings)
    if poor:
        return POOR, f"The run finished, but {_points(poor)} hold{'s' if poor == 1 else ''} the result back."
    if fair:
        return FAIR, f"The run went well, with {_points(fair)} to improve."
    return GOOD, "The run went well."


def _points(count: int) -> str:
    return "one point" if count == 1 else f"{count} points"


def registration(summary: Mapping, unusable: int) -> Finding:
    """summary: sfm/summary.json. unusable: files that were no usable photos."""
    registered, usable = summary["registered"], summary["photos"]
    share = registered / usable
    level = _level(share, REGISTERED)
    text = f"{registered} of {usable} usable photos ({share:.0%}) found their place"
    text += f"; {unusable} more files were not usable." if unusable else "."
    second = summary["models"][1]["photos"] if len(summary["models"]) > 1 else 0
    advice = []
    if second >= SECOND_MODEL * usable:
        level = _worse(level, FAIR)
        text += f" Another {second} make a model of their own that shares no view with this one."
        advice.append("add photos from between the two groups, a few steps apart")
    if level != GOOD:
        advice += [
            "add photos that overlap: every part of the landmark on three or more",
            "sfm: {max_features: 16000}, and a larger sfm: max_size",
        ]
    titles = {GOOD: "The photos fit together", FAIR: "Some photos are missing", POOR: "Most photos are missing"}
    return Finding(level, titles[level], text, tuple(advice))


def coverage(points: int | None, covered: float, dropped: int, photos: int, labelled: bool) -> Finding:
    """points: of the cloud; None where the set came aligned. covered: share of the pixels that show a point, median
    over the photos; pixels labelled sky or transient do not count, where there are labels. dropped: photos too sparsely
    covered to train on, of `photos`."""
    level = _level(covered, COVERED if labelled else COVERED_WITH_SKY)
    what = "its pixels that are neither sky nor people" if labelled else "its pixels, sky included"
    text = f"The typical photo sees a point at {covered:.0%} of {what}."
    if points is not None:
        text = f"{points:,} points. {text}"
    if dropped:
        text += f" {dropped} of {photos} photos are too sparsely covered to train on."
    if dropped > DROPPED * photos:
        level = _worse(level, FAIR)
    titles = {GOOD: "The cloud is dense", FAIR: "The cloud has holes", POOR: "The cloud is sparse"}
    advice = ("more photos of what is empty in the 3D view", "mvs: {max_size: 1000}", "mvs: {min_views: 2}")
    return Finding(level, titles[level], text, () if level == GOOD else advice)


def labels(model: str, shares: Mapping[str, float]) -> Finding:
    """model: as configured, or none. shares: of all pixels, by role: sky, transient, scene."""
    if model == "none":
        return Finding(
            FAIR,
            "Nothing is labelled",
            "Without label maps people and cars are not masked and the sky is not told from the scene.",
            ("segmentation: {model: openmmlab/upernet-convnext-base}, or the folder of another ADE20K model",),
        )
    sky, transient = shares.get("sky", 0), shares.get("transient", 0)
    text = f"{sky:.0%} of all pixels are sky; {transient:.1%} are people, cars and the like, which are masked."
    return Finding(GOOD, "The photos are labelled", text)


def against_baseline(means: Mapping, validation: int) -> Finding:
    """means: method -> figures of one protocol of metrics.json. validation: number of photos scored."""
    psnr, ssim = (means["ours"][figure] - means["R"][figure] for figure in ("psnr", "ssim"))
    better = [psnr >= -TIE_PSNR, ssim >= -TIE_SSIM]
    level = {2: GOOD, 1: FAIR, 0: POOR}[sum(better)]
    titles = {
        GOOD: "The network beats the recoloured cloud",
        FAIR: "The network beats the recoloured cloud in one score of two",
        POOR: "The network does not beat the recoloured cloud",
    }
    text = (
        f"{means['ours']['psnr']:.1f} dB and SSIM {means['ours']['ssim']:.2f} on photos it has not seen, "
        f"{psnr:+.1f} dB and {ssim:+.2f} beside the cloud with its colours fitted (R)."
    )
    if validation < FEW_VALIDATION:
        text += f" Only {validation} photos were scored, so this may be off by a dB or two."
    advice = ()
    if level != GOOD:
        advice = (
            "look at the sheets below: wrong colours cost PSNR, blur and missing structure cost SSIM",
            "mend the other points first: photos, cloud, length of the training",
        )
    return Finding(level, titles[level], text, advice)


def generalisation(curve: Sequence[tuple[str, float, float]], training: int) -> Finding:
    """curve: (stage, kimg, validation PSNR in dB) of each tick of stages 2 and 3. training: number of photos."""
    few = (f"more photos: {training} are few to learn from",) if training < FEW_PHOTOS else ()
    if len(curve) < 2:
        return Finding(FAIR, "Too short to judge", "Fewer than two validation scores were recorded in training.", few)
    stage, kimg, best = max(curve, key=lambda tick: tick[2])
    last = curve[-1][2]
    gained = last - curve[-1 - max(1, len(curve) // 3)][2]
    if best - last > FALLEN:
        text = (
            f"Validation was best after {kimg:g} kimg of stage {stage}, {best:.1f} dB, and ended at {last:.1f} dB; "
            "kept are the weights of then."
        )
        shorter = f"{kimg:g} instead of {curve[-1][1]:g}" if stage == curve[-1][0] else "much smaller"
        advice = (f"a shorter training loses nothing: training.finetune.kimg {shorter}", *few)
        return Finding(FAIR, "It learns its photos by heart", text, advice)
    text = f"Validation ended at {last:.1f} dB"
    if gained > RISING:
        text += f" and still gained {gained:.1f} dB in the last third of the training."
        return Finding(FAIR, "It was still learning", text, ("train longer: a larger training.finetune.kimg", *few))
    return Finding(GOOD, "The training has settled", f"{text}; its best was {best:.1f} dB.", few)


def _level(value: float, limits: tuple[float, float]) -> str:
    return GOOD if value >= limits[0] else FAIR if value >= limits[1] else POOR


def _worse(*levels: str) -> str:
    return max(levels, key=(GOOD, FAIR, POOR).index)
