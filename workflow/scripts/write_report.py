from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.report.page import write_report
    from nrw.scene.files import SceneFiles

    write_report(SceneFiles(Path(snakemake.output[0]).parent), snakemake.params.config, snakemake.output[0])
