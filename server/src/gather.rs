//! A command that waits for answers: it asks once or several times, and then has its reply.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use replica::{Answer, PartitionId, Request};
use smallvec::SmallVec;

use crate::clients::Client;
use crate::connection::{Outbox, SlotId};
use crate::latency::Family;
use crate::node::Node;
use crate::resp::{Protocol, Reply};
use crate::seen::Seen;
use crate::worker::WorkerRef;

/// What a command does next.
pub enum Step {
    /// It is done.
    Reply(Reply),
    /// It is done, with several replies (one per channel of SUBSCRIBE).
    Replies(Vec<Reply>),
    /// It asks the replicas, and goes on with their answers, in the order of the requests.
    Ask(Vec<Request>, Finish),
    /// It waits for something else, and the connection's next command waits for it.
    Wait(Wait),
}

/// What a command waits for; dropped when its client has gone.
pub type Wait = Pin<Box<dyn Future<Output = Reply>>>;

/// What a command does with the answers.
pub type Finish = Box<dyn FnOnce(Vec<Answer>, &Arc<Node>) -> Step>;

impl Step {
    /// One request, and what to do with its answer.
    pub fn ask_one(request: Request, finish: impl FnOnce(Answer, &Arc<Node>) -> Step + 'static) -> Self {
        Step::Ask(
            vec![request],
            Box::new(move |mut answers, node| match answers.pop() {
                Some(answer) => finish(answer, node),
                None => Step::Reply(Reply::error("ERR no answer")),
            }),
        )
    }

    /// The same step, with another reply made of its own.
    #[must_use]
    pub fn map_reply(self, change: impl FnOnce(Reply) -> Reply + 'static) -> Self {
        match self {
            Step::Reply(reply) => Step::Reply(change(reply)),
            Step::Ask(requests, finish) => {
                Step::Ask(requests, Box::new(|answers, node| finish(answers, node).map_reply(change)))
            }
            Step::Wait(future) => Step::Wait(Box::pin(async move { change(future.await) })),
            replies @ Step::Replies(_) => replies,
        }
    }

    /// The same step; behind it, when its reply is about to leave, this is done.
    #[must_use]
    pub fn at_the_end(self, what: impl FnOnce() + 'static) -> Self {
        match self {
            Step::Ask(requests, finish) => {
                Step::Ask(requests, Box::new(|answers, node| finish(answers, node).at_the_end(what)))
            }
            Step::Wait(future) => Step::Wait(Box::pin(async move {
                let reply = future.await;
                what();
                reply
            })),
            done => {
                what();
                done
            }
        }
    }

    /// Goes on from the step's one reply.
    #[must_use]
    pub fn then(self, next: impl FnOnce(Reply, &Arc<Node>) -> Step + 'static) -> Self {
        match self {
            Step::Reply(reply) => Step::Ask(Vec::new(), Box::new(move |_, node| next(reply, node))),
            Step::Ask(requests, finish) => {
                Step::Ask(requests, Box::new(|answers, node| finish(answers, node).then(next)))
            }
            // Nothing that waits, or has several replies, is part of another command.
            other => other,
        }
    }

    /// Several requests at once, and the reply their answers make together.
    pub fn ask_all(requests: Vec<Request>, finish: impl FnOnce(Vec<Answer>, &Arc<Node>) -> Reply + 'static) -> Self {
        Step::Ask(requests, Box::new(|answers, node| Step::Reply(finish(answers, node))))
    }
}

impl From<Reply> for Step {
    fn from(reply: Reply) -> Self {
        Step::Reply(reply)
    }
}

/// A command that has begun: what it was, and where its reply goes.
pub struct Begun {
    /// The connection's replies.
    pub outbox: Rc<Outbox>,
    /// The reply's place among them.
    pub slot: SlotId,
    /// How it is written.
    pub protocol: Protocol,
    /// When it began.
    pub at: Instant,
    /// When its present step did.
    pub now: Instant,
    /// What kind of command it is.
    pub family: Family,
    /// The command's name and first argument, as far as the slow log shows them.
    pub what: SmallVec<[u8; 48]>,
    /// Who asked.
    pub client: Arc<Client>,
    /// What it has seen, if it keeps to it.
    pub seen: Option<Seen>,
}

impl Begun {
    fn end(&self, replies: &[Reply], node: &Node) {
        let took = self.at.elapsed();
        node.latencies.note(self.family, took);
        if node.config.slow_micros.get() <= took.as_micros() as u64 {
            let words: Vec<Vec<u8>> = self.what.splitn(2, |byte| *byte == b' ').map(<[u8]>::to_vec).collect();
            node.slow_log.note(took, &words, &self.client.address, self.client.name());
        }
        self.outbox.fill(self.slot, self.protocol, replies);
    }
}

/// The answers of one command, as they come in.
pub struct Gather {
    begun: Cell<Option<Begun>>,
    /// What its client has seen, and where each answer is about.
    seen: Option<(Seen, Vec<PartitionId>)>,
    node: Arc<Node>,
    answers: RefCell<Vec<Option<Answer>>>,
    missing: Cell<usize>,
    finish: Cell<Option<Finish>>,
}

impl Gather {
    /// Carries a step out; its reply goes where the command began.
    pub fn start(step: Step, begun: Begun, node: &Arc<Node>, worker: &WorkerRef) {
        match step {
            Step::Reply(reply) => begun.end(&[reply], node),
            Step::Replies(replies) => begun.end(&replies, node),
            // How long it waits says nothing of how long it takes.
            Step::Wait(future) => begun.outbox.wait(begun.slot, begun.protocol, future),
            Step::Ask(requests, finish) if requests.is_empty() => {
                Self::start(finish(Vec::new(), node), begun, node, worker);
            }
            Step::Ask(mut requests, finish) => {
                if let Some(seen) = &begun.seen {
                    let plain = requests.iter_mut().filter(|request| request.session.is_none());
                    plain.for_each(|request| seen.demand(request));
                }
                // Most reads of a node that is alone: nothing is kept for an answer that is there already.
                if let [request] = requests.as_slice()
                    && let Some(answer) = worker.read_alone(request, begun.now)
                {
                    return Self::start(finish(vec![answer], node), begun, node, worker);
                }
                let seen = begun.seen.clone().map(|seen| {
                    let partitions = requests.iter().map(|request| request.partition);
                    (seen, partitions.collect())
                });
                let gather = Rc::new(Self {
                    seen,
                    begun: Cell::new(Some(begun)),
                    node: Arc::clone(node),
                    answers: RefCell::new(requests.iter().map(|_| None).collect()),
                    missing: Cell::new(requests.len()),
                    finish: Cell::new(Some(finish)),
                });
                for (place, request) in requests.into_iter().enumerate() {
                    worker.ask(request, &gather, place);
                }
            }
        }
    }

    /// One answer has come.
    pub fn accept(self: Rc<Self>, place: usize, answer: Answer, worker: &WorkerRef) {
        if let Some((seen, partitions)) = &self.seen {
            seen.learn(partitions[place], &answer);
        }
        let before = self.answers.borrow_mut().get_mut(place).and_then(|slot| slot.replace(answer));
        debug_assert!(before.is_none(), "each request is answered once");
        self.missing.set(self.missing.get() - 1);
        if self.missing.get() == 0
            && let (Some(finish), Some(mut begun)) = (self.finish.take(), self.begun.take())
        {
            begun.now = Instant::now();
            let answers = self.answers.take().into_iter().flatten().collect();
            Self::start(finish(answers, &self.node), begun, &self.node, worker);
        }
    }
}
