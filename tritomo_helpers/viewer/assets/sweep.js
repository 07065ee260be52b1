// Frames computed beforehand, one for each combination of the parameters.
async function mountSweep(body, config) {
  const { parameters, frames, captions, titles, bar } = config;
  const at = parameters.map((p) => p.start);
  const image = make("img", { class: "frame", width: config.width, height: config.height });
  image.classList.toggle("pixelated", config.pixelated);
  const loaded = config.pictures.map((source) => Object.assign(new Image(), { src: source }));
  // The others come while the reader looks at the first.
  await loaded[frames[at.reduce((sum, i, k) => sum * parameters[k].texts.length + i, 0)]].decode();

  const named = make("div", { class: "titles" }, ...titles.map((title) => make("span", {}, title)));
  const picture = make("div", {}, ...(titles.length ? [named] : []), image);
  // Below the picture it covers nothing.
  if (config.widthNm) picture.append(scaleBar(config.widthNm));
  // Pixels may grow to the width of the page; a drawing only as far as it stays sharp, and a film has no fine lines.
  const growth = config.plays === undefined ? 1.4 : 2;
  if (!config.pixelated) picture.style.maxWidth = `${growth * config.width}px`;
  body.append(picture);
  const bars = (bar ? [bar] : (config.bars ?? [])).map(gradientBar);
  body.append(...bars);
  const caption = make("div", { class: "caption", role: "status" });
  if (captions.length) body.append(caption);
  const controls = parameters.map((p, k) => (p.ordered ? slider(p, k) : buttons(p, k)));
  const choices = controls.filter((_, k) => parameters[k].texts.length > 1);
  body.append(make("div", { class: "parameters" }, ...choices.map((control) => control.node)));
  if (config.plays !== undefined) {
    const last = parameters[config.plays].texts.length;
    const player = playButton(config.secondsPerTurn / last, () => choose(config.plays, (at[config.plays] + 1) % last));
    body.append(make("div", { class: "buttons" }, player));
  }
  update();

  function slider({ label, texts }, k) {
    const input = make("input", { type: "range", min: 0, max: texts.length - 1, step: 1, "aria-label": label });
    const value = make("output");
    input.addEventListener("input", () => choose(k, +input.value));
    const show = () => {
      input.value = at[k];
      input.setAttribute("aria-valuetext", texts[at[k]]);
      value.textContent = texts[at[k]];
    };
    return { show, node: make("label", { class: "through" }, make("span", {}, label), input, value) };
  }

  function buttons({ label, texts }, k) {
    const all = texts.map((text, i) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => choose(k, i));
      return button;
    });
    const show = () => all.forEach((button, i) => button.setAttribute("aria-pressed", i === at[k]));
    const group = make("div", { class: "buttons", role: "group", "aria-label": label }, ...all);
    return { show, node: make("div", { class: "through" }, make("span", {}, label), group) };
  }

  function choose(k, i) {
    at[k] = i;
    update();
  }

  function update() {
    const index = at.reduce((sum, i, k) => sum * parameters[k].texts.length + i, 0);
    image.src = loaded[frames[index]].src;
    image.dataset.frame = index;
    controls.forEach((control) => control.show());
    caption.textContent = captions[index] ?? "";
    if (config.bars) bars.forEach((node, i) => (node.hidden = i !== at[config.barOf]));
    image.alt = `${config.alt} ${parameters.map(({ label, texts }, k) => `${label}: ${texts[at[k]]}`).join(", ")}.`;
  }
}
