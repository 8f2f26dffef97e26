//! One client's connection: bytes in, commands to the worker, replies out in the order of the commands.
//!
//! A pipelined command never waits for the one before it: each has a slot in the outbox, and the filled slots at
//! its head leave together.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::command::{self, Arguments};
use crate::drain::Stage;
use crate::gather::{Begun, Gather, Wait};
use crate::latency::Family;
use crate::node::Node;
use crate::resp::{Access, Limits, Protocol, Reply, Scan, Scanner};
use crate::session::Session;
use crate::tls::{Duplex, HANDSHAKE_TIME};
use crate::worker::WorkerRef;

/// How many commands of one connection may be under way; then nothing more is read until some are answered.
const PIPELINE_COMMANDS: usize = 1_024;
/// How many bytes of replies may wait for the client; then nothing more is carried out until it has taken them.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// How much is read of what follows a command that waits.
const READ_AHEAD_BYTES: usize = 1024 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The place of a reply in its connection's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId(u64);

/// Replies on their way out.
#[derive(Default)]
pub struct Outbox {
    ready: RefCell<Vec<u8>>,
    slots: RefCell<VecDeque<Option<Vec<u8>>>>,
    first: Cell<u64>,
    wake: Notify,
    /// The command that all others of the connection wait for.
    waiting: RefCell<Option<AbortHandle>>,
    /// Nothing begins before everything that has begun is answered.
    in_turn: Cell<bool>,
}

impl Outbox {
    fn open_slot(&self) -> SlotId {
        let mut slots = self.slots.borrow_mut();
        slots.push_back(None);
        SlotId(self.first.get() + slots.len() as u64 - 1)
    }

    /// The replies to a command are there. Those at the head of the queue can leave.
    pub fn fill(&self, slot: SlotId, protocol: Protocol, replies: &[Reply]) {
        let mut slots = self.slots.borrow_mut();
        let index = (slot.0 - self.first.get()) as usize;
        let mut ready = self.ready.borrow_mut();
        if index > 0 {
            let mut bytes = Vec::with_capacity(32);
            replies.iter().for_each(|reply| reply.encode(protocol, &mut bytes));
            slots[index] = Some(bytes);
            return;
        }
        replies.iter().for_each(|reply| reply.encode(protocol, &mut ready));
        slots.pop_front();
        self.first.set(self.first.get() + 1);
        while let Some(Some(_)) = slots.front() {
            if let Some(Some(bytes)) = slots.pop_front() {
                ready.extend_from_slice(&bytes);
            }
            self.first.set(self.first.get() + 1);
        }
        self.wake.notify_one();
    }

    /// A command waits for something, and the following ones for it.
    pub fn wait(self: &Rc<Self>, slot: SlotId, protocol: Protocol, future: Wait) {
        let outbox = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            let reply = future.await;
            outbox.waiting.take();
            outbox.fill(slot, protocol, &[reply]);
        });
        *self.waiting.borrow_mut() = Some(task.abort_handle());
        // From now on the connection listens for its client going away.
        self.wake.notify_one();
    }

    fn is_waiting(&self) -> bool {
        self.waiting.borrow().is_some()
    }

    /// A message that is no reply (of pub/sub): it may stand between any two replies.
    fn push(&self, protocol: Protocol, message: &Reply) {
        message.encode(protocol, &mut self.ready.borrow_mut());
    }

    /// May another command be carried out?
    fn has_room(&self) -> bool {
        !self.is_waiting()
            && (!self.in_turn.get() || self.under_way() == 0)
            && self.under_way() < PIPELINE_COMMANDS
            && self.ready.borrow().len() < WAITING_BYTES
    }

    fn under_way(&self) -> usize {
        self.slots.borrow().len()
    }

    fn take(&self) -> Vec<u8> {
        self.ready.take()
    }
}

/// Serves a new connection until it ends, by TLS if it came where that is spoken.
pub async fn accept(stream: TcpStream, tls: Option<TlsAcceptor>, worker: WorkerRef, node: Arc<Node>) {
    let name = |address: std::io::Result<SocketAddr>| address.map_or_else(|_| "?".to_owned(), |a| a.to_string());
    let (peer, local) = (name(stream.peer_addr()), name(stream.local_addr()));
    // A connection whose packets wait for each other is slow, not wrong.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return serve(stream, peer, local, worker, node).await };
    match timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, peer, local, worker, node).await,
        Ok(Err(why)) => tracing::info!("a client at {peer} does not come by TLS as it should: {why}"),
        Err(_) => tracing::info!("a client at {peer} took too long for TLS"),
    }
}

async fn serve(stream: impl Duplex, peer: String, local: String, worker: WorkerRef, node: Arc<Node>) {
    let (session, messages) = Session::new(&node, peer, local);
    let (id, client) = (session.id, Arc::clone(&session.client));
    node.clients.enter(&client);
    let ended = tokio::select! {
        ended = Connection::new(worker, Arc::clone(&node), session).run(stream, messages) => ended,
        () = client.kill.notified() => Ok(()),
    };
    if let Err(why) = ended {
        tracing::debug!("connection {id} ended: {why}");
    }
    node.clients.leave(id);
    node.pubsub.forget(id);
    node.monitors.forget(id);
    node.tracking.leave(id);
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = self.outbox.waiting.take() {
            task.abort();
        }
    }
}

struct Connection {
    worker: WorkerRef,
    node: Arc<Node>,
    session: Session,
    scanner: Scanner,
    outbox: Rc<Outbox>,
    input: Vec<u8>,
    /// How much of `input` has been carried out.
    done: usize,
    /// Something was carried out since the last turn was ended.
    has_worked: bool,
    closing: bool,
    /// The node ends: what has come in is answered, and nothing more is read.
    draining: bool,
}

