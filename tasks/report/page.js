for (const strip of document.querySelectorAll("[data-scrub]")) {
  const shown = [...strip.querySelectorAll("figure")];
  if (shown.length < 2) continue;
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: shown.length - 1, step: 1 });
  slider.setAttribute("aria-label", "tilt");
  const show = (index) => shown.forEach((figure, i) => figure.classList.toggle("now", i === index));
  slider.value = Math.floor(shown.length / 2);
  slider.addEventListener("input", () => show(Number(slider.value)));
  strip.classList.add("scrub");
  strip.append(slider);
  show(Number(slider.value));
}
for (const button of document.querySelectorAll("[data-toggle-spots]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const off = button.closest("section").classList.toggle("no-spots");
    button.textContent = off ? "Show predicted spots" : "Hide predicted spots";
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details:not(.worst details)").forEach((part) => (part.open = true)));
