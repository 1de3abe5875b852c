"use strict";

document.documentElement.classList.add("js");

// Guarded pictures: the original is fetched, and so recorded, only when somebody asks to see it.
for (const figure of document.querySelectorAll("[data-guarded]")) {
  const preview = figure.querySelector(".preview");
  const reveal = figure.querySelector("[data-reveal]");
  const hide = figure.querySelector("[data-hide]");
  const status = figure.querySelector("[data-picture-status]");
  const boxes = figure.querySelector("[data-boxes]");
  let original = null;

  preview.addEventListener("error", () => {
    status.textContent = "There is no preview: the picture is no longer kept.";
  });

  boxes?.addEventListener("change", () => {
    figure.querySelector(".boxes").classList.toggle("off", !boxes.checked);
  });

  const cover = () => {
    if (original) {
      URL.revokeObjectURL(original.src);
      original.remove();
      original = null;
    }
    hide.hidden = true;
    reveal.hidden = false;
    status.textContent = "Hidden again.";
    reveal.focus();
  };

  const uncover = async () => {
    reveal.disabled = true;
    status.textContent = "Fetching the original…";
    try {
      const answer = await fetch(figure.dataset.source, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 404) throw new Error("There is no original: the picture is no longer kept.");
      if (!answer.ok) {
        const problem = await answer.json().catch(() => ({}));
        throw new Error(problem.detail || `The original could not be fetched (${answer.status}).`);
      }
      const image = new Image();
      image.alt = "The upload as it was sent";
      image.className = "original";
      image.src = URL.createObjectURL(await answer.blob());
      await image.decode().catch(() => { throw new Error("This browser cannot show this format."); });
      original = image;
      preview.after(image);
      reveal.hidden = true;
      hide.hidden = false;
      status.textContent = "Shown as sent. This view was recorded.";
      hide.focus();
    } catch (error) {
      status.textContent = error.message;
    } finally {
      reveal.disabled = false;
    }
  };

  reveal?.addEventListener("click", uncover);
  hide?.addEventListener("click", cover);
  // A page that comes back from the browser's history starts covered.
  window.addEventListener("pageshow", (event) => { if (event.persisted && original) cover(); });
}

