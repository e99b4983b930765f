"""CMU's Acclaim files against joint positions worked out another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import posed_joints
from closemesh.core.errors import InputError
from closemesh.lab.datasets.asf_amc import find_asf, read_amc, read_asf
from closemesh.motion_files.sequence import to_body_motion

UNIT = 0.0254 / 0.45
# Name, parent, direction, length, axis, dof, in the manner of CMU's subjects: legs spread by 20 degrees, arms out.
BONES = [
    ("lhipjoint", "root", (0.65, -0.70, 0.30), 2.5, (0, 0, 0), ""),
    ("lfemur", "lhipjoint", (0.34202, -0.93969, 0), 7.2, (0, 0, 20), "rx ry rz"),
    ("ltibia", "lfemur", (0.34202, -0.93969, 0), 7.4, (0, 0, 20), "rx"),
    ("lfoot", "ltibia", (0.08, -0.22, 0.972), 2.3, (-90, 0, 20), "rx rz"),
    ("ltoes", "lfoot", (0, 0, 1), 1.1, (-90, 0, 20), "rx"),
    ("rhipjoint", "root", (-0.65, -0.70, 0.30), 2.5, (0, 0, 0), ""),
    ("rfemur", "rhipjoint", (-0.34202, -0.93969, 0), 7.2, (0, 0, -20), "rx ry rz"),
    ("rtibia", "rfemur", (-0.34202, -0.93969, 0), 7.4, (0, 0, -20), "rx"),
    ("rfoot", "rtibia", (-0.08, -0.22, 0.972), 2.3, (-90, 0, -20), "rx rz"),
    ("rtoes", "rfoot", (0, 0, 1), 1.1, (-90, 0, -20), "rx"),
    ("lowerback", "root", (0.01, 1, -0.05), 2.1, (0, 0, 0), "rx ry rz"),
    ("upperback", "lowerback", (0, 1, -0.01), 2.1, (0, 0, 0), "rx ry rz"),
    ("thorax", "upperback", (0, 1, 0.01), 2.1, (0, 0, 0), "rx ry rz"),
    ("lowerneck", "thorax", (0, 1, 0.02), 1.7, (0, 0, 0), "rx ry rz"),
    ("upperneck", "lowerneck", (0, 0.93, -0.37), 1.6, (0, 0, 0), "rx ry rz"),
    ("head", "upperneck", (0, 0.99, -0.12), 1.7, (0, 0, 0), "rx ry rz"),
    ("lclavicle", "thorax", (0.95, 0.3, 0.05), 3.4, (0, 0, 0), "ry rz"),
    ("lhumerus", "lclavicle", (1, 0, 0), 5.0, (180, 30, 90), "rx ry rz"),
    ("lradius", "lhumerus", (1, 0, 0), 3.3, (180, 30, 90), "rx"),
    ("lwrist", "lradius", (1, 0, 0), 1.65, (0, 90, 90), "ry"),
    ("lhand", "lwrist", (1, 0, 0), 0.7, (0, 90, 90), "rx rz"),
    ("rclavicle", "thorax", (-0.95, 0.3, 0.05), 3.4, (0, 0, 0), "ry rz"),
    ("rhumerus", "rclavicle", (-1, 0, 0), 5.0, (180, -30, -90), "rx ry rz"),
    ("rradius", "rhumerus", (-1, 0, 0), 3.3, (180, -30, -90), "rx"),
    ("rwrist", "rradius", (-1, 0, 0), 1.65, (0, -90, -90), "ry"),
    ("rhand", "rwrist", (-1, 0, 0), 0.7, (0, -90, -90), "rx rz"),
]
JOINT_AT_HEAD_OF = {"left_hip": "lfemur", "left_knee": "ltibia", "left_ankle": "lfoot", "left_foot": "ltoes"}
JOINT_AT_HEAD_OF |= {"left_shoulder": "lhumerus", "left_elbow": "lradius", "spine2": "upperback", "spine3": "thorax"}
JOINT_AT_HEAD_OF |= {"neck": "lowerneck", "head": "head", "right_elbow": "rradius", "right_ankle": "rfoot"}
Frame = dict[str, list[float]]


def write_asf(path: Path, bones: list = BONES) -> None:
    lines = ["# AST/ASF file generated using VICON BodyLanguage", ":version 1.10", ":name VICON", ":units"]
    lines += ["  mass 1.0", "  length 0.45", "  angle deg", ":documentation", "   of a made-up subject", ":root"]
    lines += ["   order TX TY TZ RX RY RZ", "   axis XYZ", "   position 0 0 0  ", "   orientation 0 0 0 ", ":bonedata"]
    for number, (name, _, direction, length, axis, dof) in enumerate(bones, start=1):
        lines += ["  begin", f"     id {number}", f"     name {name}", f"     direction {join(direction)} "]
        lines += [f"     length {length} ", f"     axis {join(axis)}  XYZ"]
        lines += [f"    dof {dof}", *["    limits (-160.0 20.0)"]] if dof else []
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in dict.fromkeys(bone[1] for bone in bones):
        lines += [f"    {parent} {' '.join(bone[0] for bone in bones if bone[1] == parent)}"]
    path.write_text("\n".join([*lines, "  end", ""]))


def write_amc(path: Path, frames: list[Frame]) -> None:
    lines = ["#!OML:ASF F:\\VICON\\USERDATA\\07.ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, start=1):
        lines += [str(number), *(f"{name} {join(values)}" for name, values in frame.items())]
    path.write_text("\n".join([*lines, ""]))


def join(values) -> str:
    return " ".join(f"{value:g}" for value in values)


def rest_frame() -> Frame:
    frame = {name: [0.0] * len(dof.split()) for name, _, _, _, _, dof in BONES if dof}
    return {"root": [0.0, 17.0, 0.0, 0.0, 0.0, 0.0], **frame}


def random_frame(rng: np.random.Generator) -> Frame:
    return {name: (25 * rng.normal(size=len(values))).tolist() for name, values in rest_frame().items()}


def ends_by_hand(frame: Frame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Heads and ends of all bones in meters, by chains of 4x4 matrices written out from Acclaim's description."""

    def about(axis: int, degrees: float) -> np.ndarray:
        c, s, T = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), np.eye(4)
        a, b = [(1, 2), (2, 0), (0, 1)][axis]
        T[a, a], T[a, b], T[b, a], T[b, b] = c, -s, s, c
        return T

    def euler(x: float, y: float, z: float) -> np.ndarray:
        return about(2, z) @ about(1, y) @ about(0, x)

    def moved(by) -> np.ndarray:
        T = np.eye(4)
        T[:3, 3] = by
        return T

    chains = {"root": moved(frame["root"][:3]) @ euler(*frame["root"][3:])}
    heads, ends = {}, {"root": chains["root"][:3, 3] * UNIT}
    for name, parent, direction, length, axis, dof in BONES:
        angles = dict(zip(dof.split(), frame.get(name, []), strict=True))
        turn = euler(*(angles.get(channel, 0.0) for channel in ("rx", "ry", "rz")))
        C = euler(*axis)
        chains[name] = chains[parent] @ C @ turn @ np.linalg.inv(C) @ moved(length * np.array(direction))
        heads[name], ends[name] = ends[parent], chains[name][:3, 3] * UNIT
    return heads, ends


