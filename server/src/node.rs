//! A node: what its threads share, and how it starts.

mod application;
mod holdings;
mod network;

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use replica::{
    Cluster, ClusterAction, Decisions, Incarnation, Member, Members, MergeReport, NoProcedures, NodeId, PartitionSet,
    Procedures, View,
};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::acl::Acl;
use crate::buckets::Buckets;
use crate::clients::Clients;
use crate::config::{Config, ServeOptions};
use crate::cursors::Cursors;
use crate::disk::{self, Disk, Durability};
use crate::drain::{self, Drain};
use crate::engine::EngineError;
use crate::error::Error;
use crate::http;
use crate::identity::{self, DECISIONS, IDENTITY, Identity, MEMBERS};
use crate::latency::Latencies;
use crate::merges;
use crate::monitors::Monitors;
use crate::nameplate::{Nameplate, Plate};
use crate::notifications::Notifications;
use crate::peer::{PeerFrame, Peers};
use crate::place::advertised;
use crate::pubsub::{PubSub, Topic};
use crate::recovery;
use crate::scripts::Scripts;
use crate::scrubs::Scrubs;
use crate::slow_log::SlowLog;
use crate::supervisor;
use crate::tls::{self, PeerTls};
use crate::tracking::Tracking;
use crate::waiting::WaitingClients;
use crate::worker::{self, ToWorker};
use holdings::Holdings;
use network::{Network, start_network};

/// The distance of the peer port from the client port.
const PEER_PORT_OFFSET: u16 = 10_000;
/// With so many messages in a worker's inbox, nothing more is read from other nodes.
const INBOX_MESSAGES: usize = 65_536;
/// The same for bytes that other nodes have sent.
const INBOX_BYTES: usize = 64 * 1024 * 1024;

/// Milliseconds since 1970, as this machine believes.
#[must_use]
pub fn wall_ms() -> u64 {
    wall().as_millis() as u64
}

/// The same, exactly.
#[must_use]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What the threads of a node share.
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The flags it was started with.
    pub options: ServeOptions,
    /// What can be changed while it runs.
    pub config: Config,
    /// Who may do what.
    pub acl: Acl,
    /// Its disk.
    pub disk: Disk,
    /// The links to other nodes.
    pub peers: Peers,
    /// What runs at the keys beside the server's own commands.
    pub application: Arc<dyn Procedures>,
    /// Who follows which channel.
    pub pubsub: PubSub,
    /// What is told of keys to whoever follows them.
    pub notifications: Arc<Notifications>,
    /// Who sees every command.
    pub monitors: Monitors,
    /// What keys with a common prefix ask for.
    pub buckets: Buckets,
    /// What it holds of late.
    pub(crate) holdings: Holdings,
    /// Who is connected.
    pub clients: Clients,
    /// Commands that took long.
    pub slow_log: SlowLog,
    /// Scripts clients have sent.
    pub scripts: Scripts,
    /// Told when the process is to end.
    pub stop: tokio::sync::Notify,
    /// How far that has come.
    pub drain: Drain,
    /// How long commands took.
    pub latencies: Latencies,
    /// Where the pages of scans ended.
    pub cursors: Cursors,
    /// Who waits for which keys.
    pub waiting_clients: WaitingClients,
    /// Who is told which of the keys read are void.
    pub tracking: Tracking,
    /// When it started.
    pub started: Instant,
    /// Where HTTP is spoken, if it is.
    pub http_address: Option<SocketAddr>,
    /// Where clients come by TLS, if they can.
    pub tls_address: Option<SocketAddr>,
    /// Where HTTP is spoken by TLS, if it is.
    pub https_address: Option<SocketAddr>,
    /// The number of the next connection.
    pub next_client: AtomicU64,
    /// Commands carried out so far.
    pub commands: AtomicU64,
    /// Merges here that changed something.
    pub merges: AtomicU64,
    incarnation: AtomicU32,
    cluster: Mutex<Cluster>,
    view: RwLock<Arc<View>>,
    inboxes: Vec<UnboundedSender<ToWorker>>,
    /// Per worker, how many messages wait in its inbox.
    waiting: Vec<AtomicUsize>,
    /// Per worker, how many bytes of other nodes' messages do.
    waiting_bytes: Vec<AtomicUsize>,
    /// Per worker, whether too much waits for its disk.
    busy: Vec<AtomicBool>,
    pub(crate) scrubs: Scrubs,
    nameplate: Option<Nameplate>,
    _lock: Option<File>,
}

