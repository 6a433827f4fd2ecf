from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm.matching import merge_matches

    merge_matches(snakemake.input.features, snakemake.input.matches, snakemake.output[0], seed=snakemake.params.seed)
