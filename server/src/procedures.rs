//! What clients' commands do where their keys are coordinated: the server's side of [`replica::Procedures`].
//!
//! A command that decides by what it sees - `APPEND`, `SET .. NX`, `LPOP` - and a transaction travel to the node that
//! coordinates their keys, and are carried out there as one atomic batch. What they tell the client travels back.

use std::sync::{Arc, Weak};

use replica::{
    Answer, ByteString, CellId, CellKind, Failure, Found, Keys, Mapped, Observed, Operation, Procedures, Read, Request,
    Write, Written,
};
use serde::{Deserialize, Serialize};

use crate::acl::{Rights, User};
use crate::command::{self, Arguments};
use crate::dump::{Contents, Dump};
use crate::jobs;
use crate::node::Node;
use crate::notifications::Notifications;
use crate::resp::Reply;

/// How much is said of a key at once: it has to travel to the node that was asked.
const SAID_BYTES: usize = 128 * 1024 * 1024;

/// What is carried out at the keys of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// One command.
    Command(Vec<ByteString>),
    /// Several commands, if the keys that were watched are what they were.
    Transaction {
        /// Keys, and what they were.
        watched: Vec<(ByteString, u64)>,
        /// The commands.
        commands: Vec<Vec<ByteString>>,
    },
    /// What a key is, to be compared later.
    Watch(ByteString),
    /// A key is put in the place of whatever is there, and nobody is told: as nodes of an earlier release say it.
    Store(ByteString, Box<Dump>, Conditions),
    /// What was observed of a key is removed, and nothing else; likewise.
    Forget(ByteString, Vec<(CellId, Observed)>),
    /// The application that the node was started with knows.
    Own(ByteString),
    /// A call of somebody who may not do everything, and is a user of the node that he asked only.
    OnBehalfOf {
        /// What he is called there.
        user: String,
        /// What he may do, as rules of ACL SETUSER.
        rights: ByteString,
        /// The call, encoded: so that whoever sends one within another, and so on, gets no deeper.
        call: ByteString,
    },
    /// A key is put in the place of whatever is there: the work of the command that this event is called after.
    StoreAs(String, ByteString, Box<Dump>, Conditions),
    /// What was observed of a key is removed, and nothing else; told of as this event.
    ForgetAs(String, ByteString, Vec<(CellId, Observed)>),
    /// The members of a sorted set, with scores, that a `ZRANGE` of these arguments would show.
    Ranged(Vec<ByteString>),
}

/// Under which conditions a key is put somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Only where there is none yet.
    pub absent_only: bool,
}

impl Call {
    /// A key is put in the place of whatever is there: the work of the command that this event is called after.
    #[must_use]
    pub fn store(event: &str, key: &[u8], contents: Contents) -> Self {
        let dump = Dump { contents, deadline_ms: None };
        Self::StoreAs(event.to_owned(), key.into(), Box::new(dump), Conditions::default())
    }

    /// As a write.
    #[must_use]
    pub fn to_write(&self) -> Write {
        Write::Call(self.encode())
    }

    /// As it travels.
    pub(crate) fn encode(&self) -> ByteString {
        // Writing into memory does not fail for such types.
        ByteString(postcard::to_allocvec(self).unwrap_or_default())
    }

    /// The same with the rights of whoever it is for: where it is carried out, he is not known.
    #[must_use]
    pub fn on_behalf_of(self, user: &User) -> Self {
        if user.may_do_all() {
            return self;
        }
        let rights = ByteString(user.rights().describe());
        Call::OnBehalfOf { user: user.name().to_owned(), rights, call: self.encode() }
    }
}

/// What a call said.
#[must_use]
pub fn said(bytes: &[u8]) -> Reply {
    postcard::from_bytes(bytes).unwrap_or_else(|_| Reply::error("ERR the coordinator's words do not decode"))
}

/// The procedures of a node.
#[derive(Clone)]
pub struct Commands {
    node: Weak<Node>,
    /// Looked at for every write.
    notifications: Arc<Notifications>,
}

impl Commands {
    /// Those of this node.
    #[must_use]
    pub fn of(node: &Arc<Node>) -> Self {
        Self { node: Arc::downgrade(node), notifications: Arc::clone(&node.notifications) }
    }

    fn node(&self) -> Result<Arc<Node>, Failure> {
        self.node.upgrade().ok_or(Failure::NotUnderstood)
    }
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commands")
    }
}

impl Procedures for Commands {
    fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        let node = self.node()?;
        let said = reply_to(call, keys, &node)?;
        self.notifications.tell_all(&keys.take_notes(), &node.pubsub);
        Ok(said)
    }

    fn look(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        let said = reply_to(call, keys, &self.node()?)?;
        if said.len() > SAID_BYTES {
            return Err(Failure::TooMuch { limit_bytes: SAID_BYTES as u64 });
        }
        Ok(said)
    }

    fn is_watched(&self) -> bool {
        self.notifications.are_wanted()
    }

    fn write(&self, key: &[u8], write: &Write, keys: &mut Keys<'_, '_>) -> Result<Written, Failure> {
        let written = command::around_write(key, write, keys)?;
        self.notifications.tell_all(&keys.take_notes(), &self.node()?.pubsub);
        Ok(written)
    }

    fn map(&self, job: &[u8], key: &[u8], kind: CellKind, keys: &mut Keys<'_, '_>) -> Result<Mapped, Failure> {
        jobs::map(job, key, kind, keys, &self.node()?)
    }

    fn reduce(&self, job: &[u8], name: &[u8], one: ByteString, other: ByteString) -> Result<ByteString, Failure> {
        jobs::reduce(job, name, one, other, &self.node()?)
    }
}

