// The 3D scene: people as skinned meshes, the floor, the camera as a frustum, and the vertices in contact.
// Frame: world, y up, meters.

import * as THREE from "three";
import { OrbitControls } from "three/orbit-controls";
import { arrayOf } from "report/arrays";

const FRUSTUM_DEPTH = 0.5; // Meters.
const FIELD_OF_VIEW = 35; // Degrees, of all views but that of the camera.
const MOST_POINTS = 1500; // Vertices in contact that glow at once.
const TRUTH_PALENESS = 0.6; // Of the colors of the true motion, towards white.
const TURN = 0.08; // Radians that a key turns the view.
const ZOOM = 1.1;

export class Scene {
  /** element: where to draw; payload: that of payload.py. Throws an Error where WebGL 2 is missing. */
  constructor(element, payload) {
    this._element = element;
    this._payload = payload;
    this._renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
    this._renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this._renderer.shadowMap.enabled = true;
    this._renderer.shadowMap.type = THREE.PCFSoftShadowMap;
    this._renderer.domElement.setAttribute("aria-hidden", "true");
    element.append(this._renderer.domElement);
    this._scene = new THREE.Scene();
    this._people = payload.people.map((person) => new Person(person, payload.body));
    this._truth = (payload.truth?.people ?? []).map((person) => new Person(person, payload.body, TRUTH_PALENESS));
    for (const person of [...this._people, ...this._truth]) this._scene.add(person.group);
    this._bounds = this._boundsOf(this._people);
    this._placeTruth();
    this._contact = new ContactPoints();
    this._scene.add(this._contact.points);
    this._frustum = new Frustum(payload.camera);
    this._scene.add(this._frustum.lines);
    this._addLightsAndFloor();
    this._view = new THREE.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.05, 200);
    this._controls = new OrbitControls(this._view, this._renderer.domElement);
    this._zoomOnlyInFocus();
    this._controls.addEventListener("start", () => (this._followsCamera = false));
    this._controls.addEventListener("change", () => this._draw());
    element.addEventListener("keydown", (event) => this._turnByKey(event));
    new ResizeObserver(() => this._resize()).observe(element);
    this.frame = 0;
    this.setColors();
    this._resize();
    this.setView("overview");
  }

  /** Show a frame. */
  show(frame) {
    this.frame = frame;
    for (const person of [...this._people, ...this._truth]) person.pose(frame);
    this._frustum.place(frame);
    this._contact.place(this._people.map((person, index) => [person, this._touching(index, frame)]));
    if (this._followsCamera && !this._payload.camera.static) this.setView("camera");
    this._draw();
  }

  /** Look from the `overview`, the `camera` of the clip, the `side` or the `top`. */
  setView(name) {
    const { center, radius } = this._bounds;
    const [position, forward] = this._frustum.pose(this.frame);
    const ahead = new THREE.Vector3(forward.x, 0, forward.z).normalize();
    const up = new THREE.Vector3(0, 1, 0);
    const left = new THREE.Vector3().crossVectors(up, ahead);
    this._followsCamera = name === "camera";
    this._view.fov = this._followsCamera ? this._cameraFieldOfView() : FIELD_OF_VIEW;
    this._view.updateProjectionMatrix();
    this._controls.target.copy(center);
    if (this._followsCamera) {
      const depth = Math.max(0.5, center.clone().sub(position).dot(forward));
      this._controls.target.copy(position).addScaledVector(forward, depth);
      this._frustum.align(this._view, this.frame);
    } else {
      const directions = {
        overview: ahead.clone().negate().addScaledVector(left, 0.75).addScaledVector(up, 0.45),
        side: left.clone().addScaledVector(up, 0.15),
        top: up.clone().addScaledVector(ahead, -0.001),
      };
      const narrow = Math.min(1, this._view.aspect);
      const distance = (0.9 * radius) / Math.sin((FIELD_OF_VIEW * Math.PI) / 360) / narrow;
      this._view.position.copy(center).addScaledVector(directions[name].normalize(), distance);
      this._controls.update();
    }
    this._draw();
  }

  /** Take the colors of floor, frustum and contact from the style of the page. */
  setColors() {
    const style = getComputedStyle(document.documentElement);
    const contact = new THREE.Color(style.getPropertyValue("--contact").trim());
    const floor = new THREE.Color(`rgb(${style.getPropertyValue("--floor").trim().split(" ").join(",")})`);
    for (const person of this._people) person.contactColor.copy(contact);
    this._contact.points.material.color.copy(contact);
    this._grid.material.color.copy(floor);
    this._frustum.lines.material.color.copy(floor);
    this.show(this.frame);
  }

  _touching(person, frame) {
    const { starts, ids } = this._payload.contact[person];
    this._ids ??= this._payload.contact.map((one) => arrayOf(one.ids, "uint16"));
    return ids ? this._ids[person].subarray(starts[frame], starts[frame + 1]) : [];
  }

  _boundsOf(people) {
    const box = new THREE.Box3();
    for (const person of people) box.union(person.bounds);
    if (box.isEmpty()) box.set(new THREE.Vector3(-1, 0, -1), new THREE.Vector3(1, 2, 1));
    box.min.y = this._payload.floor;
    return box.expandByScalar(0.1).getBoundingSphere(new THREE.Sphere());
  }

  /** The truth stands to the right of the result, as the camera sees it. */
  _placeTruth() {
    if (!this._truth.length) return;
    const camera = new Frustum(this._payload.camera);
    const [, forward] = camera.pose(0);
    const right = new THREE.Vector3(-forward.z, 0, forward.x).normalize();
    const shift = right.multiplyScalar(1.6 * this._bounds.radius);
    for (const person of this._truth) person.group.position.copy(shift);
    this._bounds.center.addScaledVector(shift, 0.5);
    this._bounds.radius *= 1.5;
  }

  _addLightsAndFloor() {
    const { center, radius } = this._bounds;
    const sun = new THREE.DirectionalLight(0xffffff, 2.2);
    sun.position.set(center.x + 1.5, this._payload.floor + 6, center.z + 2.5);
    sun.target.position.copy(center);
    sun.castShadow = true;
    sun.shadow.mapSize.set(1024, 1024);
    sun.shadow.radius = 4;
    Object.assign(sun.shadow.camera, { left: -radius, right: radius, top: radius, bottom: -radius, near: 1, far: 20 });
    this._scene.add(sun, sun.target, new THREE.HemisphereLight(0xffffff, 0x8a8f98, 1.6));
    const side = 2 * Math.ceil(radius + 0.5);
    this._grid = new THREE.GridHelper(side, 2 * side, 0xffffff, 0xffffff);
    Object.assign(this._grid.material, { transparent: true, opacity: 0.45 });
    this._grid.material.vertexColors = false;
    this._grid.position.set(center.x, this._payload.floor, center.z);
    const shadow = new THREE.Mesh(new THREE.PlaneGeometry(side, side), new THREE.ShadowMaterial({ opacity: 0.25 }));
    shadow.rotation.x = -Math.PI / 2;
    shadow.position.set(center.x, this._payload.floor, center.z);
    shadow.receiveShadow = true;
    this._scene.add(this._grid, shadow);
  }

  /** Degrees across the height of the drawing in which all of the camera's image is seen. */
  _cameraFieldOfView() {
    const { focal, size } = this._payload.camera;
    const tangent = Math.max(size[1], size[0] / this._view.aspect) / (2 * focal);
    return (360 / Math.PI) * Math.atan(tangent);
  }

  /** The wheel scrolls the page until the scene is clicked. */
  _zoomOnlyInFocus() {
    this._controls.enableZoom = false;
    this._element.addEventListener("focusout", () => (this._controls.enableZoom = false));
    const focus = () => {
      this._element.focus({ preventScroll: true });
      this._controls.enableZoom = true;
    };
    this._element.addEventListener("pointerdown", focus, { capture: true });
  }

  _turnByKey(event) {
    const offset = new THREE.Spherical().setFromVector3(this._view.position.clone().sub(this._controls.target));
    if (event.key === "ArrowLeft") offset.theta -= TURN;
    else if (event.key === "ArrowRight") offset.theta += TURN;
    else if (event.key === "ArrowUp") offset.phi -= TURN;
    else if (event.key === "ArrowDown") offset.phi += TURN;
    else if (event.key === "+" || event.key === "=") offset.radius /= ZOOM;
    else if (event.key === "-") offset.radius *= ZOOM;
    else return;
    event.preventDefault();
    this._followsCamera = false;
    this._view.position.setFromSpherical(offset.makeSafe()).add(this._controls.target);
    this._controls.update();
    this._draw();
  }

  _resize() {
    const { clientWidth, clientHeight } = this._element;
    if (!clientWidth || !clientHeight) return;
    this._renderer.setSize(clientWidth, clientHeight);
    this._view.aspect = clientWidth / clientHeight;
    if (this._followsCamera) this._view.fov = this._cameraFieldOfView();
    this._view.updateProjectionMatrix();
    this._draw();
  }

  _draw() {
    if (this._scheduled) return;
    this._scheduled = requestAnimationFrame(() => {
      this._scheduled = null;
      this._renderer.render(this._scene, this._view);
    });
  }
}

