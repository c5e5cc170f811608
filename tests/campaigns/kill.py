"""Kills a run at random moments, resumes it until it is done, and compares it with a run that nobody disturbed.

What has to hold: every resume finds a readable checkpoint, no step is lost that a checkpoint had, the last checkpoint
has the same bits, metrics.jsonl has every step once with the same loss, and TensorBoard's events reach as far as the
checkpoint that a kill left.
"""

import argparse
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = (
    "--data synthetic --synthetic-images 85 --image-size 16 --dim 32 --depth 1 --heads 2 --decoder-dim 16 "
    "--decoder-depth 1 --decoder-heads 2 --batch-size 8 --held-out-images 4 --checkpoint-every 0.2 --eval-every 2 "
    "--pictures-every 2"
).split()


def checkpoints(run):
    return sorted((run / "checkpoints").glob("step-*.safetensors"))


def newest_step(run):
    return max((int(path.stem.split("-")[1]) for path in checkpoints(run)), default=0)


def tensors(path):
    """A checkpoint's bytes behind its header, and the header without what depends on the clock."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    return header, data[8 + length :]


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def last_event(run):
    """The last step in TensorBoard's event files."""
    last = 0
    for path in (run / "tensorboard").glob("events*"):
        data, at = path.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            record = data[at + 12 : at + 12 + length]
            if len(record) < length:
                break
            last = max(last, step_of(record))
            at += 16 + length
    return last


def step_of(event):
    """Field 2, a varint, of an `Event` message; field 1, eight bytes, is before it."""
    if len(event) < 10 or event[9] != 0x10:
        return 0
    step, shift = 0, 0
    for byte in event[10:]:
        step |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webmae", default="target/release/webmae")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="webmae-kill-"))
    straight, killed = folder / "straight", folder / "killed"
    common = [args.webmae, "pretrain", "--device", "cpu"]
    begin = lambda run: [*common, *MODEL, "--steps", str(args.steps), "--out", str(run)]
    subprocess.run(begin(straight), check=True, stdout=subprocess.DEVNULL)

    faults, kills, early = [], 0, 0
    while newest_step(killed) < args.steps:
        before = newest_step(killed)
        if before:
            command = [*common, "--resume", str(killed)]
        else:
            early += killed.exists()
            shutil.rmtree(killed, ignore_errors=True)
            command = begin(killed)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if kills < args.kills:
            time.sleep(rng.uniform(0.02, 0.8))
            child.kill()
            child.wait()
            kills += 1
        elif child.wait() != 0:
            faults.append(f"a resume from step {before} failed: {child.stderr.read().decode()}")
            break
        if newest_step(killed) < before:
            faults.append(f"step {before} was lost")
        if last_event(killed) < newest_step(killed):
            faults.append(f"events end at {last_event(killed)}, the checkpoint at {newest_step(killed)}")

    if not faults:
        if tensors(checkpoints(straight)[-1]) != tensors(checkpoints(killed)[-1]):
            faults.append("the last checkpoints differ")
        if losses(straight) != losses(killed):
            faults.append("the losses in metrics.jsonl differ")
        left = [path.name for path in killed.rglob(".webmae-*")]
        if left:
            faults.append(f"left behind: {left}")
    print(f"{kills} kills, {early} of them before the first checkpoint, {args.steps} steps: {len(faults)} faults")
    for fault in faults:
        print(f"  {fault}")
    shutil.rmtree(folder)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
