// The list of credentials. The API filters and pages; sorting works on what is loaded.
import { useEffect, useMemo, useState } from "./vendor/preact-hooks.js";
import { attention } from "./attention.js";
import { csv, download } from "./csv.js";
import { Field, Heading, Problem, StateBadge, Table, Time, html, number, useSession } from "./ui.js";

const PAGE = 1000;
/** Only these rows are in the page at the same time. */
const ROWS = 50;
const CSV_COLUMNS = ["credential_id", "name", "credential_type", "state", "needs_attention", "zoom_email", "zoom_display_name", "zoom_user_id", "zoom_account_id", "scopes", "last_error_message", "last_error_at", "created_at", "updated_at", "extra"];
const SEARCHES = [["name", "Name"], ["zoom_email", "Email"], ["zoom_display_name", "Display name"], ["zoom_user_id", "User ID (exact)"]];
const COLUMNS = [["name", "Name"], ["credential_type", "Type"], ["state", "State"], ["zoom_email", "Zoom user"], ["last_error_at", "Last error"], ["created_at", "Created"]];
const NO_FILTER = { field: "name", text: "", credential_type: "", state: "", extra: "", needing: false, deleted: false };

// The filter and the order stay when the person comes back from one credential.
let kept = { filter: NO_FILTER, order: { by: "created_at", down: true } };

function query({ field, text, credential_type, state, extra, needing, deleted }) {
  return { [field]: text.trim(), credential_type, state, extra: extra.trim(), needs_attention: needing ? "true" : "", deleted: deleted ? "true" : "" };
}