/** One person: a rest mesh and the rotations of 55 joints in each frame. */
class Person {
  constructor(person, body, paleness = 0) {
    this._rest = arrayOf(person.rest_joints, "float32");
    this._pelvis = arrayOf(person.pelvis, "float32");
    this._quaternions = arrayOf(person.quaternions, "int16");
    this._valid = arrayOf(person.valid, "uint8");
    this._bones = this._makeBones(body.parents);
    this._color = new THREE.Color(`rgb(${person.color.join(",")})`).lerp(new THREE.Color("white"), paleness);
    this.contactColor = new THREE.Color();
    this._painted = [];
    const material = new THREE.MeshStandardMaterial({ vertexColors: true, roughness: 0.75 });
    this.mesh = new THREE.SkinnedMesh(this._makeGeometry(person, body), material);
    this.mesh.frustumCulled = false;
    this.mesh.castShadow = this.mesh.receiveShadow = true;
    this.mesh.add(this._bones[0]);
    this.mesh.updateMatrixWorld(true);
    this.mesh.bind(new THREE.Skeleton(this._bones));
    this.group = new THREE.Group();
    this.group.add(this.mesh);
    this.bounds = this._boundsOverTime();
  }

  pose(frame) {
    this.mesh.visible = this._valid[frame] === 1;
    this._bones[0].position.fromArray(this._pelvis, 3 * frame);
    const first = 4 * this._bones.length * frame;
    this._bones.forEach((bone, index) => bone.quaternion.fromArray(this._quaternions, first + 4 * index).normalize());
    this.group.updateMatrixWorld(true);
  }

