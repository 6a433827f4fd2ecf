PHOTOMETRIC = gathered(gather.chunk, FILES.photometric_done("{scatteritem}"))
CONSENSUS = gathered(gather.chunk, FILES.consensus_done("{scatteritem}"))
GEOMETRIC = gathered(gather.chunk, FILES.geometric_done("{scatteritem}"))
PATCH_MATCH = FILES.patch_match_done
BY_COLMAP = config["mvs"]["backend"] == "colmap"


rule mvs:
    input:
        expand([FILES.undistorted_photos, FILES.sparse], scene=FROM_PHOTOS),
        expand(
            [PATCH_MATCH] if BY_COLMAP else PHOTOMETRIC + CONSENSUS + GEOMETRIC,
            scene=FROM_PHOTOS,
        ),
        expand([FILES.cloud, FILES.mvs_summary], scene=FROM_PHOTOS),
        expand(FILES.surface if config["mvs"]["surface"] else [], scene=FROM_PHOTOS),
    message:
        "the cloud is made"


rule photometric_depths:
    input:
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        labels=labels,
    output:
        FILES.photometric_done("{scatteritem}"),
    log:
        FILES.log("photometric_depths", "{scatteritem}"),
    benchmark:
        FILES.record("photometric_depths", "{scatteritem}")
    threads: 1
    resources:
        **asks("photometric_depths"),
        gpu=GPU,
    params:
        settings=pick("mvs", "sources"),
        masked=MASKED,
        device=config["device"],
    message:
        "{wildcards.scene}: depth of the photos ({wildcards.scatteritem})"
    script:
        "../scripts/photometric_depths.py"


# COLMAP's own patch-match does the work of the three rules around it
rule patch_match:
    input:
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        labels=labels,
    output:
        PATCH_MATCH,
    log:
        FILES.log("patch_match"),
    benchmark:
        FILES.record("patch_match")
    threads: 4
    resources:
        **asks("patch_match"),
        gpu=1,
    params:
        masked=MASKED,
    message:
        "{wildcards.scene}: depth of the photos by COLMAP"
    script:
        "../scripts/patch_match.py"


rule consensus_depths:
    input:
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        labels=labels,
        given=PHOTOMETRIC,
    output:
        FILES.consensus_done("{scatteritem}"),
    log:
        FILES.log("consensus_depths", "{scatteritem}"),
    benchmark:
        FILES.record("consensus_depths", "{scatteritem}")
    threads: 1
    resources:
        **asks("consensus_depths"),
        gpu=GPU,
    params:
        kind="consensus",
        settings=pick("mvs", "sources", "min_views"),
        masked=MASKED,
        device=config["device"],
    message:
        "{wildcards.scene}: consensus of the depths ({wildcards.scatteritem})"
    script:
        "../scripts/match_with_neighbours.py"


use rule consensus_depths as geometric_depths with:
    input:
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        labels=labels,
        given=CONSENSUS,
    output:
        FILES.geometric_done("{scatteritem}"),
    log:
        FILES.log("geometric_depths", "{scatteritem}"),
    benchmark:
        FILES.record("geometric_depths", "{scatteritem}")
    resources:
        **asks("geometric_depths"),
        gpu=GPU,
    params:
        kind="geometric",
        settings=pick("mvs", "sources", "min_views"),
        masked=MASKED,
        device=config["device"],
    message:
        "{wildcards.scene}: depth of the photos, with their neighbours' ({wildcards.scatteritem})"


# label maps say where the sky is; without them the depth maps and the colors do
rule mask_sky:
    input:
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        depths=PATCH_MATCH if BY_COLMAP else GEOMETRIC,
    output:
        FILES.sky_masked("{scatteritem}"),
    log:
        FILES.log("mask_sky", "{scatteritem}"),
    benchmark:
        FILES.record("mask_sky", "{scatteritem}")
    threads: 1
    resources:
        **asks("mask_sky"),
    message:
        "{wildcards.scene}: masks of the sky ({wildcards.scatteritem})"
    script:
        "../scripts/mask_sky.py"


rule fuse_depths:
    input:
        sparse=FILES.sparse,
        labels=labels,
        sky=sky_masks,
        depths=PATCH_MATCH if BY_COLMAP else GEOMETRIC,
    output:
        cloud=FILES.cloud,
        surface=FILES.surface if config["mvs"]["surface"] else [],
        summary=report(
            FILES.mvs_summary,
            caption="../report/cloud.rst",
            category="{scene}",
            labels={"result": "cloud and coverage"},
        ),
    log:
        FILES.log("fuse_depths"),
    benchmark:
        FILES.record("fuse_depths")
    threads: 16
    resources:
        **asks("fuse_depths"),
    params:
        settings=pick("mvs", "min_views", "voxel_size"),
        masked=MASKED,
        sky=config["segmentation"]["sky"],
        ground=config["segmentation"]["ground"],
    message:
        "{wildcards.scene}: fusing the depths into a surface"
    script:
        "../scripts/fuse_depths.py"