def write_pair(folder: Path, frames: list[Frame]) -> Path:
    write_asf(folder / "07.asf")
    write_amc(folder / "07_01.amc", frames)
    return folder / "07_01.amc"


def test_joints_are_where_acclaim_puts_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rest_frame(), *(random_frame(rng) for _ in range(4))]
    sequence = read_amc(write_pair(tmp_path, frames))
    assert sequence.fps == 120 and sequence.joints is not None and sequence.name == "07_01"
    for t, frame in enumerate(frames):
        heads, ends = ends_by_hand(frame)
        np.testing.assert_allclose(sequence.pelvis[t, 0], ends["root"], atol=1e-5)
        for joint, bone in JOINT_AT_HEAD_OF.items():
            np.testing.assert_allclose(sequence.joints[t, 0, JOINT_INDEX[joint]], heads[bone], atol=1e-5)
        wrist = (heads["lwrist"] + ends["lwrist"]) / 2  # The forearm ends half way along the bone that CMU calls wrist.
        np.testing.assert_allclose(sequence.joints[t, 0, JOINT_INDEX["left_wrist"]], wrist, atol=1e-5)


def test_a_bent_knee_is_a_bent_knee(tmp_path: Path) -> None:
    frame = rest_frame()
    frame["lfemur"], frame["rfemur"] = [0.0, 0.0, -20.0], [0.0, 0.0, 20.0]  # Legs straight down.
    frame["ltibia"], frame["root"][4] = [90.0], 90.0  # The left shin back, the whole person facing +x.
    sequence = read_amc(write_pair(tmp_path, [frame]))
    assert sequence.joints is not None
    at = {name: sequence.joints[0, 0, index] for name, index in JOINT_INDEX.items() if index < 22}
    np.testing.assert_allclose(at["left_knee"] - at["left_hip"], [0, -7.2 * UNIT, 0], atol=1e-4)
    np.testing.assert_allclose(at["left_ankle"] - at["left_knee"], [-7.4 * UNIT, 0, 0], atol=1e-4)
    # On a body the same: the shin horizontal and back, the other leg down, the arms out along z.
    body = load_bundled_body("light")
    motion = to_body_motion(sequence, body)
    joints = posed_joints(body, *(torch.as_tensor(x) for x in (motion.betas, motion.rotations, motion.transl)))[0, 0]
    at = {name: joints[index].numpy() for name, index in JOINT_INDEX.items()}
    for end, start, direction in [
        ("left_ankle", "left_knee", (-1, 0, 0)),
        ("right_ankle", "right_knee", (0, -1, 0)),
        ("left_wrist", "left_elbow", (0, 0, -1)),
        ("right_wrist", "right_elbow", (0, 0, 1)),
    ]:
        bone = at[end] - at[start]
        assert bone @ direction / np.linalg.norm(bone) > 0.999, end
    foot = at["right_foot"] - at["right_ankle"]
    assert foot[0] > 0.8 * np.linalg.norm(foot)


