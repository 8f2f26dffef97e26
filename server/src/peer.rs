//! Links between nodes: each node dials every other and sends on that connection; what it hears comes in on the
//! ones the others dialled.
//!
//! ```text
//! dialler: "DOTTED" version:1 | frame(Hello)      listener: frame(Welcome) or frame(Refused), then it only reads
//! frame = length:u32 little-endian | postcard(PeerFrame)
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use replica::{Gossip, Incarnation, Message, NodeId, SILENCE_MS};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::error::Error;
use crate::fault::Faults;
use crate::node::Node;
use crate::pubsub::Topic;
use crate::worker;

const MAGIC: &[u8; 6] = b"DOTTED";
const VERSION: u8 = 8;
/// The greatest frame: a key's state, or a batch of anti-entropy with one greatest value in it.
const FRAME_BYTES: usize = 256 * 1024 * 1024;
/// How many frames wait for a slow or absent peer; further ones are dropped, and anti-entropy makes up for them.
const QUEUE_FRAMES: usize = 65_536;
/// The same in bytes.
const QUEUE_BYTES: usize = 256 * 1024 * 1024;
/// A frame that greets is small.
const GREETING_BYTES: usize = 4_096;
const GREETING_TIME: Duration = Duration::from_secs(2);
const REDIAL_TIME: Duration = Duration::from_millis(200);
/// How long a node is refused before it believes it: the end of its own last run may not have been noticed yet.
const REFUSED_TIME: Duration = Duration::from_millis(3 * SILENCE_MS);
/// How long `--join` tries.
const JOIN_TIME: Duration = Duration::from_secs(10);
/// A peer that talks is noted as alive once in so many milliseconds.
const NOTE_ALIVE_MS: u64 = 100;

/// What nodes send each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerFrame {
    /// Who dials.
    Hello(Hello),
    /// Who was dialled.
    Welcome(NodeId),
    /// Why not.
    Refused(String),
    /// For the replica core.
    Core(Box<Message>),
    /// For the membership machine.
    Gossip(Gossip),
    /// A published message.
    Publish(Topic, Vec<u8>, Vec<u8>),
    /// These faults are in force from now on; say when they are.
    Faults(u64, Faults),
    /// They are.
    FaultsSet(u64),
}

/// How a node presents itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Its id.
    pub node: NodeId,
    /// Its run.
    pub incarnation: Incarnation,
    /// Where it listens for peers.
    pub peer_address: SocketAddr,
}

struct Link {
    queue: Sender<(Instant, Vec<u8>)>,
    queued_bytes: Arc<AtomicUsize>,
    /// Is there a connection? Without one, what is sent is lost at once rather than later.
    is_up: Arc<AtomicBool>,
    address: SocketAddr,
}

/// The receiving end of a link's queue.
struct Frames {
    queue: Receiver<(Instant, Vec<u8>)>,
    queued_bytes: Arc<AtomicUsize>,
    is_up: Arc<AtomicBool>,
}

impl Frames {
    fn clear(&mut self) {
        while let Ok((_, frame)) = self.queue.try_recv() {
            self.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        }
    }
}

struct Caller {
    /// Which connection it is: one that ends late does not speak for the one that has taken its place.
    connection: u64,
    address: SocketAddr,
    heard_at_ms: u64,
}

/// The links of a node.
pub struct Peers {
    me: NodeId,
    links: RwLock<HashMap<NodeId, Link>>,
    callers: Mutex<HashMap<NodeId, Caller>>,
    wanted: UnboundedSender<(NodeId, SocketAddr)>,
    faults: RwLock<Faults>,
    faults_set: Mutex<HashMap<u64, usize>>,
    chance: AtomicU64,
}

impl Peers {
    pub(crate) fn new(me: NodeId, wanted: UnboundedSender<(NodeId, SocketAddr)>) -> Self {
        Self {
            me,
            links: RwLock::default(),
            callers: Mutex::default(),
            wanted,
            faults: RwLock::default(),
            faults_set: Mutex::default(),
            chance: AtomicU64::new(1),
        }
    }

