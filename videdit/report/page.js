"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const viewer = document.querySelector(".viewer");
  if (viewer) {
    const dividers = [...viewer.querySelectorAll(".pair input")];
    const isNear = (divider) => divider.closest(".pair").classList.contains("near");
    let moved = false;
    // All frames share a divider, and so do all faces from near.
    const set = (near, value) => {
      for (const figure of viewer.querySelectorAll(".compare")) {
        figure.style.setProperty(near ? "--near" : "--at", `${value}%`);
      }
      for (const divider of dividers.filter((one) => isNear(one) === near)) {
        divider.value = value;
        divider.setAttribute("aria-valuetext", `source on the left ${Math.round(value)} %`);
      }
    };
    for (const divider of dividers) {
      divider.addEventListener("input", () => {
        moved = moved || !isNear(divider);
        set(isNear(divider), Number(divider.value));
      });
    }
    set(true, 50);

    const frames = [...viewer.querySelectorAll(".compare")];
    const choices = [...viewer.querySelectorAll(".picker input")];
    const marks = [...document.querySelectorAll(".marks .mark")];
    const show = (id) => {
      if (!frames.some((frame) => frame.id === id)) return false;
      for (const frame of frames) {
        frame.classList.toggle("current", frame.id === id);
        // Over the face, until somebody moves it.
        if (frame.id === id && !moved) set(false, Number(frame.dataset.at));
      }
      for (const choice of choices) choice.checked = choice.value === id;
      for (const mark of marks) {
        const here = mark.getAttribute("href") === `#${id}`;
        mark.classList.toggle("current", here);
        if (here) mark.setAttribute("aria-current", "true");
        else mark.removeAttribute("aria-current");
      }
      return true;
    };
    for (const choice of choices) {
      choice.addEventListener("change", () => show(choice.value));
    }
    for (const mark of marks) {
      mark.addEventListener("click", (event) => {
        event.preventDefault();
        show(mark.getAttribute("href").slice(1));
      });
    }
    if (!show(location.hash.slice(1)) && frames.length) show(frames[0].id);
  }
  for (const button of document.querySelectorAll(".copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.from).textContent);
      button.textContent = "Copied";
    });
  }
})();
