// Linked slices through one or more volumes of one shape.
async function mountSlices(body, config) {
  const volumes = await Promise.all(config.volumes.map(async (v) => ({ ...v, codes: await unpack(v) })));
  const { axes, lo, hi, digits, exponent, unit, step } = config;
  const shape = volumes[0].shape;
  const strides = [shape[1] * shape[2], shape[2], 1];
  const at = axes.map((axis, i) => axis.start ?? shape[i] >> 1);
  const lut = Uint32Array.from({ length: 256 }, (_, i) => {
    const rgb = parseInt(config.lut.slice(6 * i, 6 * i + 6), 16);
    return (255 << 24) | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
  });
  const tail = [power(exponent), unit].filter(Boolean).join(" ").replace(/^(?=.)/, " ");
  const multiple = (v, i) => (v.codes[i] ? v.codes[i] - 1 + v.first : null);
  const number = (k) => (step < 0 ? k / 10 ** -step : k * 10 ** step);
  const shown = (k) => (k === null ? "not measured" : fixed(k / 10 ** digits, digits) + tail);
  const offset = (index) => index[0] * strides[0] + index[1] * strides[1] + index[2];
  const position = (i, k) => fixed(axes[i].values[k], axes[i].digits);
  const place = (i, k) => `${axes[i].name} = ${position(i, k)}${axes[i].unit}`;
  const values = (index) => volumes.map((v) => (v.label ? v.label + " " : "") + shown(multiple(v, offset(index))));

  const planes = config.planes.map((p) => buildPlane(p));
  const readout = buildReadout();
  const colorBar = buildColorBar();
  body.append(
    make("div", { class: "planes", "data-count": planes.length }, ...planes.map((p) => p.node)),
    make("div", { class: "foot" }, readout.node, colorBar.node),
    make("p", { class: "help" }, config.help),
  );
  update();

  function buildPlane({ across, down, through, name, scale }) {
    const [w, h] = [shape[across], shape[down]];
    const heading = make("span");
    const slider = make("input", { type: "range", min: 0, max: shape[through] - 1, step: 1 });
    slider.setAttribute("aria-label", axes[through].label);
    slider.addEventListener("input", () => move(through, +slider.value));
    const views = volumes.map((volume) => buildView(volume));
    const height = config.stretch && !scale ? 1 : h / w;
    const node = make(
      "div",
      { class: "plane", style: `--across:${w};--shape:${1 / height}` },
      make("div", { class: "head" }, make("b", {}, name), heading),
      make("div", { class: "views" }, ...views.map((v) => v.node)),
      make("label", { class: "through" }, make("span", {}, axes[through].name), slider),
    );

    function buildView(volume) {
      const canvas = make("canvas", { width: w, height: h, "aria-hidden": "true" });
      const cross = make("svg", { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", "aria-hidden": "true" });
      const lines = [make("path", { class: "under" }), make("path", { class: "over" })];
      cross.append(...lines);
      const view = make(
        "div",
        {
          class: "view",
          tabindex: 0,
          role: "slider",
          "aria-valuemin": 0,
          "aria-valuemax": shape[through] - 1,
          "aria-label":
            `${volume.label ? volume.label + ", " : ""}${name}: arrow keys move the crosshair, ` +
            `Page Up and Page Down change ${axes[through].label}`,
        },
        canvas,
        cross,
      );
      if (volume.label) view.append(make("span", { class: "chip" }, volume.label));
      if (scale) view.append(scaleBar(w * scale));
      listen(view);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      const image = context.createImageData(w, h);
      const pixels = new Uint32Array(image.data.buffer);
      let drawn = -1;

      function draw() {
        if (drawn !== at[through]) {
          drawn = at[through];
          const base = drawn * strides[through];
          const gain = 255 / (hi - lo);
          for (let j = 0, p = 0; j < h; j++) {
            for (let i = 0, c = base + j * strides[down]; i < w; i++, p++, c += strides[across]) {
              const code = volume.codes[c];
              pixels[p] = code
                ? lut[clamp(Math.round((number(code - 1 + volume.first) - lo) * gain), 0, 255)]
                : 0;
            }
          }
          context.putImageData(image, 0, 0);
        }
        const [x, y] = [at[across] + 0.5, at[down] + 0.5];
        const [gx, gy] = [Math.max(0.8, w / 40), Math.max(0.8, h / 40)];
        const d = `M0 ${y}H${x - gx}M${x + gx} ${y}H${w}M${x} 0V${y - gy}M${x} ${y + gy}V${h}`;
        for (const line of lines) line.setAttribute("d", d);
        view.setAttribute("aria-valuenow", at[through]);
        const words = [through, across, down].map((i) => place(i, at[i]));
        view.setAttribute("aria-valuetext", [...words, shown(multiple(volume, offset(at)))].join(", "));
      }
      return { node: view, draw };
    }

    function listen(view) {
      let mode = "";
      let from = null;
      const index = (event) => {
        const box = view.getBoundingClientRect();
        const i = clamp(Math.floor(((event.clientX - box.left) / box.width) * w), 0, w - 1);
        const j = clamp(Math.floor(((event.clientY - box.top) / box.height) * h), 0, h - 1);
        const index = [...at];
        [index[across], index[down]] = [i, j];
        return index;
      };
      const go = (event) => {
        at.splice(0, 3, ...index(event));
        update();
      };
      const near = (event) => {
        const box = view.getBoundingClientRect();
        const x = box.left + (box.width * (at[across] + 0.5)) / w;
        const y = box.top + (box.height * (at[down] + 0.5)) / h;
        return Math.hypot(event.clientX - x, event.clientY - y) < 32;
      };
      // A finger scrolls the page when it moves up or down, unless it starts near the crosshair: then it drags that.
      view.addEventListener("touchstart", (e) => near(e.touches[0]) && e.preventDefault(), { passive: false });
      view.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        from = event;
        mode = event.pointerType !== "touch" || near(event) ? "drag" : "tap";
        view.focus({ preventScroll: true });
        if (mode === "drag") {
          view.setPointerCapture(event.pointerId);
          go(event);
        }
      });
      view.addEventListener("pointermove", (event) => {
        if (mode === "tap") {
          const [x, y] = [event.clientX - from.clientX, event.clientY - from.clientY].map(Math.abs);
          if (Math.max(x, y) > 8) mode = x > y ? "drag" : "scroll";
        }
        if (mode === "drag") go(event);
        else if (!mode && event.pointerType === "mouse") readout.show("Under the pointer", index(event));
      });
      view.addEventListener("pointerup", (event) => {
        if (mode === "drag" || mode === "tap") go(event);
        mode = "";
      });
      view.addEventListener("pointercancel", () => (mode = ""));
      view.addEventListener("pointerleave", () => mode || readout.show("At the crosshair", at));
      view.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.altKey || event.metaKey) return;
        const size = event.shiftKey ? 5 : 1;
        const steps = {
          ArrowLeft: [across, -size],
          ArrowRight: [across, size],
          ArrowUp: [down, -size],
          ArrowDown: [down, size],
          PageUp: [through, size],
          PageDown: [through, -size],
          Home: [through, -shape[through]],
          End: [through, shape[through]],
        };
        if (!steps[event.key]) return;
        event.preventDefault();
        const [axis, by] = steps[event.key];
        move(axis, at[axis] + by);
      });
    }

    function draw() {
      for (const view of views) view.draw();
      heading.textContent = place(through, at[through]);
      slider.value = at[through];
      slider.setAttribute("aria-valuetext", place(through, at[through]));
    }
    return { node, draw };
  }

  function buildReadout() {
    const where = make("span", { class: "where" });
    const value = make("span", { class: "value" });
    const coordinates = make("span", { class: "coordinates" });
    const node = make("div", { class: "readout" }, where, value, coordinates);
    function show(label, index) {
      const multiples = volumes.map((v) => multiple(v, offset(index)));
      where.textContent = label;
      value.replaceChildren(...values(index).flatMap((text, i) => [i ? " · " : "", make("span", {}, text)]));
      coordinates.textContent = config.order.map((i) => place(i, index[i])).join(", ");
      node.dataset.index = index.join(",");
      node.dataset.value = multiples.map((k) => (k === null ? "nan" : +number(k).toPrecision(12))).join(",");
      colorBar?.mark(multiples);
    }
    return { node, show };
  }

  function buildColorBar() {
    const strip = make("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    const context = strip.getContext("2d");
    const image = context.createImageData(256, 1);
    new Uint32Array(image.data.buffer).set(lut);
    context.putImageData(image, 0, 0);
    const marks = volumes.map(() => make("i", { class: "mark" }));
    const scale = 10 ** exponent;
    const ticks = make("div", { class: "ticks", "aria-hidden": "true" });
    const tick = nice((hi - lo) / 2.5);
    const decimals = Math.max(0, Math.ceil(-Math.log10(tick / scale) - 1e-9));
    for (let k = Math.ceil(lo / tick - 1e-6); k * tick <= hi + 1e-6 * tick; k++) {
      const text = make("span", {}, fixed((k * tick) / scale, decimals));
      text.style.left = `${(100 * (k * tick - lo)) / (hi - lo)}%`;
      ticks.append(text);
    }
    const title = make("div", { class: "quantity" }, config.title);
    const node = make(
      "div",
      { class: "colorbar", role: "img", "aria-label": config.barLabel },
      make("div", { class: `strip${config.under ? " under" : ""}${config.over ? " over" : ""}` }, strip, ...marks),
      ticks,
      title,
    );
    if (config.missing) title.append(make("span", { class: "missing" }, make("i"), "not measured"));
    const mark = (multiples) =>
      multiples.forEach((k, i) => {
        marks[i].hidden = k === null;
        if (k !== null) marks[i].style.left = `${clamp((100 * (number(k) - lo)) / (hi - lo), 0, 100)}%`;
      });
    return { node, mark };
  }

  function move(axis, index) {
    at[axis] = clamp(index, 0, shape[axis] - 1);
    update();
  }

  function update() {
    for (const plane of planes) plane.draw();
    readout.show("At the crosshair", at);
  }
}
