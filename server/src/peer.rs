//! Links between nodes: each node dials every other and sends on those connections; what it hears comes in on the ones the
//! others dialled.

mod counters;
mod dial;
mod frame;
mod greeting;
mod lane;
mod listen;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use replica::{Callers, NodeId, REFUSED_MS, SILENCE_MS};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

use crate::fault::Faults;
use crate::node::Node;
use crate::tls::PeerTls;
pub use counters::Counters;
pub(crate) use dial::{find, keep_links};
pub use frame::PeerFrame;
use frame::{FRAME_BYTES, encode};
pub use greeting::{Hello, Reply, Versions, Welcome};
pub use lane::Lane;
use lane::LaneSender;
pub(crate) use listen::accept;
pub use replica::Capabilities;

const GREETING_TIME: Duration = Duration::from_secs(2);
const REDIAL_TIME: Duration = Duration::from_millis(200);
/// How long a node is refused before it believes it.
const REFUSED_TIME: Duration = Duration::from_millis(REFUSED_MS);

/// After how long a silence of its system a peer's connection is given up: one that has lost its power says nothing, and what was sent to
/// it would be sent again and again, for minutes.
const VANISHED_TIME: Duration = Duration::from_millis(4 * SILENCE_MS);

/// Sets what all connections between nodes have in common.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let quarter = VANISHED_TIME / 4;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(quarter).with_interval(quarter))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(VANISHED_TIME))?;
    Ok(())
}

struct Link {
    address: SocketAddr,
    requests: LaneSender,
    bulk: LaneSender,
}

impl Link {
    fn lane(&self, lane: Lane) -> &LaneSender {
        match lane {
            Lane::Requests => &self.requests,
            Lane::Bulk => &self.bulk,
        }
    }
}

/// What a node is sent that can do this: the frame as it is, another in its place, or nothing.
fn understood(frame: &PeerFrame, theirs: Capabilities) -> Option<Cow<'_, PeerFrame>> {
    match frame {
        PeerFrame::Core(message) => message.understood(theirs).map(|understood| match understood {
            Cow::Borrowed(_) => Cow::Borrowed(frame),
            Cow::Owned(other) => Cow::Owned(PeerFrame::Core(Box::new(other))),
        }),
        PeerFrame::Gossip(gossip) => gossip.is_understood(theirs).then_some(Cow::Borrowed(frame)),
        _ => Some(Cow::Borrowed(frame)),
    }
}

/// The links of a node.
pub struct Peers {
    me: NodeId,
    tls: Option<PeerTls>,
    /// What was refused and dropped.
    pub counters: Counters,
    links: RwLock<HashMap<NodeId, Link>>,
    callers: Mutex<Callers>,
    wanted: UnboundedSender<(NodeId, SocketAddr)>,
    faults: RwLock<Faults>,
    faults_set: Mutex<HashMap<u64, usize>>,
    chance: AtomicU64,
}

impl Peers {
    pub(crate) fn new(me: NodeId, tls: Option<PeerTls>, wanted: UnboundedSender<(NodeId, SocketAddr)>) -> Self {
        Self {
            me,
            tls,
            counters: Counters::default(),
            links: RwLock::default(),
            callers: Mutex::new(Callers::new(me)),
            wanted,
            faults: RwLock::default(),
            faults_set: Mutex::default(),
            chance: AtomicU64::new(1),
        }
    }

    /// Keeps a link to a node at an address - but if it talks, at the one where it says that it listens.
    pub(crate) fn connect(&self, node: NodeId, address: SocketAddr, now_ms: u64) {
        let address = self.with_callers(|callers| callers.address(node, now_ms)).unwrap_or(address);
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if links.get(&node).is_none_or(|link| link.address != address) {
            let _ = self.wanted.send((node, address));
        }
    }

