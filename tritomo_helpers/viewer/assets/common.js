// Shared by all viewers: unpacking, numbers, and mounting once per element.
const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const power = (e) => (e ? "×10" + [...String(e)].map((c) => SUPERSCRIPT[c]).join("") : "");
const clamp = (v, lo, hi) => Math.min(hi, Math.max(lo, v));
const fixed = (v, digits) => v.toFixed(digits).replace(/^-0(\.0*)?$/, "0$1").replace("-", "−");

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Codes of a volume: 0 is "not measured", c > 0 is the multiple c - 1 + first of the step.
async function unpack(v) {
  const bytes = await inflate(v.data);
  const [A, B, C] = v.shape;
  const n = A * B * C;
  const codes = new Int32Array(n);
  for (let p = 0; p < v.planes; p++) {
    for (let i = 0, shift = 8 * p, at = p * n; i < n; i++) codes[i] |= bytes[at + i] << shift;
  }
  if (v.axes.length) for (let i = 0; i < n; i++) codes[i] = (codes[i] >>> 1) ^ -(codes[i] & 1);
  for (const axis of v.axes) {
    const stride = [B * C, C, 1][axis];
    const length = v.shape[axis] * stride;
    for (let i = 0; i < n; i++) if (i % length >= stride) codes[i] += codes[i - stride];
  }
  return codes;
}

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "g", "line", "text"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Round lengths and ticks: 1, 2 or 5 times a power of ten, at most `most`.
function nice(most) {
  const unit = 10 ** Math.floor(Math.log10(most) + 1e-9);
  return [5, 2, 1].map((m) => m * unit).find((l) => l <= most * (1 + 1e-9));
}

// As wide as what it is put into, so that its line is a share of that and no longer for a long text.
function scaleBar(widthNm) {
  const length = nice(0.36 * widthNm);
  const text = make("span", {}, `${+length.toPrecision(3)} nm`);
  const bar = make("div", { class: "scale", "data-nm": length }, make("i"), text);
  bar.style.setProperty("--length", `${(100 * length) / widthNm}%`);
  return bar;
}

function gradientBar(bar) {
  const strip = make("i");
  strip.style.background = `linear-gradient(to right, ${bar.colors.join(", ")})`;
  const ends = bar.ends.map((end) => make("span", {}, end));
  return make("div", { class: "gradient", role: "img", "aria-label": `${bar.quantity}, from ${bar.ends.join(" to ")}` },
    ends[0], strip, ends[1], make("span", {}, bar.quantity));
}

// A button that calls `step` every so many seconds while it is pressed; it never starts by itself.
function playButton(seconds, step) {
  const button = make("button", { type: "button", class: "play" });
  let timer = 0;
  const show = () => {
    button.textContent = timer ? "❚❚ stop" : "▶ turn";
    button.setAttribute("aria-pressed", Boolean(timer));
  };
  button.addEventListener("click", () => {
    timer = timer ? clearInterval(timer) : setInterval(step, 1000 * seconds);
    show();
  });
  button.stop = () => {
    timer = clearInterval(timer);
    show();
  };
  show();
  return button;
}

async function mountAll(mounts) {
  for (const root of document.querySelectorAll(".tritomo-viewer:not([data-state])")) {
    const source = root.querySelector('script[type="application/json"]');
    const mount = source && mounts[root.dataset.kind];
    if (!mount) continue;
    root.dataset.state = "loading";
    try {
      const config = JSON.parse(source.textContent);
      const body = make("div", { class: "body" });
      await mount(body, config);
      const shadow = root.attachShadow({ mode: "open" });
      shadow.append(make("style", {}, config.css), body);
      root.dataset.state = "ready";
      root.dispatchEvent(new Event("tritomo-ready"));
    } catch (error) {
      // The still picture stays in view.
      root.dataset.state = "failed";
      console.error("viewer:", error);
    }
  }
}
