from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.jobs.gpus import take
    from nrw.scene.files import SceneFiles
    from nrw.training.parallel import run

    take(snakemake.resources.gpu, snakemake.config["device"])
    stage, out = snakemake.params.stage, Path(snakemake.output.model).parent
    init, detail = snakemake.input.get("init"), snakemake.input.get("detail") or None
    run(
        stage,
        snakemake.resources.gpu,
        snakemake.config,
        dataset_dir=snakemake.input.dataset,
        out_dir=out,
        checkpoint_dir=SceneFiles(out.parent).checkpoints(stage),
        **({"init_dir": Path(init).parent, "stage": stage, "detail": detail} if init else {}),
    )
