//! serde: states and deltas are their canonical bytes, in readable formats as base64url text.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causal::{ActorBytes, DecodeError};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::{BoundedCounter, Delta, GCounter, GSet, Hll, ItemBytes, LatticeBytes, PnCounter, State, StoreBytes};

fn write<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() { to.serialize_str(&URL_SAFE_NO_PAD.encode(bytes)) } else { to.serialize_bytes(bytes) }
}

fn read<'de, T, D: Deserializer<'de>>(from: D, decode: fn(&[u8]) -> Result<T, DecodeError>) -> Result<T, D::Error> {
    let form = Form { decode, value: PhantomData };
    if from.is_human_readable() { from.deserialize_str(form) } else { from.deserialize_bytes(form) }
}

struct Form<T> {
    decode: fn(&[u8]) -> Result<T, DecodeError>,
    value: PhantomData<T>,
}

impl<T> Visitor<'_> for Form<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a data type's canonical bytes, or these as base64url text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| E::custom("the text is not base64url"))?;
        (self.decode)(&bytes).map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<T, E> {
        (self.decode)(bytes).map_err(E::custom)
    }
}

macro_rules! as_bytes {
    ($($type:ty $(, $parameter:ident: $first:path $(, $other:path)*)?;)*) => {$(
        impl<$($parameter: $first $(+ $other)*)?> Serialize for $type {
            fn serialize<Z: Serializer>(&self, to: Z) -> Result<Z::Ok, Z::Error> {
                write(&self.to_bytes(), to)
            }
        }

        impl<'de, $($parameter: $first $(+ $other)*)?> Deserialize<'de> for $type {
            fn deserialize<Z: Deserializer<'de>>(from: Z) -> Result<Self, Z::Error> {
                read(from, Self::from_bytes)
            }
        }
    )*};
}

as_bytes! {
    State<S>, S: StoreBytes;
    Delta<S>, S: StoreBytes;
    GCounter<A>, A: ActorBytes;
    PnCounter<A>, A: ActorBytes;
    BoundedCounter<A>, A: ActorBytes;
    GSet<T>, T: ItemBytes, Ord, Clone;
    Hll;
}
