from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.mvs.undistort import undistort_photos

    undistort_photos(
        snakemake.input.images,
        snakemake.input.sparse,
        snakemake.output[0],
        max_size=snakemake.params.max_size,
    )
