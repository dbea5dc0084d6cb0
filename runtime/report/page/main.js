// A long table takes the whole width.
if (sim.layers.length > 24) section("timeline").before(section("provenance"));
for (const draw of [drawHeader, drawGraph, drawLayers, drawDensities, drawProvenance, drawMesh, drawRoofline, drawTimeline, drawConstants]) draw();
// The column beside stays in view as long as it fits into the window; else its ends could not be reached.
const beside = document.querySelector(".beside");
const stay = () => beside.classList.toggle("stays", beside.offsetHeight + 64 < window.innerHeight);
new ResizeObserver(stay).observe(beside);
window.addEventListener("resize", stay);
