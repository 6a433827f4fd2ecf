RASTERIZED = gather.batch(
    "results/{{scene}}/framebuffers/rasterized/{scatteritem}.json"
)
COMPOSED = gather.batch("results/{{scene}}/framebuffers/composed/{scatteritem}.json")


rule framebuffers:
    input:
        expand(RASTERIZED + COMPOSED, scene=FROM_PHOTOS),
        expand("results/{scene}/framebuffers/colors.npy", scene=FROM_PHOTOS),
        expand(
            "results/{scene}/aligned/{output}",
            scene=SCENES,
            output=["index.csv", "split.csv"],
        ),
    message:
        "the aligned pictures are made"


rule rasterize_photos:
    input:
        cloud="results/{scene}/mvs/cloud.ply",
        sparse="results/{scene}/mvs/sparse",
    output:
        "results/{scene}/framebuffers/rasterized/{scatteritem}.json",
    log:
        "results/{scene}/logs/rasterize/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/rasterize/{scatteritem}.tsv"
    threads: 1
    resources:
        **asks("rasterize_photos"),
        gpu=GPU,
    params:
        settings=config["framebuffers"],
        device=config["device"],
    message:
        "{wildcards.scene}: rasterizing the cloud ({wildcards.scatteritem})"
    script:
        "../scripts/rasterize_photos.py"


# the split comes before the colours, because validation photos must not colour the cloud
rule split_photos:
    input:
        RASTERIZED,
    output:
        "results/{scene}/aligned/split.csv",
    log:
        "results/{scene}/logs/split.log",
    benchmark:
        "results/{scene}/benchmarks/split.tsv"
    wildcard_constraints:
        scene=any_of(FROM_PHOTOS),
    resources:
        **asks("split_photos"),
    params:
        settings=config["dataset"],
        seed=config["seed"],
    message:
        "{wildcards.scene}: training and validation photos"
    script:
        "../scripts/split_photos.py"


rule recolour:
    input:
        cloud="results/{scene}/mvs/cloud.ply",
        sparse="results/{scene}/mvs/sparse",
        rasterized=RASTERIZED,
        split="results/{scene}/aligned/split.csv",
        labels=labels,
    output:
        "results/{scene}/framebuffers/colors.npy",
    log:
        "results/{scene}/logs/recolour.log",
    benchmark:
        "results/{scene}/benchmarks/recolour.tsv"
    threads: 16
    resources:
        **asks("recolour"),
    params:
        excluded=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        splat=config["framebuffers"]["splat"],
    message:
        "{wildcards.scene}: colouring the cloud from the training photos"
    script:
        "../scripts/recolour.py"


rule light_cloud:
    input:
        cloud="results/{scene}/mvs/cloud.ply",
        sparse="results/{scene}/mvs/sparse",
        rasterized=RASTERIZED,
        split="results/{scene}/aligned/split.csv",
        labels=labels,
        colors="results/{scene}/framebuffers/colors.npy",
    output:
        "results/{scene}/framebuffers/lighting.npy",
    log:
        "results/{scene}/logs/lighting.log",
    benchmark:
        "results/{scene}/benchmarks/lighting.tsv"
    threads: 16
    resources:
        **asks("light_cloud"),
    params:
        channels=config["buffer"]["lighting"],
        excluded=config["segmentation"]["transient"] + config["segmentation"]["sky"],
        splat=config["framebuffers"]["splat"],
        seed=config["seed"],
    message:
        "{wildcards.scene}: how the cloud answers to the light of the training photos"
    script:
        "../scripts/light_cloud.py"


rule compose_aligned:
    input:
        cloud="results/{scene}/mvs/cloud.ply",
        images="results/{scene}/mvs/images",
        sparse="results/{scene}/mvs/sparse",
        rasterized=RASTERIZED,
        colors="results/{scene}/framebuffers/colors.npy",
        labels=labels,
    output:
        "results/{scene}/framebuffers/composed/{scatteritem}.json",
    log:
        "results/{scene}/logs/compose/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/compose/{scatteritem}.tsv"
    threads: 1
    resources:
        **asks("compose_aligned"),
    params:
        settings=pick("framebuffers", "splat"),
    message:
        "{wildcards.scene}: writing the aligned pictures ({wildcards.scatteritem})"
    script:
        "../scripts/compose_aligned.py"


rule index_aligned:
    input:
        table="results/{scene}/photos/photos.csv",
        sparse="results/{scene}/mvs/sparse",
        rasterized=RASTERIZED,
        composed=COMPOSED,
    output:
        "results/{scene}/aligned/index.csv",
    log:
        "results/{scene}/logs/index.log",
    benchmark:
        "results/{scene}/benchmarks/index.tsv"
    wildcard_constraints:
        scene=any_of(FROM_PHOTOS),
    resources:
        **asks("index_aligned"),
    message:
        "{wildcards.scene}: index of the aligned pictures"
    script:
        "../scripts/index_aligned.py"
