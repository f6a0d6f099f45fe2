// Shows the values of every line at the place of the pointer. The page is complete without it.
document.querySelectorAll(".plot").forEach(plot => {
  const svg = plot.querySelector(":scope > svg");
  const { x, y, log, pixels: [left, right, top, bottom] } = JSON.parse(plot.dataset.frame);
  const names = new Map([...plot.querySelectorAll(".legend li:not(.beyond)")].map(
    item => [item.querySelector("line").getAttribute("stroke"), item.textContent]));
  const lines = [...svg.querySelectorAll("polyline")]
    .filter(line => names.has(line.getAttribute("stroke")))
    .map(line => ({
      name: names.get(line.getAttribute("stroke")),
      points: line.getAttribute("points").trim().split(/\s+/).map(pair => pair.split(",").map(Number)),
    }));
  const beyond = plot.querySelector(".beyond");
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  plot.append(tip);
  const along = (pixel, from, to, [low, high]) => low + (pixel - from) / (to - from) * (high - low);
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const near = lines.map(({ name, points }) => {
      const point = points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
      const value = along(point[1], bottom, top, y);
      const cut = beyond && point[1] <= top + 1 ? "≥ " : beyond && point[1] >= bottom - 1 ? "≤ " : "";
      return { point, text: `${name}: ${cut}${(log ? 10 ** value : value).toPrecision(3)}` };
    });
    if (at < left || at > right || !near.length) { tip.hidden = true; return; }
    tip.innerText = [Math.round(along(near[0].point[0], left, right, x)), ...near.map(n => n.text)].join("\n");
    tip.hidden = false;
    const place = event.clientX - plot.getBoundingClientRect().left;
    tip.style.left = `${Math.min(place + 14, plot.clientWidth - tip.offsetWidth)}px`;
    tip.style.top = `${event.clientY - plot.getBoundingClientRect().top + 14}px`;
  });
});
