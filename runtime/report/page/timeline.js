// Every unit over the time of the batch.  Drag to zoom; pieces of one layer that would be narrower than a pixel are joined.
const KINDS = [["reload", "reload of weights"], ["spill", "external memory"], ["wait", "waiting for the others"]];

function timelineRows() {
  const rows = new Map();
  for (const slice of sim.timeline) {
    if (!rows.has(slice.unit)) rows.set(slice.unit, []);
    rows.get(slice.unit).push(slice);
  }
  const order = unit => unit === ENGINE ? -2 : unit === MEMORY ? -1 : unit;
  return [...rows].sort(([a], [b]) => order(a) - order(b)).flatMap(([unit, slices]) => lanes(slices).map(lane => [unit, lane]));
}

// What a unit does at the same time, as external memory may, in rows of its own.
function lanes(slices) {
  const rows = [];
  for (const slice of slices.sort((a, b) => a.start - b.start)) {
    const free = rows.find(row => slice.start >= row.at(-1).end * (1 - 1e-12));
    if (free) free.push(slice);
    else rows.push([slice]);
  }
  return rows;
}

// How many NPs compute, as steps [clock, count].
function busySteps() {
  const changes = sim.timeline.filter(s => s.unit >= 0 && s.kind === "compute").flatMap(s => [[s.start, 1], [s.end, -1]]);
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let count = 0;
  return changes.map(([clock, change]) => [clock, count += change]);
}

function visible(slices, from, to, perPixel) {
  const out = [];
  for (const slice of slices) {
    if (slice.end <= from || slice.start >= to) continue;
    const last = out.at(-1), small = slice.end - slice.start < perPixel;
    if (last && small && last.layer === slice.layer && last.kind === slice.kind && slice.start - last.end < perPixel) {
      last.end = slice.end;
      last.frames = [last.frames[0], slice.frame];
    } else out.push({...slice, frames: [slice.frame, slice.frame]});
  }
  return out;
}

function ticksOf(from, to, room) {
  const span = to - from, raw = span / Math.max(2, room / 110), scale = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(f => f * scale).find(s => s >= raw), out = [];
  for (let t = Math.ceil(from / step) * step; t <= to * (1 + 1e-12); t += step) out.push(t);
  return out;
}

function sliceMark(slice, box, y, tall) {
  const i = indexOf.get(slice.layer), x1 = Math.max(box.left, box.x(slice.start)), x2 = Math.min(box.right, box.x(slice.end));
  const wide = Math.max(0.7, x2 - x1), computing = slice.kind === "compute";
  const [first, last] = slice.frames;
  const lines = () => [`${computing ? "" : `${slice.kind}: `}${slice.layer}`, `${unitName(slice.unit)}, pass ${i === undefined ? slice.pass_index + 1 : passNumber(sim.layers[i])}, ` +
    (first === last ? `frame ${first + 1}` : `frames ${first + 1}–${last + 1}`),
  `${whole(slice.start)} to ${whole(slice.end)} clocks: ${seconds(slice.end - slice.start)}`];
  const shapeOf = slice.kind === "wait"
    ? svg("rect", {class: "wait", x: x1, y: y + tall / 2 - 1, width: wide, height: 2})
    : svg("rect", {class: computing ? "painted" : `hatch-${slice.kind}`, "--paint": paint(i), x: x1, y, width: wide, height: tall});
  const text = computing && tall >= 12 && wide > 20
    ? svg("text", {class: "index", x: x1 + wide / 2, y: y + tall / 2 + 4, "--ink": ink(i)}, `${i + 1}`) : null;
  return tell(svg("g", {"data-layer": i}, shapeOf, text), lines);
}

function busyArea(steps, box, top, height, view) {
  const most = maximum(steps.map(([, n]) => n), 1), y = n => top + height - n / most * height;
  const points = [];
  let count = 0;
  for (const [clock, next] of steps) {
    if (clock > view[0] && clock < view[1]) {
      if (!points.length) points.push([box.left, count]);
      const x = box.x(clock);
      if (x - points.at(-1)[0] > 0.3) points.push([x, count], [x, next]);
      else points.at(-1)[1] = next;
    }
    if (clock >= view[1]) break;
    count = next;
  }
  if (!points.length) points.push([box.left, count]);
  points.push([box.right, points.at(-1)[1]]);
  const line = points.map(([x, n]) => `L${x.toFixed(2)} ${y(n).toFixed(2)}`).join("");
  return svg("g", {class: "busy"}, svg("path", {d: `M${box.left} ${top + height}${line}L${box.right} ${top + height}z`}),
    svg("line", {class: "grid", x1: box.left, x2: box.right, y1: top, y2: top}),
    svg("text", {class: "row-name", x: box.left - 6, y: top + 8, "text-anchor": "end"}, `${counted(most, "NP")} busy`));
}