/// A started node: it runs until the process ends.
pub struct Running {
    /// The node.
    pub node: Arc<Node>,
    /// Where clients reach it.
    pub client_address: SocketAddr,
}

impl Node {
    /// How many workers it has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.inboxes.len()
    }

    /// The incarnation it mints under.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::SeqCst))
    }

    /// The current picture of the cluster.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a worker a message.
    pub fn tell(&self, worker: usize, message: ToWorker) {
        if let (Some(inbox), Some(waiting)) = (self.inboxes.get(worker), self.waiting.get(worker)) {
            waiting.fetch_add(1, Ordering::Relaxed);
            // A worker ends only with the process.
            let _ = inbox.send(message);
        }
    }

    /// A worker has taken messages from its inbox.
    pub(crate) fn taken(&self, worker: usize, messages: usize) {
        if let Some(waiting) = self.waiting.get(worker) {
            // Messages of the disk thread are not counted in: this may pass below zero for a moment.
            let _ = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(messages)));
        }
    }

    /// Is a worker so far behind that nothing more should be read from other nodes?
    pub(crate) fn is_behind(&self, worker: usize) -> bool {
        let over = |of: &[AtomicUsize], limit| of.get(worker).is_some_and(|n| n.load(Ordering::Relaxed) > limit);
        let is_busy = self.busy.get(worker).is_some_and(|busy| busy.load(Ordering::Relaxed));
        is_busy || over(&self.waiting, INBOX_MESSAGES) || over(&self.waiting_bytes, INBOX_BYTES)
    }

    /// Too much waits for a worker's disk, or does not any more.
    pub(crate) fn set_busy(&self, worker: usize, is_busy: bool) {
        if let Some(busy) = self.busy.get(worker) {
            busy.store(is_busy, Ordering::Relaxed);
        }
    }

    /// Does too much wait for some worker's disk?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.iter().any(|busy| busy.load(Ordering::Relaxed))
    }

    /// A message of another node is on its way to a worker, or has been taken by it.
    pub(crate) fn count_peer_bytes(&self, worker: usize, bytes: isize) {
        if let Some(waiting) = self.waiting_bytes.get(worker) {
            waiting.fetch_add(bytes as usize, Ordering::Relaxed);
        }
    }

    /// May nobody from there ask? Without a password only this machine may, unless the operator has said otherwise.
    #[must_use]
    pub fn is_closed_to(&self, from: IpAddr) -> bool {
        self.acl.is_open() && !self.options.unprotected && !from.to_canonical().is_loopback()
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub(crate) fn with_cluster(self: &Arc<Self>, work: impl FnOnce(&mut Cluster, u64, &mut Vec<ClusterAction>)) {
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let mut actions = Vec::new();
        work(&mut cluster, self.now_ms(), &mut actions);
        // Carried out under the lock, so that pictures reach every worker in one order.
        for action in actions {
            match action {
                ClusterAction::Send(to, gossip) => self.peers.send(to, &PeerFrame::Gossip(gossip)),
                ClusterAction::Connect(node, address) => self.peers.connect(node, address, self.now_ms()),
                ClusterAction::View(view) => self.publish_view(view),
                ClusterAction::Reincarnate(incarnation) => self.reincarnate(Some(incarnation)),
                ClusterAction::Decided(decisions) => {
                    self.disk.put(DECISIONS, identity::encode(decisions.as_ref()));
                    self.buckets.live_by(&decisions);
                }
            }
        }
    }

    /// Looks at the membership machine.
    pub(crate) fn cluster<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.cluster.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when the member list, with the layouts in it, is on disk.
    pub(crate) fn keep_members(&self) {
        // Under the lock: an older list must not come after a newer one.
        self.cluster(|cluster| self.disk.put_and_wait(MEMBERS, identity::encode(&cluster.view().members)));
        let members = self.view().members.clone();
        self.keep_plate(|plate| plate.members = Some(members));
    }

    /// Returns when what the cluster has decided is on disk.
    pub(crate) fn keep_decisions(&self) {
        // Under the lock: an older one must not come after a newer one.
        self.cluster(|cluster| self.disk.put_and_wait(DECISIONS, identity::encode(cluster.decisions())));
    }

    /// Changes what stands about the node outside its records; it is on disk when this returns.
    pub(crate) fn keep_plate(&self, how: impl FnOnce(&mut Plate)) {
        let kept = self.nameplate.as_ref().map_or(Ok(()), |nameplate| nameplate.change(how));
        if let Err(why) = kept {
            disk::stop(&EngineError::from(why));
        }
    }

    fn publish_view(&self, view: Arc<View>) {
        let members_changed = self.view().members != view.members;
        if members_changed {
            self.disk.put(MEMBERS, identity::encode(&view.members));
        }
        let before =
            std::mem::replace(&mut *self.view.write().unwrap_or_else(PoisonError::into_inner), Arc::clone(&view));
        self.tracking.own_others(self.id, &before, &view);
        for worker in 0..self.workers() {
            self.tell(worker, ToWorker::Event(replica::Event::View(Arc::clone(&view))));
        }
    }

    /// Takes a later incarnation, puts it on disk, and has every worker mint under it: the one that the member list says, if it
    /// says one.
    pub(crate) fn reincarnate(&self, listed: Option<Incarnation>) {
        let next = Identity { node: self.id, incarnation: self.incarnation() }.next();
        let incarnation = listed.filter(|listed| *listed > self.incarnation()).unwrap_or(next.incarnation);
        tracing::warn!(
            "others know more of this node than its own disk does: it goes on as incarnation {}",
            incarnation.0
        );
        let next = Identity { incarnation, ..next };
        self.keep_plate(|plate| plate.identity = next);
        self.disk.put_and_wait(IDENTITY, identity::encode(&next));
        self.incarnation.store(incarnation.0, Ordering::SeqCst);
        for worker in 0..self.workers() {
            self.tell(worker, ToWorker::Reincarnate(incarnation));
        }
    }

    pub(crate) fn publish_merge(&self, report: &MergeReport) {
        self.merges.fetch_add(1, Ordering::Relaxed);
        self.notifications.tell_merge(report, &self.pubsub);
        if !self.pubsub.is_idle() {
            let payload = merges::describe(report, &self.view());
            self.pubsub.publish(Topic::Channel, merges::CHANNEL, payload.as_bytes());
            let channel = [merges::CHANNEL, b":", &report.note.key].concat();
            self.pubsub.publish(Topic::Channel, &channel, payload.as_bytes());
        }
    }

    /// Returns when the node has been asked to end, by a signal (SIGINT, SIGTERM) or by SHUTDOWN, and has done so: what was under way
    /// is answered, if that took no longer than `--drain-ms` and no second signal came, and what was answered is on disk.
    ///
    /// # Errors
    /// [`Error::Thread`] if the signals cannot be waited for.
    pub fn wait_for_end(self: &Arc<Self>) -> Result<(), Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        runtime.block_on(async {
            let mut ends = signal(SignalKind::terminate()).map_err(Error::Thread)?;
            let mut interrupts = signal(SignalKind::interrupt()).map_err(Error::Thread)?;
            tokio::select! {
                _ = ends.recv() => {}
                _ = interrupts.recv() => {}
                () = self.stop.notified() => {}
            }
            supervisor::stopping(self.options.drain_ms);
            tokio::select! {
                () = drain::run(self) => {}
                _ = ends.recv() => {}
                _ = interrupts.recv() => {}
            }
            for worker in 0..self.workers() {
                let (done, handed_over) = oneshot::channel();
                self.tell(worker, ToWorker::HandOver(done));
                // A worker ends only with the process.
                let _ = handed_over.await;
            }
            Ok(())
        })?;
        // It comes behind everything that waits to be written, and is synced.
        self.keep_members();
        Ok(())
    }

    /// Starts a node and returns when it takes connections.
    ///
    /// # Errors
    /// [`Error`] says what is in the way.
    pub fn start(options: ServeOptions) -> Result<Running, Error> {
        Self::start_with(options, Arc::new(NoProcedures))
    }

    /// The same, with procedures of one's own for [`Node::call`] and [`Node::sweep`]. Every node of the cluster must know them.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with(options: ServeOptions, application: Arc<dyn Procedures>) -> Result<Running, Error> {
        let acl = Acl::new(&options)?;
        let lock = if options.is_in_memory() { None } else { Some(identity::lock(&options.data)?) };
        let (clients, peers) = listen(&options)?;
        let pages = options.http.map(bind).transpose()?;
        let tls = tls::for_clients(&options.tls)?;
        let by_tls = |address: Option<SocketAddr>| match (&tls, address) {
            (Some(tls), Some(address)) => bind(address).map(|listener| Some((listener, tls.clone()))),
            _ => Ok(None),
        };
        let (secret, secret_pages) = (by_tls(options.tls.tls_listen)?, by_tls(options.tls.https)?);
        let peer_tls = PeerTls::new(&options.tls)?;
        let listen = options.listen;
        let address = |listener: &TcpListener| listener.local_addr().map_err(|why| Error::Listen(listen, why));
        let client_address = address(&clients)?;
        let (advertised, peer_address) = advertised(&options, client_address, address(&peers)?)?;

        let workers = usize::from(options.workers.unwrap_or_else(default_workers));
        let (inboxes, outlets): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
        let Opened { identity, members, decisions, disk, nameplate, is_refilled } = open(&options, &inboxes)?;

        let name = options.name.clone().unwrap_or_else(|| peer_address.to_string());
        let joins_afresh = options.join.is_some() && members.as_ref().is_none_or(|members| members.nodes.len() < 2);
        let own = members.as_ref().and_then(|members| members.nodes.get(&identity.node));
        let filled = match own {
            Some(own) if !joins_afresh => own.filled.clone(),
            None if !joins_afresh => PartitionSet::all(),
            _ => PartitionSet::none(),
        };
        let version = own.map_or(1, |own| own.version + 1);
        let lost = own.filter(|_| !joins_afresh).map_or_else(PartitionSet::none, |own| own.lost.clone());
        let member =
            Member { version, lost, ..Member::starting(name, peer_address, advertised, identity.incarnation, filled) };
        // What a node decided while it was alone is nothing to those it joins.
        let members = members.map(|kept| if joins_afresh { Members::new(kept.replicas, kept.nodes) } else { kept });
        let decisions = if joins_afresh { Decisions::default() } else { decisions };
        let cluster = Cluster::new(identity.node, member, members, options.replicas).with_decisions(decisions);
        let (links, wanted) = unbounded_channel();
        let node = Arc::new(Node {
            id: identity.node,
            config: Config::new(&options),
            acl,
            disk,
            peers: Peers::new(identity.node, peer_tls, links),
            application,
            pubsub: PubSub::default(),
            notifications: Arc::new(Notifications::new(options.notify_keyspace_events)),
            monitors: Monitors::default(),
            buckets: Buckets::default(),
            holdings: Holdings::default(),
            clients: Clients::default(),
            slow_log: SlowLog::default(),
            scripts: Scripts::default(),
            stop: tokio::sync::Notify::new(),
            drain: Drain::default(),
            latencies: Latencies::default(),
            cursors: Cursors::new(identity.node, identity.incarnation),
            waiting_clients: WaitingClients::default(),
            tracking: Tracking::default(),
            started: Instant::now(),
            http_address: pages.as_ref().map(address).transpose()?,
            tls_address: secret.as_ref().map(|(listener, _)| address(listener)).transpose()?,
            https_address: secret_pages.as_ref().map(|(listener, _)| address(listener)).transpose()?,
            next_client: AtomicU64::new(1),
            commands: AtomicU64::new(0),
            merges: AtomicU64::new(0),
            incarnation: AtomicU32::new(identity.incarnation.0),
            view: RwLock::new(Arc::clone(cluster.view())),
            cluster: Mutex::new(cluster),
            waiting: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            waiting_bytes: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            busy: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            scrubs: Scrubs::new(workers),
            inboxes,
            options,
            nameplate,
            _lock: lock,
        });
        node.with_cluster(|cluster, _, out| cluster.start(out));
        recovery::keep_nameplate(&node, is_refilled)?;
        start_threads(&node, outlets, Network { clients, secret, peers, wanted, peer_address })?;
        let plain = pages.map(|listener| (listener, None));
        let secret = secret_pages.map(|(listener, tls)| (listener, Some(tls)));
        http::start(&node, plain.into_iter().chain(secret).collect())?;
        Ok(Running { node, client_address })
    }
}

