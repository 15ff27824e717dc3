//! Resolves names to addresses that the vault may call.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use crate::notification::AddressRule;

/// Every address of a name is one that the vault does not call.
#[derive(Debug, thiserror::Error)]
#[error("the host has no public address")]
pub(super) struct NoPublicAddress;

/// Resolves names, and drops the addresses that the rule does not permit.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) AddressRule);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self(rule) = *self;
        Box::pin(async move {
            // The client replaces the port.
            let found = lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> =
                found.filter(|found| rule.permits(found.ip())).collect();
            if permitted.is_empty() {
                return Err(NoPublicAddress.into());
            }
            let addresses: Addrs = Box::new(permitted.into_iter());
            Ok(addresses)
        })
    }
}
