//! What is done at every key of the cluster: the server's side of [`replica::Sweep`].

use std::sync::Arc;
use std::time::Duration;

use replica::{ByteString, CellKind, Failure, Keys, Mapped};
use serde::{Deserialize, Serialize};

use crate::command::{Reach, Script, carry_out_script};
use crate::glob;
use crate::merges::type_name;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};

/// How long a script may take for one key, or to make one value of two.
const SCRIPT_TIME: Duration = Duration::from_millis(20);

/// A job over keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Only keys like this.
    pub pattern: Option<ByteString>,
    /// What is done with them.
    pub what: What,
}

/// What is done with keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// They are counted, by type.
    Count,
    /// A script maps each, another makes one value of two.
    Scripts {
        /// The one.
        map: ByteString,
        /// The other.
        reduce: ByteString,
    },
    /// The application that the node was started with knows.
    Own(ByteString),
}

/// Whoever asks may read every key: that was looked at.
fn script(source: &[u8]) -> Script<'_> {
    Script { source, asker: None, reach: Reach::Keys, limit: SCRIPT_TIME }
}

impl Job {
    /// As bytes that travel.
    #[must_use]
    pub fn encode(&self) -> ByteString {
        // Writing into memory does not fail for such types.
        ByteString(postcard::to_allocvec(self).unwrap_or_default())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        postcard::from_bytes(bytes).map_err(|_| Failure::NotUnderstood)
    }
}

pub(crate) fn map(
    job: &[u8],
    key: &[u8],
    kind: CellKind,
    keys: &mut Keys<'_, '_>,
    node: &Arc<Node>,
) -> Result<Mapped, Failure> {
    let Job { pattern, what } = Job::decode(job)?;
    if pattern.is_some_and(|pattern| !glob::matches(&pattern.0, key)) {
        return Ok(Mapped::new());
    }
    match what {
        What::Count => Ok(vec![(type_name(kind).as_bytes().into(), b"1".to_vec().into())]),
        What::Scripts { map, .. } => {
            let words: (&[&[u8]], &[&[u8]]) = (&[key], &[type_name(kind).as_bytes()]);
            pairs(carry_out_script(&script(&map.0), words, Some(keys), node)?)
        }
        What::Own(job) => node.application.map(&job.0, key, kind, keys),
    }
}

pub(crate) fn reduce(
    job: &[u8],
    name: &[u8],
    one: ByteString,
    other: ByteString,
    node: &Arc<Node>,
) -> Result<ByteString, Failure> {
    match Job::decode(job)?.what {
        What::Count => {
            let number = |text: &ByteString| parse_integer(&text.0).unwrap_or(0);
            Ok((number(&one) + number(&other)).to_string().into_bytes().into())
        }
        What::Scripts { reduce, .. } => {
            let words: (&[&[u8]], &[&[u8]]) = (&[name], &[&one.0, &other.0]);
            text(carry_out_script(&script(&reduce.0), words, None, node)?)
        }
        What::Own(job) => node.application.reduce(&job.0, name, one, other),
    }
}

/// Names and values in turn, as a script returns them.
fn pairs(said: Reply) -> Result<Mapped, Failure> {
    let odd = || refused("ERR a map returns names and values in turn: return {'name', 1}, or nothing");
    match said {
        Reply::Null | Reply::NullArray => Ok(Mapped::new()),
        Reply::Error(why) => Err(refused(&why)),
        Reply::Array(items) if items.len() % 2 == 0 => {
            let mut texts = items.into_iter().map(text);
            let mut pairs = Mapped::new();
            while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                pairs.push((name?, value?));
            }
            Ok(pairs)
        }
        _ => Err(odd()),
    }
}

fn text(said: Reply) -> Result<ByteString, Failure> {
    match said {
        Reply::Bulk(bytes) => Ok(bytes.to_vec().into()),
        Reply::Integer(number) => Ok(number.to_string().into_bytes().into()),
        Reply::Error(why) => Err(refused(&why)),
        _ => Err(refused("ERR a value is a text or a whole number (of others, tostring makes a text)")),
    }
}

fn refused(why: &str) -> Failure {
    Failure::Application(why.as_bytes().into())
}
