//! Subscribing and publishing.

use std::sync::Arc;

use crate::command::{Arguments, Command, NO_KEYS};
use crate::gather::Step;
use crate::node::Node;
use crate::peer::PeerFrame;
use crate::pubsub::Topic;
use crate::resp::Reply;
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "SUBSCRIBE",
        arity: -2,
        flags: &["pubsub", "pubsub-mode"],
        keys: NO_KEYS,
        group: "pubsub",
        summary: "Follows channels; __dot__:merges has the merges of this node.",
        run: subscribe,
    },
    Command {
        name: "PSUBSCRIBE",
        arity: -2,
        flags: &["pubsub", "pubsub-mode"],
        keys: NO_KEYS,
        group: "pubsub",
        summary: "Follows channels by pattern, such as __dot__:merges:user:*.",
        run: psubscribe,
    },
    Command {
        name: "UNSUBSCRIBE",
        arity: -1,
        flags: &["pubsub", "pubsub-mode"],
        keys: NO_KEYS,
        group: "pubsub",
        summary: "Leaves channels.",
        run: unsubscribe,
    },
    Command {
        name: "PUNSUBSCRIBE",
        arity: -1,
        flags: &["pubsub", "pubsub-mode"],
        keys: NO_KEYS,
        group: "pubsub",
        summary: "Leaves patterns.",
        run: punsubscribe,
    },
    Command {
        name: "PUBLISH",
        arity: 3,
        flags: &["pubsub", "fast"],
        keys: NO_KEYS,
        group: "pubsub",
        summary: "Sends a message to the channel's subscribers on all nodes; says how many this node has.",
        run: publish,
    },
];

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
    let view = node.view();
    for other in view.alive.iter().filter(|other| **other != node.id) {
        node.peers.send(*other, &PeerFrame::Publish(channel.to_vec(), payload.to_vec()));
    }
    Reply::count(node.pubsub.publish(channel, payload)).into()
}
