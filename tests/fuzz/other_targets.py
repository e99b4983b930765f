"""Readers of other foreign files: bodies, cameras, configurations, descriptions, facts, records, images, networks."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import struct
import sys
import types
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import finished_result
import known_scenes
import numpy as np
import scipy.sparse
import torch
from test_focal_metadata import exif

from closemesh.body.loading import load_body
from closemesh.body.skeleton import COCO_BODY, COCO_FEET
from closemesh.config.loading import load_config, read_toml
from closemesh.config.schema import ClipConfig
from closemesh.core.records import load_record, save_record
from closemesh.initialization.camera_files import read_camera_file
from closemesh.lab.evaluation.benchmark_run import WindowResult
from closemesh.lab.evaluation.real_benchmark import read_real_report
from closemesh.lab.evaluation.real_facts import read_facts
from closemesh.lab.evaluation.real_masks import reference_masks
from closemesh.lab.evaluation.real_people import photo_joints
from closemesh.lab.evaluation.report import BenchmarkReport, differences, read_report, write_report
from closemesh.lab.training.text_encoder import init_from_sentence_encoder
from closemesh.networks.checkpoint import load_network, save_network
from closemesh.output.people import read_people
from closemesh.output.result_json import read_contacts, read_scene, scene_camera
from closemesh.perception.segmentation.label_images import read_labels, write_labels
from closemesh.structures import BodyMotion, Camera, Clip, Observations, PairContacts
from closemesh.text.descriptions import read_descriptions
from closemesh.text.text_encoder import (
    BEGIN,
    END,
    MAX_TOKENS,
    PAD,
    PERSON_A,
    PERSON_B,
    UNKNOWN,
    TextTransformer,
    TextTransformerConfig,
    WordPieceTokenizer,
)
from closemesh.text.vlm_client import UnusableAnswerError
from closemesh.text.vlm_prompt import parse_answer
from closemesh.video.focal_metadata import quicktime_keys
from closemesh.video.image_folders import probe_images
from closemesh.weights.locate import find_model
from closemesh.weights.manifest import read_manifest

from .motion_targets import CLIP, SIZE, Target

_VERTICES, _FACES = 40, 60
_ROOT = Path(__file__).resolve().parents[2]


def _body_arrays() -> dict[str, np.ndarray]:
    """A body of the bundled layout with few vertices."""
    random = np.random.default_rng(0)
    names = (
        "nose",
        "leye",
        "lear",
        "reye",
        "rear",
        *(f"{s}{f}" for s in "lr" for f in ("thumb", "index", "middle", "ring", "pinky")),
    )
    return {
        "v_template": random.normal(size=(_VERTICES, 3)).astype(np.float32),
        "shapedirs": random.normal(0, 0.01, (_VERTICES, 3, 20)).astype(np.float32),
        "J_regressor": np.full((55, _VERTICES), 1 / _VERTICES, np.float32),
        "weights": np.full((_VERTICES, 55), 1 / 55, np.float32),
        "f": random.integers(0, _VERTICES, (_FACES, 3)).astype(np.uint32),
        "posedirs": random.normal(0, 0.01, (_VERTICES, 3, 486)).astype(np.float32),
        "hands_meanl": np.zeros(45),
        "hands_meanr": np.zeros(45),
        "vt": random.random((_VERTICES, 2)),
        "ft": random.integers(0, _VERTICES, (_FACES, 3)),
        "lmk_faces_idx": random.integers(0, _FACES, 51),
        "lmk_bary_coords": random.dirichlet(np.ones(3), 51),
        "dynamic_lmk_faces_idx": random.integers(0, _FACES, (79, 17)),
        "dynamic_lmk_bary_coords": random.dirichlet(np.ones(3), (79, 17)),
        "open_body_id": np.array("body"),
        "open_coco23_regressor": np.full((23, _VERTICES), 1 / _VERTICES, np.float32),
        "open_coco23_names": np.array([*COCO_BODY, *COCO_FEET]),
        "open_vertex_ids": random.integers(0, _VERTICES, len(names)),
        "open_vertex_ids_names": np.array(names),
    }


def _write_body_npz(folder: Path) -> Path:
    np.savez(folder / "open_body_small.npz", **_body_arrays())  # type: ignore[arg-type]
    return folder / "open_body_small.npz"


def _write_body_pickle(folder: Path) -> Path:
    """As the legacy pickle of SMPL-X: with chumpy arrays and a sparse regressor."""
    arrays: dict[str, Any] = {name: array for name, array in _body_arrays().items() if name != "posedirs"}
    arrays["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    arrays["v_template"] = _chumpy()(arrays["v_template"])
    (folder / "SMPLX_NEUTRAL.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    return folder / "SMPLX_NEUTRAL.pkl"


def _chumpy() -> type:
    """A class that is pickled as chumpy's."""
    if "chumpy.ch" not in sys.modules:
        ch = type("Ch", (), {"__init__": lambda self, x: self.__dict__.update(x=x, _itr=None)})
        ch.__module__ = "chumpy.ch"
        sys.modules["chumpy"], sys.modules["chumpy.ch"] = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
        sys.modules["chumpy.ch"].Ch = ch  # type: ignore[attr-defined]
    return sys.modules["chumpy.ch"].Ch  # type: ignore[attr-defined]


