// Links with which users connect, and what became of them.
import { useEffect, useState } from "./vendor/preact-hooks.js";
import { Action, Copy, Field, Heading, Problem, Time, html, parseExtra, useChange, useDenial, useSession } from "./ui.js";
import { QrCode } from "./qr.js";

const POLL_MS = 3000;
const STATUS = {
  pending: "Waiting: nobody has come back from Zoom yet",
  connected: "Connected",
  failed: "Failed: the user can open the same link again",
  expired: "Expired: make a new link",
};

// The API lists no sessions. So the console knows those that were made in this tab.
const made = [];

/** Makes a session, and remembers it until the tab is closed. */
export async function makeSession(api, body) {
  const { data } = await api.send("POST", "v2/zoom-connect-sessions", body);
  const session = { ...data, about: body.name ?? "Reconnect" };
  made.unshift(session);
  return session;
}

/** Asks for the session's status until it is final. */
function useStatus(session, onConnected) {
  const { api } = useSession();
  const [state, setState] = useState({});
  useEffect(() => {
    let isCurrent = true, timer;
    const ask = async () => {
      let isOver = false;
      try {
        const now = await api.get(`v2/zoom-connect-sessions/${session.session_id}`);
        if (!isCurrent) return;
        setState({ now });
        isOver = now.status === "connected" || now.status === "expired";
        if (now.status === "connected") onConnected?.(now);
      } catch (error) {
        if (!isCurrent) return;
        setState((old) => ({ ...old, error }));
        isOver = error.status === 404 || error.status === 401;
      }
      if (isCurrent && !isOver) timer = setTimeout(ask, POLL_MS);
    };
    ask();
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [session.session_id]);
  return state;
}

/** A link, its QR code, and its status. */
export function ConnectLink({ session, onConnected }) {
  const { now, error } = useStatus(session, onConnected);
  const isOpen = !now || now.status === "pending" || now.status === "failed";
  return html`<div class="card">
    <h3>${session.about}</h3>
    <p role="status"><strong>${now ? STATUS[now.status] : "Reading the status …"}</strong>${now?.error ? ` (${now.error})` : ""}
      ${now?.credential_id && html` · <a href=${`#/credentials/${now.credential_id}`}>Show the credential</a>`}
      ${now?.user_changed && html` · <strong>Another Zoom user than before connected.</strong>`}</p>
    <${Problem} error=${error} />
    ${isOpen && html`<p>Send this link only to its user. Everyone who opens it can connect their own Zoom account. It works until <${Time} at=${session.expires_at} />.</p>
      <div class="link"><p><code class="secret">${session.connect_url}</code></p><${Copy} text=${session.connect_url} what="the link" /></div>
      <details><summary>QR code</summary><${QrCode} text=${session.connect_url} label="QR code of the connect link" /></details>`}
  </div>`;
}

function NewLink({ onMade }) {
  const { api, overview } = useSession();
  const denial = useDenial();
  const [form, setForm] = useState({ name: "", app: "new", client_id: "", client_secret: "", app_credential_id: "", extra: "", return_url: "" });
  const [run, { busy, error }] = useChange();
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const extra = parseExtra(form.extra);
  const submit = (event) => {
    event.preventDefault();
    if (denial || extra.error) return;
    run(async () => {
      const app = form.app === "new" ? { client_id: form.client_id.trim(), client_secret: form.client_secret } : { app_credential_id: form.app_credential_id.trim() };
      const more = { ...(extra.value && { extra: extra.value }), ...(form.return_url.trim() && { return_url: form.return_url.trim() }) };
      const session = await makeSession(api, { name: form.name.trim(), ...app, ...more });
      setForm({ ...form, client_secret: "" });
      onMade(session);
    });
  };
  const input = (name, more = {}) => (props) => html`<input ...${props} ...${more} autocomplete="off" value=${form[name]} onInput=${set(name)} />`;
  return html`<form onSubmit=${submit} autocomplete="off">
    <${Field} label="Name of the credential" hint="The user sees this name" control=${input("name", { required: true, maxlength: 256 })} />
    <${Field} label="Zoom app" control=${(props) => html`<select ...${props} value=${form.app} onChange=${set("app")}>
      <option value="new">Client ID and client secret</option><option value="known">The app of a credential</option></select>`} />
    ${form.app === "new"
      ? html`<${Field} label="Client ID" control=${input("client_id", { required: true, list: "known-apps" })} />
        <datalist id="known-apps">${(overview.apps ?? []).map((app) => html`<option key=${app.client_id} value=${app.client_id}>${app.name ?? ""}</option>`)}</datalist>
        <${Field} label="Client secret" control=${input("client_secret", { required: true, type: "password" })} />`
      : html`<${Field} label="Credential ID" hint="The new credential gets the same app" control=${input("app_credential_id", { required: true })} />`}
    <${Field} label="Extra (optional)" hint="A JSON object of yours" error=${extra.error} control=${(props) => html`<textarea ...${props} rows="3" spellcheck=${false} value=${form.extra} onInput=${set("extra")}></textarea>`} />
    <${Field} label="Return URL (optional)" hint=${overview.team.return_origins.length ? `Begins with one of: ${overview.team.return_origins.join(", ")}` : "The operator has allowed no origin for this team"} control=${input("return_url", { type: "url" })} />
    <${Problem} error=${error} />
    <${Action} submit denial=${denial} busy=${busy}>Make a link<//>
  </form>`;
}

export function Connect() {
  const [sessions, setSessions] = useState([...made]);
  return html`<${Heading}>Connect a user<//>
    <section aria-labelledby="new-link"><h2 id="new-link">New link</h2><${NewLink} onMade=${() => setSessions([...made])} /></section>
    <section aria-labelledby="links"><h2 id="links">Links that were made in this tab</h2>
      ${sessions.length === 0 && html`<p class="quiet">None yet. The console forgets them when you reload.</p>`}
      ${sessions.map((session) => html`<${ConnectLink} key=${session.session_id} session=${session} />`)}
    </section>`;
}
