// The operator's console: logs in, asks the API every two seconds, and shows its answers.

import { close, Ended, look, Lost, open, resume } from "./api.js";
import { Board } from "./board.js";
import { deeds } from "./deeds.js";
import { byId, setText } from "./dom.js";
import { clock } from "./format.js";

const EVERY_MS = 2_000;
const SLOWEST_MS = 30_000;
const HAS_ENDED = "#ended";
const FEEDS = {
  status: "status",
  blocks: () => `blocks?${board.pages.query}`,
  offenders: "offenders?count=10",
  refusals: "refusals?count=25",
  sockets: "sockets?count=50",
  limits: "rate-limits",
  actions: "actions?count=15",
  advice: () => board.advice.path,
};
const SESSION_UNTIL = "fraiseql-guard session until"; // no secret: only whether it is worth asking
const A_TOKEN = /^[\x21-\x7e]+$/;

let timer;
let asking = false;
let failures = 0;
let lastGood = null;

const board = new Board(deeds({ refresh: () => poll(), ended }));

async function poll() {
  if (asking || byId("board").hidden) return;
  clearTimeout(timer);
  asking = true;
  const names = Object.keys(FEEDS);
  const paths = Object.values(FEEDS).map((feed) => (typeof feed === "string" ? feed : feed()));
  const answers = await Promise.allSettled(paths.map((path) => (path === null ? undefined : look(path))));
  asking = false;
  if (answers.some(({ reason }) => reason instanceof Ended)) {
    ended();
    return;
  }
  const shown = Object.fromEntries(names.map((name, index) => [name, answers[index].value]));
  failures = shown.status ? 0 : failures + 1;
  if (shown.status) {
    board.show(shown);
    lastGood = shown.status.at;
  }
  say(shown.status, answers[0].reason);
  plan();
}

function plan() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(poll, Math.min(SLOWEST_MS, EVERY_MS * 2 ** failures));
}

/** Show how old the shown values are. Changed only if the text is another, because screen readers read it aloud. */
function say(status, reason) {
  const since = lastGood === null ? "" : ` What is shown is of ${clock(lastGood)}.`;
  let [mood, text] = ["live", "Live"];
  if (!status) [mood, text] = ["lost", `${reason instanceof Lost ? "Connection lost" : reason.message}; trying again.${since}`];
  else if (!status.store_answers) [mood, text] = ["lost", aloneText(status)];
  const place = byId("connection");
  setText(place, text);
  place.className = `connection ${mood}`;
  byId("board").classList.toggle("stale", !status);
}

/** The text for a store that does not answer. */
function aloneText({ alone, workers: [worker] }) {
  const whose = alone && worker ? `this is what the worker ${worker.host} · ${worker.pid} knows by itself` : "lists may be old";
  return `The store does not answer: ${whose}, and nothing can be changed.`;
}

function enter({ actor, expires_in_seconds: left }) {
  remember(Date.now() + (left ?? 0) * 1000);
  setText(byId("actor"), actor);
  for (const id of ["board", "who", "connection"]) byId(id).hidden = false;
  byId("login").hidden = true;
  setText(byId("connection"), "Connecting…");
  poll();
}

function askForToken(message = "") {
  byId("login").hidden = false;
  setText(byId("login-error"), message);
  byId("token").focus();
}

/** Remove all values from the page, and say why. */
function ended() {
  clearTimeout(timer);
  remember(null);
  location.hash = HAS_ENDED;
  location.reload();
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("token");
  const token = field.value.trim();
  try {
    if (!A_TOKEN.test(token)) throw new Ended();
    const session = await open(token);
    field.value = "";
    enter(session);
    byId("main").focus();
  } catch (error) {
    field.select();
    setText(byId("login-error"), error instanceof Ended ? "That token is not right." : problemOf(error));
  }
});

byId("log-out").addEventListener("click", async () => {
  try {
    await close();
  } catch (error) {
    if (!(error instanceof Ended)) {
      say(null, error);
      return;
    }
  }
  remember(null);
  location.reload();
});

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
window.addEventListener("online", () => poll());

/** Remember when the session ends, so that a new page does not ask for a session that has ended. */
function remember(until) {
  try {
    if (until === null) localStorage.removeItem(SESSION_UNTIL);
    else localStorage.setItem(SESSION_UNTIL, String(until));
  } catch {
    // a browser that stores nothing
  }
}

function mayHaveSession() {
  try {
    return Number(localStorage.getItem(SESSION_UNTIL)) > Date.now();
  } catch {
    return true;
  }
}

const problemOf = (error) => (error instanceof Lost ? "Nobody answers. Try again." : error.message);

try {
  if (!mayHaveSession()) throw new Ended();
  enter(await resume());
} catch (error) {
  const hasEnded = location.hash === HAS_ENDED;
  if (hasEnded) history.replaceState(null, "", location.pathname);
  askForToken(error instanceof Ended ? (hasEnded ? "The session has ended. Log in again." : "") : problemOf(error));
}
