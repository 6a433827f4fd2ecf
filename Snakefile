from snakemake.utils import min_version

from nrw.config.resolve import resolve_or_exit

min_version("9.0")


configfile: "config/config.yaml"


# defaults, preset and the user's keys in one mapping, validated against nrw/config/schema.yaml
config = resolve_or_exit(config)


include: "workflow/rules/common.smk"
include: "workflow/rules/photos.smk"
include: "workflow/rules/sfm.smk"
include: "workflow/rules/segmentation.smk"
include: "workflow/rules/mvs.smk"
include: "workflow/rules/framebuffers.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/detail.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/videos.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/run.smk"


rule all:
    default_target: True
    input:
        [rules.photos.input, rules.sfm.input, rules.segmentation.input, rules.mvs.input],
        [rules.framebuffers.input, rules.dataset.input, rules.detail.input],
        rules.training.input,
        [rules.evaluation.input, rules.videos.input, rules.report.input],
    message:
        "everything is there"
