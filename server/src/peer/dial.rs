//! Dialling: a node keeps a connection for each lane to every other node.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use replica::{Capabilities, NodeId};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use crate::error::Error;
use crate::node::Node;
use crate::peer::frame::{encode, invalid, read};
use crate::peer::greeting::{FORM, GREETING_BYTES, Hello, MAGIC, Reply, Versions, Welcome, differences};
use crate::peer::lane::{Lane, LaneQueue, lane};
use crate::peer::{GREETING_TIME, Link, REDIAL_TIME, REFUSED_TIME, tune};
use crate::place::Place;
use crate::tls::Duplex;

/// How often it is said that a node refuses to talk.
const SAY_AGAIN_TIME: Duration = Duration::from_secs(60);
/// How long `--join` tries.
const JOIN_TIME: Duration = Duration::from_secs(10);

/// Starts a link for every node and address that is wanted.
pub(crate) async fn keep_links(mut wanted: UnboundedReceiver<(NodeId, SocketAddr)>, node: Arc<Node>, own: SocketAddr) {
    while let Some((to, address)) = wanted.recv().await {
        let mut links = node.peers.links.write().unwrap_or_else(PoisonError::into_inner);
        // An entry with this node's own address is of one that was here before it.
        if to == node.id || address == own || links.get(&to).is_some_and(|link| link.address == address) {
            continue;
        }
        // A link to an older address ends, its queues being dropped here.
        let [(requests, requests_queue), (bulk, bulk_queue)] = Lane::ALL.map(lane);
        links.insert(to, Link { address, requests, bulk });
        drop(links);
        for queue in [requests_queue, bulk_queue] {
            tokio::task::spawn_local(keep_lane(to, address, queue, Arc::clone(&node), own));
        }
    }
}

async fn keep_lane(to: NodeId, address: SocketAddr, mut queue: LaneQueue, node: Arc<Node>, own: SocketAddr) {
    let (mut refused_since, mut said_at) = (None, None::<Instant>);
    let speaks_for_link = queue.lane == Lane::Requests;
    loop {
        match dial(address, &node, own, queue.lane).await {
            Ok((stream, Met { node: other, capabilities })) if other == to => {
                refused_since = None;
                queue.set_up(Some(capabilities));
                if speaks_for_link {
                    node.with_cluster(|cluster, now, out| cluster.linked(to, now, out));
                }
                let ended = queue.pump(stream, &node.peers.counters).await;
                queue.set_up(None);
                if speaks_for_link {
                    node.with_cluster(|cluster, now, out| cluster.lost(to, now, out));
                }
                match ended {
                    Ok(()) => return,
                    Err(why) if speaks_for_link => {
                        tracing::info!("the link to {} at {address} is gone: {why}", node.view().name(to));
                    }
                    Err(_) => {}
                }
            }
            Ok((_, Met { node: other, .. })) => tracing::warn!("node {other} answers at {address}, where {to} was"),
            Err(Error::IdInUse(_, why)) if speaks_for_link => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() > REFUSED_TIME {
                    tracing::error!("refused by the node at {address}: {why}");
                    std::process::exit(1);
                }
            }
            // Whoever is there now may be gone again, or be set right.
            Err(Error::Refused(_, why))
                if speaks_for_link && said_at.is_none_or(|at| at.elapsed() > SAY_AGAIN_TIME) =>
            {
                said_at = Some(Instant::now());
                tracing::error!("the node at {address} refuses to talk to this one, and is dialled on: {why}");
            }
            Err(why) => tracing::debug!("{why}"),
        }
        if queue.is_closed() {
            return;
        }
        // Another one is at its address now, or it has been removed: nobody is dialled in vain for ever.
        if has_gone(to, &node) {
            node.peers.links.write().unwrap_or_else(PoisonError::into_inner).remove(&to);
            return;
        }
        sleep(REDIAL_TIME).await;
    }
}

/// Has the node been here, and does not count any more?
fn has_gone(node: NodeId, seen_by: &Node) -> bool {
    let members = &seen_by.view().members;
    members.nodes.contains_key(&node) && members.current().all(|(current, _)| *current != node)
}

/// Who was dialled.
struct Met {
    node: NodeId,
    capabilities: Capabilities,
}

async fn dial(address: SocketAddr, node: &Node, own: SocketAddr, lane: Lane) -> Result<(Box<dyn Duplex>, Met), Error> {
    let cluster = node.view().members.cluster;
    let greet = async {
        let stream = TcpStream::connect(address).await?;
        tune(&stream)?;
        let mut stream: Box<dyn Duplex> = match &node.peers.tls {
            Some(tls) => tls.connect(stream).await?,
            None => Box::new(stream),
        };
        let hello = Hello {
            versions: Versions::OURS,
            capabilities: Capabilities::OURS,
            cluster,
            node: node.id,
            incarnation: node.incarnation(),
            peer_address: own,
            lane,
        };
        let mut out = [MAGIC.as_slice(), &[FORM]].concat();
        out.extend(encode(&hello));
        stream.write_all(&out).await?;
        stream.flush().await?;
        let (reply, _) = read(&mut stream, GREETING_BYTES).await?;
        Ok::<_, std::io::Error>((stream, reply))
    };
    let greeted = timeout(GREETING_TIME, greet).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    match greeted.map_err(|why| Error::Join(address, why))? {
        (_, Reply::Refused(why)) => Err(Error::Refused(address, why)),
        (_, Reply::InUse(why)) => Err(Error::IdInUse(address, why)),
        (stream, Reply::Welcome(Welcome { versions, capabilities, cluster: theirs, node: other })) => {
            match differences(versions, theirs, cluster) {
                Some(why) => Err(Error::Join(address, invalid(format!("the node there cannot be talked to: {why}")))),
                None => Ok((stream, Met { node: other, capabilities })),
            }
        }
    }
}

/// Finds out who is at the place given with `--join`, and by which of its addresses he answers.
pub(crate) async fn find(place: &Place, node: &Node, own: SocketAddr) -> Result<(NodeId, SocketAddr), Error> {
    let deadline = Instant::now() + JOIN_TIME;
    let mut refused_since = None;
    loop {
        // A name may be another address by the next time.
        match find_once(place, node, own).await {
            Ok(found) => return Ok(found),
            Err(error @ (Error::Refused(..) | Error::IdInUse(..))) => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() > REFUSED_TIME {
                    return Err(error);
                }
                sleep(REDIAL_TIME).await;
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(REDIAL_TIME).await,
        }
    }
}

async fn find_once(place: &Place, node: &Node, own: SocketAddr) -> Result<(NodeId, SocketAddr), Error> {
    let unresolved = |why| Error::Unresolved(place.to_string(), why);
    let addresses = lookup_host((place.host(), place.port().unwrap_or(0))).await.map_err(unresolved)?;
    let mut last = unresolved(std::io::ErrorKind::NotFound.into());
    // Names of several nodes may be this one's as well.
    for address in addresses.filter(|address| *address != own) {
        match dial(address, node, own, Lane::Bulk).await {
            Ok((_, other)) => return Ok((other.node, address)),
            Err(why) => last = why,
        }
    }
    Err(last)
}