function hatch(kind) {
  return svg("pattern", {id: `hatch-${kind}`, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"},
    svg("rect", {class: `under-${kind}`, width: 6, height: 6}), svg("rect", {class: `line-${kind}`, width: 2, height: 6}));
}

function chart(width, rows, steps, view) {
  const tall = rows.length > 48 ? 10 : rows.length > 24 ? 14 : 19, top = 62;
  const box = {left: 104, right: width - 6}, scale = (box.right - box.left) / (view[1] - view[0]);
  box.x = clock => box.left + (clock - view[0]) * scale;
  const every = tall < 12 ? sim.device.nps_per_node : 1, marks = [], heights = rows.map(([unit]) => unit < 0 ? 17 : tall);
  const tops = heights.map((_, row) => top + sum(heights.slice(0, row)) + row), bottom = tops.at(-1) + heights.at(-1) + 1;
  for (const t of ticksOf(view[0] / hz, view[1] / hz, box.right - box.left)) {
    const x = box.x(t * hz), end = x > box.right - 40;
    marks.push(svg("line", {class: "grid", x1: x, x2: x, y1: 12, y2: bottom}),
      svg("text", {class: "tick", x, y: bottom + 15, "text-anchor": end ? "end" : "middle"}, t ? seconds(t * hz) : "0"));
  }
  rows.forEach(([unit, slices], row) => {
    const y = tops[row], high = heights[row];
    if (unit !== rows[row - 1]?.[0] && (unit < 0 || unit % every === 0)) {
      marks.push(svg("text", {class: "row-name", x: box.left - 6, y: y + high / 2 + 4, "text-anchor": "end"}, unitName(unit)));
    }
    const border = unit >= 0 && unit % sim.device.nps_per_node === 0;
    marks.push(svg("line", {class: border ? "grid node-line" : "grid", x1: box.left, x2: box.right, y1: y - 0.5, y2: y - 0.5}));
    marks.push(...visible(slices, view[0], view[1], 1 / scale).map(slice => sliceMark(slice, box, y, high)));
  });
  const selection = svg("rect", {class: "selection", x: 0, y: 10, width: 0, height: bottom - 10});
  const drawn = picture(width, bottom + 22, "work of every unit over time", svg("defs", {}, hatch("reload"), hatch("spill")),
    busyArea(steps, box, 14, 38, view), marks, selection);
  return {drawn, box, selection};
}

// A stretch dragged with the pointer, in clocks.
function draggable({drawn, box, selection}, view, zoom) {
  let from = null;
  const at = event => Math.min(box.right, Math.max(box.left, event.clientX - drawn.getBoundingClientRect().left));
  const clock = x => view[0] + (x - box.left) / (box.right - box.left) * (view[1] - view[0]);
  drawn.addEventListener("pointerdown", event => {
    if (event.button) return;
    from = at(event);
    drawn.setPointerCapture(event.pointerId);
  });
  drawn.addEventListener("pointermove", event => {
    if (from === null) return;
    selection.setAttribute("x", Math.min(from, at(event)));
    selection.setAttribute("width", Math.abs(at(event) - from));
  });
  drawn.addEventListener("pointerup", event => {
    const to = from === null ? null : at(event), start = from;
    from = null;
    selection.setAttribute("width", 0);
    if (to !== null && Math.abs(to - start) > 5) zoom(clock(Math.min(start, to)), clock(Math.max(start, to)));
  });
  drawn.addEventListener("dblclick", () => zoom(0, Infinity));
}

function drawTimeline() {
  const host = section("timeline"), rows = timelineRows(), steps = busySteps();
  const end = maximum(sim.timeline.map(slice => slice.end)), kept = maximum(sim.timeline.map(slice => slice.frame + 1));
  const whose = kept < sim.batch ? `The first ${kept} of ${sim.batch} frames: ${seconds(end)}` : `${seconds(end)} for a batch of ${sim.batch}`;
  if (!rows.length || !end) return void host.append(el("p", {class: "none"}, "No timeline was kept."));
  let view = [0, end], redraw = null;
  const zoom = (from, to) => {
    const span = Math.min(end, Math.max(to - from, end * 1e-6, 4)), start = Math.min(Math.max(0, from), end - span);
    view = [start, start + span];
    redraw();
  };
  const around = factor => zoom((view[0] + view[1]) / 2 - (view[1] - view[0]) * factor / 2, (view[0] + view[1]) / 2 + (view[1] - view[0]) * factor / 2);
  const shift = part => zoom(view[0] + part * (view[1] - view[0]), view[1] + part * (view[1] - view[0]));
  const controls = [["all", "All of it", () => zoom(0, end)], ["−", "Zoom out", () => around(2)], ["+", "Zoom in", () => around(0.5)],
    ["←", "Earlier", () => shift(-0.4)], ["→", "Later", () => shift(0.4)]];
  const kinds = new Set(sim.timeline.map(slice => slice.kind));
  host.append(el("div", {class: "bar"},
    el("p", {class: "lead"}, `${whose}; numbers are layers. Drag to zoom, double-click for all.`),
    legend(KINDS.filter(([kind]) => kinds.has(kind))),
    el("div", {class: "tabs"}, controls.map(([words, label, act]) => {
      const button = el("button", {type: "button", title: label, "aria-label": label}, words);
      button.addEventListener("click", act);
      return button;
    }))));
  redraw = fitted(host, width => {
    const made = chart(width, rows, steps, view);
    draggable(made, view, zoom);
    return made.drawn;
  });
}
