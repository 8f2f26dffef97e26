//! What every record is put into before an engine gets it, so that another value than the one that was written is never
//! taken for it, whatever the engine looks at.
//!
//! ```text
//! value | crc32(key value):4        little-endian
//! ```
//! The key is under the checksum as well: a value that has come under another key is none.

const CHECKSUM_BYTES: usize = 4;

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().to_le_bytes()
}

/// Appends the record as an engine keeps it.
pub(super) fn seal(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(key, value));
}

/// The value of a kept record; nothing if it is not what was written.
pub(super) fn unseal<'r>(key: &[u8], record: &'r [u8]) -> Option<&'r [u8]> {
    let (value, kept) = record.split_last_chunk()?;
    (*kept == checksum(key, value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{seal, unseal};

    #[test]
    fn a_record_that_was_changed_in_any_bit_or_moved_is_none() {
        let mut record = Vec::new();
        seal(b"key", b"value", &mut record);
        assert_eq!(record, b"value\xe6\xf3\x55\xc6", "the bytes on disk");
        assert_eq!(unseal(b"key", &record), Some(b"value".as_slice()));
        assert_eq!(unseal(b"kez", &record), None);
        assert_eq!(unseal(b"key", &record[..3]), None);
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(b"key", &flipped), None, "bit {bit}");
        }
    }
}
