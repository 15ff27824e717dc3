import { apiKey, handler as of, keyAndCredential } from "./vault.mjs";

export const handler = of("GET /v2/zoom-credentials/{id}", async (event) => {
  const row = await keyAndCredential(apiKey(event), event.pathParameters.id, "read");
  return {
    credential_id: row.credential_id,
    name: row.name,
    credential_type: row.credential_type,
    zoom_user_id: row.zoom_user_id ?? null,
    zoom_account_id: row.zoom_account_id ?? null,
    zoom_email: row.zoom_email ?? null,
    zoom_display_name: row.zoom_display_name ?? null,
    scopes: row.scopes ?? null,
    state: row.state,
    last_error_message: row.last_error_message ?? null,
    last_error_at: row.last_error_at ?? null,
    created_at: row.created_at,
    updated_at: row.updated_at,
    extra: row.extra ? JSON.parse(row.extra) : null,
  };
});
