//! Why a command was not carried out, in the words of the protocol.

use replica::{Answer, Failure, StoreError};

use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;

/// What a command that is carried out at its keys comes to.
pub(super) type Done = Result<Reply, Refused>;

/// Why it came to nothing.
#[derive(Debug)]
pub(super) enum Refused {
    /// The client is told so, and nothing was changed.
    Reply(Reply),
    /// The replica refused.
    Failure(Failure),
}

impl Refused {
    /// What the client is told; an error if the store failed, for then the whole batch must go.
    pub(super) fn into_reply(self, node: &Node) -> Result<Reply, Failure> {
        match self {
            Refused::Reply(reply) => Ok(reply),
            Refused::Failure(failure @ Failure::Store(_)) => Err(failure),
            Refused::Failure(failure) => Ok(refusal_of(&failure, node)),
        }
    }
}

impl Refused {
    /// What the client is told, of a command that has not asked anybody yet.
    pub(super) fn at_once(self, node: &Node) -> Step {
        match self {
            Refused::Reply(reply) => reply.into(),
            Refused::Failure(failure) => refusal_of(&failure, node).into(),
        }
    }
}

impl From<Reply> for Refused {
    fn from(reply: Reply) -> Self {
        Refused::Reply(reply)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused::Failure(failure)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Failure(Failure::Store(error))
    }
}

/// The reply to an answer that is not the one hoped for.
pub(super) fn refusal(answer: &Answer, node: &Node) -> Reply {
    let Answer::Failed(failure) = answer else {
        return Reply::error("ERR the answer does not belong to the command");
    };
    refusal_of(failure, node)
}

fn refusal_of(failure: &Failure, node: &Node) -> Reply {
    let view = node.view();
    let listed = |nodes: &[replica::NodeId]| {
        let names: Vec<String> = nodes.iter().map(|node| view.name(*node)).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    };
    match failure {
        Failure::WrongType => Reply::wrong_type(),
        Failure::NotAnInteger => Reply::not_an_integer(),
        Failure::Overflow => Reply::error("ERR increment or decrement would overflow"),
        Failure::NotCurrent => Reply::Null,
        Failure::TooLarge { limit_bytes } => Reply::error(format!(
            "ERR the siblings of this cell would be more than {limit_bytes} bytes together: replace some with their context"
        )),
        Failure::StandInFull { limit_bytes } => Reply::error(format!(
            "BUSY no owner of the key answers, and this node keeps {limit_bytes} bytes for absent owners already (CONFIG SET stand-in-bytes)"
        )),
        Failure::NoQuorum { needed, answered, silent, may_take_effect } => Reply::error(format!(
            "NOQUORUM {}/{needed} owners answered: {}; not: {}; {}{}",
            answered.len(),
            listed(answered),
            listed(silent),
            if answered.len() < usize::from(*needed) {
                ""
            } else {
                "too few of them own the key (PR, PW), or have it on disk (DW), as was asked, or replicas are moving and more \
                 have to hold it (STRICT); "
            },
            if *may_take_effect { "the write may take effect all the same" } else { "nothing was changed" }
        )),
        Failure::TooManyOwners { owners } => {
            Reply::error(format!("ERR the key has {owners} owners: R and W cannot be more"))
        }
        Failure::NotAnOwner => {
            Reply::error("TRYAGAIN the owners of this key are changing, or this node has not joined yet")
        }
        Failure::Behind { missing } => Reply::error(format!(
            "BEHIND this session has seen {missing} events that no node which answers has (DOT.SESSION OFF ends it); nothing was changed"
        )),
        Failure::NotOfOneKey => Reply::cross_slot(),
        Failure::NotUnderstood => Reply::error("ERR the node that coordinates this key does not know the command"),
        Failure::Store(error) => Reply::error(format!("ERR {error}")),
        Failure::LooksOnly => Reply::error("ERR what maps keys may look at them only: it tried to write"),
        Failure::TooMuch { limit_bytes } => Reply::error(format!(
            "ERR this comes to more than {limit_bytes} bytes: ask for less at once (in a sweep, say less of each key, under fewer names)"
        )),
        Failure::Busy { backlog_bytes } => Reply::error(format!(
            "BUSY {backlog_bytes} bytes wait for this node's disk, and it takes no more writes for now (CONFIG GET backlog-bytes); nothing was changed"
        )),
        Failure::Application(why) => Reply::error(String::from_utf8_lossy(&why.0).into_owned()),
    }
}

/// The first refusal among answers of which all must be good.
pub(super) fn first_refusal(answers: &[Answer], node: &Node) -> Option<Reply> {
    answers.iter().find(|answer| matches!(answer, Answer::Failed(_))).map(|answer| refusal(answer, node))
}
