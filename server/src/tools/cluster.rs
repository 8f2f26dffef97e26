//! A cluster as the tools see it: its members, and where each takes clients.

use redis_protocol::resp2::types::OwnedFrame;

use crate::error::Error;
use crate::tools::client::{Address, Client, ServerOptions, items, named, number, text, words};

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where it takes clients, if it is known.
    pub(super) address: Option<Address>,
    pub(super) answers: bool,
    pub(super) is_asked: bool,
}

/// The members as one of them sees them, by name.
pub(super) fn members(client: &mut Client, asked: &ServerOptions) -> Result<Vec<Member>, Error> {
    let layout = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
    let lines = text(&client.call(&words([&b"CLUSTER"[..], b"NODES"]))?);
    let asked = asked.address()?;
    let mut members: Vec<Member> = nodes(&layout).iter().map(|node| member(node, &lines, &asked)).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

fn member(node: &OwnedFrame, lines: &str, asked: &Address) -> Member {
    let id = field(node, "id");
    // CLUSTER NODES: id host:port@peer-port flags ..
    let line = lines.lines().find(|line| !id.is_empty() && line.starts_with(&id)).unwrap_or_default();
    let mut words = line.split(' ').skip(1);
    let (address, flags) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let place = address.rsplit_once('@').map_or(address, |(place, _)| place);
    let is_asked = flags.split(',').any(|flag| flag == "myself");
    let address = match place.rsplit_once(':') {
        _ if is_asked => Some(asked.clone()),
        // It listens at every address of its machine, and nobody knows which one reaches it.
        Some(("", _)) | None => None,
        Some((host, port)) => port.parse().ok().map(|port| asked.at(host, port)),
    };
    let answers = named(node, "alive").is_some_and(|alive| number(alive) == 1);
    Member { name: field(node, "node"), address, answers, is_asked }
}

/// The nodes in an answer of DOT.LAYOUT.
pub(super) fn nodes(layout: &OwnedFrame) -> &[OwnedFrame] {
    named(layout, "nodes").map_or(&[], items)
}

/// What an answer says under a name, as text.
pub(super) fn field(of: &OwnedFrame, name: &str) -> String {
    named(of, name).map(text).unwrap_or_default()
}
