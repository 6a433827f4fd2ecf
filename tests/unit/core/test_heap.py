import subprocess
import sys
import textwrap

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted by Linux")
def test_large_blocks_are_not_asked_for_again():
    """64 megabytes, freed and taken again many times, are paged in once."""
    script = """
        import resource, sys
        import torch
        from nrw.core.heap import keep_freed_memory

        if sys.argv[1] == "kept":
            keep_freed_memory()
        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(5):
                torch.ones(1 << 24)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        for _ in range(3):
            faults()
        print(faults())
    """
    counts = {}
    for mode in ("kept", "returned"):
        command = [sys.executable, "-c", textwrap.dedent(script), mode]
        counts[mode] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert counts["kept"] < 100
    assert counts["returned"] > 10 * max(counts["kept"], 1)
