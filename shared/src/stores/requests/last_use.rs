//! When each API key last changed something or minted a token. Functions may not write the table `keys`, so the time is
//! here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::table::Requests;
use crate::api_key::KeyId;
use crate::credential::TeamId;
use crate::stores::error::{Error, failed};
use crate::stores::item::{from_item, number, text};
use crate::timestamp::Timestamp;

/// How long a time is kept.
const RETENTION: Duration = Duration::from_hours(400 * 24);
/// One process writes the time of a key at most once in this time.
const ACCURACY: Duration = Duration::from_mins(10);

/// The times that this process has written, for all its functions.
static NOTED: Mutex<Option<HashMap<(TeamId, KeyId), Timestamp>>> = Mutex::new(None);

#[derive(Deserialize)]
struct LastUse {
    used_at: i64,
}

impl Requests {
    /// Stores that a key is in use now, accurate to ten minutes.
    pub async fn note_use(&self, team: &TeamId, key: &KeyId) -> Result<(), Error> {
        let now = Timestamp::now();
        if !is_new_use(team, key, now) {
            return Ok(());
        }
        let update = self.client.update_item().table_name(&self.table);
        let sent = update
            .key("request_id", text(&id(team, key)))
            .update_expression("SET used_at = :now, expires_at = :end")
            .expression_attribute_values(":now", number(&now.as_millis()))
            .expression_attribute_values(":end", number(&now.plus(RETENTION).as_seconds()))
            .send()
            .await;
        sent.map(drop).map_err(|error| failed("UpdateItem", error))
    }

    /// When a key was last used. `None` if it was not used for 400 days.
    pub async fn last_use(&self, team: &TeamId, key: &KeyId) -> Result<Option<Timestamp>, Error> {
        let get = self.client.get_item().table_name(&self.table);
        let answer = get
            .key("request_id", text(&id(team, key)))
            .send()
            .await
            .map_err(|error| failed("GetItem", error))?;
        let row: Option<LastUse> = answer.item.map(from_item).transpose()?;
        Ok(row.map(|row| Timestamp::from_millis(row.used_at)))
    }
}

fn is_new_use(team: &TeamId, key: &KeyId, now: Timestamp) -> bool {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let noted = noted.get_or_insert_default();
    noted.retain(|_, at| *at <= now && now < at.plus(ACCURACY));
    let id = (team.clone(), key.clone());
    let is_new = !noted.contains_key(&id);
    if is_new {
        noted.insert(id, now);
    }
    is_new
}

fn id(team: &TeamId, key: &KeyId) -> String {
    format!("used#{team}#{key}")
}
