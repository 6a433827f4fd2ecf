rule mvs:
    input:
        expand("results/{scene}/mvs/cloud.ply", scene=FROM_PHOTOS),


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
        gpu=GPU,
    params:
        settings=pick("mvs", "sources"),
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        device=config["device"],
    message:
        "{wildcards.scene}: depth of the photos ({wildcards.scatteritem})"
    script:
        "../scripts/estimate_depths.py"


rule filter_depths:
    input:
        sparse="results/{scene}/mvs/sparse",
        depths=gather.chunk("results/{{scene}}/mvs/depths/{scatteritem}.json"),
    output:
        "results/{scene}/mvs/filtered/{scatteritem}.json",
    log:
        "results/{scene}/logs/filter/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/filter/{scatteritem}.tsv"
    threads: 1
    params:
        settings=pick("mvs", "min_views"),
    message:
        "{wildcards.scene}: consistency of the depths ({wildcards.scatteritem})"
    script:
        "../scripts/filter_depths.py"


rule fuse_depths:
    input:
        sparse="results/{scene}/mvs/sparse",
        labels=labels,
        filtered=gather.chunk("results/{{scene}}/mvs/filtered/{scatteritem}.json"),
    output:
        cloud="results/{scene}/mvs/cloud.ply",
        summary="results/{scene}/mvs/summary.json",
    log:
        "results/{scene}/logs/fuse.log",
    benchmark:
        "results/{scene}/benchmarks/fuse.tsv"
    threads: 16
    params:
        settings=pick("mvs", "min_views", "voxel_size"),
        masked=config["segmentation"]["transient"] + config["segmentation"]["sky"],
    message:
        "{wildcards.scene}: fusing the depths into a cloud"
    script:
        "../scripts/fuse_depths.py"
