DEPTHS = gather.chunk("results/{{scene}}/mvs/depths/{scatteritem}.json")
CONSENSUS = gather.chunk("results/{{scene}}/mvs/consensus/{scatteritem}.json")
GEOMETRIC = gather.chunk("results/{{scene}}/mvs/geometric/{scatteritem}.json")
PATCH_MATCH = "results/{scene}/mvs/patch_match.json"
BY_COLMAP = config["mvs"]["backend"] == "colmap"


rule mvs:
    input:
        expand(
            "results/{scene}/mvs/{output}",
            scene=FROM_PHOTOS,
            output=["images", "sparse"],
        ),
        expand(
            [PATCH_MATCH] if BY_COLMAP else DEPTHS + CONSENSUS + GEOMETRIC,
            scene=FROM_PHOTOS,
        ),
        expand(
            "results/{scene}/mvs/{output}",
            scene=FROM_PHOTOS,
            output=["cloud.ply", "summary.json"],
        ),
    message:
        "the cloud is made"


rule estimate_depths:
    input:
        images="results/{scene}/mvs/images",
        sparse="results/{scene}/mvs/sparse",
        labels=labels,
    output:
        "results/{scene}/mvs/depths/{scatteritem}.json",
    log:
        "results/{scene}/logs/depths/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/depths/{scatteritem}.tsv"
    threads: 1
    resources:
        **asks("estimate_depths"),
        gpu=GPU,
    params:
        settings=pick("mvs", "sources"),
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        device=config["device"],
    message:
        "{wildcards.scene}: depth of the photos ({wildcards.scatteritem})"
    script:
        "../scripts/estimate_depths.py"


# COLMAP's own patch-match does the work of the three rules around it
rule patch_match:
    input:
        images="results/{scene}/mvs/images",
        sparse="results/{scene}/mvs/sparse",
        labels=labels,
    output:
        PATCH_MATCH,
    log:
        "results/{scene}/logs/patch_match.log",
    benchmark:
        "results/{scene}/benchmarks/patch_match.tsv"
    threads: 4
    resources:
        **asks("patch_match"),
        gpu=1,
    params:
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
    message:
        "{wildcards.scene}: depth of the photos by COLMAP"
    script:
        "../scripts/patch_match.py"


rule agree_depths:
    input:
        images="results/{scene}/mvs/images",
        sparse="results/{scene}/mvs/sparse",
        labels=labels,
        given=DEPTHS,
    output:
        "results/{scene}/mvs/consensus/{scatteritem}.json",
    log:
        "results/{scene}/logs/consensus/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/consensus/{scatteritem}.tsv"
    threads: 1
    resources:
        **asks("agree_depths"),
        gpu=GPU,
    params:
        kind="consensus",
        settings=pick("mvs", "sources", "min_views"),
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        device=config["device"],
    message:
        "{wildcards.scene}: consensus of the depths ({wildcards.scatteritem})"
    script:
        "../scripts/match_again.py"


use rule agree_depths as geometric_depths with:
    input:
        images="results/{scene}/mvs/images",
        sparse="results/{scene}/mvs/sparse",
        labels=labels,
        given=CONSENSUS,
    output:
        "results/{scene}/mvs/geometric/{scatteritem}.json",
    log:
        "results/{scene}/logs/geometric/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/geometric/{scatteritem}.tsv"
    resources:
        **asks("geometric_depths"),
        gpu=GPU,
    params:
        kind="geometric",
        settings=pick("mvs", "sources", "min_views"),
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        device=config["device"],
    message:
        "{wildcards.scene}: depth of the photos, with their neighbours' ({wildcards.scatteritem})"


rule fuse_depths:
    input:
        sparse="results/{scene}/mvs/sparse",
        labels=labels,
        depths=PATCH_MATCH if BY_COLMAP else GEOMETRIC,
    output:
        cloud="results/{scene}/mvs/cloud.ply",
        summary=report(
            "results/{scene}/mvs/summary.json",
            caption="../report/cloud.rst",
            category="{scene}",
            labels={"result": "cloud and coverage"},
        ),
    log:
        "results/{scene}/logs/fuse.log",
    benchmark:
        "results/{scene}/benchmarks/fuse.tsv"
    threads: 16
    resources:
        **asks("fuse_depths"),
    params:
        settings=pick("mvs", "min_views", "voxel_size"),
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        ground=config["segmentation"]["ground"],
    message:
        "{wildcards.scene}: fusing the depths into a cloud"
    script:
        "../scripts/fuse_depths.py"
