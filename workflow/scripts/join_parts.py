from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.jobs.gpus import take
    from nrw.sfm.rescue import join_parts

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    join_parts(
        snakemake.input.images,
        snakemake.input.database,
        snakemake.input.parts,
        snakemake.output[0],
        device=snakemake.params.device,
        threads=snakemake.threads,
        seed=snakemake.params.seed,
        **snakemake.params.settings,
    )
