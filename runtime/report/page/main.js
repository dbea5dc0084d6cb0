// A long table takes the whole width.
if (sim.layers.length > 24) section("timeline").before(section("provenance"));
for (const draw of [drawHeader, drawGraph, drawLayers, drawDensities, drawProvenance, drawMesh, drawRoofline, drawTimeline, drawConstants]) draw();
