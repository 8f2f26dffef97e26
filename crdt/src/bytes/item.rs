//! Keys, elements and values.

use causal::{DecodeError, Reader, Reason};

/// A key, element or value that has canonical bytes. Where they ascend, as keys do, each is written as what it has over the
/// one before. It has at least one byte: what is announced is there.
pub trait ItemBytes: Sized {
    /// The name of the type; types with other bytes have another one.
    const NAME: &'static str;

    /// Appends its bytes. `before`, if given, is smaller.
    fn write_item(&self, before: Option<&Self>, out: &mut Vec<u8>);

    /// Takes one off the front: greater than `before`, if given.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes end early or are none's.
    fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// The most bytes that are shared with the one before: so that few bytes cannot announce many.
const MAX_SHARED_BYTES: usize = 255;

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign as small numbers.
pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        /// A varint; the difference to the one before, less one.
        impl ItemBytes for $type {
            const NAME: &'static str = stringify!($type);

            fn write_item(&self, before: Option<&Self>, out: &mut Vec<u8>) {
                let number = u64::from(*self);
                put_varint(before.map_or(number, |before| number - u64::from(*before) - 1), out);
            }

            fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let number = from.varint()?;
                let number = match before {
                    None => Some(number),
                    Some(before) => number.checked_add(1).and_then(|more| more.checked_add(u64::from(*before))),
                };
                number.and_then(|number| number.try_into().ok()).ok_or(from.refuse(Reason::Overflow))
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);

/// Its code point, as an integer.
impl ItemBytes for char {
    const NAME: &'static str = "char";

    fn write_item(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        u32::from(*self).write_item(before.map(|before| u32::from(*before)).as_ref(), out);
    }

    fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let point = u32::read_item(before.map(|before| u32::from(*before)).as_ref(), from)?;
        char::from_u32(point).ok_or(from.refuse(Reason::NotText))
    }
}

macro_rules! signed {
    ($($type:ty),*) => {$(
        /// A zigzag varint; the difference to the one before, less one.
        impl ItemBytes for $type {
            const NAME: &'static str = stringify!($type);

            fn write_item(&self, before: Option<&Self>, out: &mut Vec<u8>) {
                let number = i64::from(*self);
                let written = |before: &Self| number.wrapping_sub(i64::from(*before)) as u64 - 1;
                put_varint(before.map_or(zigzag(number), written), out);
            }

            fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let number = from.varint()?;
                let number = match before {
                    None => Some(unzigzag(number)),
                    Some(before) => number.checked_add(1).and_then(|more| i64::from(*before).checked_add_unsigned(more)),
                };
                number.and_then(|number| number.try_into().ok()).ok_or(from.refuse(Reason::Overflow))
            }
        }
    )*};
}

signed!(i8, i16, i32, i64);

/// One byte, 0 or 1.
impl ItemBytes for bool {
    const NAME: &'static str = "bool";

    fn write_item(&self, _: Option<&Self>, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    fn read_item(_: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(from.refuse(Reason::NotCanonical)),
        }
    }
}

/// How many bytes it shares with the one before, if there is one; how many follow; these.
impl ItemBytes for Vec<u8> {
    const NAME: &'static str = "bytes";

    fn write_item(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        write_after(self, before.map(Vec::as_slice), out);
    }

    fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_after(before.map(Vec::as_slice), from)
    }
}

/// Its UTF-8, as bytes.
impl ItemBytes for String {
    const NAME: &'static str = "text";

    fn write_item(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        write_after(self.as_bytes(), before.map(String::as_bytes), out);
    }

    fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = read_after(before.map(String::as_bytes), from)?;
        String::from_utf8(bytes).map_err(|_| from.refuse(Reason::NotText))
    }
}

fn write_after(bytes: &[u8], before: Option<&[u8]>, out: &mut Vec<u8>) {
    let same = |before: &[u8]| before.iter().zip(bytes).take(MAX_SHARED_BYTES).take_while(|(x, y)| x == y).count();
    let shared = before.map_or(0, same);
    if before.is_some() {
        put_varint(shared as u64, out);
    }
    put_varint((bytes.len() - shared) as u64, out);
    out.extend_from_slice(&bytes[shared..]);
}

