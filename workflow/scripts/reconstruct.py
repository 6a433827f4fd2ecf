from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm.reconstruction import reconstruct

    reconstruct(
        snakemake.input.images,
        snakemake.input.table,
        snakemake.input.database,
        snakemake.output.sparse,
        snakemake.output.summary,
        snakemake.output.table,
        threads=snakemake.threads,
        seed=snakemake.params.seed,
        **snakemake.params.settings,
    )
