//! How a node ends: nobody new is let in, what is under way is answered, and the others hear of it at once.
//!
//! ```text
//! serving --asked to end--> closing: the ports are closed, so that whoever is let go finds no door to come back by
//!                              |  all are
//!                              v
//!                           draining: each connection ends once what it has sent is answered
//!                              |  all have, or the limit
//!                              v
//!                           leaving: the others are told that nobody is heard here any more, upon which they look for
//!                              |     another node at once
//!                              v
//!                           everything is on disk, and the process ends
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use replica::{ClusterAction, Gossip};
use tokio::sync::watch;

use crate::node::Node;

/// How often the connections are counted.
const LOOK_TIME: Duration = Duration::from_millis(5);

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has not been asked for.
    #[default]
    Serving,
    /// Nobody new is let in.
    Closing,
    /// What is under way is answered.
    Draining,
    /// The others are told.
    Leaving,
}

/// The end of a node, for whoever must know of it.
#[derive(Debug)]
pub struct Drain {
    stage: watch::Sender<Stage>,
    /// Ports at which clients are let in.
    doors: AtomicUsize,
    /// Connections over HTTP.
    pages: AtomicUsize,
}

impl Default for Drain {
    fn default() -> Self {
        Self { stage: watch::Sender::new(Stage::Serving), doors: AtomicUsize::new(0), pages: AtomicUsize::new(0) }
    }
}

impl Drain {
    /// Has the node been asked to end?
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Is nobody to be told any more that the node is there?
    #[must_use]
    pub(crate) fn is_leaving(&self) -> bool {
        *self.stage.borrow() >= Stage::Leaving
    }

    /// Returns when the end has come so far.
    pub fn reached(&self, stage: Stage) -> impl Future<Output = ()> + Send + use<> {
        let mut follows = self.stage.subscribe();
        async move {
            // The other end lives as long as the node.
            let _ = follows.wait_for(|now| *now >= stage).await;
        }
    }

    /// A port at which clients are let in, as long as this is kept.
    pub(crate) fn door(node: &Arc<Node>) -> Counted {
        Counted::new(node, |drain| &drain.doors)
    }

    /// A connection over HTTP, as long as this is kept.
    pub(crate) fn page(node: &Arc<Node>) -> Counted {
        Counted::new(node, |drain| &drain.pages)
    }
}

/// Something that the end waits for.
pub(crate) struct Counted {
    node: Arc<Node>,
    among: fn(&Drain) -> &AtomicUsize,
}

impl Counted {
    fn new(node: &Arc<Node>, among: fn(&Drain) -> &AtomicUsize) -> Self {
        among(&node.drain).fetch_add(1, Ordering::Relaxed);
        Self { node: Arc::clone(node), among }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.among)(&self.node.drain).fetch_sub(1, Ordering::Release);
    }
}

/// Ends what the node does for others. Everything that was answered may still have to reach the disk.
pub(crate) async fn run(node: &Arc<Node>) {
    let (began, limit) = (Instant::now(), Duration::from_millis(node.options.drain_ms));
    let open = || node.clients.count() + node.drain.pages.load(Ordering::Acquire);
    let connections = open();
    tracing::info!(connections, limit_ms = node.options.drain_ms, "the node ends: what is under way is answered");
    node.drain.stage.send_replace(Stage::Closing);
    while node.drain.doors.load(Ordering::Acquire) > 0 && began.elapsed() < limit {
        tokio::time::sleep(LOOK_TIME).await;
    }
    node.drain.stage.send_replace(Stage::Draining);
    while open() > 0 && began.elapsed() < limit {
        tokio::time::sleep(LOOK_TIME).await;
    }
    let (left, took_ms) = (open(), began.elapsed().as_millis() as u64);
    if left > 0 {
        tracing::warn!(connections = left, took_ms, "not everybody was answered within --drain-ms");
    }
    node.drain.stage.send_replace(Stage::Leaving);
    node.with_cluster(|cluster, _, out| {
        let members = &cluster.view().members;
        let word = Gossip::Beat { digest: cluster.digest(), hears_you: false };
        let others = members.current().map(|(other, _)| *other).filter(|other| *other != node.id);
        out.extend(others.map(|other| ClusterAction::Send(other, word.clone())));
    });
}
