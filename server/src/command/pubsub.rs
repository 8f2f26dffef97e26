//! Subscribing and publishing.

use std::sync::Arc;

use crate::command::{ALL_KEYS, ANYWHERE, Arguments, Command, IN_TURN, NO_KEYS, ONE_KEY, check_name, here};
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
    here(
        "SSUBSCRIBE",
        -2,
        &["pubsub", "pubsub-mode", IN_TURN],
        ALL_KEYS,
        "pubsub",
        "Follows channels of one slot; here they reach all nodes as others do.",
        ssubscribe,
    ),
    here(
        "SUNSUBSCRIBE",
        -1,
        &["pubsub", "pubsub-mode", IN_TURN],
        ALL_KEYS,
        "pubsub",
        "Leaves channels of a slot.",
        sunsubscribe,
    ),
    here(
        "SPUBLISH",
        3,
        &["pubsub", "fast", ANYWHERE],
        ONE_KEY,
        "pubsub",
        "Sends a message to the subscribers of a slot's channel on all nodes; says how many this node has.",
        spublish,
    ),
    here(
        "PUBSUB",
        -2,
        &["pubsub"],
        NO_KEYS,
        "pubsub",
        "CHANNELS, NUMSUB, NUMPAT, SHARDCHANNELS, SHARDNUMSUB of this node.",
        pubsub,
    ),
];

fn pubsub(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    let sub = arguments.word(1);
    let channels = node.pubsub.channels(if sub.starts_with("SHARD") { Topic::Shard } else { Topic::Channel });
    let reply = match (sub.as_str(), arguments.len()) {
        ("CHANNELS" | "SHARDCHANNELS", 2 | 3) => {
            let matches = |name: &[u8]| arguments.len() == 2 || glob::matches(arguments.get(2), name);
            Reply::array(channels.into_iter().map(|(name, _)| name).filter(|name| matches(name)))
        }
        ("NUMSUB" | "SHARDNUMSUB", _) => {
            let count = |name: &[u8]| channels.iter().find(|(other, _)| other == name).map_or(0, |(_, count)| *count);
            Reply::Array(arguments.skip(2).flat_map(|name| [Reply::copied(name), Reply::count(count(name))]).collect())
        }
        ("NUMPAT", 2) => Reply::count(node.pubsub.patterns()),
        ("CHANNELS" | "SHARDCHANNELS" | "NUMPAT", _) => {
            Reply::wrong_number_of_arguments(&format!("pubsub|{}", sub.to_ascii_lowercase()))
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

fn ssubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    join(arguments, session, node, Topic::Shard)
}

fn unsubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    leave(arguments, session, node, Topic::Channel)
}

fn punsubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    leave(arguments, session, node, Topic::Pattern)
}

fn sunsubscribe(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    leave(arguments, session, node, Topic::Shard)
}

fn join(arguments: &Arguments<'_>, session: &mut Session, node: &Node, topic: Topic) -> Step {
    let word = match topic {
        Topic::Channel => "subscribe",
        Topic::Pattern => "psubscribe",
        Topic::Shard => "ssubscribe",
    };
    if let Err(refused) = arguments.skip(1).try_for_each(|name| check_name(node, name)) {
        return refused.into();
    }
    let replies = arguments.skip(1).map(|name| {
        if session.follows.insert((topic, name.to_vec())) {
            node.pubsub.subscribe(topic, name, &session.subscriber);
        }
        note(word, topic, Reply::copied(name), session)
    });
    let replies = replies.collect();
    session.describe();
    Step::Replies(replies)
}

fn leave(arguments: &Arguments<'_>, session: &mut Session, node: &Node, topic: Topic) -> Step {
    let word = match topic {
        Topic::Channel => "unsubscribe",
        Topic::Pattern => "punsubscribe",
        Topic::Shard => "sunsubscribe",
    };
    let names: Vec<Vec<u8>> = match arguments.len() {
        1 => session.follows.iter().filter(|(of, _)| *of == topic).map(|(_, name)| name.clone()).collect(),
        _ => arguments.skip(1).map(<[u8]>::to_vec).collect(),
    };
    if names.is_empty() {
        return Step::Replies(vec![note(word, topic, Reply::Null, session)]);
    }
    let replies = names.into_iter().map(|name| {
        node.pubsub.unsubscribe(topic, &name, session.id);
        let place = (topic, name);
        session.follows.remove(&place);
        note(word, topic, Reply::bulk(place.1), session)
    });
    let replies = replies.collect();
    session.describe();
    Step::Replies(replies)
}

/// Channels and patterns are counted together, channels of slots by themselves.
fn note(word: &'static str, topic: Topic, name: Reply, session: &Session) -> Reply {
    let count = match topic {
        Topic::Shard => session.following(Topic::Shard),
        _ => session.following(Topic::Channel) + session.following(Topic::Pattern),
    };
    Reply::Push(vec![Reply::copied(word.as_bytes()), name, Reply::count(count)])
}

fn publish(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    tell(arguments, node, Topic::Channel)
}

fn spublish(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    tell(arguments, node, Topic::Shard)
}

fn tell(arguments: &Arguments<'_>, node: &Arc<Node>, topic: Topic) -> Step {
    let (channel, payload) = (arguments.get(1), arguments.get(2));
    if channel.starts_with(merges::CHANNEL) {
        return Reply::error("ERR merges are said by the nodes themselves: publish to another channel").into();
    }
    if let Err(refused) = check_name(node, channel) {
        return refused.into();
    }
    let view = node.view();
    for other in view.alive.iter().filter(|other| **other != node.id) {
        node.peers.send(*other, &PeerFrame::Publish(topic, channel.to_vec(), payload.to_vec()));
    }
    Reply::count(node.pubsub.publish(topic, channel, payload)).into()
}
