//! Random bytes for keys and tokens.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// The operating system's random number generator failed.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct RandomError;

/// `N` bytes from the system's random number generator. They are wiped when dropped.
pub fn random_bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, RandomError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    SystemRandom::new()
        .fill(bytes.as_mut_slice())
        .map_err(|_| RandomError)?;
    Ok(bytes)
}
