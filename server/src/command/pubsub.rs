//! Subscribing and publishing.

use std::sync::Arc;

use crate::command::{ANYWHERE, Arguments, Command, IN_TURN, NO_KEYS, here};
use crate::gather::Step;
use crate::glob;
use crate::merges;
use crate::node::Node;
use crate::peer::PeerFrame;
use crate::pubsub::Topic;
use crate::resp::Reply;
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    here(
        "SUBSCRIBE",
        -2,
        &["pubsub", "pubsub-mode", IN_TURN],
        NO_KEYS,
        "pubsub",
        "Follows channels; __dot__:merges has the merges of this node.",
        subscribe,
    ),
    here(
        "PSUBSCRIBE",
        -2,
        &["pubsub", "pubsub-mode", IN_TURN],
        NO_KEYS,
        "pubsub",
        "Follows channels by pattern, such as __dot__:merges:user:*.",
        psubscribe,
    ),
    here("UNSUBSCRIBE", -1, &["pubsub", "pubsub-mode", IN_TURN], NO_KEYS, "pubsub", "Leaves channels.", unsubscribe),
    here("PUNSUBSCRIBE", -1, &["pubsub", "pubsub-mode", IN_TURN], NO_KEYS, "pubsub", "Leaves patterns.", punsubscribe),
    here(
        "PUBLISH",
        3,
        &["pubsub", "fast", ANYWHERE],
        NO_KEYS,
        "pubsub",
        "Sends a message to the channel's subscribers on all nodes; says how many this node has.",
        publish,
    ),
    here("PUBSUB", -2, &["pubsub"], NO_KEYS, "pubsub", "CHANNELS, NUMSUB, NUMPAT of this node.", pubsub),
];

fn pubsub(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    let channels = node.pubsub.channels();
    let reply = match (arguments.word(1).as_str(), arguments.len()) {
        ("CHANNELS", 2 | 3) => {
            let matches = |name: &[u8]| arguments.len() == 2 || glob::matches(arguments.get(2), name);
            Reply::array(channels.into_iter().map(|(name, _)| name).filter(|name| matches(name)))
        }
        ("NUMSUB", _) => {
            let count = |name: &[u8]| channels.iter().find(|(other, _)| other == name).map_or(0, |(_, count)| *count);
            Reply::Array(arguments.skip(2).flat_map(|name| [Reply::copied(name), Reply::count(count(name))]).collect())
        }
        ("NUMPAT", 2) => Reply::count(node.pubsub.patterns()),
        ("SHARDCHANNELS", _) => Reply::Array(Vec::new()),
        ("CHANNELS" | "NUMPAT", _) => {
            Reply::wrong_number_of_arguments(&format!("pubsub|{}", arguments.text(1).to_ascii_lowercase()))
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try PUBSUB HELP.", arguments.text(1))),
    };
    reply.into()
}

fn subscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    join(arguments, session, node, Topic::Channel)
}

fn psubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    join(arguments, session, node, Topic::Pattern)
}

fn unsubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    leave(arguments, session, node, Topic::Channel)
}

fn punsubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    leave(arguments, session, node, Topic::Pattern)
}

fn join(arguments: &Arguments<'_>, session: &mut Session, node: &Node, topic: Topic) -> Step {
    let word = if topic == Topic::Channel { "subscribe" } else { "psubscribe" };
    let replies = arguments.skip(1).map(|name| {
        let followed = if topic == Topic::Channel { &mut session.channels } else { &mut session.patterns };
        if followed.insert(name.to_vec()) {
            node.pubsub.subscribe(topic, name, &session.subscriber);
        }
        note(word, Reply::copied(name), session)
    });
    Step::Replies(replies.collect())
}

fn leave(arguments: &Arguments<'_>, session: &mut Session, node: &Node, topic: Topic) -> Step {
    let word = if topic == Topic::Channel { "unsubscribe" } else { "punsubscribe" };
    let followed = if topic == Topic::Channel { &session.channels } else { &session.patterns };
    let names: Vec<Vec<u8>> = match arguments.len() {
        1 => followed.iter().cloned().collect(),
        _ => arguments.skip(1).map(<[u8]>::to_vec).collect(),
    };
    if names.is_empty() {
        return Step::Replies(vec![note(word, Reply::Null, session)]);
    }
    let replies = names.into_iter().map(|name| {
        let followed = if topic == Topic::Channel { &mut session.channels } else { &mut session.patterns };
        followed.remove(&name);
        node.pubsub.unsubscribe(topic, &name, session.id);
        note(word, Reply::bulk(name), session)
    });
    Step::Replies(replies.collect())
}

fn note(word: &'static str, name: Reply, session: &Session) -> Reply {
    Reply::Push(vec![Reply::copied(word.as_bytes()), name, Reply::count(session.subscriptions())])
}

fn publish(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    let (channel, payload) = (arguments.get(1), arguments.get(2));
    if channel.starts_with(merges::CHANNEL) {
        return Reply::error("ERR merges are said by the nodes themselves: publish to another channel").into();
    }
    let view = node.view();
    for other in view.alive.iter().filter(|other| **other != node.id) {
        node.peers.send(*other, &PeerFrame::Publish(channel.to_vec(), payload.to_vec()));
    }
    Reply::count(node.pubsub.publish(channel, payload)).into()
}