    /// A node talks that listens at this address: what is meant for it goes there from now on.
    fn follow(&self, node: NodeId, address: SocketAddr) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if links.get(&node).is_some_and(|link| link.address != address) {
            let _ = self.wanted.send((node, address));
        }
    }

    /// Sends a frame if there is a link and no fault forbids it; else it is lost, as on any network.
    pub fn send(&self, to: NodeId, frame: &PeerFrame) {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        if faults.separate(self.me, to) || self.is_dropped(faults.drop_percent) {
            return;
        }
        self.enqueue(to, frame, Duration::from_millis(faults.delay_ms.into()));
    }

    /// Sends a frame whatever faults are in force.
    fn send_at_once(&self, to: NodeId, frame: &PeerFrame) {
        self.enqueue(to, frame, Duration::ZERO);
    }

    fn is_dropped(&self, percent: u8) -> bool {
        // Which ones are lost does not matter; a cheap sequence will do.
        percent > 0
            && self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) >> 32 & 0xffff < u64::from(percent) * 655
    }

    fn enqueue(&self, to: NodeId, frame: &PeerFrame, delay: Duration) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let Some(link) = links.get(&to) else { return };
        // Without a link nobody knows what the other can do, and nothing is sent.
        let Some(understood) = understood(frame, link.requests.capabilities()) else { return };
        let bytes = encode(&*understood);
        let len = bytes.len();
        if len > FRAME_BYTES {
            // It would cost the link, again and again.
            return tracing::error!(
                "a message of {len} bytes to {to} is over the limit of {FRAME_BYTES} and was not sent"
            );
        }
        if !link.lane(Lane::of(frame, len)).send(bytes, delay) {
            self.counters.dropped_full();
        }
    }

    /// Sends a frame to every node there is a link to, whatever faults are in force; says how many.
    pub(crate) fn send_all(&self, frame: &PeerFrame) -> usize {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let nodes: Vec<NodeId> = links.keys().copied().collect();
        drop(links);
        nodes.iter().for_each(|node| self.send_at_once(*node, frame));
        nodes.len()
    }

    /// How many bytes wait for other nodes, in all queues.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.values().map(|link| link.requests.queued_bytes() + link.bulk.queued_bytes()).sum()
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does a fault forbid to hear this node?
    fn is_cut_from(&self, other: NodeId) -> bool {
        self.faults.read().unwrap_or_else(PoisonError::into_inner).separate(self.me, other)
    }

    /// A number nobody else has.
    fn next_number(&self) -> u64 {
        self.chance.fetch_add(1, Ordering::Relaxed)
    }

    fn with_callers<R>(&self, work: impl FnOnce(&mut Callers) -> R) -> R {
        work(&mut self.callers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_faults_set<R>(&self, work: impl FnOnce(&mut HashMap<u64, usize>) -> R) -> R {
        work(&mut self.faults_set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts faults in force on every node that can be reached, and waits until they are.
pub async fn set_faults(node: Arc<Node>, faults: Faults) -> usize {
    let ticket = node.peers.next_number();
    node.peers.with_faults_set(|set| set.insert(ticket, 0));
    let asked = node.peers.send_all(&PeerFrame::Faults(ticket, faults.clone()));
    apply_faults(&node, faults);
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut set = 0;
    while set < asked && Instant::now() < deadline {
        sleep(Duration::from_millis(2)).await;
        set = node.peers.with_faults_set(|set| set.get(&ticket).copied().unwrap_or(0));
    }
    node.peers.with_faults_set(|set| set.remove(&ticket));
    set + 1
}

fn apply_faults(node: &Arc<Node>, faults: Faults) {
    let cut: Vec<NodeId> =
        node.view().members.nodes.keys().copied().filter(|other| faults.separate(node.id, *other)).collect();
    *node.peers.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    // A cut link is noticed at once, as a closed connection would be.
    node.with_cluster(|cluster, now, out| cut.iter().for_each(|other| cluster.lost(*other, now, out)));
}
