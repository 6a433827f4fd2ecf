from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.training.parallel import run

    out = Path(snakemake.output.model).parent
    run(
        "appearance",
        snakemake.resources.gpu,
        snakemake.params.config,
        dataset_dir=snakemake.input[0],
        out_dir=out,
        checkpoint_dir=out.parent / "checkpoints" / out.name,
    )
