//! A node for applications of one's own: what they ask of the replicas, from any thread.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use replica::{
    Answer, Application, ByteString, Failure, Mapped, Operation, PartitionId, Quorum, Request, Service, Step, Sweep,
};
use tokio::sync::oneshot;

use crate::jobs::{Job, What};
use crate::node::Node;
use crate::procedures::{self, Call, Commands};
use crate::resp::Reply;
use crate::worker::{self, ToWorker};

impl Node {
    /// Asks the replicas, as a client's command does; from any thread and runtime.
    pub fn ask(&self, request: Request) -> impl Future<Output = Answer> + Send + use<> {
        let (waits, answer) = oneshot::channel();
        let worker = worker::worker_of(request.partition, self.workers());
        self.tell(worker, ToWorker::AskFromOutside { request, waits });
        // A worker ends only with the process.
        async move { answer.await.unwrap_or(Answer::Failed(Failure::NotAnOwner)) }
    }

    /// Carries out a command of one's own application on this node's cluster.
    ///
    /// ```
    /// use clap::Parser as _;
    /// use replica::{Answer, Application, Ask, CellId, Next, Operation, Quorum, Write};
    ///
    /// /// Counts visits.
    /// struct Visits;
    ///
    /// impl Application for Visits {
    ///     type Command = String;
    ///     type Reply = Option<i64>;
    ///
    ///     fn begin(&self, page: &String) -> Vec<Ask> {
    ///         vec![Ask::key(page.as_bytes(), Operation::Write(Write::Increment(CellId::value(), 1)))]
    ///     }
    ///
    ///     fn proceed(&self, _: &String, answers: Vec<Answer>) -> Next<Option<i64>> {
    ///         let written = answers.into_iter().find_map(|answer| match answer {
    ///             Answer::Written(written) => written.number,
    ///             _ => None,
    ///         });
    ///         Next::Reply(written)
    ///     }
    /// }
    ///
    /// #[derive(clap::Parser)]
    /// struct Flags {
    ///     #[command(flatten)]
    ///     serve: server::config::ServeOptions,
    /// }
    ///
    /// let flags = Flags::parse_from(["visits", "--in-memory", "--listen", "127.0.0.1:0"]);
    /// let running = server::node::Node::start(flags.serve)?;
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let visit = || runtime.block_on(running.node.run(&Visits, "index".to_owned(), Quorum::default()));
    /// assert_eq!((visit(), visit()), (Some(1), Some(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn run<A: Application>(&self, application: &A, command: A::Command, quorum: Quorum) -> A::Reply {
        let partition_of = |key: &[u8]| PartitionId::of_slot(redis_protocol::redis_keyslot(key));
        let mut service = Service::new(application, partition_of);
        let mut step = service.command(0, command, quorum);
        loop {
            let requests = match step {
                Step::Done(_, reply) => return reply,
                Step::Ask(requests) => requests,
                Step::Wait => unreachable!("every request of the last step was answered"),
            };
            // All of them are on their way before the first is waited for.
            let waiting: Vec<_> = requests.into_iter().map(|(id, request)| (id, self.ask(request))).collect();
            step = Step::Wait;
            for (id, answer) in waiting {
                step = service.answered(id, answer.await);
            }
        }
    }

    /// Has the application's own procedure carried out where a key is coordinated: see [`Procedures::call`](replica::Procedures::call).
    ///
    /// # Errors
    /// The [`Failure`].
    pub async fn call(&self, key: &[u8], call: impl Into<ByteString>) -> Result<Vec<u8>, Failure> {
        let partition = PartitionId::of_slot(redis_protocol::redis_keyslot(key));
        let write = Call::Own(call.into()).to_write();
        match self.ask(Request::new(partition, key, Operation::Write(write))).await {
            Answer::Written(written) => match procedures::said(&written.said.0) {
                Reply::Bulk(said) => Ok(said.to_vec()),
                _ => Err(Failure::NotUnderstood),
            },
            Answer::Failed(why) => Err(why),
            _ => Err(Failure::NotUnderstood),
        }
    }

    /// Sweeps over every key of the cluster with the application's own map and reduce: see [`Procedures::map`](replica::Procedures::map). Whoever drops the
    /// future asks no further.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use clap::Parser as _;
    /// use replica::{ByteString, CellId, CellKind, Failure, Keys, Mapped, Procedures, Read, Write};
    /// use server::node::Node;
    ///
    /// /// Words, each a key that holds how often it was said.
    /// #[derive(Debug)]
    /// struct Words;
    ///
    /// impl Procedures for Words {
    ///     fn call(&self, word: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
    ///         keys.write(word, &Write::Increment(CellId::value(), 1))?;
    ///         Ok(Vec::new())
    ///     }
    ///
    ///     fn map(&self, _: &[u8], word: &[u8], _: CellKind, keys: &mut Keys<'_, '_>) -> Result<Mapped, Failure> {
    ///         let found = keys.read(word, &Read::Cells(vec![CellId::value()]))?;
    ///         let said = found.cell(&CellId::value()).map_or(0, |cell| crdt::reading::tallies(&cell.live).value());
    ///         Ok(vec![(vec![word.len() as u8].into(), said.to_le_bytes().to_vec().into())])
    ///     }
    ///
    ///     fn reduce(&self, _: &[u8], _: &[u8], one: ByteString, other: ByteString) -> Result<ByteString, Failure> {
    ///         let number = |bytes: &ByteString| bytes.0.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    ///         Ok((number(&one) + number(&other)).to_le_bytes().to_vec().into())
    ///     }
    /// }
    ///
    /// #[derive(clap::Parser)]
    /// struct Flags {
    ///     #[command(flatten)]
    ///     serve: server::config::ServeOptions,
    /// }
    ///
    /// let flags = Flags::parse_from(["words", "--in-memory", "--listen", "127.0.0.1:0"]);
    /// let node = Node::start_with(flags.serve, Arc::new(Words))?.node;
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let by_length = runtime.block_on(async {
    ///     for word in ["to", "be", "or", "not", "to", "be"] {
    ///         node.call(word.as_bytes(), word.as_bytes()).await?;
    ///     }
    ///     node.sweep("by length", |_| {}).await
    /// });
    /// let by_length: Vec<_> = by_length.unwrap().into_iter().map(|(length, said)| (length.0[0], said.0[0])).collect();
    /// assert_eq!(by_length, [(2, 5), (3, 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The [`Failure`] that ended it.
    pub async fn sweep(
        self: &Arc<Self>,
        job: impl Into<ByteString>,
        mut on_progress: impl FnMut(&Sweep),
    ) -> Result<Mapped, Failure> {
        let job = Job { pattern: None, what: What::Own(job.into()) };
        let (mut sweep, commands) = (Sweep::new(job.encode(), PartitionId::all()), Commands::of(self));
        let mut under_way = FuturesUnordered::new();
        loop {
            while let Some((id, request)) = sweep.next_request() {
                let answer = self.ask(request);
                under_way.push(async move { (id, answer.await) });
            }
            let Some((id, answer)) = under_way.next().await else { break };
            sweep.answered(id, answer, &commands)?;
            on_progress(&sweep);
        }
        Ok(sweep.results().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}
