// What each layer does in a clock against what it does with a byte, under the roofs of the device.
const RADIUS = 9;

function rooflinePoints() {
  return sim.layers.map((layer, i) => ({i, layer, x: layer.event_macs / layer.moved_bytes, y: layer.event_macs / layer.clocks.total}))
    .filter(point => point.x > 0 && point.y > 0 && isFinite(point.x) && isFinite(point.y));
}

// Decades that hold all values, with some room at both ends.
function decades(values) {
  const logs = values.map(Math.log10);
  return [Math.floor(Math.min(...logs) - 0.15), Math.ceil(maximum(logs, -Infinity) + 0.15)];
}

// Numbered discs that would cover one another are pushed apart; the dot stays at the true place.
function spread(points, box) {
  const discs = points.map(p => ({...p, cx: p.px, cy: p.py}));
  for (let round = 0; round < 300; round++) {
    let moved = false;
    discs.forEach((a, k) => discs.slice(k + 1).forEach(b => {
      const dx = b.cx - a.cx || 0.01 * (k + 1), dy = b.cy - a.cy || 0.01, distance = Math.hypot(dx, dy), least = 2 * RADIUS + 1;
      if (distance >= least) return;
      const push = (least - distance) / 2 / distance;
      a.cx -= dx * push; a.cy -= dy * push; b.cx += dx * push; b.cy += dy * push;
      moved = true;
    }));
    for (const disc of discs) {
      for (const {left, middle, half} of box.words) {  // the words at a roof stay free
        const off = disc.cy - middle, room = half + RADIUS;
        if (disc.cx + RADIUS > left && Math.abs(off) < room) disc.cy = middle + (off < 0 ? -room : room);
      }
      disc.cx = Math.min(box.right - RADIUS, Math.max(box.left + RADIUS, disc.cx));
      disc.cy = Math.min(box.bottom - RADIUS, Math.max(box.top + RADIUS, disc.cy));
    }
    if (!moved) break;
  }
  return discs;
}

function roof(peak, slope, at, [low, high], name, words) {
  const ridge = Math.min(Math.max(Math.log10(peak / slope), low), high), xs = [low, ridge, high];
  const d = xs.map((x, k) => `${k ? "L" : "M"}${at.x(x)} ${at.y(Math.log10(Math.min(peak, slope * 10 ** x)))}`).join(" ");
  return svg("g", {class: `roof ${name}`}, svg("path", {d}),
    svg("text", {x: at.x(high) - 4, y: at.y(Math.log10(peak)) - 5, "text-anchor": "end"}, words));
}

function drawPoint({i, layer, px, py, cx, cy, x, y}) {
  const shifted = Math.hypot(px - cx, py - cy) > 2;
  const engine = layer.unit === "HRC";
  const disc = engine
    ? svg("rect", {class: "painted disc", "--paint": paint(i), x: cx - RADIUS, y: cy - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS, rx: 2})
    : svg("circle", {class: "painted disc", "--paint": paint(i), cx, cy, r: RADIUS});
  return tell(svg("g", {"data-layer": i},
    shifted ? svg("line", {class: "leader", x1: px, y1: py, x2: cx, y2: cy}) : null,
    shifted ? svg("circle", {class: "painted", "--paint": paint(i), cx: px, cy: py, r: 2.5}) : null, disc,
    svg("text", {class: "index", x: cx, y: cy + 4, "--ink": ink(i)}, `${i + 1}`)),
  () => [`${i + 1} · ${layer.name}`, `${number(y)} MACs a clock`, `${number(x)} MACs a byte`,
    `${compact(layer.event_macs)} MACs, ${bytes(layer.moved_bytes)} moved, ${compact(layer.clocks.total)} clocks`,
    engine ? "on the input engine: dense, and under none of these roofs" : `on ${layer.parts.length} NPs`]);
}

function rooflineOf(width, points) {
  const height = Math.round(Math.min(430, Math.max(300, width * 0.72)));
  const box = {left: 46, right: width - 8, top: 22, bottom: height - 34};
  const nps = sim.device.nodes * sim.device.nps_per_node, peak = sim.device.peak_macs_per_clock, slope = sim.device.input_bytes_per_clock;
  const xs = decades([...points.map(p => p.x), peak / nps / slope]), ys = decades([...points.map(p => p.y), peak, peak / nps]);
  const at = {x: v => box.left + (v - xs[0]) / (xs[1] - xs[0]) * (box.right - box.left),
    y: v => box.bottom - (v - ys[0]) / (ys[1] - ys[0]) * (box.bottom - box.top)};
  box.words = [peak, peak / nps].map(level => ({left: box.right - 108, middle: at.y(Math.log10(level)) - 9, half: 7}));
  const ticks = [];
  for (let v = xs[0]; v <= xs[1]; v++) {
    const anchor = v === xs[1] ? "end" : "middle";
    ticks.push(svg("line", {class: "grid", x1: at.x(v), x2: at.x(v), y1: box.top, y2: box.bottom}),
      svg("text", {class: "tick", x: at.x(v), y: box.bottom + 14, "text-anchor": anchor}, power(v)));
  }
  for (let v = ys[0]; v <= ys[1]; v++) {
    ticks.push(svg("line", {class: "grid", x1: box.left, x2: box.right, y1: at.y(v), y2: at.y(v)}),
      svg("text", {class: "tick", x: box.left - 5, y: at.y(v) + 4, "text-anchor": "end"}, power(v)));
  }
  const clip = svg("clipPath", {id: "plot"}, svg("rect", {x: box.left, y: 0, width: box.right - box.left, height: box.bottom}));
  const placed = spread(points.map(p => ({...p, px: at.x(Math.log10(p.x)), py: at.y(Math.log10(p.y))})), box);
  return picture(width, height, "roofline", svg("defs", {}, clip), ticks,
    svg("text", {class: "axis-name", x: box.left, y: 12}, "MACs per clock"),
    svg("text", {class: "axis-name", x: box.right, y: height - 4, "text-anchor": "end"}, "MACs per byte moved"),
    svg("g", {"clip-path": "url(#plot)"}, roof(peak, slope * nps, at, xs, "all", `all ${nps} NPs: ${compact(peak)}`),
      roof(peak / nps, slope, at, xs, "one", `one NP: ${compact(peak / nps)}`)),
    placed.map(drawPoint));
}

function power(v) { return v >= -3 && v <= 3 ? `${10 ** v}` : `1e${v}`; }

function drawRoofline() {
  const points = rooflinePoints(), host = section("roofline");
  if (!points.length) return void host.append(el("p", {class: "none"}, "No layer multiplies."));
  fitted(host, width => rooflineOf(Math.min(width, 640), points));
  const left = sim.layers.length - points.length;
  host.append(el("p", {class: "lead"}, `Slopes: the network on chip brings an NP ${number(sim.device.input_bytes_per_clock)} bytes a clock. ` +
    "Squares: the input engine, which no roof holds." + (left ? ` Not shown: ${left} without multiplications or without bytes.` : "")));
}