/// Carries an encoded call out, and encodes what it said.
fn reply_to(call: &[u8], keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Result<Vec<u8>, Failure> {
    let call = postcard::from_bytes(call).map_err(|_| Failure::NotUnderstood)?;
    let reply = carry_out(&call, None, keys, node)?;
    Ok(postcard::to_allocvec(&reply).unwrap_or_default())
}

fn carry_out(
    call: &Call,
    asker: Option<&Arc<User>>,
    keys: &mut Keys<'_, '_>,
    node: &Arc<Node>,
) -> Result<Reply, Failure> {
    match call {
        Call::OnBehalfOf { user, rights, call } => {
            // A call within a call is one of the node's own, and so never on behalf of two.
            let rights = Rights::parse(&rights.0).filter(|_| asker.is_none()).ok_or(Failure::NotUnderstood)?;
            let call = postcard::from_bytes(&call.0).map_err(|_| Failure::NotUnderstood)?;
            carry_out(&call, Some(&User::with_rights(user, rights)), keys, node)
        }
        Call::Own(call) => node.application.call(&call.0, keys).map(Reply::bulk),
        Call::Command(command) => command::carry_out(&Arguments::kept(command).on_behalf_of(asker), keys, node),
        Call::Transaction { watched, commands } => {
            for (key, digest) in watched {
                if keys.digest(&key.0)? != *digest {
                    return Ok(Reply::NullArray);
                }
            }
            let words = commands.iter().map(|command| Arguments::kept(command).on_behalf_of(asker));
            let replies = words.map(|words| command::carry_out(&words, keys, node));
            replies.collect::<Result<_, _>>().map(Reply::Array)
        }
        Call::Watch(key) => Ok(Reply::Integer(keys.digest(&key.0)? as i64)),
        Call::Store(key, dump, conditions) => store(key, dump, *conditions, keys, node),
        Call::Forget(key, cells) => forget(key, cells, keys),
        Call::StoreAs(event, key, dump, conditions) => {
            command::around_call(event, &key.0, keys, |keys| store(key, dump, *conditions, keys, node))
        }
        Call::Ranged(command) => command::ranged(&Arguments::kept(command), keys, node),
        Call::ForgetAs(event, key, cells) => command::around_call(event, &key.0, keys, |keys| forget(key, cells, keys)),
    }
}

fn store(
    ByteString(key): &ByteString,
    dump: &Dump,
    conditions: Conditions,
    keys: &mut Keys<'_, '_>,
    node: &Arc<Node>,
) -> Result<Reply, Failure> {
    if conditions.absent_only && keys.read(key, &Read::Summary)?.kind.is_some() {
        return Ok(Reply::Integer(0));
    }
    if let Err(refused) = dump.check(key, node) {
        return Ok(refused);
    }
    dump.restore(key, keys)?;
    Ok(Reply::Integer(1))
}

fn forget(
    ByteString(key): &ByteString,
    cells: &[(CellId, Observed)],
    keys: &mut Keys<'_, '_>,
) -> Result<Reply, Failure> {
    for (cell, observed) in cells {
        keys.write(key, &Write::RemoveObserved(cell.clone(), Box::new(observed.clone())))?;
    }
    Ok(Reply::Integer(1))
}

/// Answers a request from the keys at hand: what a command within a transaction asks.
///
/// # Errors
/// [`Failure::Store`]: nothing of the batch may stay.
pub(crate) fn answer(request: &Request, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Result<Answer, Failure> {
    if request.partition != keys.partition() {
        return Ok(Answer::Failed(Failure::NotOfOneKey));
    }
    let answer = match &request.operation {
        Operation::Read(Read::Call(call)) => {
            let said = ByteString(reply_to(&call.0, keys, node)?);
            Ok(Answer::Found(Found { said, ..Found::default() }))
        }
        Operation::Read(read) => keys.read(&request.key, read).map(Answer::Found).map_err(Failure::Store),
        Operation::Write(Write::Call(call)) => {
            let said = ByteString(reply_to(&call.0, keys, node)?);
            Ok(Answer::Written(Written { said, ..Written::default() }))
        }
        Operation::Write(write) => keys.write(&request.key, write).map(Answer::Written),
        _ => Err(Failure::NotOfOneKey),
    };
    match answer {
        Err(failure @ Failure::Store(_)) => Err(failure),
        Err(failure) => Ok(Answer::Failed(failure)),
        Ok(answer) => Ok(answer),
    }
}