fn read_after(before: Option<&[u8]>, from: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let shared = match before {
        None => &[],
        Some(before) => {
            let shared = usize::try_from(from.varint()?).ok().filter(|shared| *shared <= MAX_SHARED_BYTES);
            shared.and_then(|shared| before.get(..shared)).ok_or(from.refuse(Reason::Overflow))?
        }
    };
    let rest = from.counted()?;
    let bytes = [shared, rest].concat();
    if before.is_some_and(|before| before >= bytes.as_slice()) {
        return Err(from.refuse(Reason::NotCanonical));
    }
    Ok(bytes)
}

/// A key whose bytes are in the order of the keys, and none of which is the beginning of another: for storage that is
/// ordered by bytes.
pub trait KeyBytes: ItemBytes + Ord + Clone {
    /// Appends its bytes.
    fn write_key(&self, out: &mut Vec<u8>);

    /// Takes one off the front.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are none's.
    fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! integer_keys {
    ($($type:ty: $flip:expr;)*) => {$(
        /// Big endian, the sign flipped.
        impl KeyBytes for $type {
            fn write_key(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&(*self ^ $flip).to_be_bytes());
            }

            fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$type>::from_be_bytes(from.array()?) ^ $flip)
            }
        }
    )*};
}

integer_keys! {
    u8: 0; u16: 0; u32: 0; u64: 0;
    i8: i8::MIN; i16: i16::MIN; i32: i32::MIN; i64: i64::MIN;
}

/// Its bytes, a zero as `00 ff`; `00 01` ends it.
impl KeyBytes for Vec<u8> {
    fn write_key(&self, out: &mut Vec<u8>) {
        for byte in self {
            out.push(*byte);
            if *byte == 0 {
                out.push(0xff);
            }
        }
        out.extend_from_slice(&[0, 1]);
    }

    fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut key = Vec::new();
        loop {
            match from.array()? {
                [0] => match from.array()? {
                    [0xff] => key.push(0),
                    [1] => return Ok(key),
                    _ => return Err(from.refuse(Reason::NotCanonical)),
                },
                [byte] => key.push(byte),
            }
        }
    }
}

/// Its UTF-8.
impl KeyBytes for String {
    fn write_key(&self, out: &mut Vec<u8>) {
        self.clone().into_bytes().write_key(out);
    }

    fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        String::from_utf8(Vec::read_key(from)?).map_err(|_| from.refuse(Reason::NotText))
    }
}

#[cfg(test)]
mod tests {
    use super::{ItemBytes, KeyBytes};
    use causal::Reader;
    use quickcheck::quickcheck;

    fn key(key: &impl KeyBytes) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.write_key(&mut bytes);
        bytes
    }

    fn is_in_order<K: KeyBytes>(x: &K, y: &K) -> bool {
        let read = K::read_key(&mut Reader::new(&key(x)));
        key(x).cmp(&key(y)) == x.cmp(y) && read.is_ok_and(|read| read == *x)
    }

    fn comes_back<T: ItemBytes + Ord>(x: &T, y: &T) -> bool {
        let (before, item) = (x.min(y), x.max(y));
        let before = (before < item).then_some(before);
        let mut bytes = Vec::new();
        item.write_item(before, &mut bytes);
        T::read_item(before, &mut Reader::new(&bytes)).is_ok_and(|read| read == *item)
    }

    quickcheck! {
        fn keys_are_ordered_by_their_bytes(texts: (String, String), bytes: (Vec<u8>, Vec<u8>), numbers: (i64, i64)) -> bool {
            let zeros = |bytes: &Vec<u8>| bytes.iter().map(|byte| byte % 3).collect::<Vec<u8>>();
            is_in_order(&texts.0, &texts.1)
                && is_in_order(&bytes.0, &bytes.1)
                && is_in_order(&zeros(&bytes.0), &zeros(&bytes.1))
                && is_in_order(&numbers.0, &numbers.1)
                && is_in_order(&(numbers.0 as u16), &(numbers.1 as u16))
        }

        fn items_come_back_after_any_smaller_one(texts: (String, String), numbers: (i64, i64), chars: (char, char)) -> bool {
            comes_back(&texts.0, &texts.1)
                && comes_back(&numbers.0, &numbers.1)
                && comes_back(&(numbers.0 as u64), &(numbers.1 as u64))
                && comes_back(&i64::MIN, &i64::MAX)
                && comes_back(&0u64, &u64::MAX)
                && comes_back(&chars.0, &chars.1)
        }
    }
}
