//! The URLs and addresses that the vault calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use crate::invalid::Invalid;

const MAX_URL_CHARACTERS: usize = 2048;

/// The URL of a team's endpoint: `https`, with a host that can be public, without user name, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 2048, pattern = "^https?://", example = "https://example.com/zoom-events")]
pub struct EndpointUrl(Url);

impl EndpointUrl {
    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The address, if the host is an address and no name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        }
    }

    /// Whether the URL names this machine.
    fn is_loopback(&self) -> bool {
        let is_local_name = |name: &str| name == "localhost" || name.ends_with(".localhost");
        match self.address() {
            Some(address) => address.is_loopback(),
            None => self.0.host_str().is_some_and(is_local_name),
        }
    }
}

impl TryFrom<String> for EndpointUrl {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.chars().count() > MAX_URL_CHARACTERS {
            return Err(Invalid("must NOT have more than 2048 characters"));
        }
        let url = Url::parse(&text).map_err(|_| Invalid("must be an https URL"))?;
        // The row holds the parsed URL, and is read with this same check.
        if url.as_str().len() > MAX_URL_CHARACTERS {
            return Err(Invalid(
                "must NOT have more than 2048 characters when characters outside ASCII are percent-encoded",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid("must NOT have a user name or a password"));
        }
        if url.fragment().is_some() {
            return Err(Invalid("must NOT have a fragment"));
        }
        let url = Self(url);
        match url.0.scheme() {
            "https" => Ok(url),
            "http" if url.is_loopback() => Ok(url),
            _ => Err(Invalid("must be an https URL")),
        }
    }
}

impl From<EndpointUrl> for String {
    fn from(url: EndpointUrl) -> Self {
        url.0.into()
    }
}

/// Which addresses the vault calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRule {
    /// Public addresses only.
    Public,
    /// Public addresses, and this machine: for the local stack.
    PublicOrLoopback,
}

impl AddressRule {
    /// Whether the vault may call this address.
    pub fn permits(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::PublicOrLoopback => is_public(address) || address.is_loopback(),
        }
    }

    /// Refuses a URL that names an address, a scheme or this machine against the rule. The name of another host is
    /// resolved and checked at each call.
    pub fn check(self, url: &EndpointUrl) -> Result<(), Invalid> {
        if url.is_loopback() {
            return match self {
                Self::PublicOrLoopback => Ok(()),
                Self::Public => Err(Invalid("must name a public host")),
            };
        }
        match url.address() {
            Some(address) if !self.permits(address) => Err(Invalid("must name a public host")),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether an address belongs to the public internet.
///
/// An IPv6 address is public only in `2000::/3`. So the forms that contain an IPv4 address (`::ffff:…`, `64:ff9b::…`)
/// are not public, whatever they contain.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This network; private; this machine; multicast, reserved and broadcast.
        [0 | 10 | 127 | 224.., ..]
        // Shared by the customers of a provider (CGNAT).
        | [100, 64..=127, ..]
        // Link-local, with the metadata service of AWS.
        | [169, 254, ..]
        // Private.
        | [172, 16..=31, ..]
        | [192, 168, ..]
        // Protocol assignments, documentation, and the former relays of 6to4.
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        // Benchmarks, and documentation.
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => false,
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments with Teredo; documentation; 6to4, which contains an IPv4 address.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
