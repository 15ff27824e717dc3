//! The records of DynamoDB's streams, as Lambda passes them to the functions `purge` and `notify-enqueue`.

use functions::background::{notify_enqueue, purge};
use shared::notification::Notification;
use shared::stores::{CleanupTrigger, EventStreamRecord, StreamRecord};

/// Any record is read, skipped or refused. What is read has usable ids, and a notification about it can be sent.
pub fn stream_records(data: &[u8]) {
    serde_json::from_slice::<purge::Batch>(data).ok();
    serde_json::from_slice::<notify_enqueue::Batch>(data).ok();
    if let Ok(record) = serde_json::from_slice::<StreamRecord>(data) {
        let _number = record.sequence_number().to_owned();
        if let Ok(Some(trigger)) = record.cleanup_trigger() {
            let (CleanupTrigger::SoftDeleted(ids)
            | CleanupTrigger::Purged(ids)
            | CleanupTrigger::GrantReplaced(ids)) = trigger;
            assert!(
                (1..=32).contains(&ids.team.as_str().len()),
                "a team without a name"
            );
        }
    }
    if let Ok(record) = serde_json::from_slice::<EventStreamRecord>(data)
        && let Ok(Some((team, event))) = record.new_event()
    {
        assert!(
            (1..=32).contains(&team.as_str().len()),
            "a team without a name"
        );
        for notification in Notification::about(&team, &event) {
            let id = notification.id.as_str();
            assert!(
                id.bytes().all(|byte| byte.is_ascii_graphic()),
                "{id:?} fits no header"
            );
            let queued = serde_json::to_string(&notification).unwrap_or_default();
            let read = serde_json::from_str::<Notification>(&queued);
            assert!(
                read.is_ok_and(|read| read == notification),
                "the queue changes it"
            );
            assert!(notification.body().is_ok());
        }
    }
}
