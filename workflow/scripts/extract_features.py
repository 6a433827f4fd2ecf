from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm.features import extract_features

    extract_features(
        snakemake.input.images,
        snakemake.input.table,
        snakemake.output[0],
        threads=snakemake.threads,
        **snakemake.params.settings,
    )
