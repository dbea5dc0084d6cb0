// The chip from above, one pass at a time: which layer is on which NP, and how long of the pass it works there.
function busyClocks() {
  const busy = new Map();
  for (const slice of sim.timeline) {
    if (slice.kind !== "compute") continue;
    const key = `${slice.unit}/${slice.layer}`;
    busy.set(key, (busy.get(key) ?? 0) + slice.end - slice.start);
  }
  return busy;
}

// From the first to the last moment that a pass holds the chip, over all frames.
function residence(names) {
  const spans = new Map();
  for (const slice of sim.timeline) {
    if (!names.has(slice.layer)) continue;
    const key = passes.length > 1 ? slice.frame : 0;
    const [start, end] = spans.get(key) ?? [Infinity, 0];
    spans.set(key, [Math.min(start, slice.start), Math.max(end, slice.end)]);
  }
  return sum([...spans.values()].map(([start, end]) => end - start));
}

function occupants(pass) {
  const units = new Map();
  sim.layers.forEach((layer, i) => {
    if (!inPass(layer, pass) || layer.unit === "DMA") return;
    for (const part of layer.parts) units.set(part.unit, [...(units.get(part.unit) ?? []), {i, part}]);
  });
  return units;
}

// An empty cell, or one with a filled share for each part on it; the number of the layer stands on its own color.
function cell(x, y, w, h, unit, held, load) {
  if (!held.length) {
    return tell(svg("rect", {class: "np", x, y, width: w, height: h, rx: 3}), () => [unitName(unit), "no work in this pass"]);
  }
  const wide = w / held.length;
  return svg("g", {}, held.map(({i, part}, k) => {
    const left = x + k * wide, level = load(i, part), top = 17, room = h - top;
    const tall = Math.max(level > 0 ? 1.5 : 0, room * level);
    const lines = () => [...partTip(i, part), `${percent(level)} of the pass at work`];
    return tell(svg("g", {"data-layer": i},
      svg("rect", {class: "np", x: left, y, width: wide, height: h, rx: 3}),
      svg("rect", {class: "painted", x: left, y, width: wide, height: top, rx: 3, "--paint": paint(i)}),
      svg("rect", {class: "painted level", x: left + 1, y: y + h - tall, width: wide - 2, height: tall, "--paint": paint(i)}),
      svg("text", {class: "index", x: left + wide / 2, y: y + 12.5, "--ink": ink(i)}, `${i + 1}`)), lines);
  }));
}

function meshOf(pass, width, busy) {
  const {nps_per_node: each, nodes} = sim.device;
  const columns = sim.device.mesh[1] || 1, rows = Math.max(sim.device.mesh[0], Math.ceil(nodes / columns));
  const across = Math.ceil(Math.sqrt(each)), down = Math.ceil(each / across);
  const pad = 4, gap = 7, nodeWidth = Math.min((width + gap) / columns - gap, 150), npWidth = (nodeWidth - 2 * pad) / across;
  const npHeight = Math.min(46, Math.max(30, npWidth)), nodeHeight = down * npHeight + 2 * pad;
  const names = new Set(sim.layers.filter(layer => inPass(layer, pass)).map(layer => layer.name));
  const units = occupants(pass), span = residence(names), load = (i, part) =>
    span ? Math.min(1, (busy.get(`${part.unit}/${sim.layers[i].name}`) ?? 0) / span) : 0;
  const engine = units.get(ENGINE) ?? [], above = engine.length ? 44 : 0, marks = [];
  if (engine.length) {
    marks.push(cell(0, 0, 64, 36, ENGINE, engine, load), svg("text", {class: "caption", x: 72, y: 22}, "input engine"));
  }
  for (let n = 0; n < nodes; n++) {
    const x = (n % columns) * (nodeWidth + gap), y = above + Math.floor(n / columns) * (nodeHeight + gap);
    marks.push(svg("rect", {class: "mesh-node", x, y, width: nodeWidth, height: nodeHeight, rx: 6}));
    for (let k = 0; k < each; k++) {
      const unit = n * each + k, left = x + pad + (k % across) * npWidth, top = y + pad + Math.floor(k / across) * npHeight;
      marks.push(cell(left + 1, top + 1, npWidth - 2, npHeight - 2, unit, units.get(unit) ?? [], load));
    }
  }
  return picture(columns * (nodeWidth + gap) - gap, above + rows * (nodeHeight + gap) - gap, `NPs of pass ${pass.number}`, marks);
}

function meshKey(pass) {
  return el("div", {class: "legend keys"}, sim.layers.map((layer, i) => inPass(layer, pass)
    ? tell(el("span", {"data-layer": i}, chip(i), label(layer.name)), () => layerTip(i)) : null).filter(Boolean));
}

function drawMesh() {
  const host = section("mesh"), busy = busyClocks();
  if (!passes.length) return void host.append(el("p", {class: "none"}, "Nothing runs on the chip."));
  let current = passes[0];
  const words = el("p", {class: "lead"}), key = el("div");
  const total = sum(passes.map(pass => pass.clocks));
  const buttons = passes.map(pass => el("button", {type: "button", "aria-pressed": pass === current}, `${pass.number}`));
  if (passes.length > 1) host.append(el("div", {class: "tabs", role: "group", "aria-label": "Pass"}, el("span", {}, "Pass"), buttons));
  host.append(words);
  const redraw = fitted(host, width => meshOf(current, width, busy));
  host.append(key);
  const choose = pass => {
    current = pass;
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", passes[k] === pass));
    words.textContent = `${pass.nps} of ${sim.device.nodes * sim.device.nps_per_node} NPs; ${percent(total ? pass.clocks / total : 0)} ` +
      "of the time. A cell bears the number of its layer and fills with the part of the pass that it works.";
    key.replaceChildren(meshKey(pass));
    redraw();
  };
  buttons.forEach((button, k) => button.addEventListener("click", () => choose(passes[k])));
  choose(current);
}
