"""USD as text (.usda): people as UsdSkel skeletons with skinned meshes, and the camera. Meters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from closemesh.body.skeleton import JOINT_NAMES, PARENTS
from closemesh.core.arrays import Floats
from closemesh.interchange.scene import ExportedScene, SkeletalAnimation, skeletal_animation
from closemesh.output.gltf import continuous_quaternions
from closemesh.rendering.shading import person_color

_APERTURE = 0.36  # Tenths of a meter, as USD counts: the 36 mm of full frame.


def write_usd(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/scene.usda at a constant rate. The folder exists.

    A person is invisible in frames in which they are not valid.
    """
    scene = scene.at_constant_rate()
    with (folder / "scene.usda").open("w", encoding="ascii") as file:
        file.writelines(f"{line}\n" for line in _stage(scene))


def _stage(scene: ExportedScene) -> Iterator[str]:
    yield "#usda 1.0"
    yield "("
    yield '    defaultPrim = "World"'
    yield f'    upAxis = "{scene.up.upper()}"'
    yield "    metersPerUnit = 1"
    yield f"    timeCodesPerSecond = {scene.clip.fps:.9g}"
    yield f"    framesPerSecond = {scene.clip.fps:.9g}"
    yield "    startTimeCode = 0"
    yield f"    endTimeCode = {len(scene.clip) - 1}"
    yield ")"
    yield from _prim('Xform "World"', "", _world(scene))


def _world(scene: ExportedScene) -> Iterator[str]:
    for index, name in enumerate(scene.people):
        yield from _prim(f'SkelRoot "{name}"', "SkelBindingAPI", _person(scene, index))
    yield from _prim('Camera "camera"', "", _camera(scene))


def _prim(head: str, schema: str, content: Iterable[str]) -> Iterator[str]:
    """A prim with its properties and children; schema: an API schema that is applied, or nothing."""
    yield f"def {head} (" if schema else f"def {head}"
    if schema:
        yield f'    prepend apiSchemas = ["{schema}"]'
        yield ")"
    yield "{"
    yield from (f"    {line}" for line in content)
    yield "}"


def _person(scene: ExportedScene, index: int) -> Iterator[str]:
    animation, root = skeletal_animation(scene, index), f"/World/{scene.people[index]}"
    visible = ('"inherited"' if valid else '"invisible"' for valid in animation.valid)
    yield from _time_samples("token visibility", visible)
    yield from _prim('Skeleton "skeleton"', "SkelBindingAPI", _skeleton(animation, f"{root}/animation"))
    yield from _prim('SkelAnimation "animation"', "", _animation(animation))
    yield from _prim('Mesh "mesh"', "SkelBindingAPI", _mesh(scene, index, animation, f"{root}/skeleton"))


def _joint_paths() -> str:
    paths: list[str] = []
    for name, parent in zip(JOINT_NAMES, PARENTS, strict=True):
        paths.append(f"{paths[parent]}/{name}" if parent >= 0 else name)
    return "[" + ", ".join(f'"{path}"' for path in paths) + "]"


def _skeleton(animation: SkeletalAnimation, source: str) -> Iterator[str]:
    bind, rest = (_translations(points) for points in (animation.joints_rest, _bones(animation.joints_rest)))
    yield f"uniform token[] joints = {_joint_paths()}"
    yield f"uniform matrix4d[] bindTransforms = [{', '.join(map(_matrix, bind))}]"
    yield f"uniform matrix4d[] restTransforms = [{', '.join(map(_matrix, rest))}]"
    yield f"rel skel:animationSource = <{source}>"


