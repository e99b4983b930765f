"""Kills the real command at random times and checks that nothing is lost: `python -m tests.kills --kills 300`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2

from closemesh.config.schema import ClipConfig
from closemesh.video import open_clip, read_frames
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

CONFIG = 'preset = "fast"\n[initialise]\niterations = 2\n[optimise]\niterations = 2\n'
"""Kills count, not the quality of the fit."""
OPTIONS = ((), ("--no-overlay",))
"""Options of the runs; a folder changes from one to the other."""
FOREIGN = ("notes.txt", "people/notes.txt", "masks/mine.jpg", "meshes/scene.blend")
"""Files of the user in the folder of the result."""
_TIMEOUT = 300.0  # Seconds of one run, many times what it needs.


@dataclass
class Kills:
    """One folder that is killed again and again, and what must be true of it."""

    folder: Path
    random: random.Random
    expected: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    """Of an uninterrupted run."""
    resumed_seconds: float = 0.0
    """Of a run whose stages are in the cache."""
    kills: int = 0
    finished: int = 0
    foreign: set[str] = field(default_factory=set)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def prepare(self) -> None:
        """Make the clip, the results of uninterrupted runs, and the user's files in the folder to be killed."""
        write_clip(self.folder / "clip.mp4")
        (self.folder / "quick.toml").write_text(CONFIG)
        for options in OPTIONS:
            target = self.folder / f"expected{len(self.expected)}"
            started = time.monotonic()
            self.complete(options, target)
            self.seconds = time.monotonic() - started
            self.expected[options] = result_hashes(target)
        self.complete(options, target)
        self.resumed_seconds = time.monotonic() - started - self.seconds
        self.place_foreign(FOREIGN[0])

    def place_foreign(self, *names: str) -> None:
        """Write files of the user; in a folder like `people` only after a first result, which would be refused else."""
        for name in names:
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            (self.out / name).write_text(f"mine: {name}")
        self.foreign.update(names)

    def start(self, options: tuple[str, ...], out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "closemesh", "reconstruct", str(self.folder / "clip.mp4"), "-o", str(out)]
        command += ["--config", str(self.folder / "quick.toml")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        )

    def complete(self, options: tuple[str, ...], out: Path) -> None:
        """Run the command to its end."""
        process = self.start(options, out)
        assert process.wait(_TIMEOUT) == 0, process.stderr.read() if process.stderr else ""

    def run(self, count: int) -> None:
        """Kill `count` runs. After each, the folder is checked; now and then a run ends and its bytes are compared."""
        while self.kills < count:
            options = self.random.choice(OPTIONS)
            for _ in range(self.random.randint(3, 8)):
                self.kill_once(options)
            self.finish(options)

    def kill_once(self, options: tuple[str, ...]) -> None:
        """Start a run, from the cache or anew, and end it at a random time by SIGKILL or SIGTERM."""
        fresh = self.random.random() < 0.5
        left = set(self.out.glob(".closemesh-*"))  # Of a run that SIGKILL ended.
        process = self.start((*options, "--fresh") if fresh else options, self.out)
        number = self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        try:
            process.wait((self.seconds if fresh else self.resumed_seconds) * self.random.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        code = process.wait(_TIMEOUT)
        errors = process.stderr.read() if process.stderr else ""
        assert code in (0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM), (code, errors)
        if code == 128 + signal.SIGTERM:
            assert "stopped; repeat the command to resume" in errors, errors
            assert set(self.out.glob(".closemesh-*")) <= left, "SIGTERM leaves no temporary files"
        self.kills += code != 0
        self.check()

    def finish(self, options: tuple[str, ...]) -> None:
        """Repeat the command to its end: the result has the bytes of an uninterrupted run."""
        self.complete(options, self.out)
        found, expected = result_hashes(self.out), self.expected[options]
        differing = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        assert not differing, f"other bytes after {self.kills} kills: {differing}"
        assert not list(self.out.glob(".closemesh-*")) and not list(self.out.rglob("*.part*"))
        self.check()
        self.finished += 1
        self.place_foreign(*FOREIGN)

    def check(self) -> None:
        """The user's files are untouched; a result with scene.json is whole, or readers refuse it."""
        for name in self.foreign:
            assert (self.out / name).read_text() == f"mine: {name}", f"{name} was touched"
        if not (self.out / "scene.json").exists():
            return
        scene = json.loads((self.out / "scene.json").read_text())
        people = [self.out / person["file"] for person in scene["people"]]
        assert all(path.is_file() for path in people), "scene.json names files that are missing"


def write_clip(path: Path, num_frames: int = 4) -> None:
    """Write the first frames of the bundled clip in half size."""
    frames = read_frames(open_clip(find_model(DEMO_CLIP), ClipConfig(end=(num_frames - 0.5) / 15)))
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            small = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            if stream is None:
                stream = container.add_stream("libx264", rate=15)
                stream.width, stream.height, stream.pix_fmt = (
                    small.shape[1] // 2 * 2,
                    small.shape[0] // 2 * 2,
                    "yuv420p",
                )
            small = small[: stream.height, : stream.width].copy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        assert stream is not None
        container.mux(stream.encode(None))


def result_hashes(out: Path) -> dict[str, str]:
    """Hash of every file of a result that does not name times and costs."""
    volatile = {"scene.json", "stage.json", ".closemesh", ".lock", "clip.npz"}
    files = (path for path in out.rglob("*") if path.is_file() and path.name not in volatile)
    hashes = {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: value for name, value in hashes.items() if name not in FOREIGN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        kills = Kills(Path(folder), random.Random(arguments.seed))
        kills.prepare()
        print(f"an uninterrupted run takes {kills.seconds:.1f} s", flush=True)
        while kills.kills < arguments.kills:
            kills.run(min(kills.kills + 10, arguments.kills))
            print(f"{kills.kills} kills survived, {kills.finished} results with the same bytes", flush=True)


if __name__ == "__main__":
    main()
