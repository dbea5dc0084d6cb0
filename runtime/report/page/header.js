// What was simulated, what came of it in one line, and what a reader must know before believing it.
function resultLine() {
  const energy = sim.total_mj === null ? "no energy data for this device" : `${number(sim.total_mj)} mJ a frame`;
  return `A frame takes ${number(sim.latency_ms)} ms; ${number(sim.fps)} frames/s at batch ${sim.batch}; ${energy}.`;
}

function tile(label, value, ...details) {
  return el("div", {class: "kpi"}, el("span", {class: "label"}, label), el("span", {class: "number"}, value),
    el("span", {class: "detail"}, details));
}

function tiles() {
  const slowest = 1e3 * sim.slowest_frame_clocks / hz;
  const approximately = uncertain ? "≈ " : "";
  const unit = words => el("small", {}, ` ${words}`);
  return el("div", {class: "kpis"},
    tile("Latency of a frame", [approximately, shown("span", "latency_ms", number(sim.latency_ms)), unit("ms")],
      sim.frames > 1 ? `slowest of ${sim.frames}: ${number(slowest)} ms` : "one frame alone"),
    tile(`Throughput at batch ${sim.batch}`, [approximately, shown("span", "fps", number(sim.fps)), unit("frames/s")],
      `hand-off: ${sim.handoff}; batch in ${number(sim.batch_ms)} ms`),
    sim.total_mj === null ? tile("Energy a frame", el("span", {class: "none"}, "no energy data for this device"))
      : tile("Energy a frame", [shown("span", "total_mj", number(sim.total_mj)), unit("mJ")],
        shown("span", "dynamic_mj", number(sim.dynamic_mj)), " mJ above the floor"),
    sim.power_mw === null ? null
      : tile("Power", [shown("span", "power_mw", number(sim.power_mw)), unit("mW")], "mean of one frame alone"),
    tile("Placement", [shown("span", "nps", `${sim.nps}`), unit(`of ${sim.device.nodes * sim.device.nps_per_node} NPs`)],
      shown("span", "passes", `${sim.passes}`), sim.passes === 1 ? " pass" : " passes", ", ",
      shown("span", "assigned_nps", `${sim.assigned_nps}`), " NPs assigned", sim.input_engine ? " + input engine" : ""),
    tile("Program", bytes(sim.program_bytes), `loaded once in ${seconds(sim.program_clocks)}`,
      sim.external_bytes ? `; ${bytes(sim.external_bytes)} external` : ""));
}

function statedErrors() {
  if (!sim.stated_errors.length) {
    return el("p", {class: "stated"}, "No published measurements of this device to compare the model with.");
  }
  const words = sim.stated_errors.map(error =>
    `${error.what}: within ${number(error.max_percent)} % on ${error.rows} published rows (${number(error.mean_percent)} % on average)`);
  return el("p", {class: "stated"}, el("b", {}, "Error of the model, on what it was not fitted to — "), words.join("; "), ".");
}

function alerts() {
  return [
    uncertain ? el("p", {class: "alert loud", role: "alert"}, el("b", {}, `⚠ Timing: ${sim.device.confidence} confidence. `),
      `The times on this page rest on little that is public about ${sim.device.name} (Akida ${sim.device.generation}): ` +
      "orders of magnitude, not measurements.") : null,
    whatIf ? el("p", {class: "alert supposed", role: "alert"}, el("b", {}, "What-if. "),
      `Densities are assumed, ${number(sim.what_if_density)} in the mean: no events were counted.`) : null,
  ].filter(Boolean);
}

function drawHeader() {
  const device = sim.device;
  section("head").append(
    el("div", {class: "title"},
      el("div", {}, el("h1", {}, sim.model), el("p", {class: "subtitle"},
        el("b", {}, device.name), ` at ${number(hz / 1e6)} MHz · mapping ${sim.mode}`, sim.source && [" · ", el("code", {}, sim.source)])),
      el("div", {class: "badges"}, cautions(),
        uncertain ? null : el("span", {class: "badge"}, `timing: ${device.confidence}`),
        whatIf ? null : el("span", {class: "badge"}, `events counted on ${counted(sim.frames, "frame")}`))),
    ...alerts(),
    el("p", {class: "result"}, resultLine()), tiles(), statedErrors(),
    sim.notes.length ? el("ul", {class: "notes"}, sim.notes.map(note => el("li", {}, note))) : "");
  const links = [["graph", "Layers"], ["layers", "Time & energy"], ["densities", "Density"], ["provenance", "Provenance"],
    ["mesh", "Mesh"], ["roofline", "Roofline"], ["timeline", "Timeline"], ["assumptions", "Assumptions"]];
  section("strip").append(el("b", {}, sim.model), el("span", {class: "quiet"}, `${device.name} · ${number(sim.latency_ms)} ms`),
    ...cautions(), el("span", {class: "links"}, links.map(([id, words]) => el("a", {href: `#${id}`}, words))));
  for (const heading of document.querySelectorAll(".timed > h2")) {
    if (uncertain) heading.append(el("span", {class: "badge loud"}, `${device.confidence} confidence`));
    if (whatIf) heading.append(el("span", {class: "badge supposed"}, "what-if"));
  }
}
