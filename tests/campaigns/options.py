"""Gives every option of every command nonsense, one at a time, and looks at how it is refused.

What has to hold: an exit code of 1 or 2, a message that begins with `error:` and names the option or the file, no
panic, nothing written, an end within the time. Values that turn out to be good ones are counted apart.
"""

import argparse
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

NONSENSE = ["", "-1", "nan", "inf", "1e99", "99999999999999999999", "ünï", "/nowhere/at/all", "/dev/null", "0x10", "a,b"]
TIME = 30


def output(webmae, args, cwd):
    return subprocess.run([webmae, *args], cwd=cwd, capture_output=True, text=True, timeout=TIME)


def commands(webmae, cwd):
    text = output(webmae, ["--help"], cwd).stdout
    part = text.split("Commands:")[1].split("\n\n")[0]
    return re.findall(r"^  ([a-z]+) ", part, re.M)


def options(webmae, command, cwd):
    text = output(webmae, [command, "--help"], cwd).stdout
    found = re.findall(r"^\s+(?:-\w, )?(--[a-z0-9-]+)(?:[ =]|\[=)<", text, re.M)
    return sorted(set(found) - {"--help", "--version"})


SMALL = (
    "--image-size 16 --dim 32 --depth 1 --heads 2 --decoder-dim 16 --decoder-depth 1 --decoder-heads 2"
).split()
SHORT = ["--steps", "1", "--batch-size", "2", "--device", "cpu"]

# What a command needs besides, so that it gets as far as the option.
NEEDED = {
    "reconstruct": ["--weights", "mae", "data/a/0.png"],
    "export": ["--weights", "mae", "--out", "exported"],
    "embed": ["--weights", "mae", "--data", "data", "--out", "features.npy"],
    "knn": ["--weights", "mae", "--data", "data"],
    "linprobe": ["--weights", "mae", "--data", "data", *SHORT],
    "finetune": ["--weights", "mae", "--data", "data", *SHORT],
    "train": ["--data", "data", *SMALL, *SHORT],
    "pretrain": ["--data", "data", *SMALL, *SHORT],
    "predict": ["--weights", "classifier", "data/a/0.png"],
    "eval": ["--weights", "classifier", "--data", "data"],
    "bench": ["W1", "--forward", "--steps", "1", "--batch-size", "1", "--device", "cpu"],
    "plan": ["--batch-size", "1"],
}


def write_png(path, level):
    """A picture of 20 × 20 pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes([level, x * 12, 90]) * 20 for x in range(20))
    header = struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0)
    png = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + png)


def prepare(webmae, folder):
    """Pictures in two classes, a pre-trained model and a classifier."""
    for number, name in enumerate("ab"):
        (Path(folder) / "data" / name).mkdir(parents=True)
        for i in range(6):
            write_png(Path(folder) / "data" / name / f"{i}.png", 20 * i + 100 * number)
    for command, out in [("pretrain", "mae"), ("train", "classifier")]:
        result = output(webmae, [command, *NEEDED[command], "--out", out], folder)
        if result.returncode != 0:
            sys.exit(f"webmae {command} fails: {result.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webmae", default="target/release/webmae")
    args = parser.parse_args()
    webmae = str(Path(args.webmae).resolve())
    tried, accepted, slow, faults = 0, 0, [], []
    with tempfile.TemporaryDirectory(prefix="webmae-options-") as folder:
        prepare(webmae, folder)
        for command in commands(webmae, folder):
            for option in options(webmae, command, folder):
                for value in NONSENSE:
                    needed = list(NEEDED.get(command, []))
                    if option in needed:
                        at = needed.index(option)
                        del needed[at : at + 2]
                    line = [command, *needed, f"{option}={value}"]
                    tried += 1
                    try:
                        result = output(webmae, line, folder)
                    except subprocess.TimeoutExpired:
                        slow.append(" ".join(line))
                        continue
                    if result.returncode == 0:
                        accepted += 1
                        continue
                    bad = []
                    if result.returncode not in (1, 2):
                        bad.append(f"exit code {result.returncode}")
                    if "panicked" in result.stderr:
                        bad.append("panicked")
                    if not re.search(r"^error: ", result.stderr, re.M):
                        bad.append("no line with error:")
                    if bad:
                        faults.append(f"{' '.join(line)}: {', '.join(bad)}: {result.stderr.strip()[:300]}")
    print(f"{tried} command lines, {accepted} accepted, {len(slow)} took over {TIME} s, {len(faults)} faults")
    for line in slow:
        print(f"  slow: {line}")
    for fault in faults:
        print(f"  {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