  /** Paint vertices [N] in the color of contact, and no others. */
  paint(vertices) {
    const colors = this.mesh.geometry.attributes.color;
    for (const vertex of this._painted) this._color.toArray(colors.array, 3 * vertex);
    for (const vertex of vertices) this.contactColor.toArray(colors.array, 3 * vertex);
    this._painted = Array.from(vertices);
    colors.needsUpdate = true;
  }

  _makeBones(parents) {
    const bones = parents.map(() => new THREE.Bone());
    parents.forEach((parent, index) => {
      bones[index].position.fromArray(this._rest, 3 * index);
      if (parent < 0) return;
      bones[index].position.sub(new THREE.Vector3().fromArray(this._rest, 3 * parent));
      bones[parent].add(bones[index]);
    });
    return bones;
  }

  _makeGeometry(person, body) {
    const positions = Float32Array.from(arrayOf(person.vertices, "int16"), (value) => value * body.unit);
    const count = positions.length / 3;
    const faces = arrayOf(body.faces, count <= 1 << 16 ? "uint16" : "uint32");
    const colors = new Float32Array(positions.length);
    for (let vertex = 0; vertex < count; vertex++) this._color.toArray(colors, 3 * vertex);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(colors, 3));
    geometry.setAttribute("skinIndex", new THREE.BufferAttribute(arrayOf(body.skin_joints, "uint8"), 4));
    geometry.setAttribute("skinWeight", new THREE.BufferAttribute(arrayOf(body.skin_weights, "uint8"), 4, true));
    geometry.setIndex(new THREE.BufferAttribute(faces, 1));
    geometry.computeVertexNormals();
    return geometry;
  }

  /** A box around the joints in all frames. */
  _boundsOverTime() {
    const box = new THREE.Box3();
    const point = new THREE.Vector3();
    this._valid.forEach((valid, frame) => {
      if (!valid) return;
      this.pose(frame);
      for (const bone of this._bones) box.expandByPoint(bone.getWorldPosition(point));
    });
    return box;
  }
}