impl Connection {
    fn new(worker: WorkerRef, node: Arc<Node>, session: Session) -> Self {
        // A value beyond its limit is refused with a reason; one far beyond it costs the connection.
        let bulk_bytes = 64 * 1024 * 1024;
        let access = if session.is_authenticated { Access::Authenticated } else { Access::Unauthenticated };
        let scanner = Scanner::new(Limits { bulk_bytes, ..Limits::default() }, access);
        let outbox = Rc::new(Outbox::default());
        let (input, draining) = (Vec::new(), node.drain.has_begun());
        Self { worker, node, session, scanner, outbox, input, done: 0, has_worked: false, closing: false, draining }
    }

    async fn run(mut self, mut stream: impl Duplex, mut messages: crate::pubsub::Messages) -> std::io::Result<()> {
        let mut drain = std::pin::pin!(self.node.drain.reached(Stage::Draining));
        loop {
            self.closing |= self.draining && self.is_done();
            if std::mem::take(&mut self.has_worked) {
                // Whoever else has sent something has its turn first: what all of them write goes to the disk in one piece, and
                // their replies leave together.
                tokio::task::yield_now().await;
                self.worker.end_turn();
            }
            let out = self.outbox.take();
            if !out.is_empty() {
                stream.write_all(&out).await?;
                stream.flush().await?;
            }
            if self.closing && (self.outbox.under_way() == 0 || self.outbox.is_waiting()) {
                return stream.shutdown().await;
            }
            let reads = !self.closing && self.outbox.has_room();
            if reads && self.has_input() {
                self.work();
                continue;
            }
            self.input.drain(..self.done);
            self.done = 0;
            self.input.reserve(READ_BYTES);
            // Somebody who goes while a command waits must be noticed.
            let reads = reads || (!self.closing && self.outbox.is_waiting() && self.input.len() < READ_AHEAD_BYTES);
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(message) => {
                        let shown = self.session.show(message);
                        shown.iter().for_each(|message| self.outbox.push(self.session.protocol, message));
                    }
                    None => return Ok(()),
                },
                read = stream.read_buf(&mut self.input), if reads && !self.draining => {
                    // The client has said all it wants to; what it asked for is still answered.
                    self.closing |= read? == 0;
                    self.work();
                }
                () = self.outbox.wake.notified() => {}
                () = &mut drain, if !self.draining => self.draining = true,
            }
        }
    }

    /// Is there a whole command left from an earlier read?
    fn has_input(&mut self) -> bool {
        self.done < self.input.len()
            && !matches!(self.scanner.scan(&self.input[self.done..]), Ok(Scan::Incomplete { .. }))
    }

    /// When the node ends: has everything begun that has come in? What waits for something that may never be ends here.
    fn is_done(&mut self) -> bool {
        if self.outbox.is_waiting() {
            return command::may_block(self.session.client.command());
        }
        !self.has_input()
    }

    /// Carries out the commands that have come in.
    fn work(&mut self) {
        while !self.closing && self.outbox.has_room() {
            match self.scanner.scan(&self.input[self.done..]) {
                Ok(Scan::Incomplete { .. }) => break,
                Ok(Scan::Command { len }) => {
                    let in_turn = command::is_in_turn(&Arguments::new(&self.scanner, &self.input[self.done..]));
                    // What is void is told behind the reply it is about: nothing else is under way then.
                    self.outbox.in_turn.set(in_turn || self.session.tracking.is_some());
                    if !self.outbox.has_room() {
                        break;
                    }
                    self.execute();
                    self.done += len;
                }
                Err(error) => {
                    let slot = self.outbox.open_slot();
                    self.outbox.fill(slot, self.session.protocol, &[Reply::from(error)]);
                    self.closing = true;
                }
            }
        }
        self.worker.settle();
        self.has_worked = true;
    }

    fn execute(&mut self) {
        let arguments = Arguments::new(&self.scanner, &self.input[self.done..]);
        if arguments.is_empty() {
            return;
        }
        let at = Instant::now();
        self.session.now = at;
        let mut begun = Begun {
            outbox: Rc::clone(&self.outbox),
            slot: self.outbox.open_slot(),
            protocol: self.session.protocol,
            at,
            now: at,
            family: Family::NONE,
            what: shown(&arguments),
            client: Arc::clone(&self.session.client),
            seen: self.session.seen.clone(),
        };
        let step = command::run(&arguments, &mut self.session, &self.node);
        self.closing = self.session.closing;
        // HELLO is answered in the protocol it has chosen.
        begun.protocol = self.session.protocol;
        begun.family = self.session.family;
        let access = if self.session.is_authenticated { Access::Authenticated } else { Access::Unauthenticated };
        self.scanner.set_access(access);
        Gather::start(step, begun, &self.node, &self.worker);
        self.worker.settle();
    }
}

/// Name and first argument, cut to what the slow log shows without an allocation.
fn shown(arguments: &Arguments<'_>) -> SmallVec<[u8; 48]> {
    let (name, first) = (arguments.get(0), arguments.get(1));
    let mut shown = SmallVec::new();
    shown.extend_from_slice(&name[..name.len().min(16)]);
    let is_secret = [&b"auth"[..], b"hello"].iter().any(|secret| name.eq_ignore_ascii_case(secret));
    if arguments.len() > 1 && !is_secret {
        shown.push(b' ');
        shown.extend_from_slice(&first[..first.len().min(31)]);
    }
    shown
}
