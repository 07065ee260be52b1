// Surfaces drawn on the processor: a depth buffer and smooth shading, parallel projection, so a scale bar holds.
async function mountSurface(body, config) {
  const meshes = await Promise.all(config.meshes.map(prepare));
  const home = { tilt: config.tilt, elevation: config.elevation, zoom: 1 };
  const state = { ...home };
  const canvas = make("canvas", { "aria-hidden": "true" });
  const triad = make("svg", { class: "triad", viewBox: "-30 -30 60 60", "aria-hidden": "true" });
  const arms = config.axes.map((name) => {
    const arm = { line: make("line"), text: make("text", {}, name) };
    triad.append(arm.line, arm.text);
    return arm;
  });
  const stage = make("div", {
    class: "stage", tabindex: 0, role: "slider", "aria-valuemin": -180, "aria-valuemax": 180,
    "aria-label": "view: left and right arrows tilt, up and down arrows change the elevation, plus and minus zoom",
  });
  let bar = scaleBar(2 * config.radius);
  stage.append(canvas, triad, bar);
  const sliders = [
    ["tilt", -180, 180],
    ["elevation", -90, 90],
  ].map(([name, min, max]) => {
    const input = make("input", { type: "range", min, max, step: 1, "aria-label": name });
    const value = make("output");
    input.addEventListener("input", () => turn({ [name]: +input.value }));
    return { name, input, value, node: make("label", { class: "through" }, make("span", {}, name), input, value) };
  });
  const buttons = [
    ["−", "zoom out", () => turn({ zoom: state.zoom / 1.25 })],
    ["+", "zoom in", () => turn({ zoom: state.zoom * 1.25 })],
    ["reset", "reset the view", () => turn(home)],
  ].map(([text, label, action]) => {
    const button = make("button", { type: "button", "aria-label": label }, text);
    button.addEventListener("click", action);
    return button;
  });
  const player = playButton(0.04, () => turn({ tilt: state.tilt + 1.5 }));
  buttons.push(player);
  const legend = make("ul", { class: "legend" });
  for (const mesh of meshes.filter((other) => !other.shade)) {
    const swatch = make("i");
    swatch.style.background = mesh.color;
    legend.append(make("li", {}, swatch, mesh.label));
  }
  const side = make(
    "div", { class: "side" }, legend, ...(config.bar ? [gradientBar(config.bar)] : []), ...sliders.map((s) => s.node), make("div", { class: "buttons" }, ...buttons),
    make("p", { class: "help" }, config.help),
  );
  body.append(make("div", { class: "scene" }, stage, side));

  let from = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    player.stop();
    from = { x: event.clientX, y: event.clientY, ...state };
    if (event.pointerType !== "touch") stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    const degrees = 180 / stage.clientWidth;
    turn({
      tilt: from.tilt + (event.clientX - from.x) * degrees,
      elevation: from.elevation + (event.clientY - from.y) * degrees,
    });
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (from = null));
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const changes = {
      ArrowLeft: { tilt: state.tilt - 5 }, ArrowRight: { tilt: state.tilt + 5 },
      ArrowUp: { elevation: state.elevation - 5 }, ArrowDown: { elevation: state.elevation + 5 },
      "+": { zoom: state.zoom * 1.25 }, "=": { zoom: state.zoom * 1.25 }, "-": { zoom: state.zoom / 1.25 }, Home: home,
    };
    if (!changes[event.key]) return;
    event.preventDefault();
    turn(changes[event.key]);
  });
  new ResizeObserver(() => request()).observe(stage);
  turn({});

  async function prepare(mesh) {
    const [points, faces] = await Promise.all([unpack(mesh.points), unpack(mesh.faces)]);
    // Both are stored coordinate by coordinate.
    const turned = (codes, i) => codes[(i % 3) * (codes.length / 3) + Math.floor(i / 3)] - 1;
    const position = Float32Array.from(points, (_, i) => turned(points, i) * mesh.step + mesh.origin[i % 3]);
    const corner = Uint32Array.from(faces, (_, i) => turned(faces, i));
    const normal = new Float32Array(position.length);
    for (let f = 0; f < corner.length; f += 3) {
      const [a, b, c] = [3 * corner[f], 3 * corner[f + 1], 3 * corner[f + 2]];
      const e = [0, 1, 2].map((k) => position[b + k] - position[a + k]);
      const g = [0, 1, 2].map((k) => position[c + k] - position[a + k]);
      for (let k = 0; k < 3; k++) {
        const part = e[(k + 1) % 3] * g[(k + 2) % 3] - e[(k + 2) % 3] * g[(k + 1) % 3];
        for (const v of [a, b, c]) normal[v + k] += part;
      }
    }
    for (let v = 0; v < normal.length; v += 3) {
      const length = Math.hypot(normal[v], normal[v + 1], normal[v + 2]) || 1;
      for (let k = 0; k < 3; k++) normal[v + k] /= length;
    }
    const color = [1, 3, 5].map((i) => parseInt(mesh.color.slice(i, i + 2), 16));
    const shade = mesh.values ? Float32Array.from(await unpack(mesh.values), (code) => code - 1) : null;
    const table = mesh.table
      ? Array.from({ length: 256 }, (_, i) => [0, 2, 4].map((k) => parseInt(mesh.table.slice(6 * i + k, 6 * i + k + 2), 16)))
      : [color];
    const screen = new Float32Array(4 * (position.length / 3));
    // A painted surface is shaded less, so that its colors can be read.
    return { ...mesh, position, corner, normal, shade, table, screen, ambient: shade ? 0.7 : 0.35 };
  }

  function turn(change) {
    Object.assign(state, change);
    state.tilt = ((((state.tilt + 180) % 360) + 360) % 360) - 180;
    state.elevation = clamp(state.elevation, -90, 90);
    state.zoom = clamp(state.zoom, 0.5, 8);
    for (const { name, input, value } of sliders) {
      const text = `${fixed(Math.round(state[name]), 0)}°`;
      input.value = Math.round(state[name]);
      input.setAttribute("aria-valuetext", text);
      value.textContent = text;
    }
    const words = sliders.map(({ name, value }) => `${name} ${value.textContent}`).join(", ");
    stage.setAttribute("aria-valuenow", Math.round(state.tilt));
    stage.setAttribute("aria-valuetext", words);
    request();
  }

  function request() {
    if (stage.dataset.frame === "due") return;
    stage.dataset.frame = "due";
    requestAnimationFrame(() => {
      stage.dataset.frame = "drawn";
      draw();
    });
  }

  // Rows: right, down and away from the reader. At elevation 0 they are u, y and n of the tilt convention.
  function rotation() {
    const [t, e] = [state.tilt, state.elevation].map((a) => (a * Math.PI) / 180);
    const [ct, st, ce, se] = [Math.cos(t), Math.sin(t), Math.cos(e), Math.sin(e)];
    return [ct, 0, -st, -se * st, ce, -se * ct, ce * st, se, ce * ct];
  }

  function draw() {
    const size = Math.round(stage.clientWidth * Math.min(devicePixelRatio || 1, 2));
    if (!size) return;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const m = rotation();
    const scale = (size * state.zoom) / (2 * config.radius);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(size, size);
    const out = image.data;
    const nearest = new Float32Array(size * size).fill(Infinity);
    const opaque = meshes.filter((mesh) => mesh.opacity === 1);
    for (const mesh of opaque) {
      raster(mesh, m, scale, size, nearest, (p, light, level) => paint(out, p, mesh.table[level], light, 1));
    }
    for (const mesh of meshes.filter((other) => other.opacity < 1).reverse()) {
      const depth = new Float32Array(size * size).fill(Infinity);
      const lights = new Float32Array(size * size);
      const levels = new Uint8Array(size * size);
      raster(mesh, m, scale, size, depth, (p, light, level) => {
        lights[p] = light;
        levels[p] = level;
      });
      for (let p = 0; p < depth.length; p++) {
        if (depth[p] < nearest[p]) paint(out, p, mesh.table[levels[p]], lights[p], mesh.opacity);
      }
    }
    context.putImageData(image, 0, 0);
    arms.forEach(({ line, text }, k) => {
      const [x, y] = [20 * m[k], 20 * m[3 + k]];
      for (const [key, value] of Object.entries({ x1: 0, y1: 0, x2: x, y2: y })) line.setAttribute(key, value);
      text.setAttribute("x", 1.3 * x);
      text.setAttribute("y", 1.3 * y + 3.5);
      text.style.opacity = Math.hypot(x, y) < 5 ? 0 : 1;
    });
    const fresh = scaleBar((2 * config.radius) / state.zoom);
    bar.replaceWith(fresh);
    bar = fresh;
  }

  function paint(out, p, rgb, light, opacity) {
    const behind = (out[4 * p + 3] / 255) * (1 - opacity);
    const alpha = opacity + behind;
    for (let k = 0; k < 3; k++) out[4 * p + k] = (rgb[k] * light * opacity + out[4 * p + k] * behind) / alpha;
    out[4 * p + 3] = 255 * alpha;
  }

  function raster({ position, normal, corner, screen, shade, ambient }, m, scale, size, depth, pixel) {
    const half = size / 2;
    for (let v = 0, s = 0; v < position.length; v += 3, s += 4) {
      const [x, y, z] = [position[v], position[v + 1], position[v + 2]];
      screen[s] = half + scale * (m[0] * x + m[1] * y + m[2] * z);
      screen[s + 1] = half + scale * (m[3] * x + m[4] * y + m[5] * z);
      screen[s + 2] = m[6] * x + m[7] * y + m[8] * z;
      const [a, b, c] = [normal[v], normal[v + 1], normal[v + 2]];
      const right = m[0] * a + m[1] * b + m[2] * c;
      const down = m[3] * a + m[4] * b + m[5] * c;
      const away = m[6] * a + m[7] * b + m[8] * c;
      screen[s + 3] = ambient + (1 - ambient) * Math.max(0, -0.36 * right - 0.48 * down - 0.8 * away);
    }
    for (let f = 0; f < corner.length; f += 3) {
      const [a, b, c] = [4 * corner[f], 4 * corner[f + 1], 4 * corner[f + 2]];
      const [ax, ay, bx, by, cx, cy] = [screen[a], screen[a + 1], screen[b], screen[b + 1], screen[c], screen[c + 1]];
      const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
      if (area >= 0) continue;
      const left = Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 0.5));
      const right = Math.min(size - 1, Math.floor(Math.max(ax, bx, cx) - 0.5));
      const top = Math.max(0, Math.ceil(Math.min(ay, by, cy) - 0.5));
      const bottom = Math.min(size - 1, Math.floor(Math.max(ay, by, cy) - 0.5));
      for (let j = top; j <= bottom; j++) {
        for (let i = left; i <= right; i++) {
          const x = i + 0.5;
          const y = j + 0.5;
          const wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area;
          const wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area;
          const wc = 1 - wa - wb;
          if (wa < -1e-6 || wb < -1e-6 || wc < -1e-6) continue;
          const z = wa * screen[a + 2] + wb * screen[b + 2] + wc * screen[c + 2];
          const p = j * size + i;
          if (z >= depth[p]) continue;
          depth[p] = z;
          const level = shade ? Math.round(wa * shade[a >> 2] + wb * shade[b >> 2] + wc * shade[c >> 2]) : 0;
          pixel(p, wa * screen[a + 3] + wb * screen[b + 3] + wc * screen[c + 3], clamp(level, 0, 255));
        }
      }
    }
  }
}
