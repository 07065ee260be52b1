// Frames computed beforehand, one for each combination of the parameters.
async function mountSweep(body, config) {
  const { parameters, frames } = config;
  const at = parameters.map((p) => p.start);
  const image = make("img", { class: "frame", width: config.width, height: config.height });
  const loaded = config.pictures.map((source) => Object.assign(new Image(), { src: source }));
  await Promise.all(loaded.map((picture) => picture.decode()));
  const sliders = parameters.map(({ label, texts }, k) => {
    const input = make("input", { type: "range", min: 0, max: texts.length - 1, step: 1, "aria-label": label });
    const value = make("output");
    input.addEventListener("input", () => {
      at[k] = +input.value;
      update();
    });
    return { input, value, node: make("label", { class: "through" }, make("span", {}, label), input, value) };
  });
  body.append(image, make("div", { class: "parameters" }, ...sliders.map((s) => s.node)));
  update();

  function update() {
    const index = at.reduce((sum, i, k) => sum * parameters[k].texts.length + i, 0);
    image.src = loaded[frames[index]].src;
    image.dataset.frame = index;
    sliders.forEach(({ input, value }, k) => {
      const text = parameters[k].texts[at[k]];
      input.value = at[k];
      input.setAttribute("aria-valuetext", text);
      value.textContent = text;
    });
    image.alt = `${config.alt} ${parameters.map(({ label, texts }, k) => `${label}: ${texts[at[k]]}`).join(", ")}.`;
  }
}
