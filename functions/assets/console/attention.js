// Why a credential needs attention, and who must act. The API says it in `state` and in the first words of
// `last_error_message`. The causes with a person are those of the filter `needs_attention`: a test compares them with
// shared/src/attention.rs.

const CAUSES = [
  { start: "revoked", label: "Reconnect", who: "The Zoom user", what: "Zoom refuses the grant: someone revoked or replaced it. The user must authorize the app again.", action: "reconnect" },
  { start: "refresh_outcome_lost", label: "Reconnect", who: "The Zoom user", what: "An answer of Zoom was lost during a refresh, and Zoom refuses the grant now. The user must authorize the app again.", action: "reconnect" },
  { start: "deauthorized", label: "Reconnect", who: "The Zoom user", what: "The user removed the app in Zoom. The user must authorize the app again.", action: "reconnect" },
  { start: "user_gone", label: "User gone", who: "The Zoom user or their Zoom admin", what: "Zoom does not know the user any more. Ask the admin of the Zoom account, or connect another user.", action: "reconnect" },
  { start: "app refused", label: "App refused", who: "You, the owner of the Zoom app", what: "Zoom refuses the client ID with this client secret. Compare both with the app's page in the Marketplace, and store the right secret.", action: "secret" },
  { start: "missing scope user:read:user", label: "Profile unreadable", who: "You, and then the Zoom user", what: "The grant works, but a missing scope hides who the user is. Add the scope to the Zoom app, and then let the user authorize again.", action: "reconnect" },
  { start: "missing scope ", label: "Missing scope", who: "You, and then the Zoom user", what: "The app or the user's consent lacks a scope. Add the scope to the Zoom app, and then let the user authorize again.", action: "reconnect" },
  { start: "profile unknown", label: "Profile unknown", what: "Zoom did not say who the user is. The vault asks again at the next use. To ask now, check the credential.", action: "check" },
  { start: "access token refused", label: "Token refused", what: "Zoom refused a new access token. Check the credential. If the error stays, let the user authorize again.", action: "check" },
];

/** Who must act, as a sentence. */
export const whoActs = (cause) => (cause.action === "check" ? "Nobody must act yet." : `${cause.who} must act.`);

/** Whether a person must act. */
export const needsAttention = (credential) => {
  const cause = attention(credential);
  return Boolean(cause) && cause.action !== "check";
};

/** The cause, or `null` if the credential is fine: `{label, who, what, action}`. */
export function attention(credential) {
  const message = credential.last_error_message;
  if (credential.state === "active" && !message) return null;
  const known = CAUSES.find((cause) => message?.startsWith(cause.start));
  if (known) return known;
  return credential.state === "invalid"
    ? { label: "Reconnect", who: "The Zoom user", what: "The grant does not work. The user must authorize the app again.", action: "reconnect" }
    : { label: "Last use failed", what: "The last use failed, and the credential may still work. Check the credential.", action: "check" };
}
