// The operator's actions: block, lift, set a limit, monitor, ask why. Each shows a sentence about what it did.

import { change, look, Ended, Lost, Refused } from "./api.js";
import { byId, make, setText } from "./dom.js";
import * as format from "./format.js";
import { numbers } from "./lists.js";

const TOLD_MS = 8_000;
const LOOK_MS = 1_000;
const HOUR = 3600;
const LASTS = [[900, "15 minutes"], [HOUR, "an hour"], [14_400, "4 hours"], [86_400, "a day"], [604_800, "a week"]];
const SWITCHES = { mode: ["mode", "protection"], setting: ["settings", "variable"], document: ["document-blocks", "document"], operation: ["operation-blocks", "operation"] };
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:.]*)(\/\d{1,3})?$/i;

/** Wires the forms. `refresh` shows the new state; `ended` is called when the session has ended. Returns the actions of the tables' buttons. */
export function deeds({ refresh, ended }) {
  const attempt = async (run, say, button = null) => {
    if (button) button.setAttribute("aria-busy", "true");
    try {
      const done = await run();
      say(done === null ? "" : sentence(done), false);
      refresh();
      return done;
    } catch (error) {
      if (error instanceof Ended) ended();
      else say(error instanceof Lost ? `Nothing was changed as far as we know: ${error.message}. Try again.` : error.message, true);
      return null;
    } finally {
      if (button) button.removeAttribute("aria-busy");
    }
  };

  byId("block-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = { ...whom("block"), duration_seconds: Number(byId("block-lasts").value) };
    if (byId("block-reason").value.trim()) fields.reason = byId("block-reason").value;
    attempt(() => block(fields), outcome("block"), submitter(event)).then((done) => done && forget("block", "block-reason"));
  });
  byId("limit-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { ...whom("limit"), limit: byId("limit-rate").value.trim(), duration_seconds: Number(byId("limit-lasts").value) };
    attempt(() => change("POST", "rate-limits", { body }), outcome("limit"), submitter(event)).then((done) => done && forget("limit", "limit-rate"));
  });
  byId("mode-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { protection: byId("mode-protection").value, mode: "monitor", duration_seconds: Number(byId("mode-lasts").value) };
    attempt(() => change("PUT", "mode", { body }), outcome("mode"), submitter(event));
  });
  byId("why-form").addEventListener("submit", (event) => {
    event.preventDefault();
    why(byId("why-id").value.trim(), ended);
  });
  byId("lift-all").addEventListener("click", (event) => {
    attempt(liftAll, tell, event.currentTarget);
  });
  for (const form of ["block", "limit"]) guessKind(form);
  for (const form of ["block", "limit", "mode"]) {
    byId(`${form}-lasts`).append(...LASTS.map(([seconds, words]) => make("option", { value: seconds, selected: seconds === HOUR }, words)));
  }

  return {
    turn: refresh,
    lift: ({ target }, button) => attempt(() => lift(target), tell, button),
    takeBack: ({ kind, name }, button) => {
      const [path, field] = SWITCHES[kind] ?? [kind, "name"];
      attempt(() => change("DELETE", path, { query: { [field]: name } }), tell, button);
    },
    clearLimit: ({ target }, button) => attempt(() => change("DELETE", "rate-limits", { query: given(target) }), tell, button),
    closeSocket: ({ id }, button) => attempt(() => change("POST", "sockets/close", { body: { id } }), tell, button),
    setValue: ({ variable, sets }, button, done) => {
      const body = { variable, value: sets, duration_seconds: HOUR, reason: "recommended by the console" };
      attempt(async () => {
        const answer = await change("PUT", "settings", { body });
        done();
        return answer;
      }, tell, button);
    },
    blockThis: ({ target }) => fillBlock(target),
    why: ({ request_id: id }) => {
      byId("why-id").value = id;
      why(id, ended);
      byId("why-answer").scrollIntoView({ block: "nearest" });
    },
  };
}

/** Block a target; a dangerous block needs the operator's confirmation. null if the operator declined. */
async function block(fields) {
  try {
    return await change("POST", "blocks", { body: fields });
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 409) throw error;
    if (!(await confirmed(error))) return null;
    return change("POST", "blocks", { body: { ...fields, force: true } });
  }
}