def _animation(animation: SkeletalAnimation) -> Iterator[str]:
    bones = _bones(animation.joints_rest)
    quaternions = np.stack(
        [continuous_quaternions(animation.rotations[:, joint])[:, [3, 0, 1, 2]] for joint in range(len(PARENTS))],
        axis=1,
    )  # [T, 55, 4] real part first
    yield f"uniform token[] joints = {_joint_paths()}"
    yield f"half3[] scales = {_vectors(np.ones((len(PARENTS), 3)))}"
    yield from _time_samples("quatf[] rotations", map(_vectors, quaternions))
    moved = (np.concatenate([pelvis[None], bones[1:]]) for pelvis in animation.pelvis)
    yield from _time_samples("float3[] translations", map(_vectors, moved))


def _mesh(scene: ExportedScene, person: int, animation: SkeletalAnimation, skeleton: str) -> Iterator[str]:
    faces = scene.body.faces.cpu().numpy()
    weights = scene.body.skin_weights.cpu().numpy()
    influences = int((weights > 0).sum(1).max())
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :influences]  # [V, n]
    chosen = np.take_along_axis(weights, joints, axis=1)
    per_vertex = f'(elementSize = {influences}; interpolation = "vertex")'
    color = (np.array(person_color(person)) / 255) ** 2.2  # Linear light.
    yield 'uniform token subdivisionScheme = "none"'
    yield f"int[] faceVertexCounts = {_integers(np.full(len(faces), 3))}"
    yield f"int[] faceVertexIndices = {_integers(faces)}"
    yield f"point3f[] points = {_vectors(animation.vertices_rest)}"
    yield f"color3f[] primvars:displayColor = {_vectors(color[None])}"
    yield f"int[] primvars:skel:jointIndices = {_integers(joints)} {per_vertex}"
    yield f"float[] primvars:skel:jointWeights = [{', '.join(f'{w:.6g}' for w in chosen.flat)}] {per_vertex}"
    yield f"matrix4d primvars:skel:geomBindTransform = {_matrix(np.eye(4))}"
    yield f"rel skel:skeleton = <{skeleton}>"


def _camera(scene: ExportedScene) -> Iterator[str]:
    """A USD camera has -z forward and y up, as that of OpenGL."""
    camera = scene.camera
    width, height = camera.size
    unit, (x, y) = _APERTURE / width, camera.principal_point
    T_world_cam = np.linalg.inv(camera.T_cam_world) @ np.diag([1.0, -1.0, -1.0, 1.0])
    yield f"float focalLength = {camera.focal * unit:.9g}"
    yield f"float horizontalAperture = {width * unit:.9g}"
    yield f"float verticalAperture = {height * unit:.9g}"
    yield f"float horizontalApertureOffset = {(width / 2 - x) * unit:.9g}"
    yield f"float verticalApertureOffset = {(y - height / 2) * unit:.9g}"
    yield "float2 clippingRange = (0.01, 1000)"
    yield from _time_samples("matrix4d xformOp:transform", (_matrix(T.T) for T in T_world_cam))
    yield 'uniform token[] xformOpOrder = ["xformOp:transform"]'


def _bones(joints_rest: Floats) -> Floats:
    """Offsets [55, 3] from the parents; the pelvis keeps its position."""
    return np.concatenate([joints_rest[:1], joints_rest[1:] - joints_rest[list(PARENTS[1:])]])


def _translations(points: Floats) -> Floats:
    """Transforms [N, 4, 4] of row vectors, as USD has them."""
    T = np.tile(np.eye(4), (len(points), 1, 1))
    T[:, 3, :3] = points
    return T


def _time_samples(name: str, values: Iterable[str]) -> Iterator[str]:
    yield f"{name}.timeSamples = {{"
    yield from (f"    {frame}: {value}," for frame, value in enumerate(values))
    yield "}"


def _matrix(matrix: Floats) -> str:
    return "( " + ", ".join(map(_vector, matrix)) + " )"


def _vectors(vectors: Floats) -> str:
    return "[" + ", ".join(map(_vector, vectors)) + "]"


def _vector(vector: Floats) -> str:
    return "(" + ", ".join(f"{value:.7g}" for value in vector) + ")"


def _integers(values: np.ndarray) -> str:
    return "[" + ", ".join(map(str, values.ravel().tolist())) + "]"