fn default_workers() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores / 2).unwrap_or(1).max(1)
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|why| Error::Listen(address, why))
}

fn listen(options: &ServeOptions) -> Result<(TcpListener, TcpListener), Error> {
    let clients = bind(options.listen)?;
    let peer = match (options.peer_listen, options.listen.port()) {
        (Some(address), _) => address,
        (None, 0) => options.listen,
        (None, port) => {
            let port = port.checked_add(PEER_PORT_OFFSET).ok_or(Error::PeerPort(port))?;
            SocketAddr::new(options.listen.ip(), port)
        }
    };
    Ok((clients, bind(peer)?))
}

struct Opened {
    identity: Identity,
    members: Option<Members>,
    decisions: Decisions,
    disk: Disk,
    nameplate: Option<Nameplate>,
    is_refilled: bool,
}

/// Opens the disk, with this run's incarnation on it; or memory in its place.
fn open(options: &ServeOptions, inboxes: &[UnboundedSender<ToWorker>]) -> Result<Opened, Error> {
    let recovery::Opened { identity, members, decisions, records, nameplate, is_refilled } = recovery::open(options)?;
    let inboxes = inboxes.to_vec();
    let on_progress = Box::new(move |worker: usize, progress| {
        if let Some(inbox) = inboxes.get(worker) {
            let _ = inbox.send(ToWorker::Disk(progress));
        }
    });
    // Nobody waits for what is never on disk.
    let durability = if options.is_in_memory() { Durability::None } else { options.durability };
    let disk = Disk::start(records, durability, on_progress)?;
    Ok(Opened { identity, members, decisions, disk, nameplate, is_refilled })
}

fn start_threads(node: &Arc<Node>, outlets: Vec<UnboundedReceiver<ToWorker>>, network: Network) -> Result<(), Error> {
    let (started, starts) = mpsc::channel();
    let mut network = Some(network);
    let workers = outlets.len();
    for (index, outlet) in outlets.into_iter().enumerate() {
        let (node, started, network) = (Arc::clone(node), started.clone(), network.take());
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        let body = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(why) => return drop(started.send(Err(Error::Thread(why)))),
            };
            LocalSet::new().block_on(&runtime, async {
                if let Some(network) = network
                    && let Err(error) = start_network(&node, network).await
                {
                    return drop(started.send(Err(error)));
                }
                let ready = started.clone();
                let running = worker::run(index, node, outlet, move || drop(ready.send(Ok(()))));
                if let Err(error) = running.await {
                    drop(started.send(Err(error)));
                }
            });
        };
        thread.spawn(body).map_err(Error::Thread)?;
    }
    for _ in 0..workers {
        starts.recv().unwrap_or(Ok(()))?;
    }
    Ok(())
}
