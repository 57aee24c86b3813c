# SPDX-License-Identifier: Apache-2.0
"""One binary on processors that this machine does not have: no illegal instruction, the kernels that
each can run, and the same bits.

python3 processors_test.py BITNET QEMU DATA_DIR
"""
import pathlib
import subprocess
import sys

# What qemu calls them, and the kernels that they run: SSE2 alone, SSE4.2 of 2008, AVX2.
PROCESSORS = {"qemu64": "scalar", "Nehalem": "scalar", "Haswell": "avx2"}
# What emulated ones lack has to be refused, not tried.
REFUSED = {"qemu64": "avx2", "Haswell": "avx512"}


def logits(program, model, *more, before=()):
    return subprocess.run([*before, program, "logits", "-m", str(model), "--tokens", "1,2,3,4,5",
                           "-t", "1", "--verbose", "-o", "-", *more],
                          capture_output=True, timeout=600, check=False)


def main():
    program, qemu, models = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3], "models")
    for name in ("llama-q4_0", "b25-i2_s", "qwen3-q1_0-yarn"):
        here = logits(program, models / f"{name}.gguf")
        assert here.returncode == 0 and here.stdout, here.stderr
        for processor, kernels in PROCESSORS.items():
            there = logits(program, models / f"{name}.gguf", before=(qemu, "-cpu", processor))
            said = there.stderr.decode()
            assert there.returncode == 0, (name, processor, there.returncode, said)
            assert f"kernels {kernels}," in said, (name, processor, said)
            assert there.stdout == here.stdout, f"{name}: other bits on {processor}"
    for processor, isa in REFUSED.items():
        asked = logits(program, models / "llama-q4_0.gguf", "--isa", isa,
                       before=(qemu, "-cpu", processor))
        assert asked.returncode == 2 and isa in asked.stderr.decode(), (processor, asked)
    print(f"the same bits on {', '.join(PROCESSORS)}")


main()
