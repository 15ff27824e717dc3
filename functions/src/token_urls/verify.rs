//! Verifies that a bot vendor made a call of a token URL.
//!
//! Cheap checks come first: a call without a well-formed proof causes no further read. The vendor's row is read for
//! every other call, so a secret that was replaced or deleted verifies nothing any more. A wrong proof costs at most
//! one KMS call a minute for each stored secret, because opened secrets stay in memory.

use shared::credential::TeamId;
use shared::envelope::{Binding, Envelope, Sealed, SecretId};
use shared::grants::cache::Cache;
use shared::invalid::Invalid;
use shared::stores::Secrets;
use shared::timestamp::Timestamp;
use shared::vendor::{Proof, Vendor, VendorKey, VendorSecret};

use crate::http::body::{Fields, MAX_BYTES};
use crate::http::error::ApiError;
use crate::http::request::Request;

/// Opened secrets of vendors in memory, and the calls that were served in the last minute.
#[derive(Debug, Default)]
pub struct VendorMemory {
    /// By row and generation. A row has two secrets during a rotation.
    keys: Cache<(String, u64), (Sealed, VendorKey)>,
    /// By row and `webhook-id`.
    calls: Cache<(String, String), ()>,
}

/// What a verification works with.
pub(super) struct Verifier<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) envelope: &'a Envelope,
    pub(super) memory: &'a VendorMemory,
    pub(super) team: &'a TeamId,
    pub(super) request: &'a Request,
}

impl Verifier<'_> {
    /// Finds out which of the vendors made the call. Fails if none of them did. Without vendors, every call passes.
    pub(super) async fn verify_one_of(
        &self,
        vendors: &[Vendor],
    ) -> Result<Option<Vendor>, ApiError> {
        let mut refusal = None;
        for vendor in vendors {
            match self.verify(*vendor).await {
                Ok(()) => return Ok(Some(*vendor)),
                Err(error @ ApiError::CallNotVerified { .. }) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// Fails unless `vendor` made the call.
    async fn verify(&self, vendor: Vendor) -> Result<(), ApiError> {
        let refused = |rule| ApiError::CallNotVerified { vendor, rule };
        let proof = proof(vendor, self.request).map_err(refused)?;
        let stored = self.secrets.vendor_secrets(self.team, vendor).await?;
        let stored = stored.ok_or(refused(Invalid("the team has stored no secret")))?;
        for sealed in std::iter::once(stored.one).chain(stored.other) {
            if proof.verifies(&self.open(vendor, sealed).await?) {
                if vendor == Vendor::Recall {
                    self.note_repetition(vendor);
                }
                return Ok(());
            }
        }
        Err(refused(Invalid("the proof is not of a stored secret")))
    }

    async fn open(&self, vendor: Vendor, sealed: Sealed) -> Result<VendorKey, ApiError> {
        let binding = self.binding(vendor);
        let id = (binding.secret.to_string(), sealed.generation());
        if let Some((_, key)) = self.memory.keys.get(&id, |(of, _)| *of == sealed) {
            return Ok(key);
        }
        let secret = VendorSecret::try_from(self.envelope.open(&binding, &sealed).await?)?;
        let key = VendorKey::new(vendor, &secret).map_err(ApiError::internal)?;
        self.memory.keys.insert(id, (sealed, key.clone()));
        Ok(key)
    }

    fn binding(&self, vendor: Vendor) -> Binding {
        Binding::new(self.team, SecretId::Vendor(self.team.clone(), vendor))
    }

    /// Logs a call that came before. The call is served: Recall.ai does not say whether a retry has a new id.
    fn note_repetition(&self, vendor: Vendor) {
        let Some(webhook_id) = self.request.only_header(standard_webhook(self.request)[0]) else {
            return;
        };
        let row = self.binding(vendor).secret.to_string();
        let call = (row, webhook_id.to_owned());
        if self.memory.calls.get(&call, |()| true).is_some() {
            tracing::warn!(
                request_id = self.request.id(),
                team = self.team.as_str(),
                webhook_id,
                "a vendor's call came twice: if the vendor did not retry, somebody recorded the call"
            );
        }
        self.memory.calls.insert(call, ());
    }
}

/// The proof in a call. The error says what is wrong with the call, for the log.
pub(crate) fn proof(vendor: Vendor, request: &Request) -> Result<Proof<'_>, Invalid> {
    let body = request
        .body()
        .map_err(|_| Invalid("the body is not base64"))?;
    if body.len() > MAX_BYTES {
        return Err(Invalid("the body is larger than 256 KB"));
    }
    let header = |name, rule| request.only_header(name).ok_or(Invalid(rule));
    // The vendors sign their webhooks with the same secrets. Only the form of a token call proves a token call.
    match vendor {
        Vendor::Recall => {
            let [id, timestamp, signature] = standard_webhook(request);
            let id = header(id, "webhook-id is missing or came twice")?;
            let timestamp = header(timestamp, "webhook-timestamp is missing or came twice")?;
            let signature = header(signature, "webhook-signature is missing or came twice")?;
            if request.method() != "GET" || !body.is_empty() {
                return Err(Invalid("it is not a GET without a body"));
            }
            Proof::recall(id, timestamp, signature, body, Timestamp::now())
        }
        Vendor::Attendee => {
            let missing = "X-Webhook-Signature is missing or came twice";
            let signature = header("x-webhook-signature", missing)?;
            if !is_attendees_token_call(request) {
                return Err(Invalid(
                    "it is not a POST whose callback_type is zoom_tokens",
                ));
            }
            Proof::attendee(signature, body)
        }
        Vendor::Meetstream if request.header("x-webhook-secret").is_some() => {
            let sent = header("x-webhook-secret", "X-Webhook-Secret came twice")?;
            Ok(Proof::meetstream(sent))
        }
        Vendor::Meetstream => {
            let sent = Fields::of_any(request).loose("webhook_secret");
            let sent = sent.ok_or(Invalid("X-Webhook-Secret is missing"))?;
            Ok(Proof::meetstream(&sent))
        }
    }
}

fn is_attendees_token_call(request: &Request) -> bool {
    let callback = Fields::of_any(request).loose("callback_type");
    request.method() == "POST" && callback.as_deref() == Some("zoom_tokens")
}

/// The names of the headers of Standard Webhooks. Older accounts of Recall.ai send them under the names of Svix.
fn standard_webhook(request: &Request) -> [&'static str; 3] {
    if request.header("webhook-signature").is_some() {
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
    } else {
        ["svix-id", "svix-timestamp", "svix-signature"]
    }
}