def _json(name: str, values: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(json.dumps(values))
        return folder / name

    return write


def _text(name: str, text: str | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return folder / name

    return write


def _npz(name: str, **arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / name, **arrays)  # type: ignore[arg-type]
        return folder / name

    return write


def _camera(path: Path) -> Any:
    return read_camera_file(path, SIZE)


_K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
_OWN = {"fx": 600, "fy": 601, "cx": 320, "cy": 240, "width": 640, "height": 480, "focal_std": 9, "up": [0, -1, 0.1]}
_GEOCALIB = {"camera": [[640, 480, 600, 600, 320, 240]], "gravity": [[0, -1, 0.1]], "focal_uncertainty": [9.0]}
_GEOCALIB_NAMED = {"camera": {"width": 640, "height": 480, "vfov": 0.8}, "gravity": {"roll": 0.1, "pitch": 0.1}}
_COLMAP = b"".join(struct.pack("<IiQQ4d", n, 1, 640, 480, 600, 600, 320, 240) for n in (1, 2))
CAMERA_TARGETS = tuple(
    Target(f"camera_{name}", write, _camera)
    for name, write in {
        "own": _json("a.intrinsics.json", {**_OWN, "up_std": 0.1}),
        "moge_fov": _json("fov.json", {"fov_x": 56.14, "fov_y": 43.6}),
        "moge_npz": _npz("moge.npz", intrinsics=(_K / [[640], [480], [1]])[None].astype(np.float32)),
        "geocalib": _json("geocalib.json", _GEOCALIB),
        "geocalib_named": _json("geocalib.json", _GEOCALIB_NAMED),
        "geocalib_npz": _npz("geocalib.npz", **{name: np.array(value) for name, value in _GEOCALIB.items()}),
        "vggt": _npz("predictions.npz", intrinsic=np.tile(_K * [[518 / 640], [518 / 640], [1]], (3, 1, 1))),
        "colmap_text": _text(
            "cameras.txt", "# Camera list\n1 PINHOLE 640 480 600 600 320 240\n2 RADIAL 640 480 600 320 240 0 0\n"
        ),
        "colmap_binary": _text("cameras.bin", struct.pack("<Q", 2) + _COLMAP),
    }.items()
)

_DESCRIPTIONS = {
    "schema": 1,
    "descriptions": [
        {
            "people": ["A", "B"],
            "start": 0.0,
            "end": 0.5,
            "source": "rules",
            "question": "5ad1",
            "statements": [
                "A's left hand touches B's head",
                {"text": "B faces the back of A", "confidence": 0.8},
                {"kind": "depth_order", "nearer": "A", "farther": "B", "confidence": 0.6},
            ],
        },
        {"people": [0, 1], "start_frame": 0, "end_frame": 2, "statements": []},
    ],
}
_ANSWER = """A hugs B. {"statements": [{"kind": "joint_angle", "person": "A", "joint": "left_elbow", "bend": "bent"},
{"kind": "touch", "person_a": "A", "part_a": "left_hand", "person_b": "B", "part_b": "upper_trunk"}]}"""


def _descriptions(path: Path) -> Any:
    """Entries without bounds last from -inf to inf."""
    entries = read_descriptions(path, CLIP.times)
    bounds = [bound for entry in entries for bound in (entry.start, entry.end) if not np.isinf(bound)]
    return bounds, [one.confidence for entry in entries for one in entry.statements]


def _answer(path: Path) -> None:
    """The client asks again after an unusable answer."""
    with contextlib.suppress(UnusableAnswerError):
        parse_answer(path.read_bytes().decode("utf-8", "replace"), (0, 1))


_TOML = """preset = "fast"
seed = 3
[clip]
start = 0.5
end = 2.0
fps = 10.0
[initialise]
iterations = 50
focal = 600.0
[language]
statements = true
[optimise]
pairs = [[0, 1]]
"""
_BODY_25 = {"people": [{"pose_keypoints_2d": (np.arange(75.0) + 1).tolist()}]}


def _write_facts(folder: Path) -> Path:
    source = _ROOT / "tests" / "facts"
    largest = max(source.glob("*.facts.json"), key=lambda file: file.stat().st_size)
    return Path(shutil.copy(largest, folder))


def _write_masks(folder: Path) -> Path:
    (folder / "a.masks").mkdir()
    write_labels(folder / "a.masks" / "000001.png", np.full(SIZE[::-1], 255, np.uint8))
    return folder / "a.masks"


def _masks(folder: Path) -> Any:
    facts = read_facts(_ROOT / "tests" / "facts" / "hug.facts.json")
    return reference_masks(facts, folder, CLIP)


def _window(name: str) -> WindowResult:
    scores = {"all": {"mpjpe": {"mean": 60.0, "n": 3}}, "contact": {"mpjpe": {"mean": 70.0, "n": 1}}}
    return WindowResult(name, "hug", 9, 2, 18, 17, {"initial": scores, "optimised": scores}, scores, {"observe": 1.0})


def _report() -> BenchmarkReport:
    return BenchmarkReport("abc", 0, "fast", "keypoints", (_window("a"), _window("b")))


def _write_report(folder: Path) -> Path:
    write_report(folder / "run.json", _report())
    return folder / "run.json"


def _read_report(path: Path) -> Any:
    report = read_report(path)
    return [report.summary(stage) for stage in (*report.stages, "truth")], differences(
        report, replace(_report(), seed=report.seed)
    )


def _record(kind: type, make: Callable[[], Any], may_be_nan: tuple[str, ...] = (), runs: int = 40) -> Target:
    def write(folder: Path) -> Path:
        save_record(folder / f"{kind.__name__}.npz", make())
        return folder / f"{kind.__name__}.npz"

    name = f"record_{kind.__name__.lower()}"
    return Target(name, write, lambda path: load_record(path, kind), frozenset(may_be_nan), ranges=False, runs=runs)


def _scene() -> known_scenes.KnownScene:
    if not _SCENES:
        scene = known_scenes.make_known_scene()
        _SCENES.append(
            replace(
                scene,
                clip=CLIP,
                camera=scene.camera.frames(slice(0, 3)),
                motion=scene.motion.frames(slice(0, 3)),
                observations=_first_frames(scene.observations),
            )
        )
    return _SCENES[0]


_SCENES: list[known_scenes.KnownScene] = []


def _first_frames(observations: Observations) -> Observations:
    values = vars(observations)
    return Observations(**{name: v[:3] if isinstance(v, np.ndarray) else v for name, v in values.items()})


RECORD_TARGETS = (
    _record(Clip, lambda: CLIP),
    _record(Camera, lambda: _scene().camera),
    _record(BodyMotion, lambda: _scene().motion),
    _record(Observations, lambda: _scene().observations),
    _record(PairContacts, lambda: PairContacts(0, 1, np.zeros(3), np.zeros(3), ()), ("distance", "depth")),
)


def _write_result(folder: Path) -> Path:
    scene = _scene()
    finished_result.write_finished_result(folder / "out", scene.motion, scene.body)
    shutil.rmtree(folder / "out" / "stages", ignore_errors=True)
    for file in (folder / "out").glob("*.npz"):
        file.unlink()
    return folder / "out"


def _read_result(path: Path) -> Any:
    return scene_camera(read_scene(path / "scene.json")), read_contacts(path / "contacts.json")


def _write_network(folder: Path) -> Path:
    save_network(folder / "net.safetensors", torch.nn.Linear(3, 2), ClipConfig())
    return folder / "net.safetensors"


def _read_network(path: Path) -> Any:
    return load_network(path, lambda config: torch.nn.Linear(3, 2), "cpu").state_dict()


_WORDS = (PAD, UNKNOWN, BEGIN, END, PERSON_A, PERSON_B, "hug")


def _write_sentence_encoder(folder: Path) -> Path:
    from safetensors.torch import save_file

    words = {{PERSON_A: "alice", PERSON_B: "bob"}.get(word, word): k for k, word in enumerate(_WORDS)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}}))
    tensors = {
        "embeddings.word_embeddings.weight": torch.zeros(len(_WORDS), 8),
        "embeddings.position_embeddings.weight": torch.zeros(MAX_TOKENS, 8),
        "embeddings.token_type_embeddings.weight": torch.zeros(2, 8),
        **{f"embeddings.LayerNorm.{kind}": torch.zeros(8) for kind in ("weight", "bias")},
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


def _read_sentence_encoder(folder: Path) -> Any:
    config = TextTransformerConfig(len(_WORDS), width=8, layers=0, heads=2, hidden=8)
    transformer = TextTransformer(config)
    init_from_sentence_encoder(transformer, WordPieceTokenizer(_WORDS), folder)
    return transformer.state_dict()


def _write_manifest(folder: Path) -> Path:
    entries = json.loads(find_model("manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps([entries[0], *[one for one in entries if one["archive"]][:1]]))
    return folder / "manifest.json"


def _write_labels(folder: Path) -> Path:
    write_labels(folder / "000000.png", np.random.default_rng(0).integers(0, 3, (24, 32)).astype(np.uint8))
    return folder / "000000.png"


def _write_photo(folder: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    entries = {0x920A: (5, (6, 1)), 0xA20E: (5, (4000, 1)), 0xA210: (3, 3), 0xA405: (3, 28)}
    cv2.imwriteWithMetadata(str(folder / "0.jpg"), image, [cv2.IMAGE_METADATA_EXIF], [exif(entries)])
    return folder


def _photo(folder: Path) -> Any:
    return probe_images(folder, ClipConfig())


def _quicktime(folder: Path) -> Path:
    def box(kind: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return struct.pack(">I4s", 8 + len(content), kind) + content

    name = b"com.apple.quicktime.camera.focal_length.35mm_equivalent"
    keys = box(b"keys", struct.pack(">II", 0, 1), struct.pack(">I4s", 8 + len(name), b"mdta"), name)
    item = struct.pack(">I", 8 + 20) + struct.pack(">I", 1) + struct.pack(">I4sIII", 20, b"data", 21, 0, 28)
    meta = box(b"meta", box(b"hdlr", bytes(24)), keys, box(b"ilst", item))
    (folder / "a.mov").write_bytes(box(b"ftyp", b"qt  ") + box(b"moov", meta, box(b"trak", meta)))
    return folder / "a.mov"


OTHER_TARGETS = (
    Target("body_npz", _write_body_npz, load_body),
    Target("body_pickle", _write_body_pickle, load_body),
    *CAMERA_TARGETS,
    Target("descriptions", _json("descriptions.json", _DESCRIPTIONS), _descriptions),
    Target(
        "vlm_answer",
        _text("a.answer", _ANSWER),
        _answer,
        names_file=False,
    ),
    Target("toml", _text("a.toml", _TOML), lambda path: read_toml(path) and None),
    Target("config", _text("a.toml", _TOML), lambda path: asdict(load_config(path)) and None, names_file=False),
    Target("facts", _write_facts, read_facts),
    Target("masks", _write_masks, _masks, may_print=True, runs=20),
    Target("openpose", _json("a.vitpose.json", _BODY_25), lambda path: photo_joints(path, _scene().observations)),
    Target("report", _write_report, _read_report, frozenset({"low", "high"}), runs=20),
    Target(
        "real_report",
        lambda folder: Path(shutil.copy(_ROOT / "tests/benchmark/real_before.json", folder)),
        read_real_report,
        runs=20,
    ),
    *RECORD_TARGETS,
    Target("result_json", _write_result, _read_result, frozenset({"distance", "depth"}), suffixes=(".json",)),
    Target("people", _write_result, lambda path: read_people(path / "people"), suffixes=(".npz",), runs=40),
    Target("network", _write_network, _read_network),
    Target("sentence_encoder", _write_sentence_encoder, _read_sentence_encoder),
    Target("manifest", _write_manifest, read_manifest),
    Target("label_image", _write_labels, read_labels, may_print=True),
    Target("photo", _write_photo, _photo, may_print=True),
    Target("quicktime", _quicktime, quicktime_keys),
)
