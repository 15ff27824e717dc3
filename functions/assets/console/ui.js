// What the views share: elements, times, errors, buttons, lists.
import { createContext, h } from "./vendor/preact.js";
import { useContext, useEffect, useId, useRef, useState } from "./vendor/preact-hooks.js";
import htm from "./vendor/htm.js";
import { advice } from "./api.js";
import { attention } from "./attention.js";

export const html = htm.bind(h);

/** `{api, overview, reloadOverview}`: the client, and what the API says about the key and the team. */
export const Session = createContext(null);
export const useSession = () => useContext(Session);

const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NUMBER = new Intl.NumberFormat();

export const number = (value) => NUMBER.format(value);
export const utc = (iso) => `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;

/** A time in the reader's zone, with UTC on hover. */
export function Time({ at, none = "–" }) {
  if (!at) return html`<span class="quiet">${none}</span>`;
  return html`<time datetime=${at} title=${utc(at)}>${LOCAL.format(new Date(at))}</time>`;
}

/** An error, with what to do and the request ID. */
export function Problem({ error, retry }) {
  if (!error) return null;
  return html`<div class="problem" role="alert">
    <p><strong>${error.message}</strong>${error.details ? ` (${error.details})` : ""}</p>
    <p>${error.code ? advice(error) : "Reload the page. If the error comes back, tell the operator."}</p>
    <p class="quiet">${error.code ?? "CONSOLE_ERROR"}${error.status ? ` · status ${error.status}` : ""}
      ${error.requestId ? html` · request ID <code>${error.requestId}</code>` : " · no request ID: no answer came"}</p>
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

export function Loading({ what = "Loading" }) {
  return html`<p class="loading" role="status">${what} …</p>`;
}

/** The state of a credential in words. */
export function StateBadge({ credential, deleted = false }) {
  const cause = attention(credential);
  if (deleted) return html`<span class="badge grey">Deleted</span>`;
  if (!cause) return html`<span class="badge green">Active</span>`;
  const tone = credential.state === "invalid" ? "red" : "amber";
  return html`<span class=${`badge ${tone}`}>${credential.state === "invalid" ? "Invalid" : "Active"}: ${cause.label}</span>`;
}

/** Why this key cannot make changes, or `null`. */
export function useDenial() {
  const { overview } = useSession();
  return overview.key.permission === "full" ? null : "This key may only read. Changes need a key with the permission “full”.";
}

/** Why this key cannot act on things that belong to the whole team, or `null`. */
export function useTeamDenial() {
  const denial = useDenial();
  const { overview } = useSession();
  if (denial) return denial;
  return overview.key.extra ? "This key sees only some credentials of the team, so it cannot change what concerns all of them." : null;
}

/** A button for a change. If `denial` is set, the button does nothing, and the reason is next to it. */
export function Action({ denial = null, busy = false, danger = false, submit = false, onClick, children }) {
  const id = useId();
  const blocked = Boolean(denial) || busy;
  const press = (event) => {
    if (blocked) event.preventDefault();
    else onClick?.(event);
  };
  return html`<span class="action">
    <button type=${submit ? "submit" : "button"} class=${danger ? "danger" : ""} aria-disabled=${blocked ? "true" : undefined}
      aria-describedby=${denial ? id : undefined} onClick=${press}>${busy ? "Working …" : children}</button>
    ${denial && html`<span class="denial" id=${id}>${denial}</span>`}
  </span>`;
}

/** Copies a text. */
export function Copy({ text, what }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      setDone("The browser does not allow copying: select the text");
    }
  };
  return html`<span class="action"><button type="button" class="small" onClick=${copy}>Copy ${what}</button>
    <span role="status" class="quiet">${done}</span></span>`;
}

/** A labelled field. `children` is the control, made by a function of its ID and its description. */
export function Field({ label, hint, error, control }) {
  const id = useId();
  const hintId = hint || error ? `${id}-hint` : undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${control({ id, "aria-describedby": hintId, "aria-invalid": error ? "true" : undefined })}
    ${hintId && html`<span class=${error ? "field-error" : "hint"} id=${hintId}>${error || hint}</span>`}
  </div>`;
}

/** Loads something when the view opens, and again when `inputs` change. */
export function useLoad(load, inputs) {
  const [state, setState] = useState({ loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    const set = (value) => isCurrent && setState(value);
    setState((old) => ({ ...old, loading: true, error: null }));
    load(() => isCurrent).then(
      (data) => set({ loading: false, data }),
      (error) => set({ loading: false, error }),
    );
    return () => (isCurrent = false);
  }, [...inputs, round]);
  return { ...state, reload: () => setRound((it) => it + 1) };
}

/** Runs one change at a time: `[run, {busy, error, done}]`. */
export function useChange() {
  const [state, setState] = useState({ busy: false, error: null, done: null });
  const running = useRef(false);
  const run = async (work) => {
    if (running.current) return undefined;
    running.current = true;
    setState({ busy: true, error: null, done: null });
    try {
      const done = await work();
      setState({ busy: false, error: null, done: done ?? true });
      return done;
    } catch (error) {
      setState({ busy: false, error, done: null });
      return undefined;
    } finally {
      running.current = false;
    }
  };
  return [run, state];
}

/** The heading of a view. It takes the focus, so that a screen reader reads it after a change of view. */
export function Heading({ children }) {
  const element = useRef();
  useEffect(() => {
    document.title = `${element.current.textContent} – Zoom credential vault`;
    element.current.focus({ preventScroll: true });
  }, [children]);
  return html`<h1 tabindex="-1" ref=${element}>${children}</h1>`;
}

/** A wide table in a frame that scrolls on a narrow screen. */
export function Table({ label, head, children }) {
  return html`<div class="table" role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr>${head}</tr></thead>
    <tbody>${children}</tbody>
  </table></div>`;
}

/** Reads the JSON object of a text. Returns `{value}` or `{error}`. */
export function parseExtra(text) {
  if (text.trim() === "") return { value: null };
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { error: `This is not JSON: ${error.message}` };
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return { error: "Must be a JSON object: {…}" };
  }
  if (new TextEncoder().encode(JSON.stringify(value)).length > 16384) return { error: "Must not be larger than 16 KB" };
  return { value };
}
