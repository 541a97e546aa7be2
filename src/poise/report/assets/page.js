"use strict";
// The page of one run, or of several beside each other. Text goes into the page as text nodes only.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [property, it] of Object.entries(value)) element.style.setProperty(property, it);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child != null && child !== false));
  return element;
}

const count = value => value == null ? "–" : Math.round(value).toLocaleString("en");

function figure(value) {
  if (value == null) return "–";
  if (typeof value === "object") return JSON.stringify(value);
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(2) : Number(value.toPrecision(4)).toLocaleString("en", {maximumSignificantDigits: 4});
}

function duration(seconds) {
  if (seconds == null) return "–";
  const minutes = Math.floor(seconds / 60), rest = String(Math.round(seconds) % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

const pill = (word, kind = word) => make("span", {class: `pill ${kind}`}, word);

function progressOf(facts) {
  if (facts.target_steps) return facts.step / facts.target_steps;
  if (facts.target_kimg) return facts.nimg / 1000 / facts.target_kimg;
  return null;
}

function factsOf(run) {
  const facts = run.facts;
  const rows = [[run.unit === "image" ? "images" : "step", count(facts.step) + (facts.target_steps ? ` of ${count(facts.target_steps)}` : "")]];
  if (facts.nimg != null) rows.push(["thousand images", figure(facts.nimg / 1000) + (facts.target_kimg ? ` of ${figure(facts.target_kimg)}` : "")]);
  if (facts.seconds) rows.push(["trained", duration(facts.seconds)]);
  if (facts.img_per_s != null) rows.push(["images a second", count(facts.img_per_s)]);
  if (facts.best) rows.push([`best ${facts.best.metric ?? "score"}`, `${figure(facts.best.value)} at step ${count(facts.best.step)}`]);
  if (facts.checkpoint_step != null) rows.push(["checkpoint", `step ${count(facts.checkpoint_step)}`]);
  return make("dl", {class: "facts"}, rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function gaugeOf(lead) {
  const share = Math.min(Math.max((lead - .5) * 2, 0), 1);
  return make("div", {class: "gauge", title: "the share of pairs of a real and a generated sample that D orders rightly"},
    make("div", {class: "row spread small quiet"}, make("span", {}, "G leads"), make("span", {}, `${Math.round(100 * lead)} %`), make("span", {}, "D leads")),
    make("div", {class: "scale"}, make("i", {style: {left: `${100 * share}%`}})));
}

function headOf(run) {
  const progress = progressOf(run.facts);
  return make("header", {class: "card"},
    make("div", {class: "row spread"},
      make("div", {class: "row"}, make("h1", {}, run.name), run.facts.state ? pill(run.facts.state) : null),
      run.lead == null ? null : gaugeOf(run.lead)),
    make("p", {class: "quiet small"}, run.path),
    factsOf(run),
    progress == null ? null : make("div", {class: "bar"}, make("span", {style: {width: `${Math.min(100 * progress, 100)}%`}})));
}

function findingOf(run, finding) {
  const steps = `${run.unit} ${count(finding.since_step)}`;
  const when = finding.ended ? `from ${steps} to ${count(finding.last_step)}, ended` : `since ${steps}`;
  const frame = run.pictures.frames.find(it => it.step === finding.picture);
  return make("article", {class: `finding${finding.ended ? " ended" : ""}`},
    frame ? make("figure", {class: "seen"},
      make("img", {src: frame.src, alt: `samples that show: ${finding.title}`}), make("figcaption", {class: "quiet small"}, `step ${count(frame.step)}`)) : null,
    make("div", {class: "row"}, pill(finding.severity), make("h3", {}, finding.title), make("span", {class: "quiet small"}, when)),
    make("p", {}, finding.cause),
    make("p", {}, make("strong", {}, "What to do: "), finding.advice),
    make("div", {class: "evidence"}, Object.entries(finding.evidence).map(([name, value]) => make("span", {}, `${name} ${figure(value)}`))));
}

function verdictOf(run, named) {
  const verdict = run.verdict;
  const list = (title, items) => items.length ? [make("p", {class: "small quiet"}, title), make("ul", {class: "small"}, items.map(item => make("li", {}, item)))] : null;
  return make("div", {class: `card verdict ${verdict.level}`},
    named ? make("h3", {}, run.name) : null,
    make("p", {}, verdict.headline),
    run.facts.reason ? make("p", {class: "quiet small"}, run.facts.reason) : null,
    make("details", {"data-keep": `judged-${run.name}`},
      make("summary", {class: "small"}, "What this rests on"),
      list("Looked at", verdict.looked_at), list("Not judged", verdict.not_judged)),
    run.findings.map(finding => findingOf(run, finding)));
}

function scoresOf(run, named) {
  if (!run.scores.length && !run.evaluated) return null;
  const heads = ["score", "last", "at step", "best", "at step", "", "measured on"];
  const cell = (text, kind) => make("td", {class: kind}, text);
  const rows = run.scores.map(score => make("tr", {},
    cell(score.chosen ? make("strong", {title: "the best checkpoint is chosen by it"}, score.name) : score.name),
    cell(figure(score.last) + (score.spread == null ? "" : ` ± ${figure(score.spread)}`), "number"), cell(count(score.last_step), "number"),
    cell(figure(score.best), "number"), cell(count(score.best_step), "number"),
    cell(score.better ? `${score.better} is better` : "", "quiet"), cell(score.how, "quiet wrap")));
  const measured = run.evaluated ? [make("h3", {style: {"margin-top": "16px"}}, `poise evaluate, ${run.evaluated.checkpoint} checkpoint, step ${figure(run.evaluated.step)}`),
    make("div", {class: "scroll"}, make("table", {}, make("tbody", {}, run.evaluated.numbers.map(it =>
      make("tr", {}, cell(it.name), cell(figure(it.value), "number"), cell(it.how, "quiet wrap"))))))] : null;
  return make("div", {class: "card"}, named ? make("h3", {}, run.name) : null,
    run.scores.length ? make("div", {class: "scroll"}, make("table", {},
      make("thead", {}, make("tr", {}, heads.map((head, place) => make("th", {class: place > 0 && place < 5 ? "number" : false}, head)))),
      make("tbody", {}, rows))) : null, measured);
}

function eventsOf(run, named) {
  if (!run.events.length) return null;
  const rows = run.events.slice().reverse().map(event => make("tr", {},
    make("td", {class: "number"}, count(event.step)), make("td", {}, pill(event.kind, event.severity)),
    make("td", {class: "wrap"}, event.action), make("td", {class: "wrap quiet"}, event.about)));
  return make("div", {class: "card scroll"}, named ? make("h3", {}, run.name) : null, make("table", {},
    make("thead", {}, make("tr", {}, make("th", {class: "number"}, run.unit), make("th", {}, "event"), make("th", {}, "what was done"), make("th", {}, "about"))),
    make("tbody", {}, rows)));
}

function runTable(runs) {
  const rows = runs.map((run, index) => make("tr", {},
    make("td", {class: "wrap"}, make("span", {class: "legend"}, make("span", {style: {"--color": colorOf("", 0, index, true)}}, run.name))),
    make("td", {}, run.facts.state ? pill(run.facts.state) : "–"),
    make("td", {class: "number"}, count(run.facts.step)),
    make("td", {class: "number"}, run.facts.nimg == null ? "–" : figure(run.facts.nimg / 1000)),
    make("td", {class: "number"}, count(run.facts.img_per_s)),
    make("td", {}, run.facts.best ? `${run.facts.best.metric ?? "score"} ${figure(run.facts.best.value)}` : "–"),
    make("td", {class: "wrap"}, make("span", {class: run.verdict.level}, run.verdict.headline))));
  return make("div", {class: "card scroll"}, make("table", {},
    make("thead", {}, make("tr", {}, ["run", "state", "steps", "thousand images", "images a second", "best", "verdict"].map((head, place) =>
      make("th", {class: place > 1 && place < 5 ? "number" : false}, head)))),
    make("tbody", {}, rows)));
}

function differencesOf(page) {
  if (!page.differences.length) return null;
  return make("div", {class: "card scroll"}, make("table", {},
    make("thead", {}, make("tr", {}, make("th", {}, "setting"), page.runs.map(run => make("th", {}, run.name)))),
    make("tbody", {}, page.differences.map(row => make("tr", {}, make("td", {}, make("code", {}, row.path)), row.values.map(value => make("td", {class: "wrap"}, value)))))));
}

function settingsOf(run, named) {
  const machine = Object.entries(run.machine);
  if (!run.settings && !machine.length) return null;
  return make("div", {class: "card"},
    named ? make("h3", {}, run.name) : null,
    run.reproduce.length ? [make("p", {}, "Save the settings below as ", make("code", {}, "config.yaml"), ", then:"), make("pre", {}, run.reproduce.join("\n"))] : null,
    machine.length ? make("details", {"data-keep": `machine-${run.name}`, style: {"margin-top": "12px"}}, make("summary", {}, "Machine"),
      make("table", {}, make("tbody", {}, machine.map(([name, value]) => make("tr", {}, make("td", {}, name), make("td", {class: "wrap"}, value)))))) : null,
    run.settings ? make("details", {"data-keep": `settings-${run.name}`, style: {"margin-top": "12px"}}, make("summary", {}, "Settings"), make("pre", {}, run.settings)) : null);
}

// Sample pictures under one slider. Several runs move together: each shows its newest picture up to the slider's place.
class Samples {
  constructor(moved) {
    this.moved = moved;
    this.input = make("input", {type: "range", min: 0, step: 1, value: 0, "aria-label": "time", oninput: () => this.show()});
    this.output = make("output", {});
    this.play = make("button", {type: "button", onclick: () => this.toggle()}, "Play");
    this.grid = make("div", {class: "samples"});
    this.element = make("div", {class: "card"}, make("div", {class: "slider"}, this.play, this.input, this.output), this.grid);
    this.places = [];
    this.images = [];
  }

  update(runs) {
    const last = this.input.value >= this.places.length - 1;
    const unit = runs.length > 1 && runs.every(run => run.ruler.kimg) ? "kimg" : "step";
    this.unit = unit;
    this.frames = runs.map(run => run.pictures.frames.map(frame => ({...frame, place: placeOf(run, frame.step, unit)})));
    this.places = [...new Set(this.frames.flat().map(frame => frame.place))].sort((a, b) => a - b);
    this.input.max = Math.max(this.places.length - 1, 0);
    if (last) this.input.value = this.input.max;
    this.element.hidden = this.places.length === 0 && !runs.some(run => run.pictures.real);
    this.input.parentElement.hidden = this.places.length < 2;
    const layout = JSON.stringify(runs.map(run => [run.name, run.pictures.real, run.pictures.frames.length > 0]));
    if (layout !== this.layout) {
      this.layout = layout;
      this.build(runs);
    }
    this.show();
  }

  build(runs) {
    this.images = runs.map(run => run.pictures.frames.length ? {
      image: make("img", {alt: `generated samples of ${run.name}`, class: "generated"}), caption: make("span", {class: "quiet"})} : null);
    const real = new Set(runs.map(run => run.data)).size === 1 && runs.find(run => run.pictures.real);
    const named = runs.length > 1;
    this.grid.replaceChildren(
      ...(real ? [make("figure", {}, make("figcaption", {}, make("strong", {}, "Real")), make("img", {src: real.pictures.real, alt: "real samples", class: "real"}))] : []),
      ...runs.flatMap((run, index) => this.images[index] ? [make("figure", {},
        make("figcaption", {}, make("strong", {}, named ? run.name : "Generated"), this.images[index].caption), this.images[index].image)] : []));
  }

  show() {
    const at = this.places[this.input.value];
    if (at == null) return;
    this.output.textContent = this.unit === "kimg" ? `${figure(at)} kimg` : `step ${count(at)}`;
    this.images.forEach((shown, index) => {
      if (!shown) return;
      const frames = this.frames[index];
      const frame = frames.filter(it => it.place <= at).pop() || frames[0];
      if (shown.image.getAttribute("src") !== frame.src) shown.image.src = frame.src;
      shown.caption.textContent = `step ${count(frame.step)}`;
    });
  }

  // Move to the picture that is nearest to a place on a chart's axis.
  moveTo(run, x, unit) {
    const frames = run.pictures.frames;
    if (!frames.length || x == null) return;
    const off = frame => Math.abs(placeOf(run, frame.step, unit) - x);
    const nearest = frames.reduce((best, frame) => off(frame) < off(best) ? frame : best);
    this.input.value = this.places.indexOf(placeOf(run, nearest.step, this.unit));
    this.show();
  }

  toggle() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      if (this.input.value === this.input.max) this.input.value = 0;
      this.show();
      this.timer = setInterval(() => {
        this.input.value = Number(this.input.value) + 1;
        this.show();
        if (this.input.value === this.input.max) this.toggle();
      }, 500);
    }
    this.play.textContent = this.timer ? "Pause" : "Play";
  }
}

class Charts {
  constructor(clicked) {
    this.clicked = clicked;
    this.units = make("div", {class: "units", role: "group", "aria-label": "horizontal axis"});
    this.grid = make("div", {class: "charts"});
    this.left = make("p", {class: "small quiet"});
    this.element = make("div", {}, make("div", {class: "row spread", style: {"margin-bottom": "10px"}}, make("h2", {style: {margin: 0}}, "Curves"), this.units), this.grid, this.left);
    this.cards = new Map();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  update(runs) {
    this.runs = runs;
    const units = unitsOf(runs);
    if (!units.includes(this.unit)) this.unit = runs.length > 1 && units.includes("kimg") ? "kimg" : "step";
    this.units.hidden = units.length < 2;
    this.units.replaceChildren(...units.map(unit => make("button", {type: "button", "aria-pressed": String(unit === this.unit),
      onclick: () => { this.unit = unit; this.update(this.runs); }}, {step: "steps", kimg: "kimg", hours: "hours"}[unit])));
    this.draw();
  }

  draw() {
    const charts = mergedCharts(this.runs), several = this.runs.length > 1;
    this.element.hidden = charts.length === 0;
    const left = [...new Set(this.runs.flatMap(run => run.not_drawn))];
    this.left.textContent = left.length ? `Not drawn, as there are too many: ${left.slice(0, 50).join(", ")}${left.length > 50 ? `, and ${left.length - 50} more` : ""}` : "";
    for (const [key, card] of this.cards) {
      if (!charts.some(chart => chart.key === key)) { card.element.remove(); this.cards.delete(key); }
    }
    charts.forEach((chart, place) => {
      if (!this.cards.has(chart.key)) this.cards.set(chart.key, this.card(chart));
      const card = this.cards.get(chart.key);
      if (this.grid.children[place] !== card.element) this.grid.insertBefore(card.element, this.grid.children[place] || null);
      const legend = legendOf(chart, several);
      card.legend.replaceChildren(...(legend.length > 1 || several ? legend : []).map(([name, color]) => make("span", {style: {"--color": color}}, name)));
      drawChart(card.plot, chart, this.runs, this.unit).then(() => {
        if (card.listens) return;
        card.listens = true;
        card.plot.on("plotly_click", event => this.clicked(this.runs[0], event.points[0].x, this.unit));
      });
    });
  }

  card(chart) {
    const plot = make("div", {class: "plot"}), legend = make("div", {class: "legend small"});
    const element = make("div", {class: `card chart${chart.key === "balance" ? " wide" : ""}`, "data-key": chart.key},
      make("header", {}, make("div", {class: "row spread"}, make("h3", {}, chart.title), legend), make("p", {class: "quiet small"}, chart.about)), plot);
    return {element, plot, legend};
  }
}

// Show a page in an element; the function that is returned shows newer content in its place.
function showPage(element, page) {
  const head = make("div"), verdict = make("section"), scores = make("section"), events = make("section"), settings = make("section");
  const samples = new Samples(), charts = new Charts((run, x, unit) => samples.moveTo(run, x, unit));
  const pictures = make("section", {}, make("h2", {}, "Samples"), samples.element);
  element.replaceChildren(head, verdict, pictures, make("section", {}, charts.element), scores, events, settings,
    make("footer", {}, "Made by poise of the files of the run. Click into a chart to see the samples of that step; drag to zoom, double-click to reset."));

  function update(next) {
    const runs = next.runs, several = runs.length > 1;
    const open = new Set([...element.querySelectorAll("details[open]")].map(it => it.dataset.keep));
    head.replaceChildren(...(several ? [make("h1", {style: {"margin-bottom": "14px"}}, `${runs.length} runs`), runTable(runs)] : [headOf(runs[0])]));
    verdict.replaceChildren(make("div", {class: "stack"}, runs.filter(run => !several || run.findings.length).map(run => verdictOf(run, several))));
    samples.update(runs);
    pictures.hidden = samples.element.hidden;
    charts.update(runs);
    const tables = runs.map(run => scoresOf(run, several)).filter(Boolean), differences = differencesOf(next);
    scores.replaceChildren(...(differences ? [make("h2", {}, "Settings that differ"), differences, make("br")] : []),
      ...(tables.length ? [make("h2", {}, "Scores"), make("div", {class: "stack"}, tables)] : []));
    const happened = runs.map(run => eventsOf(run, several)).filter(Boolean);
    events.replaceChildren(...(happened.length ? [make("h2", {}, "Events"), make("div", {class: "stack"}, happened)] : []));
    const made = runs.map(run => settingsOf(run, several)).filter(Boolean);
    settings.replaceChildren(...(made.length ? [make("h2", {}, "How to make it again"), make("div", {class: "stack"}, made)] : []));
    element.querySelectorAll("details").forEach(it => { it.open = open.has(it.dataset.keep); });
  }

  update(page);
  return update;
}
