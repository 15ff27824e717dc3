import json

import vault


def work(event):
    row = vault.key_and_credential(*vault.api_key(event), event["pathParameters"]["id"], "read")
    extra = row.get("extra")
    return {
        "credential_id": row["credential_id"],
        "name": row["name"],
        "credential_type": row["credential_type"],
        "zoom_user_id": row.get("zoom_user_id"),
        "zoom_account_id": row.get("zoom_account_id"),
        "zoom_email": row.get("zoom_email"),
        "zoom_display_name": row.get("zoom_display_name"),
        "scopes": row.get("scopes"),
        "state": row["state"],
        "last_error_message": row.get("last_error_message"),
        "last_error_at": row.get("last_error_at"),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "extra": json.loads(extra) if extra else None,
    }


handler = vault.handler("GET /v2/zoom-credentials/{id}", work)