function confirmed({ message, problem }) {
  const dialog = byId("confirm");
  setText(byId("confirm-text"), `${message}.`);
  const met = problem.would_have_met;
  setText(byId("confirm-met"), met == null ? "" : `Of the requests lately seen it would have refused ${format.count(met)}.`);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    byId("confirm-yes").onclick = () => dialog.close("yes");
    byId("confirm-no").onclick = () => dialog.close("no");
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function lift(target) {
  if (target.identifier === null) return change("DELETE", "blocks", { query: given(target) });
  const query = { identifier: target.identifier };
  if (target.ip_address !== null) query.ip_address = target.ip_address;
  return change("DELETE", "lockouts", { query });
}

/** Lift all automatic sanctions, and show the progress. */
async function liftAll() {
  let done = await change("POST", "lift", { body: { origin: "automatic" } });
  while (done.details.running) {
    tell(done.message, false);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const { state, message } = await look("lift?origin=automatic");
    done = { message, details: { running: state === "running" } };
  }
  return done;
}

async function why(id, ended) {
  const answer = byId("why-answer");
  try {
    answer.replaceChildren(explained(await look(`refusals/${encodeURIComponent(id)}`)));
  } catch (error) {
    if (error instanceof Ended) ended();
    else answer.replaceChildren(make("p", { class: "error" }, error.message));
  }
}

function explained(refusal) {
  const rows = [
    ["Answer", `${refusal.status} ${refusal.code}${refusal.enforced ? "" : " (only watched)"}`],
    ["Because", [refusal.message, refusal.detail].filter(Boolean).join(": ")],
    ["Numbers", refusal.limit === null ? null : numbers(refusal.limit, refusal.actual)],
    ["At", refusal.path],
    ["What helps", refusal.remedy],
    ["Again in", refusal.retry_after_seconds === null ? null : format.duration(refusal.retry_after_seconds)],
    ["Caller", [refusal.user_id, refusal.ip_address].filter(Boolean).join(", ")],
    ["Request", [refusal.method, refusal.endpoint, refusal.operation].filter(Boolean).join(" ")],
    ["Document", refusal.query_hash],
    ["Trace", refusal.trace_id],
    ["Worker", refusal.worker],
    ["Time", format.clock(refusal.at)],
  ].filter(([, value]) => value);
  return make("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

const sentence = ({ message, would_have_met: met }) =>
  met == null ? message : `${message} Of the requests lately seen it would have met ${format.count(met)}.`;

const submitter = (event) => event.submitter ?? event.target.querySelector("button");
const given = (target) => Object.fromEntries(Object.entries(target).filter(([, value]) => value !== null));
const whom = (form) => ({ [kindOf(form).value]: byId(`${form}-who`).value.trim() });
const kindOf = (form) => document.querySelector(`input[name="${form}-kind"]:checked`);
const choose = (form, kind) => {
  document.querySelector(`input[name="${form}-kind"][value="${kind}"]`).checked = true;
};

function outcome(form) {
  const place = byId(`${form}-outcome`);
  return (text, wrong) => {
    setText(place, text);
    place.classList.toggle("error", wrong);
  };
}

let fading;
function tell(text, wrong) {
  const place = byId("told");
  setText(place, text);
  place.classList.toggle("error", wrong);
  clearTimeout(fading);
  fading = setTimeout(() => setText(place, ""), TOLD_MS);
}

function forget(form, ...more) {
  for (const id of [`${form}-who`, ...more]) byId(id).value = "";
}

function fillBlock(target) {
  choose("block", target.user_id === null ? "ip_address" : "user_id");
  byId("block-who").value = target.user_id ?? target.ip_address;
  setText(byId("block-outcome"), "");
  byId("block-form").scrollIntoView({ block: "center" });
  byId("block-reason").focus({ preventScroll: true });
}

/** Choose "address" for a text that looks like one, until the operator chooses the kind. */
function guessKind(form) {
  const field = byId(`${form}-who`);
  let chosen = false;
  for (const radio of document.querySelectorAll(`input[name="${form}-kind"]`)) {
    radio.addEventListener("change", () => { chosen = true; });
  }
  field.addEventListener("input", () => {
    const text = field.value.trim();
    if (text === "") chosen = false;
    else if (!chosen) choose(form, ADDRESS.test(text) ? "ip_address" : "user_id");
  });
}