/** Loads page after page: `{rows, next, loading, error, more}`. */
function usePages(api, filter) {
  const [list, setList] = useState({ rows: [], next: null, loading: true });
  const [round, setRound] = useState(0);
  const wanted = JSON.stringify(query(filter));
  const load = async (before, isCurrent) => {
    setList((old) => ({ ...old, loading: true, error: null }));
    try {
      const page = await api.page("v2/zoom-credentials", { ...JSON.parse(wanted), limit: PAGE, cursor: before });
      if (isCurrent()) setList((old) => ({ rows: before ? old.rows.concat(page.data) : page.data, next: page.next, loading: false }));
      return page.next;
    } catch (error) {
      if (isCurrent()) setList((old) => ({ ...old, loading: false, error }));
      return null;
    }
  };
  useEffect(() => {
    let isCurrent = true;
    setList({ rows: [], next: null, loading: true });
    // Waits until the person has stopped to type.
    const timer = setTimeout(() => load(undefined, () => isCurrent), 250);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [api, wanted, round]);
  const reload = () => setRound((it) => it + 1);
  const more = () => (list.next && !list.loading ? load(list.next, () => true) : undefined);
  const all = async () => {
    let next = list.next;
    while (next) next = await load(next, () => true);
  };
  return { ...list, more, all, reload };
}

function compare(by, down) {
  const text = (row) => (by === "state" ? `${row.state} ${attention(row)?.label ?? ""}` : row[by]) ?? "";
  const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  return (one, other) => (down ? -1 : 1) * order.compare(text(one), text(other));
}

function SortHead({ name, label, order, onOrder }) {
  const isSorted = order.by === name;
  return html`<th scope="col" aria-sort=${isSorted ? (order.down ? "descending" : "ascending") : "none"}>
    <button type="button" class="plain" onClick=${() => onOrder({ by: name, down: isSorted ? !order.down : false })}>${label}${isSorted ? (order.down ? " ▼" : " ▲") : ""}</button></th>`;
}

function Filters({ filter, onFilter }) {
  const set = (name) => (event) => onFilter({ ...filter, [name]: event.target.type === "checkbox" ? event.target.checked : event.target.value });
  const select = (name, options) => (props) => html`<select ...${props} value=${filter[name]} onChange=${set(name)}>
    ${options.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</select>`;
  const isExtraValid = filter.extra.trim() === "" || filter.extra.trim().split(",").every((pair) => pair.includes(":"));
  return html`<form class="filters" role="search" aria-label="Credentials" onSubmit=${(event) => event.preventDefault()}>
    <${Field} label="Search in" control=${select("field", SEARCHES)} />
    <${Field} label="Search for" control=${(props) => html`<input ...${props} type="search" autocomplete="off" value=${filter.text} onInput=${set("text")} />`} />
    <${Field} label="Type" control=${select("credential_type", [["", "Every type"], ["user", "User"], ["app", "App"]])} />
    <${Field} label="State" control=${select("state", [["", "Every state"], ["active", "Active"], ["invalid", "Invalid"]])} />
    <${Field} label="Extra" error=${isExtraValid ? null : "Must be key:value pairs, separated by commas"}
      control=${(props) => html`<input ...${props} placeholder="tenant:acme" autocomplete="off" value=${filter.extra} onInput=${set("extra")} />`} />
    <p class="check"><input type="checkbox" id="needing" checked=${filter.needing} onChange=${set("needing")} /><label for="needing">Needs attention</label></p>
    <p class="check"><input type="checkbox" id="deleted" checked=${filter.deleted} onChange=${set("deleted")} /><label for="deleted">Deleted</label></p>
  </form>`;
}

function Rows({ rows, deleted, order, onOrder }) {
  const head = COLUMNS.map(([name, label]) => html`<${SortHead} key=${name} name=${name} label=${label} order=${order} onOrder=${onOrder} />`);
  return html`<${Table} label="Credentials" head=${head}>
    ${rows.map((row) => html`<tr key=${row.credential_id}>
      <td><a href=${`#/credentials/${row.credential_id}`}>${row.name}</a></td>
      <td>${row.credential_type === "user" ? "User" : "App"}</td>
      <td><${StateBadge} credential=${row} deleted=${deleted} />${attention(row) && html`<br /><span class="quiet">${attention(row).what}</span>`}</td>
      <td>${row.zoom_display_name}${row.zoom_email && html`<br /><span class="quiet">${row.zoom_email}</span>`}</td>
      <td><${Time} at=${row.last_error_at} /></td>
      <td><${Time} at=${row.created_at} /></td>
    </tr>`)}
  <//>`;
}

export function Credentials() {
  const { api } = useSession();
  const [filter, setFilter] = useState(kept.filter);
  const [order, setOrder] = useState(kept.order);
  const [at, setAt] = useState(0);
  const list = usePages(api, filter);
  kept = { filter, order };
  const rows = useMemo(() => {
    // The API's own order is the newest first, so the first view needs no sort.
    return order.by === "created_at" && order.down ? list.rows : [...list.rows].sort(compare(order.by, order.down));
  }, [list.rows, order]);
  const pages = Math.max(1, Math.ceil(rows.length / ROWS));
  const page = Math.min(at, pages - 1);
  const save = () => download(`credentials-${new Date().toISOString().slice(0, 10)}.csv`,
    csv(CSV_COLUMNS, rows.map((row) => ({ ...row, needs_attention: attention(row)?.label ?? "" }))));
  return html`<${Heading}>Credentials<//>
    <${Filters} filter=${filter} onFilter=${(value) => (setAt(0), setFilter(value))} />
    <${Problem} error=${list.error} retry=${list.rows.length ? list.more : list.reload} />
    <p role="status">${list.loading
      ? `Loading credentials: ${number(list.rows.length)} so far …`
      : `${number(rows.length)} credential${rows.length === 1 ? "" : "s"}${list.next ? ". There are more on the server: sorting covers only what is loaded" : ""}.`}</p>
    ${rows.length > 0 && html`<${Rows} rows=${rows.slice(page * ROWS, (page + 1) * ROWS)} deleted=${filter.deleted} order=${order} onOrder=${(value) => (setAt(0), setOrder(value))} />`}
    ${!list.loading && !list.error && rows.length === 0 && html`<p>No credential matches. ${!list.next && html`<a href="#/connect">Connect a user</a>, or change the filter.`}</p>`}
    <div class="pager">
      <button type="button" aria-disabled=${page === 0 ? "true" : undefined} onClick=${() => page > 0 && setAt(page - 1)}>Previous ${ROWS}</button>
      <span>Page ${number(page + 1)} of ${number(pages)}</span>
      <button type="button" aria-disabled=${page >= pages - 1 ? "true" : undefined} onClick=${() => page < pages - 1 && setAt(page + 1)}>Next ${ROWS}</button>
      ${list.next && html`<button type="button" onClick=${list.more}>Load ${number(PAGE)} more</button><button type="button" onClick=${list.all}>Load all</button>`}
      ${rows.length > 0 && html`<button type="button" onClick=${save}>Download these ${number(rows.length)} as CSV</button>`}
    </div>`;
}
