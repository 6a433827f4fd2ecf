rule dataset:
    input:
        expand("results/{scene}/dataset", scene=SCENES),
    message:
        "the data set is packed"


rule import_aligned:
    output:
        index="results/{scene}/aligned/index.csv",
        split="results/{scene}/aligned/split.csv",
    log:
        "results/{scene}/logs/import_aligned.log",
    benchmark:
        "results/{scene}/benchmarks/import_aligned.tsv"
    wildcard_constraints:
        scene=any_of(FROM_ALIGNED),
    resources:
        **asks("import_aligned"),
    params:
        folder=lambda wildcards: SCENES[wildcards.scene]["aligned"],
        listing=lambda wildcards: listing(SCENES[wildcards.scene]["aligned"]),
        settings=config["dataset"],
        seed=config["seed"],
    message:
        "{wildcards.scene}: reading the aligned data set"
    script:
        "../scripts/import_aligned.py"


rule pack_dataset:
    input:
        index="results/{scene}/aligned/index.csv",
        split="results/{scene}/aligned/split.csv",
        cloud=lambda wildcards: (
            f"results/{wildcards.scene}/mvs/cloud.ply"
            if wildcards.scene in FROM_PHOTOS
            else []
        ),
        colors=lambda wildcards: (
            f"results/{wildcards.scene}/framebuffers/colors.npy"
            if wildcards.scene in FROM_PHOTOS
            else []
        ),
        lighting=lambda wildcards: (
            f"results/{wildcards.scene}/framebuffers/lighting.npy"
            if wildcards.scene in FROM_PHOTOS and config["buffer"]["lighting"]
            else []
        ),
    output:
        directory("results/{scene}/dataset"),
    log:
        "results/{scene}/logs/pack.log",
    benchmark:
        "results/{scene}/benchmarks/pack.tsv"
    threads: 16
    resources:
        **asks("pack_dataset"),
    params:
        levels=config["buffer"]["levels"],
        splat=config["framebuffers"]["splat"],
        transient=config["segmentation"]["transient"],
        sky=config["segmentation"]["sky"],
    message:
        "{wildcards.scene}: packing the data set"
    script:
        "../scripts/pack_dataset.py"
