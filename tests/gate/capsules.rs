//! Collects the recovery capsules that the vault logs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use shared::credential::TeamId;
use shared::grants::capsule::Capsule;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Capsules that were logged and not taken yet, by team.
static LOGGED: Mutex<Option<HashMap<String, Vec<Capsule>>>> = Mutex::new(None);

/// Takes the capsules of a team out of the collection.
pub(crate) fn take(team: &TeamId) -> Vec<Capsule> {
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let logged = logged.get_or_insert_default();
    logged.remove(team.as_str()).unwrap_or_default()
}

/// A log layer that collects the recovery capsules and ignores all other events.
pub(crate) struct CapsuleCollector;

impl<S: Subscriber> Layer<S> for CapsuleCollector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.fields().field("capsule").is_some() {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct CapsuleText(Option<String>);
        impl Visit for CapsuleText {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "capsule" {
                    self.0 = Some(value.to_owned());
                }
            }
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
        }
        let mut text = CapsuleText(None);
        event.record(&mut text);
        let Some(text) = text.0 else { return };
        let capsule: Capsule = text.parse().unwrap();
        let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = logged.get_or_insert_default();
        let team = capsule.team().as_str().to_owned();
        logged.entry(team).or_default().push(capsule);
    }
}
