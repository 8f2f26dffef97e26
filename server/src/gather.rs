//! A command that waits for answers: it asks once or several times, and then has its reply.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use replica::{Answer, Request};

use crate::connection::{Outbox, SlotId};
use crate::node::Node;
use crate::resp::{Protocol, Reply};
use crate::worker::WorkerRef;

/// What a command does next.
pub enum Step {
    /// It is done.
    Reply(Reply),
    /// It is done, with several replies (one per channel of SUBSCRIBE).
    Replies(Vec<Reply>),
    /// It asks the replicas, and goes on with their answers, in the order of the requests.
    Ask(Vec<Request>, Finish),
    /// It waits for something else.
    Wait(Pin<Box<dyn Future<Output = Reply>>>),
}

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

/// The answers of one command, as they come in.
pub struct Gather {
    outbox: Rc<Outbox>,
    slot: SlotId,
    protocol: Protocol,
    node: Arc<Node>,
    answers: RefCell<Vec<Option<Answer>>>,
    missing: Cell<usize>,
    finish: Cell<Option<Finish>>,
}

impl Gather {
    /// Carries a step out; its reply goes to the slot.
    pub fn start(
        step: Step,
        outbox: &Rc<Outbox>,
        slot: SlotId,
        protocol: Protocol,
        node: &Arc<Node>,
        worker: &WorkerRef,
    ) {
        match step {
            Step::Reply(reply) => outbox.fill(slot, protocol, &[reply]),
            Step::Replies(replies) => outbox.fill(slot, protocol, &replies),
            Step::Wait(future) => {
                let outbox = Rc::clone(outbox);
                tokio::task::spawn_local(async move { outbox.fill(slot, protocol, &[future.await]) });
            }
            Step::Ask(requests, finish) if requests.is_empty() => {
                Self::start(finish(Vec::new(), node), outbox, slot, protocol, node, worker);
            }
            Step::Ask(requests, finish) => {
                let gather = Rc::new(Self {
                    outbox: Rc::clone(outbox),
                    slot,
                    protocol,
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
        let before = self.answers.borrow_mut().get_mut(place).and_then(|slot| slot.replace(answer));
        debug_assert!(before.is_none(), "each request is answered once");
        self.missing.set(self.missing.get() - 1);
        if self.missing.get() == 0
            && let Some(finish) = self.finish.take()
        {
            let answers = self.answers.take().into_iter().flatten().collect();
            Self::start(finish(answers, &self.node), &self.outbox, self.slot, self.protocol, &self.node, worker);
        }
    }
}
