//! One client's connection: bytes in, commands to the worker, replies out in the order of the commands.
//!
//! A pipelined command never waits for the one before it: each has a slot in the outbox, and the filled slots at
//! its head leave together.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::command::{self, Arguments};
use crate::gather::Gather;
use crate::node::Node;
use crate::resp::{Access, Limits, Protocol, Reply, Scan, Scanner};
use crate::session::Session;
use crate::worker::WorkerRef;

/// How many commands of one connection may be under way; then nothing more is read until some are answered.
const PIPELINE_COMMANDS: usize = 1_024;
/// How many bytes of replies may wait for the client; then nothing more is carried out until it has taken them.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
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

    /// A message that is no reply (of pub/sub): it may stand between any two replies.
    fn push(&self, protocol: Protocol, message: &Reply) {
        message.encode(protocol, &mut self.ready.borrow_mut());
    }

    /// May another command be carried out?
    fn has_room(&self) -> bool {
        self.under_way() < PIPELINE_COMMANDS && self.ready.borrow().len() < WAITING_BYTES
    }

    fn under_way(&self) -> usize {
        self.slots.borrow().len()
    }

    fn take(&self) -> Vec<u8> {
        self.ready.take()
    }
}

/// Serves a connection until it ends.
pub async fn serve(stream: TcpStream, worker: WorkerRef, node: Arc<Node>) {
    let peer = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let (session, messages) = Session::new(&node, peer);
    let id = session.id;
    let ended = Connection::new(worker, Arc::clone(&node), session).run(stream, messages).await;
    if let Err(why) = ended {
        tracing::debug!("connection {id} ended: {why}");
    }
    node.pubsub.forget(id);
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
    closing: bool,
}

impl Connection {
    fn new(worker: WorkerRef, node: Arc<Node>, session: Session) -> Self {
        // A value beyond its limit is refused with a reason; one far beyond it costs the connection.
        let bulk_bytes = 64 * 1024 * 1024;
        let scanner = Scanner::new(Limits { bulk_bytes, ..Limits::default() }, Access::Authenticated);
        let outbox = Rc::new(Outbox::default());
        Self { worker, node, session, scanner, outbox, input: Vec::new(), done: 0, closing: false }
    }

    async fn run(mut self, mut stream: TcpStream, mut messages: crate::pubsub::Messages) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let out = self.outbox.take();
            if !out.is_empty() {
                stream.write_all(&out).await?;
            }
            if self.closing && self.outbox.under_way() == 0 {
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
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(message) => self.outbox.push(self.session.protocol, &message.into_reply()),
                    None => return Ok(()),
                },
                read = stream.read_buf(&mut self.input), if reads => {
                    // The client has said all it wants to; what it asked for is still answered.
                    self.closing |= read? == 0;
                    self.work();
                }
                () = self.outbox.wake.notified() => {}
            }
        }
    }

    /// Is there a whole command left from an earlier read?
    fn has_input(&mut self) -> bool {
        self.done < self.input.len()
            && !matches!(self.scanner.scan(&self.input[self.done..]), Ok(Scan::Incomplete { .. }))
    }

    /// Carries out the commands that have come in.
    fn work(&mut self) {
        while !self.closing && self.outbox.has_room() {
            match self.scanner.scan(&self.input[self.done..]) {
                Ok(Scan::Incomplete { .. }) => break,
                Ok(Scan::Command { len }) => {
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
        self.worker.end_turn();
    }

    fn execute(&mut self) {
        let arguments = Arguments::new(&self.scanner, &self.input[self.done..]);
        if arguments.is_empty() {
            return;
        }
        let slot = self.outbox.open_slot();
        let step = command::run(&arguments, &mut self.session, &self.node);
        self.closing = self.session.closing;
        Gather::start(step, &self.outbox, slot, self.session.protocol, &self.node, &self.worker);
        self.worker.settle();
    }
}
