//! HyperLogLog: about how many different things; one cell, whose siblings are joined by the greatest of each register.

use std::sync::Arc;

use crdt::{Hll, Lattice as _, reading};
use replica::{Answer, CellId, CellKind, Found, Keys, Operation, Read};

use crate::command::refusal::{Done, Refused, first_refusal};
use crate::command::requests::{Asker, call_at, request};
use crate::command::strings::replace;
use crate::command::values::of_kind;
use crate::command::{ALL_KEYS, Arguments, Command, ONE_KEY, READ, WRITE_FAST, WRITE_IN_TURN, check_name, here, there};
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::Call;
use crate::resp::Reply;
use crate::session::Session;

const GROUP: &str = "hyperloglog";
/// What the value of such a key begins with.
const MAGIC: &[u8] = b"HYLLdot1";

pub(super) static COMMANDS: &[Command] = &[
    there("PFADD", -2, WRITE_FAST, ONE_KEY, GROUP, "Adds things; what is added at once is all counted.", pfadd),
    here("PFCOUNT", -2, READ, ALL_KEYS, GROUP, "About how many different things there are in all keys.", pfcount),
    here("PFMERGE", -2, WRITE_IN_TURN, ALL_KEYS, GROUP, "Joins keys into the first; reads, then writes.", pfmerge),
    there("DOT.PFJOIN", 3, &["write", "denyoom", "hidden"], ONE_KEY, GROUP, "Joins registers into a key.", join),
];

fn not_one() -> Refused {
    Reply::error("WRONGTYPE Key is not a valid HyperLogLog string value.").into()
}

fn parse(bytes: &[u8]) -> Result<Hll, Refused> {
    let body = bytes.strip_prefix(MAGIC).ok_or_else(not_one)?;
    postcard::from_bytes(body).map_err(|_| not_one())
}

fn to_bytes(hll: &Hll) -> Vec<u8> {
    // Writing into memory does not fail for such types.
    [MAGIC, &postcard::to_allocvec(hll).unwrap_or_default()].concat()
}

/// All siblings as one, and whether there are several.
fn joined(found: &Found) -> Result<Option<(Hll, bool)>, Refused> {
    let Some(cell) = found.cell(&CellId::value()) else { return Ok(None) };
    let siblings = reading::siblings(&cell.live);
    let mut all: Option<Hll> = None;
    for sibling in &siblings {
        let one = parse(&sibling.value)?;
        all.get_or_insert_default().join(&one);
    }
    Ok(all.map(|all| (all, siblings.len() > 1)))
}

fn value_of(keys: &Keys<'_, '_>, key: &[u8]) -> Result<Option<(Hll, bool)>, Refused> {
    joined(&of_kind(keys, key, CellKind::Value, &Read::Cells(vec![CellId::value()]))?)
}

fn pfadd(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let before = value_of(keys, arguments.get(1))?;
    let mut changes = before.is_none();
    let (mut hll, has_siblings) = before.unwrap_or_default();
    for thing in arguments.skip(2) {
        changes |= hll.add(thing).is_some();
    }
    if changes || has_siblings {
        replace(keys, arguments.get(1), to_bytes(&hll), node)?;
    }
    Ok(Reply::Integer(changes.into()))
}

/// Reads all keys, and goes on with what they are together.
fn together(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
    then: impl FnOnce(Hll) -> Step + 'static,
) -> Step {
    if let Some(refused) = arguments.skip(1).find_map(|key| check_name(node, key).err()) {
        return refused.into();
    }
    let ask = |key| request(session, node, key, Operation::Read(Read::Cells(vec![CellId::value()])));
    let requests = arguments.skip(1).map(ask).collect();
    Step::Ask(
        requests,
        Box::new(move |answers, node| {
            if let Some(refused) = first_refusal(&answers, node) {
                return refused.into();
            }
            let mut all = Hll::default();
            for answer in &answers {
                let Answer::Found(found) = answer else { continue };
                if found.kind.is_some_and(|kind| kind != CellKind::Value) {
                    return Reply::wrong_type().into();
                }
                match joined(found) {
                    Ok(one) => one.into_iter().for_each(|(one, _)| all.join(&one)),
                    Err(refused) => return refused.at_once(node),
                }
            }
            then(all)
        }),
    )
}

fn pfcount(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    together(arguments, session, node, |all| Reply::Integer(all.estimate() as i64).into())
}

fn pfmerge(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (to, asker, keeper) = (arguments.get(1).to_vec(), Asker::of(session), Arc::clone(node));
    together(arguments, session, node, move |all| {
        let put = [b"DOT.PFJOIN".to_vec(), to.clone(), to_bytes(&all)].map(replica::ByteString);
        call_at(&to, &Call::Command(put.into()), &asker, &keeper)
    })
}

/// What PFMERGE does at its destination: joined with what is there, that nothing added meanwhile is lost.
fn join(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (mut hll, _) = value_of(keys, arguments.get(1))?.unwrap_or_default();
    hll.join(&parse(arguments.get(2))?);
    replace(keys, arguments.get(1), to_bytes(&hll), node)?;
    Ok(Reply::ok())
}
