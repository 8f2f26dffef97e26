//! What a session has seen, partition by partition, and its text: for a connection of a pool to go on where another was.
//!
//! ```text
//! text    = base64url without padding of: version (1), checksum:4 (CRC32 of the rest, little-endian), postcard of Carried
//! ```
//!
//! Actors stand once in it: a session that has seen all 1,024 partitions of three nodes takes some 15 KiB.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causal::Run;
use replica::{Actor, Answer, Context, PartitionId, Request};
use serde::{Deserialize, Serialize};

use crate::node::Node;

const VERSION: u8 = 1;
/// The longest text of a session.
const TEXT_BYTES: usize = 256 * 1024;
/// No node writes so often.
const MAX_COUNTER: u64 = 1 << 60;

/// What a session has seen: shared with whatever still waits for its answer.
#[derive(Clone, Debug, Default)]
pub struct Seen(Rc<RefCell<BTreeMap<PartitionId, Context>>>);

/// A run of events: actor, first, last.
type CarriedRun = (u32, u64, u64);

/// What travels, by partition.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Carried {
    actors: Vec<Actor>,
    partitions: Vec<(u16, Vec<CarriedRun>)>,
}

impl Seen {
    /// Whoever carries out the request must know what the session has seen.
    pub fn demand(&self, request: &mut Request) {
        let seen = self.0.borrow().get(&request.partition).cloned();
        request.session = Some(Box::new(seen.unwrap_or_default()));
    }

    /// The session has seen what an answer says.
    pub fn learn(&self, partition: PartitionId, answer: &Answer) {
        let seen = match answer {
            Answer::Found(found) => &found.seen,
            Answer::Written(written) => &written.seen,
            _ => &None,
        };
        if let Some(seen) = seen {
            self.0.borrow_mut().entry(partition).or_default().union(seen);
        }
    }

    /// Asks the replicas for somebody who may keep a session; the question is on its way before the answer is waited for.
    pub fn ask(seen: Option<&Self>, node: &Node, mut request: Request) -> impl Future<Output = Answer> + use<> {
        let (seen, partition) = (seen.cloned(), request.partition);
        seen.iter().for_each(|seen| seen.demand(&mut request));
        let answer = node.ask(request);
        async move {
            let answer = answer.await;
            seen.iter().for_each(|seen| seen.learn(partition, &answer));
            answer
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// Why there is none: it would be too long.
    pub fn to_text(&self) -> Result<String, String> {
        let mut carried = Carried::default();
        let mut numbers = BTreeMap::new();
        for (partition, context) in self.0.borrow().iter() {
            let runs = context.runs().map(|(actor, run)| {
                let number = *numbers.entry(*actor).or_insert_with(|| {
                    carried.actors.push(*actor);
                    carried.actors.len() as u32 - 1
                });
                (number, run.first, run.last)
            });
            let runs = runs.collect();
            carried.partitions.push((partition.number(), runs));
        }
        // Writing into memory does not fail for such types.
        let body = postcard::to_allocvec(&carried).unwrap_or_default();
        let bytes = [&[VERSION][..], &crc32fast::hash(&body).to_le_bytes(), &body].concat();
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() > TEXT_BYTES {
            return Err(format!(
                "what this session has seen takes {} bytes, over {TEXT_BYTES}: begin another",
                text.len()
            ));
        }
        Ok(text)
    }

    /// The session has also seen what a text says.
    ///
    /// # Errors
    /// Why the text is refused: nothing of it was taken.
    pub fn join_text(&self, text: &[u8]) -> Result<(), String> {
        if text.len() > TEXT_BYTES {
            return Err(format!("a session of {} bytes is over the limit of {TEXT_BYTES}", text.len()));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "this is no base64url text")?;
        let (head, body) = bytes.split_at_checked(5).ok_or("the session is cut off")?;
        if head[0] != VERSION {
            return Err(format!("the session is of version {}, this node knows {VERSION}", head[0]));
        }
        if head[1..] != crc32fast::hash(body).to_le_bytes() {
            return Err("the session is damaged: its checksum is wrong".to_owned());
        }
        let contexts = decode(body).ok_or("the session does not decode")?;
        let mut seen = self.0.borrow_mut();
        for (partition, context) in contexts {
            seen.entry(partition).or_default().union(&context);
        }
        Ok(())
    }
}

fn decode(body: &[u8]) -> Option<Vec<(PartitionId, Context)>> {
    let (carried, rest): (Carried, _) = postcard::take_from_bytes(body).ok()?;
    let context = |runs: &[CarriedRun]| {
        let mut context = Context::new();
        for (actor, first, last) in runs {
            let actor = carried.actors.get(usize::try_from(*actor).ok()?)?;
            let is_run = (1..=*last).contains(first) && *last <= MAX_COUNTER;
            context.insert_run(*actor, is_run.then_some(Run { first: *first, last: *last })?);
        }
        Some(context)
    };
    let contexts = carried.partitions.iter().map(|(number, runs)| Some((PartitionId::new(*number)?, context(runs)?)));
    contexts.collect::<Option<Vec<_>>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use replica::{Dot, Incarnation, NodeId, PARTITIONS, Written};

    use super::*;

    fn dot(node: u128, counter: u64) -> Dot {
        let node = NodeId(uuid::Uuid::from_u128(node << 64 | 7));
        Dot::new(Actor { node, incarnation: Incarnation(3) }, counter)
    }

    fn seen(partitions: u16) -> Seen {
        let seen = Seen::default();
        for partition in (0..partitions).filter_map(PartitionId::new) {
            let context: Context = [dot(1, 1), dot(1, 2), dot(1, 9), dot(2, 5_000)].into_iter().collect();
            let written = Written { seen: Some(Box::new(context)), ..Written::default() };
            seen.learn(partition, &Answer::Written(written));
        }
        seen
    }

    #[test]
    fn a_session_comes_back_from_its_text_and_is_not_long() {
        for partitions in [0, 1, PARTITIONS] {
            let before = seen(partitions);
            let text = before.to_text().unwrap();
            assert!(text.len() < 32 * 1024, "{}", text.len());
            let after = Seen::default();
            after.join_text(text.as_bytes()).unwrap();
            assert_eq!(*after.0.borrow(), *before.0.borrow());
        }
    }

    #[test]
    fn what_was_damaged_or_is_none_is_refused_and_changes_nothing() {
        let text = seen(2).to_text().unwrap();
        let into = Seen::default();
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            assert!(into.join_text(&damaged).is_err(), "{at}");
            assert!(into.join_text(&text.as_bytes()[..at]).is_err(), "{at}");
        }
        assert!(into.0.borrow().is_empty());
    }

    quickcheck::quickcheck! {
        fn any_body_is_refused_or_decodes(body: Vec<u8>) -> bool {
            decode(&body).is_none_or(|contexts| contexts.len() <= body.len())
        }
    }
}
