//! How two nodes meet: which cluster and which node each is, which versions of the protocol it speaks, and what it can do beyond.
//!
//! ```text
//! dialler:  "DOTTED" form:u8 | frame(Hello)          listener: frame(Reply::Welcome) or frame(Reply::Refused)
//! ```
//!
//! The form of the greeting never changes, so that nodes of any two versions can tell each other what they speak: fields are
//! only added at the end, and what a node does not know of is passed over. Both then speak the newest version that both know;
//! a node can be upgraded as long as its neighbours speak one of its versions. Capabilities are bits: one is used on a link only
//! if both ends have it, and unknown ones are no matter.

use std::net::SocketAddr;

use replica::{Capabilities, ClusterId, Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use crate::peer::lane::Lane;

pub(super) const MAGIC: &[u8; 6] = b"DOTTED";
/// The form of the greeting. (1 to 8 were versions of a protocol that had one greeting each.)
pub(super) const FORM: u8 = 9;
/// A frame that greets is small.
pub(super) const GREETING_BYTES: usize = 4_096;

/// Versions of the protocol, from one on to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

impl Versions {
    /// Those that this program speaks.
    pub const OURS: Self = Self { oldest: 9, newest: 9 };

    /// The newest that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

/// How the node that dials presents itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What it speaks.
    pub versions: Versions,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
    /// Its run.
    pub incarnation: Incarnation,
    /// Where it listens for peers.
    pub peer_address: SocketAddr,
    /// What this connection is for.
    pub lane: Lane,
}

/// How the node that is dialled presents itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// What it speaks.
    pub versions: Versions,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
}

/// What the one who dials is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Come in.
    Welcome(Welcome),
    /// Why not.
    Refused(String),
    /// The id of the one who dials is in use by another: it must not go on.
    InUse(String),
}

/// Why two nodes cannot talk, if they cannot.
pub(super) fn differences(theirs: Versions, their_cluster: ClusterId, our_cluster: ClusterId) -> Option<String> {
    if Versions::OURS.common(theirs).is_none() {
        let (ours, Versions { oldest, newest }) = (Versions::OURS, theirs);
        return Some(format!(
            "it speaks versions {oldest} to {newest} of the peer protocol, this node {} to {}: upgrade by way of a release between the two",
            ours.oldest, ours.newest
        ));
    }
    (!our_cluster.may_meet(their_cluster)).then(|| {
        format!(
            "it belongs to cluster {their_cluster}, this node to {our_cluster}: only a node with an empty data directory can join"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Hello, Versions, differences};
    use crate::peer::frame::{encode, read};
    use crate::peer::lane::Lane;
    use replica::{Capabilities, ClusterId, Incarnation, NodeId};
    use serde::{Deserialize, Serialize};
    use uuid::Uuid;

    fn hello() -> Hello {
        Hello {
            versions: Versions { oldest: 9, newest: 10 },
            capabilities: Capabilities(0b101),
            cluster: ClusterId(Some(Uuid::from_u128(1))),
            node: NodeId(Uuid::from_u128(2)),
            incarnation: Incarnation(3),
            peer_address: ([127, 0, 0, 1], 17_001).into(),
            lane: Lane::Requests,
        }
    }

    #[test]
    fn two_releases_speak_the_newest_version_that_both_know() {
        let versions = |oldest, newest| Versions { oldest, newest };
        assert_eq!(versions(9, 9).common(versions(9, 10)), Some(9));
        assert_eq!(versions(9, 10).common(versions(10, 12)), Some(10));
        assert_eq!(versions(9, 9).common(versions(10, 12)), None);
    }

    #[test]
    fn who_cannot_talk_is_told_why() {
        let [one, other] = [1, 2].map(|n| ClusterId(Some(Uuid::from_u128(n))));
        assert_eq!(differences(Versions::OURS, one, one), None);
        assert_eq!(differences(Versions::OURS, ClusterId(None), one), None);
        assert!(differences(Versions::OURS, one, other).unwrap().contains("cluster"));
        assert!(differences(Versions { oldest: 77, newest: 78 }, one, one).unwrap().contains("77 to 78"));
    }

    /// A later release says more than this one understands.
    #[test]
    fn what_a_greeting_says_beyond_what_is_known_is_passed_over() {
        #[derive(Serialize, Deserialize)]
        struct Later {
            hello: Hello,
            more: Vec<String>,
        }
        let later = Later { hello: hello(), more: vec!["something new".to_owned()] };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (read, _) = runtime.block_on(read::<Hello>(&mut &encode(&later)[..], 4_096)).unwrap();
        assert_eq!(read, hello());
    }
}
