// The layers as a graph that runs like a furrow: to the right, down, to the left, down, so that neighbours stay together.
const NODE = {slot: 150, gap: 54, extra: 22, between: 22, arc: 20};
const NAME_FONT = "600 11px system-ui, sans-serif";

function ranks() {
  const rank = [];
  sim.layers.forEach((layer, i) => {
    const before = layer.inputs.map(name => rank[indexOf.get(name)]).filter(r => r !== undefined);
    rank[i] = before.length ? maximum(before) + 1 : 0;
  });
  return rank;
}

// Events on an edge: those that a reader of this layer alone counted at its input; sums are told at the node that adds.
function edgeEvents(from) {
  const alone = sim.layers.find(layer => layer.inputs.length === 1 && layer.inputs[0] === sim.layers[from].name);
  return alone ? alone.events : null;
}

function place(width) {
  const rank = ranks(), columns = Math.max(1, Math.min(maximum(rank) + 1, Math.floor(width / NODE.slot)));
  const slot = width / columns, wide = Math.min(slot - NODE.gap, 170), most = maximum(sim.layers.map(share)) || 1;
  const names = sim.layers.map(layer => twoLines(layer.name, wide - 33, NAME_FONT));
  const least = maximum(names.map(lines => lines.length)) > 1 ? 48 : 34, lane = least + NODE.extra + NODE.between;
  const lanes = [], stacked = new Map();
  rank.forEach(r => {
    stacked.set(r, (stacked.get(r) ?? 0) + 1);
    const line = Math.floor(r / columns);
    lanes[line] = Math.max(lanes[line] ?? 1, stacked.get(r));
  });
  const arcs = new Set();  // lines with an edge that goes around: it needs room above
  sim.layers.forEach((layer, to) => layer.inputs.forEach(name => {
    const from = rank[indexOf.get(name)];
    if (rank[to] - from > 1) arcs.add(Math.floor(rank[to] / columns));
  }));
  const tops = [];
  let top = 0;
  lanes.forEach((count, line) => {
    tops[line] = top + (arcs.has(line) ? NODE.arc : 0);
    top = tops[line] + count * lane;
  });
  const taken = new Map();
  const nodes = rank.map((r, i) => {
    const line = Math.floor(r / columns), column = line % 2 ? columns - 1 - r % columns : r % columns;
    const place = taken.get(r) ?? 0;
    taken.set(r, place + 1);
    return {x: (column + 0.5) * slot, y: tops[line] + (place + 0.5) * lane, w: wide, h: least + NODE.extra * share(sim.layers[i]) / most,
      line, rank: r, names: names[i], backwards: line % 2 === 1};
  });
  return {nodes, height: top};
}

// The way of an edge, and where its label goes: straight to the neighbour, down at the end of a line, else around.
function route(a, b) {
  const side = a.backwards ? -1 : 1;
  if (a.line === b.line && b.rank - a.rank === 1) {
    const x1 = a.x + side * a.w / 2, x2 = b.x - side * b.w / 2, bend = (x2 - x1) / 2;
    return {d: `M${x1} ${a.y} C${x1 + bend} ${a.y} ${x2 - bend} ${b.y} ${x2} ${b.y}`, x: (x1 + x2) / 2, y: (a.y + b.y) / 2 - 5};
  }
  if (a.line === b.line) {
    const y1 = a.y - a.h / 2, y2 = b.y - b.h / 2, peak = Math.min(y1, y2) - 18;
    return {d: `M${a.x} ${y1} C${a.x} ${peak} ${b.x} ${peak} ${b.x} ${y2}`};
  }
  const y1 = a.y + a.h / 2, y2 = b.y - b.h / 2, middle = (y1 + y2) / 2;
  const label = b.rank - a.rank === 1 ? {x: a.x + 6, y: middle + 3, anchor: "start"} : {};
  return {d: `M${a.x} ${y1} C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${y2}`, ...label};
}

function edge(from, to, nodes) {
  const way = route(nodes[from], nodes[to]), events = edgeEvents(from);
  const line = svg("path", {class: "edge", d: way.d, "marker-end": "url(#arrow)"});
  const grip = svg("path", {class: "grip", d: way.d});
  const told = events === null ? "events counted where they are added up" : `${whole(events)} events a frame`;
  const text = events !== null && way.x !== undefined
    ? svg("text", {class: "events", x: way.x, y: way.y, "text-anchor": way.anchor ?? "middle"}, compact(events)) : null;
  return tell(svg("g", {"data-layer": to}, line, grip, text),
    () => [`${sim.layers[from].name} → ${sim.layers[to].name}`, told]);
}

function node(i, {x, y, w, h, names}) {
  const layer = sim.layers[i], left = x - w / 2, heat = totalClocks ? share(layer) / maximum(sim.layers.map(share)) : 0;
  const box = svg("rect", {class: "node", x: left, y: y - h / 2, width: w, height: h, rx: 5, "--heat": `${Math.round(100 * heat)}%`});
  const tab = svg("path", {d: `M${left + 5} ${y - h / 2} h19 v${h} h-19 a5 5 0 0 1 -5 -5 v${10 - h} a5 5 0 0 1 5 -5 z`,
    "--paint": paint(i), class: "painted"});
  return tell(svg("g", {"data-layer": i, tabindex: 0, "aria-label": layer.name}, box, tab,
    svg("text", {class: "index", x: left + 12, y: y + 4, "--ink": ink(i)}, `${i + 1}`),
    names.map((line, k) => svg("text", {class: "title", x: left + 29, y: y + 4 + 13 * (k - names.length / 2)}, line)),
    svg("text", {class: "part", x: left + 29, y: y + 5 + 6.5 * names.length}, percent(share(layer)))), () => layerTip(i));
}

function drawGraph() {
  fitted(section("graph"), width => {
    const {nodes, height} = place(width);
    const arrow = svg("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto"},
      svg("path", {class: "head", d: "M0 0 L8 4 L0 8 z"}));
    const edges = sim.layers.flatMap((layer, to) =>
      layer.inputs.filter(name => indexOf.has(name)).map(name => edge(indexOf.get(name), to, nodes)));
    return picture(width, height, "the layers and what they hand on", svg("defs", {}, arrow), edges, nodes.map((at, i) => node(i, at)));
  });
}