def test_the_skeleton_is_found_beside_the_motion(tmp_path: Path) -> None:
    write_asf(tmp_path / "one.asf")
    write_amc(tmp_path / "one.amc", [rest_frame()])
    write_amc(tmp_path / "07_02.amc", [rest_frame()])
    assert find_asf(tmp_path / "one.amc") == find_asf(tmp_path / "07_02.amc") == tmp_path / "one.asf"
    write_asf(tmp_path / "07.asf")
    assert find_asf(tmp_path / "07_02.amc") == tmp_path / "07.asf"
    with pytest.raises(InputError, match=r"2 \.asf files"):
        find_asf(tmp_path / "08_01.amc")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lradius 0\n", "lradius 0 1\n", "line 22: lradius with 2 numbers does not fit"),
        ("lradius 0\n", "lradius oops\n", "line 22: could not convert"),
        ("lradius 0\n", "unheard 0\n", "line 22: unheard"),
        ("lradius 0\n", "lradius nan\n", "line 22: a number is not finite"),
        ("lradius 0\n", "lradius 1e999\n", "line 22: a number is not finite"),
        ("lradius 0\n", f"lradius {'A' * 5000}\n", "line 22: could not convert"),
        ("root 0 17 0", "root 1e300 17 0", "beyond 1e"),
    ],
)
def test_a_faulty_motion_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_pair(tmp_path, [rest_frame()])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_amc(path)
    assert "07_01.amc" in str(caught.value)


def test_a_motion_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_pair(tmp_path, [rest_frame(), rest_frame()])
    path.write_text(path.read_text()[:-60])
    with pytest.raises(InputError, match=r"cut short|does not fit"):
        read_amc(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("direction 1 0 0", "direction 1 zero 0", "bone lhumerus is not understood"),
        ("dof rx rz", "dof rx l", "degrees of freedom other than"),
        ("orientation 0 0 0", "orientation 0 90 0", "bone root .*turned at rest"),
        ("lfemur ltibia", "lfemur lshin", "names lshin, which is no bone"),
        (":hierarchy", ":nothing", "has no :hierarchy"),
    ],
)
def test_a_faulty_skeleton_is_named_with_its_fault(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_asf(tmp_path / "bad.asf")
    text = (tmp_path / "bad.asf").read_text()
    assert old in text
    (tmp_path / "bad.asf").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_asf(tmp_path / "bad.asf")
    assert "bad.asf" in str(caught.value)
