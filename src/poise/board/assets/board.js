"use strict";
// The board: a table of runs, and the page of one run or of several. What is shown is asked for again and again.

const PAUSE = 1500;
const page = document.getElementById("page"), nav = document.getElementById("nav");
const live = make("span", {class: "live", role: "status"}, "live");

// Ask for something every so often, as long as the page is looked at; `seen` is called when it has changed.
function follow(url, seen) {
  let tag = null;
  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch(url, {cache: "no-store", headers: tag ? {"If-None-Match": tag} : {}});
        if (answer.status === 200) {
          tag = answer.headers.get("ETag");
          seen(await answer.json());
        } else if (answer.status !== 304) {
          throw new Error((await answer.json()).error);
        }
        say("live", false);
      } catch (error) {
        say(error instanceof TypeError ? "the board has ended; start it again with poise board" : error.message, true);
      }
    }
    setTimeout(look, PAUSE);
  }
  look();
}

function say(text, lost) {
  if (live.textContent !== text) live.textContent = text;
  live.classList.toggle("lost", lost);
}

const viewOf = names => "/view?" + new URLSearchParams(names.map(name => ["run", name]));

// All runs.

function showTable() {
  const chosen = new Set();
  const search = make("input", {type: "search", placeholder: "Filter runs", "aria-label": "filter runs", oninput: () => draw()});
  const compare = make("button", {type: "button", disabled: true, onclick: () => { location.href = viewOf([...chosen]); }}, "Compare");
  const body = make("tbody"), card = make("div", {class: "card runs scroll"}, make("table", {},
    make("thead", {}, make("tr", {}, ["", "run", "state", "done", "images a second", "best", "verdict"].map((head, place) =>
      make("th", {class: place === 4 ? "number late" : place === 5 ? "late" : false}, head)))), body));
  const empty = make("div", {class: "card empty", hidden: true}, make("h2", {}, "No run yet"), make("p", {class: "quiet"}, "Train one with ", make("code", {}, "poise train digits"), ": it appears here."));
  let rows = [];
  nav.replaceChildren(make("h1", {}, "Runs"), live);
  page.replaceChildren(make("div", {class: "row spread", style: {"margin-bottom": "12px"}}, search, compare), card, empty);

  function draw() {
    const wanted = rows.filter(row => row.name.toLowerCase().includes(search.value.toLowerCase()));
    body.replaceChildren(...wanted.map(rowOf));
    card.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
  }

  function rowOf(row) {
    const progress = progressOf(row), verdict = row.verdict;
    const done = row.target_steps ? `${count(row.step)} of ${count(row.target_steps)} steps`
      : row.target_kimg ? `${figure(row.nimg / 1000)} of ${figure(row.target_kimg)} kimg` : `${count(row.step)} steps`;
    return make("tr", {},
      make("td", {}, make("input", {type: "checkbox", checked: chosen.has(row.name), "aria-label": `compare ${row.name}`,
        onchange: event => { chosen[event.target.checked ? "add" : "delete"](row.name); compare.disabled = chosen.size < 2; }})),
      make("td", {class: "wrap"}, make("a", {href: viewOf([row.name])}, row.name)),
      make("td", {}, row.state ? pill(row.state) : "–"),
      make("td", {}, make("span", {class: "small"}, done), progress == null ? null : make("div", {class: "bar"}, make("span", {style: {width: `${Math.min(100 * progress, 100)}%`}}))),
      make("td", {class: "number late"}, row.state === "running" ? count(row.img_per_s) : "–"),
      make("td", {class: "late"}, row.best ? `${row.best.metric ?? "score"} ${figure(row.best.value)}` : "–"),
      make("td", {class: "said wrap small"}, verdict ? make("span", {class: verdict.level}, verdict.headline) : make("span", {class: "quiet"}, "…")));
  }

  follow("/api/table", next => { rows = next; draw(); });
}

// One run, or several beside each other.

function showRuns(names) {
  document.title = `poise · ${names.join(" · ")}`;
  const said = make("span", {class: "small quiet", role: "status"});
  const buttons = names.length === 1 ? [askFor(names[0], "checkpoint", "Save a checkpoint", said), askFor(names[0], "stop", "Stop", said)] : [];
  nav.replaceChildren(make("a", {href: "/"}, "← All runs"), make("div", {class: "row"}, said, buttons, live));
  const holder = make("div", {}, make("p", {class: "quiet"}, "Reading the run …"));
  page.replaceChildren(holder);
  let update = null;
  follow("/api/runs?" + new URLSearchParams(names.map(name => ["run", name])), next => {
    buttons.forEach(button => { button.hidden = next.runs[0].facts.state !== "running"; });
    if (update) update(next);
    else update = showPage(holder, next);
  });
}

// A button that asks a run for something; to stop it, it wants to be clicked twice.
function askFor(name, what, label, said) {
  const button = make("button", {type: "button", hidden: true, onclick: click}, label);
  let sure = what !== "stop";
  function calm() {
    sure = what !== "stop";
    button.textContent = label;
    button.classList.remove("danger");
  }
  async function click() {
    if (!sure) {
      sure = true;
      button.textContent = "Really stop?";
      button.classList.add("danger");
      setTimeout(calm, 4000);
      return;
    }
    calm();
    const token = document.querySelector('meta[name="poise-token"]').content;
    try {
      const answer = await fetch("/api/ask?" + new URLSearchParams({run: name, for: what}), {method: "POST", headers: {"X-Poise-Token": token}});
      said.textContent = answer.ok ? (what === "stop" ? "Asked to stop: it saves first." : "Asked for a checkpoint.") : (await answer.json()).error;
    } catch {
      said.textContent = "The board does not answer.";
    }
    setTimeout(() => { said.textContent = ""; }, 6000);
  }
  return button;
}

const names = new URLSearchParams(location.search).getAll("run");
if (location.pathname === "/view" && names.length) showRuns(names);
else showTable();
