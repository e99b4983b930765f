"""Output passes every encoding of the terminal or pipe: nothing fails after the work is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENCODINGS = ("gbk", "cp437", "cp932", "ascii", "utf-8")
EMOJI_NAME = "dance \U0001f57a m³.mp4"
SUMMARY = """
import json, sys
from pathlib import Path
from closemesh.cli import main
main.app = lambda: None
main.main()
from closemesh.cli.console import print_line, photo_summary, results, summary
metrics = {"reprojection_median_px": 10.4, "penetration_max_mm": 31.0, "contacts": 2.0, "jitter_m_s3": 4.0}
scene = {
    "people": [{"frames_valid": 50}, {"frames_valid": 48}],
    "input": {"frames": 50, "fps": 30.0},
    "camera": {"focal_px": 1500.0, "focal_source": "option"},
    "body_model": {"name": "closemesh_open/std"},
    "quality": {"initial": metrics, "optimised": metrics},
    "stages": [{"name": "observe", "seconds": 12.34, "peak_megabytes": None, "reused": True}],
}
out = Path(sys.argv[1])
results.print(summary(scene, out))
results.print(photo_summary({out.name: scene, "b\\udcff.jpg": None}, out))
print_line(f"note: {out}")
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        env={**plain, "PYTHONUTF8": "0", "COLUMNS": "120", **environment},
        check=False,
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_summary_in_every_encoding(encoding: str) -> None:
    ended = run("-c", SUMMARY, EMOJI_NAME, PYTHONIOENCODING=encoding)
    assert ended.returncode == 0, ended.stderr
    shown, message = ended.stdout.decode(encoding), ended.stderr.decode(encoding)
    assert ("4 m/s³" if encoding == "utf-8" else "4 m/s^3") in shown or encoding == "gbk"
    name = EMOJI_NAME if encoding == "utf-8" else "dance \\U0001f57a m"
    assert name in shown and name in message and "b\\udcff.jpg" in shown


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_commands_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    assert run("-m", "closemesh", "--help", PYTHONIOENCODING=encoding).returncode == 0
    assert run("-m", "closemesh", "info", PYTHONIOENCODING=encoding).returncode == 0
    out = str(tmp_path / "out")
    for name in (EMOJI_NAME, "dance\udcff.mp4", "dance\x1b[31m\n.mp4"):
        ended = run("-m", "closemesh", "reconstruct", name, "-o", out, PYTHONIOENCODING=encoding)
        [line] = ended.stderr.decode(encoding).splitlines()
        assert ended.returncode == 1 and line.startswith("error: dance") and "no such file" in line
    ended = run("-m", "closemesh", "reconstruct", EMOJI_NAME, "-o", out, "--fps", "soon", PYTHONIOENCODING=encoding)
    assert ended.returncode == 2 and "--fps" in ended.stderr.decode(encoding)


@pytest.mark.parametrize("coerce", ["0", "1"])
def test_the_locale_c(coerce: str) -> None:
    """Bytes of a file name that are no text pass unchanged where Python lets them."""
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": coerce}
    ended = run("-c", SUMMARY, "out \udcff", **environment)
    assert ended.returncode == 0, ended.stderr
    assert b"jitter" in ended.stdout
    assert run("-m", "closemesh", "info", **environment).returncode == 0
    ended = run("-m", "closemesh", "info", "--json", **environment)
    assert json.loads(ended.stdout)["closemesh"]


@pytest.mark.parametrize("arguments", [["info"], ["info", "--json"], ["--help"], ["reconstruct", "--help"]])
def test_a_closed_pipe_is_no_error(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "closemesh", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    message = process.stderr.read().decode()
    assert process.wait(timeout=120) in {0, 1}
    assert "Traceback" not in message and "error" not in message.lower()