/** The vertices in contact, as points that shine through the bodies in front of them. */
class ContactPoints {
  constructor() {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * MOST_POINTS), 3));
    const material = new THREE.PointsMaterial({ size: 0.03, map: softDisc(), transparent: true, opacity: 0.6, depthTest: false });
    this.points = new THREE.Points(geometry, material);
    this.points.frustumCulled = false;
    this.points.renderOrder = 1;
  }

  /** Show the touching vertices of each person; parts: [Person, vertices] of each. */
  place(parts) {
    const total = parts.reduce((sum, [, vertices]) => sum + vertices.length, 0);
    const step = Math.max(1, Math.ceil(total / MOST_POINTS));
    const positions = this.points.geometry.attributes.position;
    const point = new THREE.Vector3();
    let count = 0;
    for (const [person, vertices] of parts) {
      person.paint(vertices);
      for (let index = 0; index < vertices.length; index += step) {
        person.mesh.getVertexPosition(vertices[index], point);
        if (count < MOST_POINTS) point.toArray(positions.array, 3 * count++);
      }
    }
    positions.needsUpdate = true;
    this.points.geometry.setDrawRange(0, count);
  }
}

function softDisc() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  const gradient = context.createRadialGradient(32, 32, 0, 32, 32, 32);
  gradient.addColorStop(0, "rgba(255, 255, 255, 1)");
  gradient.addColorStop(0.5, "rgba(255, 255, 255, 0.7)");
  gradient.addColorStop(1, "rgba(255, 255, 255, 0)");
  context.fillStyle = gradient;
  context.fillRect(0, 0, 64, 64);
  return new THREE.CanvasTexture(canvas);
}

/** The camera of the clip: its image as a pyramid, with a triangle above. */
class Frustum {
  constructor(camera) {
    this._poses = arrayOf(camera.T_world_cam, "float32");
    this._static = camera.static;
    this.lines = new THREE.LineSegments(this._makeGeometry(camera), new THREE.LineBasicMaterial());
    this.lines.matrixAutoUpdate = false;
  }

  place(frame) {
    this.lines.matrix.copy(this._matrix(frame));
    this.lines.matrixWorldNeedsUpdate = true;
  }

  /** Position and viewing direction. */
  pose(frame) {
    const matrix = this._matrix(frame);
    const forward = new THREE.Vector3().setFromMatrixColumn(matrix, 2);
    return [new THREE.Vector3().setFromMatrixPosition(matrix), forward];
  }

  /** Put a view at the camera, also with its roll. */
  align(view, frame) {
    const turn = new THREE.Matrix4().makeScale(1, -1, -1); // Views look along -z with y up.
    this._matrix(frame).multiply(turn).decompose(view.position, view.quaternion, new THREE.Vector3());
  }

  _matrix(frame) {
    return new THREE.Matrix4().fromArray(this._poses, this._static ? 0 : 16 * frame).transpose();
  }

  /** Lines in camera axes: x right, y down, z forward. */
  _makeGeometry({ focal, center, size }) {
    const scale = FRUSTUM_DEPTH / focal;
    const corner = (x, y) => new THREE.Vector3((x - center[0]) * scale, (y - center[1]) * scale, FRUSTUM_DEPTH);
    const corners = [corner(0, 0), corner(size[0], 0), corner(size[0], size[1]), corner(0, size[1])];
    const eye = new THREE.Vector3();
    const top = corner(size[0] / 2, -0.25 * size[1]);
    const lines = corners.flatMap((one, index) => [eye, one, one, corners[(index + 1) % 4]]);
    return new THREE.BufferGeometry().setFromPoints([...lines, corners[0], top, top, corners[1]]);
  }
}
