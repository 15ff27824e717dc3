//! The stream of the table `events`: each new event of the audit trail.

use serde::Deserialize;

use crate::credential::TeamId;
use crate::event::EventRecord;
use crate::stores::error::Error;
use crate::stores::events::EventRow;
use crate::stores::item::from_item;

/// A record of the stream, as Lambda passes it to the function.
#[derive(Debug, Deserialize)]
pub struct EventStreamRecord {
    #[serde(rename = "eventName")]
    name: String,
    dynamodb: Images,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    sequence_number: String,
    new_image: Option<serde_dynamo::Item>,
}

impl EventStreamRecord {
    /// The sequence number of the record in its shard.
    pub fn sequence_number(&self) -> &str {
        &self.dynamodb.sequence_number
    }

    /// The new event and its team. `None` if the record is the removal of an event.
    pub fn new_event(self) -> Result<Option<(TeamId, EventRecord)>, Error> {
        let image = self.dynamodb.new_image.filter(|_| self.name == "INSERT");
        let row = image.map(|image| from_item::<EventRow>(image.into()));
        Ok(row.transpose()?.map(|row| (row.team_id, row.record)))
    }
}
