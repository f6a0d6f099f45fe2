// Shows what the run has written since. The page is complete without it.
const line = document.querySelector(".live");
let shown = line.dataset.version;
const ago = seconds =>
  seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
async function renew() {
  const next = new DOMParser().parseFromString(await (await fetch("./", { cache: "no-store" })).text(), "text/html");
  const open = [...document.querySelectorAll("main details")].map(details => details.open);
  document.querySelector("main").replaceWith(next.querySelector("main"));
  document.querySelectorAll("main details").forEach((details, at) => { details.open = open[at] ?? false; });
  shown = next.querySelector(".live").dataset.version;
  hover();
}
async function look() {
  try {
    const { version, age } = await (await fetch("version", { cache: "no-store" })).json();
    if (version !== shown) { await renew(); }
    line.textContent = age === null ? "Live" : `Live: last record ${ago(age)} ago`;
  } catch {
    line.textContent = "No answer from kd watch: this is the last state";
  }
  setTimeout(look, 2000);
}
look();
