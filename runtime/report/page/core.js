// The record, and what every picture is made with: elements, numbers in words, tooltips, and layers that light up together.
const sim = JSON.parse(document.getElementById("simulation").textContent);
const hz = sim.device.clock_hz;
const ENGINE = -1, MEMORY = -2;
for (const layer of sim.layers) {  // additions and concatenations are in memory; the record numbers no unit for it
  if (layer.unit === "DMA") layer.parts.forEach(part => { part.unit = MEMORY; });
}
const indexOf = new Map(sim.layers.map((layer, i) => [layer.name, i]));
const PALETTE = 8;

function sum(values) { return values.reduce((a, b) => a + b, 0); }
function maximum(values, least = 0) { return values.reduce((a, b) => Math.max(a, b), least); }
const totalClocks = sum(sim.layers.map(layer => layer.clocks.total));
const share = layer => totalClocks ? layer.clocks.total / totalClocks : 0;
const inPass = (layer, pass) => layer.sequence === pass.sequence && layer.pass_index === pass.index;
const passes = sim.sequences.flatMap((sequence, s) =>
  sequence.unit === "hardware" ? sequence.passes.map(pass => ({...pass, sequence: s})) : [])
  .map((pass, k) => ({...pass, number: k + 1}));  // counted through all sequences
const passNumber = layer => passes.find(pass => inPass(layer, pass))?.number ?? "–";

// ---- elements: text is always text, never markup
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("--") || name === "width%") {
      node.style.setProperty(name === "width%" ? "width" : name, name === "width%" ? `${value}%` : value);
    } else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== ""));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const section = id => document.getElementById(id);
function picture(width, height, label, ...children) {
  return svg("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label}, ...children);
}

// ---- numbers; `shown` marks the field of the record that a text says
function whole(value) { return Math.round(value).toLocaleString("en-US"); }
function number(value) {
  return Math.abs(value) >= 100 ? whole(value) : value.toLocaleString("en-US", {maximumSignificantDigits: 3});
}
function scaled(value, steps) {
  const [factor, unit] = steps.find(([least]) => Math.abs(value) >= least * 0.9995) ?? steps.at(-1);
  return [(value / factor).toLocaleString("en-US", {maximumSignificantDigits: 3}), unit];
}
function compact(value) { return scaled(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]).filter(Boolean).join(" "); }
function bytes(value) { return scaled(value, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]).join(" "); }
function seconds(clocks) { return scaled(clocks / hz, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]).join(" "); }
function percent(fraction) {
  if (fraction > 0 && fraction < 0.0005) return "<0.1 %";
  return `${(100 * fraction).toFixed(1)} %`;
}
function counted(n, word) { return `${whole(n)} ${word}${n === 1 ? "" : "s"}`; }
function shape(dims) { return dims.join("×"); }
function span([from, to]) { return to - from === 1 ? `${from}` : `${from}–${to - 1}`; }
function shown(tag, path, text, attributes) { return el(tag, {"data-value": path, ...attributes}, text); }

// ---- what says how far the times can be trusted
const CALM = ["vendor", "measured", "fitted"];
const uncertain = sim.device.generation === "v2" || !CALM.includes(sim.device.confidence);
const whatIf = sim.what_if_density !== null;
function cautions() {
  return [
    uncertain ? el("span", {class: "badge loud"}, `⚠ timing: ${sim.device.confidence} confidence`) : null,
    whatIf ? el("span", {class: "badge supposed"}, `what-if: density ${number(sim.what_if_density)}`) : null,
  ].filter(Boolean);
}

// ---- layers
const ink = i => `var(--l${i % PALETTE}-ink)`, paint = i => `var(--l${i % PALETTE})`;
function chip(i) { return el("span", {class: "chip", "--paint": paint(i), "--ink": ink(i)}, `${i + 1}`); }
function unitName(unit) { return unit === ENGINE ? "input engine" : unit === MEMORY ? "external memory" : `NP ${unit}`; }
const CLOCKS = [
  ["events", "working on events"], ["scan", "looking for events"], ["memory", "external memory"],
  ["noc", "network on chip"], ["reload", "reload of weights"], ["spill", "activations in external memory"],
];
const ENERGIES = [["events", "events"], ["input_engine", "input engine"], ["reload", "reload"], ["floor", "floor of the chip"]];

