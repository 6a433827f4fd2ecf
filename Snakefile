import shlex
import sys

from snakemake.utils import min_version

from nrw.config.resolve import resolve, resolve_or_exit
from nrw.core.errors import exit_with_message
from nrw.preflight import files
from nrw.preflight.results import check_temporary_directory, check_working_directory

min_version("9.0")
CONFIG_FILE = Path("config", "config.yaml")


# that of the working directory; where it has none, the one beside this file
configfile: CONFIG_FILE if CONFIG_FILE.exists() else workflow.basedir / CONFIG_FILE


# needs no photos; Snakemake does not say what it reads this file for
if "--unlock" in sys.argv:
    config = resolve({})
else:
    # defaults, preset and the user's keys in one mapping, validated against nrw/config/schema.yaml
    config = resolve_or_exit(config, workflow.config_settings.config_args)
    # not in the jobs of a cluster: what is wrong there, the jobs that need it say
    if workflow.is_main_process:
        with exit_with_message():
            files.check(config)
            check_working_directory()
            check_temporary_directory()
# Snakemake puts this path into shell commands as it is, and the clone may lie in a folder with a space in its name
sys.executable = shlex.quote(sys.executable)


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
