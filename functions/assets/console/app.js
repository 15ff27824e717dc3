// The console: asks for a key, and shows one view at a time. The view is in the part of the URL after `#`.
import { render } from "./vendor/preact.js";
import { useEffect, useState } from "./vendor/preact-hooks.js";
import { newClient } from "./api.js";
import { Heading, Loading, Problem, Session, Time, html, useSession } from "./ui.js";
import { Overview } from "./overview.js";
import { Credentials } from "./credentials.js";
import { CredentialView } from "./credential.js";
import { Connect } from "./connect.js";
import { Apps } from "./apps.js";
import { Vendors } from "./vendors.js";
import { Activity } from "./activity.js";

// In the storage of the tab, and only if the person asks for it.
const SAVED_KEY = "zoom-vault-console-key";

const VIEWS = [
  ["", "Overview", Overview],
  ["credentials", "Credentials", Credentials],
  ["connect", "Connect a user", Connect],
  ["apps", "Apps", Apps],
  ["vendors", "Vendors", Vendors],
  ["activity", "Activity", Activity],
];

function savedKey() {
  try {
    return sessionStorage.getItem(SAVED_KEY);
  } catch {
    return null;
  }
}

function saveKey(key) {
  try {
    if (key) sessionStorage.setItem(SAVED_KEY, key);
    else sessionStorage.removeItem(SAVED_KEY);
  } catch {
    // The browser has no storage for this page. Then the key is only in memory.
  }
}

/** What a failed login means. */
function refusal(error) {
  if (error.status === 401) return "This key does not work: it is unknown, revoked or expired, or its team is suspended. Check that you copied the whole key.";
  if (error.status === 403) return "This key may only mint tokens, so it cannot read. The console needs a key with the permission “read” or “full”. Ask the operator of the vault for one.";
  return null;
}

function LogIn({ onKey }) {
  const [key, setKey] = useState("");
  const [keep, setKeep] = useState(false);
  const [state, setState] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    const text = key.trim();
    if (!text) return setState({ message: "Enter a key." });
    if (!/^[\x21-\x7e]+$/.test(text)) return setState({ message: "A key has only letters, digits, “-” and “_”. Check that you copied the key alone." });
    setState({ busy: true });
    const api = newClient(text);
    try {
      const overview = await api.get("v2/overview");
      saveKey(keep ? text : null);
      setKey("");
      onKey({ api, overview });
    } catch (error) {
      setState({ message: refusal(error), error });
    }
  };
  return html`<main class="login">
    <${Heading}>Zoom credential vault<//>
    <form onSubmit=${submit} autocomplete="off">
      <div class="field">
        <label for="key">API key</label>
        <input id="key" type="password" autocomplete="off" autocapitalize="off" spellcheck=${false} value=${key}
          aria-describedby="key-hint" onInput=${(event) => setKey(event.target.value)} />
        <span class="hint" id="key-hint">The key stays in the memory of this tab. It is sent only to this vault.</span>
      </div>
      <p class="check"><input id="keep" type="checkbox" checked=${keep} onChange=${(event) => setKeep(event.target.checked)} />
        <label for="keep">Keep the key until I close this tab, also when I reload</label></p>
      ${state.message && html`<div class="problem" role="alert"><p>${state.message}</p>
        ${state.error?.requestId && html`<p class="quiet">${state.error.code} · request ID <code>${state.error.requestId}</code></p>`}</div>`}
      ${state.error && !state.message && html`<${Problem} error=${state.error} />`}
      <button type="submit" class="primary" aria-disabled=${state.busy ? "true" : undefined}>${state.busy ? "Checking the key …" : "Open the console"}</button>
    </form>
  </main>`;
}

/** The view and its argument, from `#/credentials/<id>`. */
function route() {
  const [view = "", argument = ""] = location.hash.replace(/^#\/?/, "").split("/");
  try {
    return { view, argument: decodeURIComponent(argument) };
  } catch {
    return { view, argument: "" };
  }
}

function useRoute() {
  const [current, setCurrent] = useState(route);
  useEffect(() => {
    const change = () => setCurrent(route());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return current;
}

function KeyNote() {
  const { key, team } = useSession().overview;
  return html`<span class="key">Team <strong>${team.name}</strong> · ${key.label ?? "key"} <code>${key.key_id}</code>, ${key.permission}
    ${key.extra && html` · only <code>${key.extra}</code>`}
    ${key.expires_at && html` · expires <${Time} at=${key.expires_at} />`}</span>`;
}

function Shell({ session, onForget }) {
  const { view, argument } = useRoute();
  const skip = (event) => {
    event.preventDefault();
    document.querySelector("h1")?.focus();
  };
  const [, , View] = VIEWS.find(([name]) => name === view) ?? [];
  return html`<${Session.Provider} value=${session}>
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header>
      <div class="bar"><${KeyNote} /><button type="button" class="small" onClick=${onForget}>Forget the key</button></div>
      <nav aria-label="Views"><ul>${VIEWS.map(([name, label]) => html`<li key=${name}>
        <a href=${`#/${name}`} aria-current=${name === view ? "page" : undefined}>${label}</a></li>`)}</ul></nav>
    </header>
    <main id="main">
      ${view === "credentials" && argument
        ? html`<${CredentialView} key=${argument} id=${argument} />`
        : View ? html`<${View} key=${view} />`
        : html`<${Heading}>No such view<//><p><a href="#/">Go to the overview</a></p>`}
    </main>
  <//>`;
}

function App() {
  const [session, setSession] = useState(null);
  const [isOpening, setOpening] = useState(() => savedKey() !== null);
  const forget = () => {
    saveKey(null);
    // A reload drops everything that the views have in memory.
    location.hash = "";
    location.reload();
  };
  useEffect(() => {
    const key = savedKey();
    if (!key) return;
    const api = newClient(key);
    api.get("v2/overview").then(
      (overview) => setSession({ api, overview }),
      () => saveKey(null),
    ).finally(() => setOpening(false));
  }, []);
  if (session) {
    const reloadOverview = async () => {
      // The index behind the lists may be a second behind a change.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const overview = await session.api.get("v2/overview");
      setSession((old) => ({ ...old, overview }));
    };
    return html`<${Shell} session=${{ ...session, reloadOverview }} onForget=${forget} />`;
  }
  if (isOpening) return html`<main class="login"><${Heading}>Zoom credential vault<//><${Loading} what="Opening with the key of this tab" /></main>`;
  return html`<${LogIn} onKey=${setSession} />`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