    /// Keeps a link to a node at an address.
    pub(crate) fn connect(&self, node: NodeId, address: SocketAddr) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if links.get(&node).is_none_or(|link| link.address != address) {
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

    fn is_dropped(&self, percent: u8) -> bool {
        // Which ones are lost does not matter; a cheap sequence will do.
        percent > 0
            && self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) >> 32 & 0xffff < u64::from(percent) * 655
    }

    fn enqueue(&self, to: NodeId, frame: &PeerFrame, delay: Duration) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let Some(link) = links.get(&to) else { return };
        if !link.is_up.load(Ordering::Relaxed) {
            return;
        }
        let bytes = encode(frame);
        let len = bytes.len();
        if len > FRAME_BYTES {
            // It would cost the link, again and again.
            return tracing::error!(
                "a message of {len} bytes to {to} is over the limit of {FRAME_BYTES} and was not sent"
            );
        }
        if link.queued_bytes.load(Ordering::Relaxed) + len <= QUEUE_BYTES {
            link.queued_bytes.fetch_add(len, Ordering::Relaxed);
            if link.queue.try_send((Instant::now() + delay, bytes)).is_err() {
                link.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            }
        }
    }

    /// Sends a frame to every node there is a link to, whatever faults are in force; says how many.
    pub(crate) fn send_all(&self, frame: &PeerFrame) -> usize {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let nodes: Vec<NodeId> = links.keys().copied().collect();
        drop(links);
        nodes.iter().for_each(|node| self.enqueue(*node, frame, Duration::ZERO));
        nodes.len()
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with_callers<R>(&self, work: impl FnOnce(&mut HashMap<NodeId, Caller>) -> R) -> R {
        work(&mut self.callers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_faults_set<R>(&self, work: impl FnOnce(&mut HashMap<u64, usize>) -> R) -> R {
        work(&mut self.faults_set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts faults in force on every node that can be reached, and waits until they are.
pub async fn set_faults(node: Arc<Node>, faults: Faults) -> usize {
    let ticket = node.peers.chance.fetch_add(1, Ordering::Relaxed);
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

// Dialling

/// Starts a link for every node and address that is wanted.
pub(crate) async fn keep_links(mut wanted: UnboundedReceiver<(NodeId, SocketAddr)>, node: Arc<Node>, own: SocketAddr) {
    while let Some((to, address)) = wanted.recv().await {
        let (queue, frames) = channel(QUEUE_FRAMES);
        let mut links = node.peers.links.write().unwrap_or_else(PoisonError::into_inner);
        // An entry with this node's own address is of one that was here before it.
        if to == node.id || address == own || links.get(&to).is_some_and(|link| link.address == address) {
            continue;
        }
        // A link to an older address ends, its queue being dropped here.
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let is_up = Arc::new(AtomicBool::new(false));
        links.insert(to, Link { queue, queued_bytes: Arc::clone(&queued_bytes), is_up: Arc::clone(&is_up), address });
        drop(links);
        let frames = Frames { queue: frames, queued_bytes, is_up };
        tokio::task::spawn_local(keep_link(to, address, frames, Arc::clone(&node), own));
    }
}

async fn keep_link(to: NodeId, address: SocketAddr, mut frames: Frames, node: Arc<Node>, own: SocketAddr) {
    let mut refused_since = None;
    loop {
        match dial(address, &node, own).await {
            Ok((stream, other)) if other == to => {
                refused_since = None;
                frames.clear(); // what waited for the link is out of date by now
                frames.is_up.store(true, Ordering::Relaxed);
                node.with_cluster(|cluster, now, out| cluster.linked(to, now, out));
                let ended = pump(stream, &mut frames).await;
                frames.is_up.store(false, Ordering::Relaxed);
                node.with_cluster(|cluster, now, out| cluster.lost(to, now, out));
                match ended {
                    Ok(()) => return,
                    Err(why) => tracing::info!("the link to {} at {address} is gone: {why}", node.view().name(to)),
                }
            }
            Ok((_, other)) => tracing::warn!("node {other} answers at {address}, where {to} was"),
            Err(Error::Refused(_, why)) => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() > REFUSED_TIME {
                    tracing::error!("refused by the node at {address}: {why}");
                    std::process::exit(1);
                }
            }
            Err(why) => tracing::debug!("{why}"),
        }
        if frames.queue.is_closed() {
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

/// Writes what is queued, as much at once as there is.
async fn pump(mut stream: TcpStream, frames: &mut Frames) -> std::io::Result<()> {
    let mut turn = Vec::new();
    let mut out = Vec::new();
    let mut nothing = [0; 1];
    loop {
        tokio::select! {
            taken = frames.queue.recv_many(&mut turn, 256) => {
                if taken == 0 {
                    return Ok(());
                }
            }
            read = stream.read(&mut nothing) => {
                read?;
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
        }
        for (due, frame) in turn.drain(..) {
            frames.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
            if due > Instant::now() {
                stream.write_all(&std::mem::take(&mut out)).await?;
                sleep_until(due).await;
            }
            out.extend_from_slice(&frame);
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}

async fn dial(address: SocketAddr, node: &Node, own: SocketAddr) -> Result<(TcpStream, NodeId), Error> {
    let greet = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let hello = Hello { node: node.id, incarnation: node.incarnation(), peer_address: own };
        let mut out = [MAGIC.as_slice(), &[VERSION]].concat();
        out.extend(encode(&PeerFrame::Hello(hello)));
        stream.write_all(&out).await?;
        let frame = read_frame(&mut stream, GREETING_BYTES).await?;
        Ok::<_, std::io::Error>((stream, frame))
    };
    let greeted = timeout(GREETING_TIME, greet).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    match greeted.map_err(|why| Error::Join(address, why))? {
        (stream, PeerFrame::Welcome(other)) => Ok((stream, other)),
        (_, PeerFrame::Refused(why)) => Err(Error::Refused(address, why)),
        _ => Err(Error::Join(address, std::io::ErrorKind::InvalidData.into())),
    }
}

/// Finds out who is at the address given with `--join`.
pub(crate) async fn find(address: SocketAddr, node: &Node, own: SocketAddr) -> Result<NodeId, Error> {
    let deadline = Instant::now() + JOIN_TIME;
    let mut refused_since = None;
    loop {
        match dial(address, node, own).await {
            Ok((_, other)) => return Ok(other),
            Err(error @ Error::Refused(..)) => {
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

// Listening

/// Takes the connections of other nodes.
pub(crate) async fn accept(listener: TcpListener, node: Arc<Node>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let node = Arc::clone(&node);
                tokio::task::spawn_local(async move {
                    if let Err(why) = hear(stream, &node).await {
                        tracing::debug!("the peer connection from {from} ended: {why}");
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

async fn hear(mut stream: TcpStream, node: &Arc<Node>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let hello = timeout(GREETING_TIME, read_hello(&mut stream)).await??;
    if let Some(why) = objection(node, &hello) {
        return stream.write_all(&encode(&PeerFrame::Refused(why))).await;
    }
    stream.write_all(&encode(&PeerFrame::Welcome(node.id))).await?;
    let connection = node.peers.chance.fetch_add(1, Ordering::Relaxed);
    let ended = listen_to(stream, node, &hello, connection).await;
    // Its id is free again: it may come back at another address. One that has said nothing was only a greeting.
    let is_its_last = |callers: &mut HashMap<NodeId, Caller>| {
        callers.get(&hello.node).is_some_and(|caller| caller.connection == connection)
            && callers.remove(&hello.node).is_some()
    };
    if node.peers.with_callers(is_its_last) {
        node.with_cluster(|cluster, now, out| cluster.lost(hello.node, now, out));
    }
    ended
}

async fn listen_to(stream: TcpStream, node: &Arc<Node>, hello: &Hello, connection: u64) -> std::io::Result<()> {
    let from = hello.node;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut noted_at_ms = 0;
    loop {
        let frame = read_frame(&mut stream, FRAME_BYTES).await?;
        let cut = node.peers.faults.read().unwrap_or_else(PoisonError::into_inner).separate(node.id, from);
        match frame {
            PeerFrame::Faults(ticket, faults) => {
                if node.options.faults {
                    apply_faults(node, faults);
                    node.peers.enqueue(from, &PeerFrame::FaultsSet(ticket), Duration::ZERO);
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
            PeerFrame::Core(message) => worker::deliver(node, from, *message).await,
            PeerFrame::Gossip(gossip) => node.with_cluster(|cluster, now, out| cluster.receive(from, gossip, now, out)),
            PeerFrame::Publish(topic, channel, payload) => drop(node.pubsub.publish(topic, &channel, &payload)),
            PeerFrame::Hello(_) | PeerFrame::Welcome(_) | PeerFrame::Refused(_) => {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
        }
        let now_ms = node.now_ms();
        if now_ms >= noted_at_ms + NOTE_ALIVE_MS {
            noted_at_ms = now_ms;
            let caller = Caller { connection, address: hello.peer_address, heard_at_ms: now_ms };
            node.peers.with_callers(|callers| callers.insert(from, caller));
            node.with_cluster(|cluster, now, out| cluster.heard(from, now, out));
        }
    }
}

/// Why a node must not be let in.
fn objection(node: &Node, hello: &Hello) -> Option<String> {
    if hello.node == node.id {
        return Some(format!(
            "its node id {} is this node's own: a copied data directory must not run beside the original",
            node.id
        ));
    }
    let heard =
        node.peers.with_callers(|callers| callers.get(&hello.node).map(|caller| (caller.address, caller.heard_at_ms)));
    let (address, heard_at_ms) = heard?;
    let talks = node.now_ms().saturating_sub(heard_at_ms) < SILENCE_MS;
    (talks && address != hello.peer_address).then(|| {
        format!(
            "node id {} is in use at {}: a copied data directory must not run beside the original; start this node with an empty one",
            hello.node, address
        )
    })
}

async fn read_hello(stream: &mut TcpStream) -> std::io::Result<Hello> {
    let mut head = [0; MAGIC.len() + 1];
    stream.read_exact(&mut head).await?;
    if head[..MAGIC.len()] != *MAGIC {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    if head[MAGIC.len()] != VERSION {
        let why = format!("it speaks version {} of the peer protocol, this node version {VERSION}", head[MAGIC.len()]);
        stream.write_all(&encode(&PeerFrame::Refused(why))).await?;
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    match read_frame(stream, GREETING_BYTES).await? {
        PeerFrame::Hello(hello) => Ok(hello),
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

// Frames

fn encode(frame: &PeerFrame) -> Vec<u8> {
    // Writing into memory fails only for types that no frame has.
    let mut out = postcard::to_extend(frame, vec![0; 4]).unwrap_or_default();
    let len = (out.len().saturating_sub(4) as u32).to_le_bytes();
    if let Some(head) = out.first_chunk_mut() {
        *head = len;
    }
    out
}

/// Reads one frame; memory grows with what really arrives.
async fn read_frame(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    limit_bytes: usize,
) -> std::io::Result<PeerFrame> {
    let len = stream.read_u32_le().await? as usize;
    if len > limit_bytes {
        return Err(std::io::Error::other(format!("a frame of {len} bytes, the limit is {limit_bytes}")));
    }
    let mut bytes = Vec::with_capacity(len.min(64 * 1024));
    stream.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes).map_err(|why| std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{PeerFrame, encode, read_frame};
    use quickcheck::quickcheck;
    use replica::Gossip;

    fn read(bytes: &[u8]) -> std::io::Result<PeerFrame> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_frame(&mut &bytes[..], 1 << 20))
    }

    #[test]
    fn frames_round_trip() {
        let frame = PeerFrame::Gossip(Gossip::Beat { digest: 7, hears_you: true });
        assert!(matches!(read(&encode(&frame)).unwrap(), PeerFrame::Gossip(Gossip::Beat { digest: 7, .. })));
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
        assert!(read(&u32::MAX.to_le_bytes()).unwrap_err().to_string().contains("limit"));
    }

    quickcheck! {
        fn random_bytes_are_an_error_or_a_frame_and_never_a_panic(bytes: Vec<u8>) -> bool {
            let framed = [(bytes.len() as u32).to_le_bytes().as_slice(), &bytes].concat();
            let _ = read(&framed);
            true
        }
    }
}
