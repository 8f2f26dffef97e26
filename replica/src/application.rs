//! One's own application on the replicas: its commands become operations over cells, and their answers its replies.
//!
//! What riak_core gives to those who write a vnode, in another form: an application holds no state and does no merging. It
//! says which cells of which keys a command reads and writes, and how what was found is to be read; placement, quorums,
//! stand-ins, handoff, anti-entropy and repair are given. A [`Service`] keeps track of the commands under way; whoever has a
//! [`Core`](crate::Core) - a server, or the [world](crate::world) of a test - carries the requests to it and the answers back.

use std::collections::BTreeMap;

use crate::core::RequestId;
use crate::id::PartitionId;
use crate::operation::{Answer, Operation, Request};
use crate::quorum::Quorum;

/// Commands over cells.
///
/// ```
/// use replica::*;
///
/// /// Who is in which room: joining twice is joining once, and whoever leaves removes what they have seen.
/// struct Presence;
///
/// enum Command {
///     Enter { room: String, who: String },
///     Who { room: String },
/// }
///
/// impl Application for Presence {
///     type Command = Command;
///     type Reply = Result<Vec<String>, Failure>;
///
///     fn begin(&self, command: &Command) -> Vec<Ask> {
///         match command {
///             Command::Enter { room, who } => {
///                 vec![Ask::key(room.as_bytes(), Operation::Write(Write::Add(vec![who.as_bytes().into()])))]
///             }
///             Command::Who { room } => vec![Ask::key(room.as_bytes(), Operation::Read(Read::All))],
///         }
///     }
///
///     fn proceed(&self, _: &Command, answers: Vec<Answer>) -> Next<Self::Reply> {
///         let mut here = Vec::new();
///         for answer in answers {
///             match answer {
///                 Answer::Failed(why) => return Next::Reply(Err(why)),
///                 Answer::Found(found) => here.extend(found.cells.into_iter().filter_map(|(cell, state)| {
///                     (!state.live.is_empty()).then(|| String::from_utf8_lossy(&cell.name).into_owned())
///                 })),
///                 _ => {}
///             }
///         }
///         Next::Reply(Ok(here))
///     }
/// }
///
/// let mut service = Service::new(Presence, |key| PartitionId::of_slot(u16::from(key[0])));
/// let step = service.command(1, Command::Enter { room: "attic".into(), who: "ada".into() }, Quorum::default());
/// let Step::Ask(requests) = step else { panic!("it has something to ask") };
/// let (id, request) = &requests[0]; // for a core: Event::Client(id, request)
/// assert_eq!(request.key, b"attic");
/// let done = service.answered(*id, Answer::Written(Written::default()));
/// assert!(matches!(done, Step::Done(1, Ok(_))));
/// ```
pub trait Application {
    /// What clients ask of it.
    type Command;
    /// What it tells them.
    type Reply;

    /// What to ask the replicas first, all at once.
    fn begin(&self, command: &Self::Command) -> Vec<Ask>;

    /// What to do with the answers, in the order of what was asked: reply, or ask again with what they say.
    fn proceed(&self, command: &Self::Command, answers: Vec<Answer>) -> Next<Self::Reply>;
}

impl<A: Application> Application for &A {
    type Command = A::Command;
    type Reply = A::Reply;

    fn begin(&self, command: &A::Command) -> Vec<Ask> {
        (**self).begin(command)
    }

    fn proceed(&self, command: &A::Command, answers: Vec<Answer>) -> Next<A::Reply> {
        (**self).proceed(command, answers)
    }
}

/// Something to ask the replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// An operation on one key.
    Key(Vec<u8>, Operation),
    /// An operation on every partition, once each (coverage): [`Operation::Scan`], [`Operation::Count`].
    Everywhere(Operation),
}

impl Ask {
    /// An operation on one key.
    pub fn key(key: impl Into<Vec<u8>>, operation: Operation) -> Self {
        Ask::Key(key.into(), operation)
    }
}

/// How a command goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<R> {
    /// It is done.
    Reply(R),
    /// It has more to ask.
    Ask(Vec<Ask>),
}

/// What a [`Service`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<R> {
    /// Hand these to the core, and their answers back.
    Ask(Vec<(RequestId, Request)>),
    /// This command is done.
    Done(u64, R),
    /// Other answers are awaited, or nobody asked.
    Wait,
}

/// The commands of an application that are under way. A state machine, like the cores it asks.
#[derive(Debug)]
pub struct Service<A: Application> {
    application: A,
    partition_of: fn(&[u8]) -> PartitionId,
    under_way: BTreeMap<u64, UnderWay<A::Command>>,
    asked: BTreeMap<RequestId, (u64, usize)>,
    next_request: u64,
}

#[derive(Debug)]
struct UnderWay<C> {
    command: C,
    quorum: Quorum,
    answers: Vec<Option<Answer>>,
    missing: usize,
}

impl<A: Application> Service<A> {
    /// An application whose keys fall into partitions like this.
    pub fn new(application: A, partition_of: fn(&[u8]) -> PartitionId) -> Self {
        Self { application, partition_of, under_way: BTreeMap::new(), asked: BTreeMap::new(), next_request: 0 }
    }

    /// A client's command, by a number of the caller's choice.
    pub fn command(&mut self, number: u64, command: A::Command, quorum: Quorum) -> Step<A::Reply> {
        let asks = self.application.begin(&command);
        self.ask(number, UnderWay { command, quorum, answers: Vec::new(), missing: 0 }, asks)
    }

    /// An answer of a core.
    pub fn answered(&mut self, id: RequestId, answer: Answer) -> Step<A::Reply> {
        let Some((number, place)) = self.asked.remove(&id) else { return Step::Wait };
        let Some(under_way) = self.under_way.get_mut(&number) else { return Step::Wait };
        under_way.answers[place] = Some(answer);
        under_way.missing -= 1;
        if under_way.missing > 0 {
            return Step::Wait;
        }
        match self.under_way.remove(&number) {
            Some(done) => self.go_on(number, done),
            None => Step::Wait,
        }
    }

    fn go_on(&mut self, number: u64, mut done: UnderWay<A::Command>) -> Step<A::Reply> {
        let answers = std::mem::take(&mut done.answers).into_iter().flatten().collect();
        match self.application.proceed(&done.command, answers) {
            Next::Reply(reply) => Step::Done(number, reply),
            Next::Ask(asks) => self.ask(number, done, asks),
        }
    }

    fn ask(&mut self, number: u64, mut under_way: UnderWay<A::Command>, asks: Vec<Ask>) -> Step<A::Reply> {
        let quorum = under_way.quorum;
        let mut requests = Vec::new();
        for ask in asks {
            let partitions: Vec<(PartitionId, Vec<u8>)> = match &ask {
                Ask::Key(key, _) => vec![((self.partition_of)(key), key.clone())],
                Ask::Everywhere(_) => PartitionId::all().map(|partition| (partition, Vec::new())).collect(),
            };
            let (Ask::Key(_, operation) | Ask::Everywhere(operation)) = ask;
            for (partition, key) in partitions {
                self.next_request += 1;
                let id = RequestId(self.next_request);
                self.asked.insert(id, (number, requests.len()));
                let operation = operation.clone();
                requests.push((id, Request { quorum, ..Request::new(partition, key, operation) }));
            }
        }
        if requests.is_empty() {
            return self.go_on(number, under_way);
        }
        (under_way.missing, under_way.answers) = (requests.len(), requests.iter().map(|_| None).collect());
        self.under_way.insert(number, under_way);
        Step::Ask(requests)
    }
}
