//! Listening: what other nodes say comes in on the connections that they have dialled. Nothing that arrives is believed before
//! its frame's sum is right, and nobody is heard who is not of this cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use replica::{Capabilities, Objection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::peer::frame::{FRAME_BYTES, PeerFrame, encode, invalid, read};
use crate::peer::greeting::{FORM, GREETING_BYTES, Hello, MAGIC, Reply, Versions, Welcome, differences};
use crate::peer::lane::Lane;
use crate::peer::{GREETING_TIME, REDIAL_TIME, apply_faults, tune};
use crate::tls::Duplex;
use crate::worker;

/// A peer that talks is noted as alive once in so many milliseconds.
const NOTE_ALIVE_MS: u64 = 100;
/// So many strangers may be greeting at once; more are turned away.
const STRANGERS: usize = 256;

/// Takes the connections of other nodes.
pub(crate) async fn accept(listener: TcpListener, node: Arc<Node>) {
    let doors = Arc::new(tokio::sync::Semaphore::new(STRANGERS));
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let Ok(door) = Arc::clone(&doors).try_acquire_owned() else {
                    node.peers.counters.refused();
                    continue;
                };
                let node = Arc::clone(&node);
                tokio::task::spawn_local(async move {
                    let met = timeout(GREETING_TIME, meet(stream, &node)).await;
                    drop(door);
                    match met.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                        Ok((stream, hello)) => hear(stream, hello, &node).await,
                        Err(why) => {
                            node.peers.counters.refused();
                            tracing::warn!("a connection from {from} at the peer port was refused: {why}");
                        }
                    }
                });
            }
            Err(why) => {
                tracing::warn!("a peer connection could not be accepted: {why}");
                sleep(REDIAL_TIME).await;
            }
        }
    }
}

/// Greets whoever has dialled.
async fn meet(stream: TcpStream, node: &Node) -> std::io::Result<(Box<dyn Duplex>, Hello)> {
    let from = stream.peer_addr()?.ip();
    tune(&stream)?;
    let mut stream: Box<dyn Duplex> = match &node.peers.tls {
        Some(tls) => tls.accept(stream).await?,
        None => Box::new(stream),
    };
    let hello = read_hello(&mut stream).await?;
    let is_known = node.peers.tls.as_ref().is_some_and(|tls| tls.is_mutual) || node.options.unprotected;
    let stranger = (!is_known && !from.to_canonical().is_loopback()).then(|| {
        "this node takes other machines only by --peer-tls-cert with certificates, or if started with --unprotected"
            .to_owned()
    });
    let cluster = node.view().members.cluster;
    let refused = stranger
        .or_else(|| differences(hello.versions, hello.cluster, cluster))
        .or_else(|| nowhere(own_address(node)?, hello.peer_address));
    let in_use = objection(node, &hello).filter(|_| refused.is_none());
    let why = refused.clone().or_else(|| in_use.clone());
    let reply = match (refused, in_use) {
        (Some(why), _) => Reply::Refused(why),
        (None, Some(why)) => Reply::InUse(why),
        (None, None) => Reply::Welcome(Welcome {
            versions: Versions::OURS,
            capabilities: Capabilities::OURS,
            cluster,
            node: node.id,
        }),
    };
    stream.write_all(&encode(&reply)).await?;
    stream.flush().await?;
    match why {
        Some(why) => {
            // Whether it is heard or not, the connection ends.
            let _ = stream.shutdown().await;
            Err(invalid(format!("node {} at {}: {why}", hello.node, hello.peer_address)))
        }
        None => Ok((stream, hello)),
    }
}

async fn read_hello(stream: &mut Box<dyn Duplex>) -> std::io::Result<Hello> {
    let mut head = [0; MAGIC.len() + 1];
    stream.read_exact(&mut head).await?;
    match head.split_last() {
        Some((form, magic)) if magic == MAGIC && *form == FORM => Ok(read(stream, GREETING_BYTES).await?.0),
        Some((form, magic)) if magic == MAGIC => Err(invalid(format!(
            "it greets in form {form}, this node in form {FORM}: nodes of releases that far apart cannot talk"
        ))),
        _ => Err(invalid("it does not speak the peer protocol")),
    }
}

async fn hear(stream: Box<dyn Duplex>, hello: Hello, node: &Arc<Node>) {
    let connection = node.peers.next_number();
    if let Err(why) = listen_to(stream, node, &hello, connection).await {
        if why.kind() == std::io::ErrorKind::InvalidData {
            node.peers.counters.broken();
            tracing::warn!("the connection of {} ended: {why}", node.view().name(hello.node));
        } else {
            tracing::debug!("the connection of {} ended: {why}", node.view().name(hello.node));
        }
    }
    // One that has said nothing was only a greeting.
    if node.peers.with_callers(|callers| callers.ended(hello.node, connection)) {
        node.with_cluster(|cluster, now, out| cluster.lost(hello.node, now, out));
    }
}

