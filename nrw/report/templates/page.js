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

function draw(plot) {
  const figure = JSON.parse(document.querySelector(`script[data-plot="${plot.id}"]`).textContent);
  const options = { responsive: true, displaylogo: false, displayModeBar: false };
  Plotly.react(plot, figure.data, themed(figure.layout), options);
}

// a figure is drawn when it is scrolled near: the page appears at once, and an unseen 3D view costs nothing
const drawn = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting || drawn.has(entry.target)) continue;
    drawn.add(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "200px" });
document.querySelectorAll(".plot").forEach((plot) => observer.observe(plot));

for (const media of [dark, narrow]) media.addEventListener("change", () => drawn.forEach(draw));
