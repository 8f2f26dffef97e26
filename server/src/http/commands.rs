//! Commands of requests: carried out one after another, as those of a connection of their own.

use std::sync::Arc;
use std::time::Instant;

use replica::ByteString;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

use super::problem::{Problem, refused};
use crate::acl::User;
use crate::command::{self, Arguments};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Protocol, Reply};
use crate::session::Session;

/// How many requests may wait for their turn.
const WAITING_CALLS: usize = 1_024;

/// A command: its name and its arguments.
pub(super) type Words = Vec<ByteString>;

/// A command of these words.
pub(super) fn words<T: AsRef<[u8]>>(words: impl IntoIterator<Item = T>) -> Words {
    words.into_iter().map(|word| ByteString::from(word.as_ref())).collect()
}

tokio::task_local! {
    /// Whose request this task serves.
    pub(super) static USER: Arc<User>;
}

struct Call {
    user: Arc<User>,
    commands: Vec<Words>,
    replies: oneshot::Sender<Vec<Reply>>,
}

/// Where requests hand in their commands, from whatever task they are served by.
#[derive(Clone)]
pub(super) struct Commands(Sender<Call>);

impl Commands {
    /// Takes commands on this thread from now on.
    pub(super) fn start(node: &Arc<Node>) -> Self {
        let (calls, mut taken) = channel::<Call>(WAITING_CALLS);
        let node = Arc::clone(node);
        tokio::task::spawn_local(async move {
            while let Some(Call { user, commands, mut replies }) = taken.recv().await {
                let node = Arc::clone(&node);
                tokio::task::spawn_local(async move {
                    let said = carry_out(user, commands, &node, &mut replies).await;
                    // Whoever asked may be gone.
                    let _ = replies.send(said);
                });
            }
        });
        Self(calls)
    }

    /// Carries these out in their order, on one session of the request's user, until one of them is refused.
    pub(super) async fn run_all(&self, commands: Vec<Words>) -> Vec<Reply> {
        let Ok(user) = USER.try_with(Arc::clone) else {
            return vec![Reply::error("NOAUTH Authentication required.")];
        };
        let (replies, said) = oneshot::channel();
        // The other end is dropped only with the process.
        let _ = self.0.send(Call { user, commands, replies }).await;
        said.await.unwrap_or_default()
    }

    /// May the request's user do that? For what is no command, but tells as much as one.
    pub(super) fn check(&self, command: &Words) -> Result<(), Problem> {
        let user = USER.try_with(Arc::clone).map_err(|_| refused("NOAUTH Authentication required."))?;
        match command::check_words(&user, command) {
            Err(Reply::Error(why)) => Err(refused(&why)),
            _ => Ok(()),
        }
    }

    /// Carries one out.
    pub(super) async fn run(&self, command: Words) -> Reply {
        self.run_all(vec![command]).await.pop().unwrap_or_else(|| Reply::error("ERR no answer"))
    }
}

async fn carry_out(
    user: Arc<User>,
    commands: Vec<Words>,
    node: &Arc<Node>,
    asker: &mut oneshot::Sender<Vec<Reply>>,
) -> Vec<Reply> {
    let (mut session, _messages) = Session::new(node, "http".to_owned(), String::new());
    // Whoever asks over HTTP has been let in by HTTP's own means.
    session.is_authenticated = true;
    session.become_user(user);
    session.protocol = Protocol::Resp3;
    let mut replies = Vec::with_capacity(commands.len());
    for words in commands {
        let began = Instant::now();
        let step = command::run(&Arguments::kept(&words), &mut session, node);
        // How long one waits says nothing of how long it takes.
        let waits = matches!(step, Step::Wait(_));
        replies.push(follow(step, node, asker).await);
        if !waits {
            node.latencies.note(session.family, began.elapsed());
        }
        if matches!(replies.last(), Some(Reply::Error(_))) {
            break;
        }
    }
    node.pubsub.forget(session.id);
    node.monitors.forget(session.id);
    replies
}

/// What has begun is carried out to its end, whoever is gone; nobody waits on for who is.
async fn follow(mut step: Step, node: &Arc<Node>, asker: &mut oneshot::Sender<Vec<Reply>>) -> Reply {
    loop {
        step = match step {
            Step::Reply(reply) => return reply,
            Step::Replies(_) => return Reply::error("ERR this command needs a connection of its own"),
            Step::Wait(outcome) => tokio::select! {
                reply = outcome => return reply,
                () = asker.closed() => return Reply::Null,
            },
            Step::Ask(requests, finish) => {
                // All of them are on their way before the first is waited for.
                let asked: Vec<_> = requests.into_iter().map(|request| node.ask(request)).collect();
                let mut answers = Vec::with_capacity(asked.len());
                for answer in asked {
                    answers.push(answer.await);
                }
                finish(answers, node)
            }
        };
    }
}