async fn listen_to(stream: Box<dyn Duplex>, node: &Arc<Node>, hello: &Hello, connection: u64) -> std::io::Result<()> {
    let from = hello.node;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut noted_at_ms = 0;
    loop {
        let (frame, bytes) = read(&mut stream, FRAME_BYTES).await?;
        let cut = node.peers.is_cut_from(from);
        let now_ms = node.now_ms();
        let is_noted = !cut && now_ms >= noted_at_ms + NOTE_ALIVE_MS;
        if is_noted {
            noted_at_ms = now_ms;
            note(node, hello, connection, now_ms)?;
        }
        match frame {
            PeerFrame::Faults(ticket, faults) => {
                if node.options.faults {
                    apply_faults(node, faults);
                    node.peers.send_at_once(from, &PeerFrame::FaultsSet(ticket));
                }
                continue;
            }
            PeerFrame::FaultsSet(ticket) => {
                node.peers.with_faults_set(|set| {
                    set.entry(ticket).and_modify(|set| *set += 1);
                });
                continue;
            }
            _ if cut => continue,
            PeerFrame::Core(message) => worker::deliver(node, from, *message, bytes).await,
            PeerFrame::Gossip(gossip) => node.with_cluster(|cluster, now, out| cluster.receive(from, gossip, now, out)),
            PeerFrame::Publish(topic, channel, payload) => drop(node.pubsub.publish(topic, &channel, &payload)),
        }
        if is_noted {
            node.with_cluster(|cluster, now, out| cluster.heard(from, now, out));
        }
    }
}

/// Notes that a node talks, unless another has its id by now.
fn note(node: &Node, hello: &Hello, connection: u64, now_ms: u64) -> std::io::Result<()> {
    let objection = node.peers.with_callers(|callers| match hello.lane {
        Lane::Requests => callers.hear(hello.node, hello.peer_address, connection, now_ms).err(),
        Lane::Bulk => callers.objection(hello.node, hello.peer_address, now_ms),
    });
    match objection {
        Some(why) => Err(invalid(in_words(why, hello))),
        None => {
            node.peers.follow(hello.node, hello.peer_address);
            Ok(())
        }
    }
}

/// Where this node tells others to reach it.
fn own_address(node: &Node) -> Option<SocketAddr> {
    node.view().members.nodes.get(&node.id).map(|member| member.peer_address)
}

/// Why two nodes of which one is told of at no address cannot be in one cluster: a third one would not find it.
fn nowhere(ours: SocketAddr, theirs: SocketAddr) -> Option<String> {
    if ours.ip().is_unspecified() {
        return Some(format!(
            "this node tells others to reach it at {ours}, which is no address: start it with --advertise HOST, where they can"
        ));
    }
    theirs.ip().is_unspecified().then(|| {
        format!("it tells others to reach it at {theirs}, which is no address: start it with --advertise HOST, where they can")
    })
}

/// Why a node must not be let in.
fn objection(node: &Node, hello: &Hello) -> Option<String> {
    let now_ms = node.now_ms();
    node.peers
        .with_callers(|callers| callers.objection(hello.node, hello.peer_address, now_ms))
        .map(|objection| in_words(objection, hello))
}

fn in_words(objection: Objection, hello: &Hello) -> String {
    match objection {
        Objection::Mine => format!(
            "its node id {} is this node's own: a copied data directory must not run beside the original",
            hello.node
        ),
        Objection::InUse(address) => format!(
            "node id {} is in use at {address}: a copied data directory must not run beside the original; start this node with an empty one",
            hello.node
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::nowhere;

    #[test]
    fn a_node_that_is_told_of_at_no_address_meets_nobody() {
        let address = |text: &str| text.parse().expect("an address");
        let well = address("10.0.0.1:17001");
        assert_eq!(nowhere(well, address("[::1]:1")), None);
        for none in ["0.0.0.0:17001", "[::]:17001"].map(address) {
            let why = nowhere(none, well).expect("others could not reach it");
            assert!(why.starts_with(&format!("this node tells others to reach it at {none}")), "{why}");
            let why = nowhere(well, none).expect("others could not reach it");
            assert!(why.starts_with("it tells") && why.contains("--advertise HOST"), "{why}");
        }
    }
}