function layerTip(i) {
  const layer = sim.layers[i];
  return [
    `${i + 1} · ${layer.name}`,
    `${layer.kind} on ${layer.parts.length} × ${layer.unit}, pass ${passNumber(layer)}`,
    `${shape(layer.input_shape)} → ${shape(layer.output_shape)}, kernel ${shape(layer.kernel)}, ${layer.weight_bits}-bit weights`,
    `${compact(layer.events)} events: density ${percent(layer.density)}, sparsity ${percent(1 - layer.density)}`,
    `${whole(layer.clocks.total)} clocks (${seconds(layer.clocks.total)}), ${percent(share(layer))} of the time`,
    ...CLOCKS.filter(([key]) => layer.clocks[key] > 0).map(([key, words]) =>
      `   ${words}: ${percent(layer.clocks[key] / layer.clocks.total)}`),
    `bound by: ${layer.bound}; its units are ${percent(layer.utilization)} balanced`,
    layer.energy ? `${number(layer.energy.total)} µJ, ${number(layer.energy.dynamic)} of them above the floor` : null,
  ];
}
function partTip(i, part) {
  const [above, below] = part.halo;
  const halo = above || below ? ` (and ${above} above, ${below} below)` : "";
  return [
    `${unitName(part.unit)}: layer ${i + 1} · ${sim.layers[i].name}`,
    `rows ${span(part.rows)}${halo}, filters ${span(part.filters)}`,
    `${compact(part.events)} events, ${whole(part.clocks)} clocks`,
    `${bytes(part.weight_bytes)} of weights, ${bytes(part.input_bytes)} of input`,
  ];
}

// ---- tooltips: lines of text that an element tells under the pointer or with the focus
const tips = new WeakMap();
const tip = document.getElementById("tip");
function tell(node, lines) {
  tips.set(node, lines);
  node.classList.add("tells");
  return node;
}
function showTip(target, x, y) {
  const node = target.closest?.(".tells");
  tip.hidden = !node;
  if (!node) return;
  const [title, ...rest] = tips.get(node)().filter(Boolean);
  tip.replaceChildren(el("b", {}, title), ...rest.map(line => el("div", {}, line)));
  const box = tip.getBoundingClientRect(), right = document.documentElement.clientWidth;
  tip.style.left = `${Math.max(4, x + 14 + box.width > right ? x - 14 - box.width : x + 14)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 14, window.innerHeight - box.height - 4))}px`;
}

// ---- one layer, everywhere: a single rule of style instead of a change to thousands of elements
const linked = new CSSStyleSheet();
document.adoptedStyleSheets = [linked];
let lit = null;
function light(layer) {
  if (layer === lit) return;
  lit = layer;
  linked.replaceSync(layer === null ? "" : `
    svg [data-layer]:not([data-layer="${layer}"]) { opacity: .22 }
    [data-layer="${layer}"]:is(tr, .tile) { background: var(--lit) }`);
}
const layerOf = node => node.closest?.("[data-layer]")?.getAttribute("data-layer") ?? null;
document.addEventListener("pointerover", event => light(layerOf(event.target)));
document.addEventListener("pointermove", event => showTip(event.target, event.clientX, event.clientY));
document.addEventListener("pointerleave", () => { light(null); tip.hidden = true; });
document.addEventListener("scroll", () => { tip.hidden = true; }, {passive: true});
document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
document.addEventListener("focusin", event => {
  light(layerOf(event.target));
  const box = event.target.getBoundingClientRect();
  if (event.target.matches(":focus-visible")) showTip(event.target, box.right, box.top);
});

// ---- pictures that fit the width they get, drawn again when it changes
const redraws = [];
function fitted(host, draw) {
  const frame = host.appendChild(el("div", {class: "picture"}));
  let width = 0;
  const redraw = force => {
    const now = Math.floor(frame.clientWidth);
    if (!now || now === width && force !== true) return;
    width = now;
    frame.replaceChildren(draw(width));
  };
  redraws.push(redraw);
  redraw();
  return () => redraw(true);
}
new ResizeObserver(() => {
  if (!matchMedia("print").matches) redraws.forEach(redraw => redraw());
}).observe(document.body);

function legend(entries) {
  return el("div", {class: "legend"}, entries.map(([name, words]) =>
    el("span", {}, el("i", {class: `swatch c-${name}`}), words)));
}
// A name that loses its middle where there is no room: the end of a layer's path says more than its start.
function label(name) {
  const letters = Array.from(name), cut = Math.max(0, letters.length - 12);
  return el("span", {class: "split", title: name},
    el("span", {}, letters.slice(0, cut).join("")), el("span", {}, letters.slice(cut).join("")));
}
const ruler = document.createElement("canvas").getContext("2d");
function fits(text, width, font) {
  ruler.font = font;
  return ruler.measureText(text).width <= width;
}
function cutStart(text, width, font) {
  if (fits(text, width, font)) return text;
  let letters = Array.from(text);
  while (letters.length > 1 && !fits(`…${letters.join("")}`, width, font)) letters = letters.slice(1);
  return `…${letters.join("")}`;
}
// One line, or two that part where a word ends, as late as the first of them still fits, else at the last slash.
function twoLines(name, width, font) {
  if (fits(name, width, font)) return [name];
  const ends = [...name.matchAll(/[\/_. -](?=.)/g)].map(match => match.index + 1);
  const cut = ends.findLast(end => fits(name.slice(0, end), width, font) && fits(name.slice(end), width, font))
    ?? (name.lastIndexOf("/") + 1 || ends.at(-1) || Math.ceil(name.length / 2));
  return [name.slice(0, cut), name.slice(cut)].map(line => cutStart(line, width, font));
}
