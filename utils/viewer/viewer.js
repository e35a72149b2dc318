"use strict";
// Draws the motions of the page: each is a skinned body, turned by its bones. Data: see page.py.
(() => {
  const element = (id) => document.getElementById(id);
  const { heading, colors, motions } = JSON.parse(element("motions").textContent);
  const GAP = 1.3; // metres between neighbours
  const THEMES = {
    light: { ground: "#eef0f3", fine: "#d3d8de", path: "#0b57d0", contact: "#137333", shade: 0.22, sky: 2.2 },
    dark: { ground: "#14171b", fine: "#2a3038", path: "#8ab4f8", contact: "#81c995", shade: 0.5, sky: 1.5 },
  };

  function decoded(text, Kind) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new Kind(bytes.buffer);
  }

  /** A strip of 2 cm along the way of the root on the floor. */
  function ribbonOf(root) {
    const count = root.length / 3;
    const points = new Float32Array(6 * count);
    const faces = [];
    let across = [0.01, 0];
    for (let i = 0; i < count; i++) {
      const after = Math.min(i + 1, count - 1);
      const before = Math.max(i - 1, 0);
      const dx = root[3 * after] - root[3 * before];
      const dz = root[3 * after + 2] - root[3 * before + 2];
      const length = Math.hypot(dx, dz);
      if (length > 1e-4) across = [(-0.01 * dz) / length, (0.01 * dx) / length];
      const [x, z] = [root[3 * i], root[3 * i + 2]];
      points.set([x + across[0], 0.006, z + across[1], x - across[0], 0.006, z - across[1]], 6 * i);
      if (i > 0) faces.push(2 * i - 2, 2 * i - 1, 2 * i, 2 * i, 2 * i - 1, 2 * i + 1);
    }
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    geometry.setIndex(faces);
    return geometry;
  }

  /** A body with its skeleton, path and contacts, and `pose(seconds)`, which moves it. */
  function makeBody(motion) {
    const root = decoded(motion.root, Float32Array);
    const turns = decoded(motion.rotations, Int16Array);
    const contacts = decoded(motion.contacts, Uint8Array);
    const offsets = decoded(motion.offsets, Float32Array);
    const count = motion.parents.length;
    const last = motion.frames - 1;

    const bones = motion.parents.map((_, joint) => {
      const bone = new THREE.Bone();
      bone.position.fromArray(offsets, 3 * joint);
      return bone;
    });
    motion.parents.forEach((parent, joint) => parent >= 0 && bones[parent].add(bones[joint]));

    const geometry = new THREE.BufferGeometry();
    const attribute = (name, values, size, normalized) =>
      geometry.setAttribute(name, new THREE.BufferAttribute(values, size, normalized));
    attribute("position", decoded(motion.mesh.positions, Float32Array), 3, false);
    attribute("normal", decoded(motion.mesh.normals, Int8Array), 3, true);
    attribute("skinIndex", decoded(motion.mesh.joints, Uint8Array), 4, false);
    attribute("skinWeight", decoded(motion.mesh.weights, Uint8Array), 4, true);
    const parts = Object.entries(motion.mesh.triangles).map(([name, text]) => [name, decoded(text, Uint16Array)]);
    const indices = new Uint16Array(parts.reduce((sum, [, part]) => sum + part.length, 0));
    let at = 0;
    const materials = parts.map(([name, part], place) => {
      indices.set(part, at);
      geometry.addGroup(at, part.length, place);
      at += part.length;
      return new THREE.MeshStandardMaterial({ color: colors[name], roughness: 0.7 });
    });
    geometry.setIndex(new THREE.BufferAttribute(indices, 1));
    const mesh = new THREE.SkinnedMesh(geometry, materials);
    mesh.castShadow = true;
    mesh.frustumCulled = false; // its bounds are those of the rest pose
    mesh.add(bones[0]);
    mesh.bind(new THREE.Skeleton(bones));

    const path = new THREE.Mesh(ribbonOf(root), new THREE.MeshBasicMaterial({ side: THREE.DoubleSide }));

    const disc = new THREE.RingGeometry(0.055, 0.075, 24).rotateX(-Math.PI / 2);
    const discMaterial = new THREE.MeshBasicMaterial({ side: THREE.DoubleSide });
    const discs = motion.feet.map(() => new THREE.Mesh(disc, discMaterial));

    const group = new THREE.Group();
    group.add(mesh, path, ...discs);
    const before = new THREE.Quaternion();
    const after = new THREE.Quaternion();
    const foot = new THREE.Vector3();
    const turn = (target, frame, joint) => {
      const i = 4 * (frame * count + joint);
      return target.set(turns[i], turns[i + 1], turns[i + 2], turns[i + 3]).normalize();
    };

    function pose(seconds) {
      const place = Math.min(Math.max(seconds * motion.fps, 0), last);
      const low = Math.floor(place);
      const high = Math.min(low + 1, last);
      const share = place - low;
      bones.forEach((bone, joint) => bone.quaternion.slerpQuaternions(turn(before, low, joint), turn(after, high, joint), share));
      for (const [i, axis] of ["x", "y", "z"].entries()) {
        bones[0].position[axis] = root[3 * low + i] * (1 - share) + root[3 * high + i] * share;
      }
      group.updateMatrixWorld(true);
      const frame = Math.round(place);
      discs.forEach((mark, k) => {
        mark.visible = state.contacts && contacts[4 * frame + k] > 0;
        if (!mark.visible) return;
        group.worldToLocal(foot.setFromMatrixPosition(bones[motion.feet[k]].matrixWorld));
        mark.position.set(foot.x, 0.008, foot.z);
      });
    }

    const xs = Array.from({ length: motion.frames }, (_, frame) => root[3 * frame]);
    const zs = Array.from({ length: motion.frames }, (_, frame) => root[3 * frame + 2]);
    const extent = { left: Math.min(...xs), right: Math.max(...xs), back: Math.min(...zs), front: Math.max(...zs) };
    return { motion, group, bones, path, discMaterial, pose, extent, duration: last / motion.fps };
  }

  const state = { time: 0, playing: false, loop: true, follow: false, path: true, contacts: false, speed: 1 };
  const canvas = element("view");
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
  } catch {
    element("trouble").hidden = false;
    element("trouble").textContent = "This browser cannot draw in 3D: WebGL is switched off or missing.";
    element("bar").hidden = true;
    return;
  }
  renderer.shadowMap.enabled = true;
  renderer.outputColorSpace = THREE.SRGBColorSpace;
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(40, 1, 0.05, 200);
  const controls = new THREE.OrbitControls(camera, canvas);
  controls.maxPolarAngle = Math.PI * 0.52;

  const bodies = motions.map(makeBody);
  const duration = Math.max(...bodies.map((body) => body.duration), 1e-3);
  // Side by side, each beside the room that the one before needs.
  let edge = 0;
  bodies.forEach((body, i) => {
    if (i > 0) edge += GAP;
    body.group.position.x = edge - body.extent.left;
    edge += body.extent.right - body.extent.left;
  });
  bodies.forEach((body) => { body.group.position.x -= bodies.length > 1 ? edge / 2 : body.group.position.x; });
  bodies.forEach((body) => scene.add(body.group));

  const sky = new THREE.HemisphereLight("#ffffff", "#8a8f98", 2);
  const sun = new THREE.DirectionalLight("#ffffff", 2.2);
  sun.castShadow = true;
  sun.shadow.mapSize.set(2048, 2048);
  Object.assign(sun.shadow.camera, { left: -6, right: 6, top: 6, bottom: -6, near: 0.5, far: 30 });
  const shade = new THREE.ShadowMaterial({ depthWrite: false });
  const floor = new THREE.Mesh(new THREE.PlaneGeometry(200, 200).rotateX(-Math.PI / 2), shade);
  floor.receiveShadow = true;
  floor.position.y = -0.003; // below the grid
  const gridMaterial = new THREE.LineBasicMaterial();
  const grid = new THREE.LineSegments(gridOf(40), gridMaterial); // squares of one metre
  scene.add(sky, sun, sun.target, floor, grid);

  function gridOf(half) {
    const lines = [];
    for (let i = -half; i <= half; i++) {
      // In pieces: some drivers lose long lines that begin behind the camera.
      for (let k = -half; k < half; k++) lines.push(i, 0, k, i, 0, k + 1, k, 0, i, k + 1, 0, i);
    }
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(lines), 3));
    return geometry;
  }

  const labels = bodies.length < 2 ? [] : bodies.map((body) => {
    const label = document.createElement("span");
    label.textContent = label.title = body.motion.title;
    label.style.maxWidth = `${Math.max(100 / bodies.length, 12)}%`;
    element("labels").append(label);
    return label;
  });

  const middle = new THREE.Vector3();
  const spot = new THREE.Vector3();
  /** The middle of all bodies, at the height of a waist. */
  function centre(target) {
    target.set(0, 0, 0);
    bodies.forEach((body) => target.add(spot.setFromMatrixPosition(body.bones[0].matrixWorld)));
    target.divideScalar(bodies.length);
    target.y = 0.9;
    return target;
  }

  /** The box that must be seen: all ways, or, following, the bodies where they are; with room for arms. */
  function boxToSee() {
    const sides = bodies.flatMap((body) => {
      const [x, { left, right, back, front }] = [body.group.position.x, body.extent];
      if (!state.follow) return [[x + left, back], [x + right, front]];
      spot.setFromMatrixPosition(body.bones[0].matrixWorld);
      return [[spot.x, spot.z]];
    });
    const [xs, zs] = [0, 1].map((axis) => sides.map((side) => side[axis]));
    return {
      low: new THREE.Vector3(Math.min(...xs) - 0.6, 0, Math.min(...zs) - 0.5),
      high: new THREE.Vector3(Math.max(...xs) + 0.6, bodies.length > 1 ? 2.2 : 1.9, Math.max(...zs) + 0.5),
    };
  }

  /** Puts the camera in front, at the least distance from which the whole box is seen. */
  function resetView() {
    pose();
    const { low, high } = boxToSee();
    const target = middle.addVectors(low, high).divideScalar(2);
    const back = new THREE.Vector3(bodies.length > 1 ? 0.25 : 0.55, 0.3, 0.85).normalize();
    const right = new THREE.Vector3(0, 1, 0).cross(back).normalize();
    const up = new THREE.Vector3().crossVectors(back, right);
    const tangent = Math.tan((camera.fov * Math.PI) / 360);
    let distance = 0;
    for (const x of [low.x, high.x]) for (const y of [low.y, high.y]) for (const z of [low.z, high.z]) {
      spot.set(x, y, z).sub(target);
      const needed = Math.max(Math.abs(spot.dot(right)) / (tangent * camera.aspect), Math.abs(spot.dot(up)) / tangent);
      distance = Math.max(distance, needed + spot.dot(back));
    }
    controls.target.copy(target);
    camera.position.copy(target).addScaledVector(back, distance);
    controls.update();
  }

  function paint() {
    const name = document.documentElement.dataset.theme;
    const theme = THEMES[name];
    scene.background = new THREE.Color(theme.ground);
    scene.fog = new THREE.Fog(theme.ground, 14, 42);
    gridMaterial.color.set(theme.fine);
    shade.opacity = theme.shade;
    sky.intensity = theme.sky;
    bodies.forEach((body) => {
      body.path.material.color.set(theme.path);
      body.discMaterial.color.set(theme.contact);
    });
  }

  function pose() {
    bodies.forEach((body) => {
      body.path.visible = state.path;
      body.pose(state.time);
    });
  }

  const here = new THREE.Vector3();
  function draw() {
    pose();
    if (state.follow) {
      centre(here).sub(controls.target);
      controls.target.add(here);
      camera.position.add(here);
    }
    controls.update();
    centre(middle);
    sun.target.position.copy(middle);
    sun.position.copy(middle).add(spot.set(3, 8, 4));
    renderer.render(scene, camera);
    labels.forEach((label, i) => {
      spot.setFromMatrixPosition(bodies[i].bones[0].matrixWorld);
      spot.y += 1.05;
      spot.project(camera);
      const x = ((spot.x + 1) / 2) * canvas.clientWidth - label.offsetWidth / 2;
      const y = ((1 - spot.y) / 2) * canvas.clientHeight - label.offsetHeight;
      label.style.transform = `translate(${x}px, ${y}px)`;
      label.hidden = spot.z > 1;
    });
    element("time").value = state.time;
    element("time").setAttribute("aria-valuetext", `${state.time.toFixed(2)} of ${duration.toFixed(2)} seconds`);
    element("clock").textContent = `${state.time.toFixed(2)} / ${duration.toFixed(2)} s`;
  }

  let stamp = null;
  let due = true;
  function step(now) {
    const passed = stamp === null ? 0 : Math.min((now - stamp) / 1000, 0.25);
    stamp = now;
    if (state.playing) {
      state.time += passed * state.speed;
      if (state.time >= duration) {
        state.time = state.loop ? state.time % duration : duration;
        if (!state.loop) setPlaying(false);
      }
      due = true;
    }
    if (due) {
      due = false;
      draw();
    }
    requestAnimationFrame(step);
  }

  function setPlaying(playing) {
    if (playing && state.time >= duration) state.time = 0;
    state.playing = playing;
    element("play").textContent = playing ? "Pause" : "Play";
    due = true;
  }

  function seek(seconds) {
    state.time = Math.min(Math.max(seconds, 0), duration);
    due = true;
  }

  function toggle(name) {
    state[name] = !state[name];
    element(name).setAttribute("aria-pressed", String(state[name]));
    due = true;
  }

  function setTheme(name) {
    document.documentElement.dataset.theme = name;
    paint();
    due = true;
  }

  const frame = 1 / Math.max(...motions.map((motion) => motion.fps));
  const actions = {
    " ": () => setPlaying(!state.playing),
    ArrowLeft: () => { setPlaying(false); seek(state.time - frame); },
    ArrowRight: () => { setPlaying(false); seek(state.time + frame); },
    Home: () => seek(0),
    End: () => seek(duration),
    l: () => toggle("loop"),
    f: () => toggle("follow"),
    p: () => toggle("path"),
    c: () => toggle("contacts"),
    r: resetAndDraw,
    t: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
  };
  function resetAndDraw() {
    resetView();
    due = true;
  }

  element("time").max = duration;
  element("time").addEventListener("input", (event) => { setPlaying(false); seek(Number(event.target.value)); });
  element("speed").addEventListener("change", (event) => { state.speed = Number(event.target.value); });
  element("play").addEventListener("click", actions[" "]);
  for (const name of ["loop", "follow", "path", "contacts"]) element(name).addEventListener("click", () => toggle(name));
  element("reset").addEventListener("click", resetAndDraw);
  element("theme").addEventListener("click", actions.t);
  controls.addEventListener("change", () => { due = true; });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.target.tagName;
    // Buttons, the list and the slider have keys of their own.
    if (tag === "SELECT" || (tag === "BUTTON" && event.key === " ")) return;
    if (tag === "INPUT" && event.key !== " " && event.key.length > 1) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  let placed = false;
  new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = element("stage");
    if (!width || !height) return;
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    if (!placed) resetView();
    placed = true;
    due = true;
  }).observe(element("stage"));

  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  setPlaying(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  requestAnimationFrame(step);
})();
