"use strict";

const narrow = window.matchMedia("(max-width: 640px)");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const grid = style.getPropertyValue("--line").trim();
  const themed = { ...layout, font: { family: "system-ui, sans-serif", size: narrow.matches ? 11 : 13, color: ink } };
  for (const axis of ["xaxis", "yaxis", "yaxis2"]) {
    if (themed[axis]) themed[axis] = { gridcolor: grid, linecolor: grid, zerolinecolor: grid, ...themed[axis] };
  }
  return themed;
}

function draw() {
  for (const source of document.querySelectorAll("script[data-plot]")) {
    const figure = JSON.parse(source.textContent);
    const options = { responsive: true, displaylogo: false, displayModeBar: false };
    Plotly.react(source.dataset.plot, figure.data, themed(figure.layout), options);
  }
}

draw();
dark.addEventListener("change", draw);
narrow.addEventListener("change", draw);
