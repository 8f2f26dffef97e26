//! Frames between nodes.
//!
//! ```text
//! frame = length:u32 | crc32(payload):u32 | payload = postcard(value)        both little-endian
//! ```
//!
//! A frame whose sum is wrong ends the connection before anything of it is believed: what was in it is lost as on any network.

use replica::{Gossip, Message};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::fault::Faults;
use crate::pubsub::Topic;

/// The greatest frame: a key's state, or a batch of anti-entropy with one greatest value in it.
pub(super) const FRAME_BYTES: usize = 256 * 1024 * 1024;
/// Length and sum.
const HEAD_BYTES: usize = 8;

/// What nodes send each other once they have met. New variants come at the end, with a new version of the protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerFrame {
    /// For the replica core.
    Core(Box<Message>),
    /// For the membership machine.
    Gossip(Gossip),
    /// A published message.
    Publish(Topic, Vec<u8>, Vec<u8>),
    /// These faults are in force from now on; say when they are.
    Faults(u64, Faults),
    /// They are.
    FaultsSet(u64),
}

/// A frame, ready to be sent.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing into memory fails only for types that no frame has.
    let mut out = postcard::to_extend(value, vec![0; HEAD_BYTES]).unwrap_or_else(|_| vec![0; HEAD_BYTES]);
    let (head, payload) = out.split_at_mut(HEAD_BYTES);
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out
}

/// Reads one frame; memory grows with what really arrives. What is behind the value belongs to a later version, and is no matter.
pub(super) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit_bytes: usize,
) -> std::io::Result<(T, usize)> {
    let (len, sum) = (stream.read_u32_le().await? as usize, stream.read_u32_le().await?);
    if len > limit_bytes {
        return Err(invalid(format!("a frame of {len} bytes, the limit is {limit_bytes}")));
    }
    let mut bytes = Vec::with_capacity(len.min(64 * 1024));
    stream.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    if crc32fast::hash(&bytes) != sum {
        return Err(invalid(format!("a frame of {len} bytes whose sum is wrong")));
    }
    let value = postcard::from_bytes(&bytes).map_err(|why| invalid(format!("a frame that does not decode: {why}")))?;
    Ok((value, HEAD_BYTES + len))
}

pub(super) fn invalid(why: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use super::{PeerFrame, encode, read};
    use quickcheck::quickcheck;
    use replica::Gossip;

    fn decode(bytes: &[u8]) -> std::io::Result<PeerFrame> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(&mut &bytes[..], 1 << 20)).map(|(frame, _)| frame)
    }

    fn beat() -> PeerFrame {
        PeerFrame::Gossip(Gossip::Beat { digest: 7, hears_you: true })
    }

    #[test]
    fn frames_round_trip() {
        assert!(matches!(decode(&encode(&beat())).unwrap(), PeerFrame::Gossip(Gossip::Beat { digest: 7, .. })));
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
        assert!(decode(&[255; 8]).unwrap_err().to_string().contains("limit"));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let bytes = encode(&beat());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
    }

    quickcheck! {
        fn random_bytes_are_an_error_or_a_frame_and_never_a_panic(bytes: Vec<u8>) -> bool {
            let head = [(bytes.len() as u32).to_le_bytes(), crc32fast::hash(&bytes).to_le_bytes()].concat();
            let _ = decode(&[head, bytes].concat());
            true
        }
    }
}
