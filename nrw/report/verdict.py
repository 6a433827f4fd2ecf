"""Judges from its numbers whether a run went well, and advises what to change.

The limits are rules of thumb from the scenes in benchmarks/RESULTS.md; each finding gives the numbers it rests on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GOOD, FAIR, POOR = "good", "fair", "poor"

REGISTERED = (0.8, 0.5)  # least share of the usable photos to be good, to be fair
COVERED = (0.5, 0.3)  # least share of the pixels that could show a point, in the typical photo, to be good, to be fair
COVERED_WITH_SKY = (0.35, 0.2)  # the same where no label map excludes the sky
DROPPED = 0.2  # share of the registered photos above which a run is not good
FEW_PHOTOS = 20  # fewer training photos are worth a remark
FEW_VALIDATION = 4  # fewer validation photos are worth a remark
TIE_PSNR, TIE_SSIM = 0.2, 0.01  # differences, the first in dB, within which two methods count as equal
FALLEN = 0.3  # dB below the best validation score that count as overfitting
RISING = 0.3  # dB gained over the last third of the ticks that count as still learning
STATIONARY = (0.02, 0.1)  # largest share of the verified pairs to be good, to be fair; and so on
EXIF_OFF = (0.2, 0.4)  # of the photos with a focal length in EXIF, which editing may have made wrong
IMPLAUSIBLE = (0.05, 0.15)  # of the cameras
ONE_SPOT = (0.25, 0.5)  # of the cameras
LONG_ERROR = (1.2, 1.8)  # pixels, mean over the points that four or more photos see
UNCONFIRMED = (0.6, 0.8)  # of the depths estimated for single photos
FEW_EXIF = 3  # fewer focal lengths in EXIF say nothing
SECOND_MODEL = 0.1  # share of the usable photos in a second model that is worth a remark


@dataclass(frozen=True)
class Finding:
    """A judgement. level: good, fair or poor. text: the numbers it rests on. advice: what to try, best first."""

    level: str
    title: str
    text: str
    advice: tuple[str, ...] = ()


def headline(findings: Sequence[Finding]) -> tuple[str, str]:
    """Judge the run as a whole: (level, one sentence)."""
    poor = sum(finding.level == POOR for finding in findings)
    fair = sum(finding.level == FAIR for finding in findings)
    if poor:
        return POOR, f"The run finished, but {_points(poor)} hold{'s' if poor == 1 else ''} the result back."
    if fair:
        return FAIR, f"The run went well, with {_points(fair)} to improve."
    return GOOD, "The run went well."


def _points(count: int) -> str:
    return "one point" if count == 1 else f"{count} points"


def registration(summary: Mapping, unusable: int, rescued: bool) -> Finding:
    """Judge the registration.

    summary: sfm/summary.json. unusable: number of files that are not usable photos. rescued: value of `sfm.rescue`.
    """
    registered, usable = summary["registered"], summary["photos"]
    share = registered / usable
    level = _level(share, REGISTERED)
    text = f"{registered} of {usable} usable photos ({share:.0%}) were registered"
    text += f"; {unusable} more files were not usable." if unusable else "."
    second = summary["models"][1]["photos"] if len(summary["models"]) > 1 else 0
    advice = []
    if second >= SECOND_MODEL * usable:
        level = _worse(level, FAIR)
        text += f" Another {second} form a separate model that shares no view with this one."
        advice.append("add photos from between the two groups, a few steps apart")
    if level != GOOD and not rescued:
        advice.append("set sfm.rescue to true, which also matches what differs in light or direction")
    if level != GOOD:
        advice += [
            "add photos that overlap: every part of the landmark on three or more",
            "raise sfm.max_features, for example to 16000, and sfm.max_size",
        ]
    titles = {GOOD: "The photos fit together", FAIR: "Some photos are missing", POOR: "Most photos are missing"}
    return Finding(level, titles[level], text, tuple(advice))


def geometry(checks: Mapping, unconfirmed: float | None = None) -> Finding:
    """Judge the cameras by what the reconstruction did not make itself, so that no model is good by its own word.

    checks: of sfm/summary.json (`sfm.checks`). unconfirmed: share of the depths estimated for single photos that the
    other photos do not confirm; None where there are no depth maps.
    """
    judged = [
        (
            _at_most(checks["stationary"], STATIONARY),
            f"In {checks['stationary']:.0%} of {checks['pairs']} pairs of photos the matches stay at one place of the "
            "picture, as text printed on the photos does.",
        ),
        (
            _at_most(checks["implausible"], IMPLAUSIBLE),
            f"{checks['implausible']:.0%} of the cameras have a focal length or distortion that lenses do not have.",
        ),
        (
            _at_most(checks["one_spot"], ONE_SPOT),
            f"At most {checks['one_spot']:.0%} of the cameras stand in one spot.",
        ),
    ]
    if checks["exif"] >= FEW_EXIF:
        text = f"{checks['exif_off']:.0%} of {checks['exif']} focal lengths contradict EXIF."
        judged.append((_at_most(checks["exif_off"], EXIF_OFF), text))
    errors = {views: error for views, error in checks["errors"].items() if error is not None}
    text = ", ".join(f"{error:.2f} where {views} photos see them" for views, error in errors.items())
    judged.append((_at_most(list(errors.values())[-1], LONG_ERROR), f"Points miss their places by pixels: {text}."))
    if unconfirmed is not None:
        text = f"{unconfirmed:.0%} of the depths that photos have are not confirmed by other photos."
        judged.append((_at_most(unconfirmed, UNCONFIRMED), text))
    level = _worse(*(found for found, _ in judged))
    titles = {GOOD: "The cameras are sound", FAIR: "The cameras are doubtful", POOR: "The cameras are wrong"}
    advice = (
        "look at the cameras in the 3D view: are they where people stood?",
        "take photos with text, logos or frames out of the folder, or crop them",
        "take out photos of other places, and photos that were cropped or distorted after they were taken",
        "add photos from between, a few steps apart",
    )
    text = " ".join(text for worth in (POOR, FAIR, GOOD) for found, text in judged if found == worth)
    return Finding(level, titles[level], text, () if level == GOOD else advice)


def coverage(points: int | None, covered: float, dropped: int, photos: int, labelled: bool) -> Finding:
    """Judge the cloud.

    points: of the cloud; None for a scene that came aligned. covered: share of the pixels that show a point, median
    over the photos; if labelled, pixels of sky and transients do not count. dropped: how many of `photos` are too
    sparsely covered to train on.
    """
    level = _level(covered, COVERED if labelled else COVERED_WITH_SKY)
    what = "its pixels that are neither sky nor people" if labelled else "its pixels, sky included"
    text = f"The typical photo shows a point at {covered:.0%} of {what}."
    if points is not None:
        text = f"{points:,} points. {text}"
    if dropped:
        text += f" {dropped} of {photos} photos are too sparsely covered to train on."
    if dropped > DROPPED * photos:
        level = _worse(level, FAIR)
    titles = {GOOD: "The cloud is dense", FAIR: "The cloud has holes", POOR: "The cloud is sparse"}
    advice = (
        "add photos of the parts that are empty in the 3D view",
        "raise mvs.max_size, for example to 1000",
        "lower mvs.min_views to 2",
    )
    return Finding(level, titles[level], text, () if level == GOOD else advice)


def labels(model: str, shares: Mapping[str, float]) -> Finding:
    """Judge the labels. model: segmentation.model. shares: of all pixels, by role: sky, transient, scene."""
    if model == "none":
        return Finding(
            FAIR,
            "Nothing is labelled",
            "Without label maps, people and cars are not masked and the sky is not separated from the scene.",
            ("set segmentation.model to openmmlab/upernet-convnext-base, or to the folder of another ADE20K model",),
        )
    sky, transient = shares.get("sky", 0), shares.get("transient", 0)
    text = f"{sky:.0%} of all pixels are sky; {transient:.1%} are people, cars and the like, which are masked."
    return Finding(GOOD, "The photos are labelled", text)


def against_baseline(means: Mapping, validation: int) -> Finding:
    """Compare the network with R. means: one protocol of metrics.json. validation: number of photos scored."""
    psnr, ssim = (means["ours"][metric] - means["R"][metric] for metric in ("psnr", "ssim"))
    better = [psnr >= -TIE_PSNR, ssim >= -TIE_SSIM]
    level = {2: GOOD, 1: FAIR, 0: POOR}[sum(better)]
    titles = {
        GOOD: "The network beats the recoloured cloud",
        FAIR: "The network beats the recoloured cloud in one of two scores",
        POOR: "The network does not beat the recoloured cloud",
    }
    text = (
        f"{means['ours']['psnr']:.1f} dB and SSIM {means['ours']['ssim']:.2f} on photos it has not seen, "
        f"{psnr:+.1f} dB and {ssim:+.2f} relative to the cloud with its colours fitted (R)."
    )
    if validation < FEW_VALIDATION:
        text += f" Only {validation} photos were scored, so this may be off by a dB or two."
    advice: tuple[str, ...] = ()
    if level != GOOD:
        advice = (
            "look at the sheets below: wrong colours cost PSNR, blur and missing structure cost SSIM",
            "fix the other points first: photos, cloud, length of the training",
        )
    return Finding(level, titles[level], text, advice)


def generalisation(curve: Sequence[tuple[str, float, float]], training: int) -> Finding:
    """Judge the validation curve, (stage, kimg, PSNR in dB) per tick of stages 2 and 3. training: number of photos."""
    few = (f"add photos: {training} are few to learn from",) if training < FEW_PHOTOS else ()
    if len(curve) < 2:
        return Finding(FAIR, "Too short to judge", "Training recorded fewer than two validation scores.", few)
    stage, kimg, best = max(curve, key=lambda tick: tick[2])
    last = curve[-1][2]
    gained = last - curve[-1 - max(1, len(curve) // 3)][2]
    if best - last > FALLEN:
        text = (
            f"Validation was best after {kimg:g} kimg of stage {stage}, {best:.1f} dB, and ended at {last:.1f} dB; "
            "the weights of its best tick are kept."
        )
        shorter = f"set training.{stage}.kimg to {kimg:g} instead of {curve[-1][1]:g}"
        if stage != curve[-1][0]:
            shorter = f"lower training.{curve[-1][0]}.kimg"
        return Finding(FAIR, "The network is overfitting", text, (f"train shorter: {shorter}", *few))
    text = f"Validation ended at {last:.1f} dB"
    if gained > RISING:
        text += f" and still gained {gained:.1f} dB in the last third of the training."
        return Finding(
            FAIR, "The network was still learning", text, ("train longer: raise training.finetune.kimg", *few)
        )
    return Finding(GOOD, "The training has converged", f"{text}; its best was {best:.1f} dB.", few)


def _level(value: float, limits: tuple[float, float]) -> str:
    return GOOD if value >= limits[0] else FAIR if value >= limits[1] else POOR


def _at_most(value: float, limits: tuple[float, float]) -> str:
    return GOOD if value <= limits[0] else FAIR if value <= limits[1] else POOR


def _worse(*levels: str) -> str:
    return max(levels, key=(GOOD, FAIR, POOR).index)
