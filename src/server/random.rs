//! What must not repeat or be guessed: uids, generated names, jitter.

use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;

/// Letters and digits that spell no words (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Only a system without any source of randomness fails here; TLS would not have started.
    if ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .is_err()
    {
        tracing::error!("the system gives no random numbers");
    }
    bytes
}

/// A version 4 UUID (RFC 9562 §5.4).
pub fn uid() -> String {
    let mut bytes = bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// A number below `end`, which is not 0.
pub fn below(end: u32) -> u32 {
    u32::from_be_bytes(bytes()) % end.max(1)
}

/// What `generateName` appends.
pub fn suffix() -> String {
    bytes::<5>()
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

/// A duration between `base` and twice `base`.
pub fn jittered(base: Duration) -> Duration {
    let fraction = f64::from(u16::from_be_bytes(bytes())) / f64::from(u16::MAX);
    base + base.mul_f64(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_have_the_form_of_version_4() {
        let uid = uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert!(matches!(&uid[19..20], "8" | "9" | "a" | "b"), "{uid}");
        assert_ne!(uid, super::uid());
    }
}