for (const form of document.querySelectorAll("[data-upload]")) {
  const drop = form.querySelector("[data-drop]");
  const input = form.querySelector("input[type=file]");
  const chosen = form.querySelector("[data-chosen]");
  const submit = form.querySelector("[data-submit]");
  const busy = form.querySelector("[data-busy]");
  const largest = Number(form.dataset.largestBytes);

  const check = () => {
    const file = input.files[0];
    const tooLarge = Boolean(file) && file.size > largest;
    chosen.classList.toggle("wrong", tooLarge);
    chosen.textContent = !file ? "" : tooLarge
      ? `${file.name} is too large (${(file.size / 1048576).toFixed(1)} MB).`
      : `${file.name} (${Math.max(1, Math.round(file.size / 1024)).toLocaleString("en")} KB)`;
    input.setCustomValidity(tooLarge ? "This picture is too large." : "");
  };
  input.addEventListener("change", check);

  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, () => drop.classList.remove("over"));
  }
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length !== 1) {
      chosen.classList.add("wrong");
      chosen.textContent = "Drop one picture at a time.";
      return;
    }
    input.files = event.dataTransfer.files;
    check();
  });

  const rest = () => { submit.disabled = false; busy.hidden = true; form.removeAttribute("aria-busy"); };
  form.addEventListener("submit", () => {
    submit.disabled = true;
    busy.hidden = false;
    form.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", rest);
}

for (const lease of document.querySelectorAll("[data-lease-s]")) {
  // Counted from the server's clock, which this one may differ from.
  const end = Date.now() + Number(lease.dataset.leaseS) * 1000;
  const status = document.querySelector("[data-lease-status]");
  const WARN_S = 120;
  let said = "";

  const say = (text) => { if (status && text !== said) { said = text; status.textContent = text; } };
  const tick = () => {
    const left = Math.max(0, Math.round((end - Date.now()) / 1000));
    const minutes = Math.floor(left / 60);
    lease.textContent = left
      ? `Yours for ${minutes}:${String(left % 60).padStart(2, "0")}`
      : "The lease is over: renew it, or decide before somebody else takes the case.";
    lease.classList.toggle("short", left <= WARN_S);
    if (left === 0) say("The lease is over.");
    else if (left <= WARN_S) say("Less than two minutes of the lease are left.");
    if (left > 0) setTimeout(tick, 1000);
  };
  tick();
}

// A note survives renewing the lease, which loads the page anew, and a verdict that was not recorded, because the
// session or the lease had ended. It is forgotten once the queue says that the verdict was recorded.
const SENT = "note-sent";
if (document.querySelector("[data-recorded]")) {
  sessionStorage.removeItem(sessionStorage.getItem(SENT));
  sessionStorage.removeItem(SENT);
}
for (const form of document.querySelectorAll("[data-verdict]")) {
  const key = `note:${form.dataset.verdict}`;
  const note = form.querySelector("textarea");
  note.value = sessionStorage.getItem(key) ?? note.value;
  note.addEventListener("input", () => sessionStorage.setItem(key, note.value));
  form.addEventListener("submit", () => sessionStorage.setItem(SENT, key));
}

// A backtest at work: its page says how far it is, and shows the result once there is one.
for (const running of document.querySelectorAll("[data-progress]")) {
  const bar = running.querySelector("progress");
  const said = running.querySelector("[data-progress-said]");
  const number = (count) => count.toLocaleString("en");

  const look = async () => {
    try {
      const answer = await fetch(running.dataset.progress, { credentials: "same-origin", cache: "no-store" });
      if (answer.redirected || answer.status === 404) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      const now = await answer.json();
      if (now.state !== "running") return location.reload();
      if (now.total !== null && !now.cancelling) {
        bar.max = Math.max(1, now.total);
        bar.value = now.done;
        const text = `${number(now.done)} of ${number(now.total)} decisions.`;
        if (said.textContent !== text) said.textContent = text;
      }
    } catch {
      said.textContent = "The service does not answer. Looking again.";
    }
    setTimeout(look, 700);
  };
  setTimeout(look, 400);
}

// A policy's file is shown in the text field, where it can be edited further; one that is no text stays a file, and the
// service says what is wrong with it. An edit outlives a session that ended: it is forgotten once a backtest begins.
const EDIT = "policy-edit";
if (location.pathname.startsWith("/policy/backtests/")) sessionStorage.removeItem(EDIT);
for (const form of document.querySelectorAll("[data-policy-form]")) {
  const text = form.querySelector("textarea");
  const file = form.querySelector("[data-policy-file]");
  const status = form.querySelector("[data-policy-status]");
  const day = form.querySelector("[data-day]");

  const kept = sessionStorage.getItem(EDIT);
  if (kept !== null && kept !== text.value && "untouched" in form.dataset && location.search === "") {
    status.textContent = "This is your edit that was not run yet.";
    text.value = kept;
  }
  sessionStorage.removeItem(EDIT);
  form.addEventListener("submit", () => {
    try { sessionStorage.setItem(EDIT, text.value); } catch { /* larger than the browser keeps */ }
  });

  file.addEventListener("change", async () => {
    const chosen = file.files[0];
    if (!chosen) return;
    try {
      text.value = new TextDecoder("utf-8", { fatal: true }).decode(await chosen.arrayBuffer());
      file.value = "";
      status.textContent = `${chosen.name} is in the text field above.`;
    } catch {
      status.textContent = `${chosen.name} is not UTF-8.`;
    }
  });

  day.addEventListener("input", () => { form.querySelector("[name=since][value=day]").checked = true; });
}
