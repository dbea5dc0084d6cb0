// A row for each layer: where its clocks and its energy go, stacked, and in words what bounds it.
function stack(parts, keys, scale, path, words) {
  const bars = keys.filter(([key]) => parts[key] > 0).map(([key]) =>
    el("i", {class: `c-${key}`, "width%": 100 * parts[key] / scale}));
  return tell(el("span", {class: "stack"}, bars), () => [words,
    ...keys.filter(([key]) => parts[key] > 0).map(([key, name]) => `${name}: ${number(parts[key])} (${percent(parts[key] / parts.total)})`)]);
}

function passRow(pass, columns) {
  const details = [
    `${pass.nps} NPs`, `${whole(pass.clocks)} clocks`,
    pass.reload_bytes ? `takes in ${bytes(pass.reload_bytes)} of weights` : null,
    pass.spill_bytes ? `${bytes(pass.spill_bytes)} of activations wait for it` : null,
  ].filter(Boolean).join(" · ");
  return el("tr", {class: "pass"}, el("th", {colspan: columns, scope: "rowgroup"}, `Pass ${pass.number}`,
    el("span", {class: "quiet"}, details)));
}

function layerRow(i, most, mostEnergy) {
  const layer = sim.layers[i], at = `layers.${i}`;
  const cells = [
    el("td", {class: "name"}, chip(i), label(layer.name)),
    el("td", {class: "right"}, `${layer.parts.length} × ${layer.unit}`),
    shown("td", `${at}.density`, percent(layer.density), {class: "right", "data-factor": 100}),
    el("td", {class: "bars"}, stack(layer.clocks, CLOCKS, most, at, `${layer.name}: clocks`)),
    shown("td", `${at}.clocks.total`, whole(layer.clocks.total), {class: "right"}),
    el("td", {class: "right"}, percent(share(layer))),
    layer.energy && el("td", {class: "bars"}, stack(layer.energy, ENERGIES, mostEnergy, at, `${layer.name}: µJ`)),
    layer.energy && shown("td", `${at}.energy.total`, number(layer.energy.total), {class: "right"}),
    el("td", {class: "words", title: layer.bound}, layer.bound),
  ].filter(Boolean);
  const row = el("tr", {"data-layer": i}, cells);
  tell(cells[0], () => layerTip(i));
  return row;
}

function drawLayers() {
  const energetic = sim.layers.some(layer => layer.energy);
  const most = maximum(sim.layers.map(layer => layer.clocks.total)) || 1;
  const mostEnergy = maximum(sim.layers.map(layer => layer.energy?.total ?? 0)) || 1;
  const heads = [["Layer", ""], ["Units", "right"], ["Density", "right"], ["Time", "bars"], ["Clocks", "right"], ["Share", "right"],
    ...(energetic ? [["Energy", "bars"], ["µJ", "right"]] : []), ["Bound by", "words"]];
  const body = el("tbody");
  for (const pass of passes) {
    if (passes.length > 1) body.append(passRow(pass, heads.length));
    sim.layers.forEach((layer, i) => { if (inPass(layer, pass)) body.append(layerRow(i, most, mostEnergy)); });
  }
  const present = (keys, field) => keys.filter(([key]) => sim.layers.some(layer => layer[field]?.[key] > 0));
  section("layers").append(
    el("div", {class: "legends"},
      el("div", {}, el("b", {}, "Clocks"), legend(present(CLOCKS, "clocks"))),
      energetic ? el("div", {}, el("b", {}, "Energy"), legend(present(ENERGIES, "energy")))
        : el("p", {class: "none"}, "No energy data for this device.")),
    el("table", {class: `layers ${energetic ? "energetic" : ""}`},
      el("thead", {}, el("tr", {}, heads.map(([words, kind]) => el("th", {scope: "col", class: kind}, words)))), body));
}
