//! serde: histories are base64url text of their canonical bytes in readable formats, the bytes themselves in
//! binary ones; sets are their live values and their context. Reading checks what the invariants ask for.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::Actors;
use crate::{
    Actor, ActorBytes, CausalContext, Dot, DotFun, DvvSet, NodeClock, Reader, Reason, Siblings, Stripped,
    VersionVector, Versions,
};

/// In binary formats the bytes come without their header: the format around them has a version of its own, and an
/// empty history, which most stored places have, is no byte.
fn write<A: ActorBytes, S: Serializer>(context: &CausalContext<A>, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return serializer.serialize_str(&URL_SAFE_NO_PAD.encode(context.to_bytes()));
    }
    let mut bytes = Vec::new();
    context.write_entries(&mut bytes);
    serializer.serialize_bytes(&bytes)
}

struct History<A>(PhantomData<A>);

impl<A: ActorBytes> Visitor<'_> for History<A> {
    type Value = CausalContext<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a causal history, as bytes or as base64url text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| E::custom("a causal history is not base64url"))?;
        CausalContext::from_bytes(&bytes).map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        CausalContext::read_entries(&mut Reader::new(bytes), Actors::UntilTheEnd).map_err(E::custom)
    }
}

impl<A: ActorBytes> Serialize for CausalContext<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self, serializer)
    }
}

impl<'de, A: ActorBytes> Deserialize<'de> for CausalContext<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(History(PhantomData))
        } else {
            deserializer.deserialize_bytes(History(PhantomData))
        }
    }
}

/// As [`CausalContext`].
impl<A: ActorBytes> Serialize for NodeClock<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.seen(), serializer)
    }
}

impl<'de, A: ActorBytes> Deserialize<'de> for NodeClock<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CausalContext::deserialize(deserializer).map(Self::from)
    }
}

impl<A: ActorBytes> Serialize for VersionVector<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(&self.into(), serializer)
    }
}

impl<'de, A: ActorBytes> Deserialize<'de> for VersionVector<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let context = CausalContext::deserialize(deserializer)?;
        Self::try_from(&context).map_err(|_| D::Error::custom(Reason::HasGaps))
    }
}

/// A sequence of `(dot, value)`, dots strictly ascending.
impl<A: Actor + Serialize, V: Serialize> Serialize for DotFun<A, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, A: Actor + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for DotFun<A, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let live: Vec<(Dot<A>, V)> = Vec::deserialize(deserializer)?;
        if live.is_sorted_by(|(before, _), (after, _)| before < after) {
            Ok(Self::from_ascending(live))
        } else {
            Err(D::Error::custom("live dots must strictly ascend"))
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Siblings", bound(serialize = "A: ActorBytes, L: Serialize"))]
#[serde(bound(deserialize = "A: ActorBytes, L: Deserialize<'de>"))]
struct Parts<A, L> {
    live: L,
    context: CausalContext<A>,
}

impl<A: ActorBytes + Serialize, V: Serialize> Serialize for Siblings<A, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Parts { live: self.live(), context: self.context().clone() }.serialize(serializer)
    }
}

impl<'de, A: ActorBytes + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Siblings<A, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts::<A, DotFun<A, V>> { live, context } = Parts::deserialize(deserializer)?;
        if live.dots().all(|dot| context.contains(dot)) {
            Ok(Self::from_parts(live, context))
        } else {
            Err(D::Error::custom(Reason::NotSeen))
        }
    }
}

/// Its live values and its residual, as [`Siblings`] has live values and a context.
impl<A: ActorBytes + Serialize, V: Serialize> Serialize for Stripped<A, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Parts { live: self.live(), context: self.residual().clone() }.serialize(serializer)
    }
}

impl<'de, A: ActorBytes + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Stripped<A, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { live, context } = Parts::deserialize(deserializer)?;
        Ok(Self::from_parts(live, context))
    }
}

/// As [`Siblings`].
impl<A: ActorBytes + Serialize, V: Serialize + Clone> Serialize for DvvSet<A, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_siblings().serialize(serializer)
    }
}

impl<'de, A: ActorBytes + Deserialize<'de>, V: Deserialize<'de> + Clone> Deserialize<'de> for DvvSet<A, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let siblings = Siblings::deserialize(deserializer)?;
        Self::try_from(&siblings).map_err(|_| D::Error::custom(Reason::HasGaps))
    }
}

/// As [`Siblings`].
impl<A: ActorBytes + Serialize, V: Serialize + Clone> Serialize for Versions<A, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_siblings().serialize(serializer)
    }
}

impl<'de, A: ActorBytes + Deserialize<'de>, V: Deserialize<'de> + Clone> Deserialize<'de> for Versions<A, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Siblings::deserialize(deserializer).map(Self::from)
    }
}
