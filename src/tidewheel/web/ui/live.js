// Fetches the page again every two seconds and swaps its main part in; says so when the server is gone.
"use strict";
const stale = document.getElementById("stale");
async function refresh() {
  if (document.hidden || document.getSelection().toString()) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}
setInterval(refresh, 2000);
