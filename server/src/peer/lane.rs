//! Lanes: two connections each way between two nodes, so that bulk never delays what somebody waits for. The one is for requests,
//! their answers and gossip, the other for what fills and repairs replicas, and for large
//! messages between them.
//!
//! A lane's queue is bounded in frames and bytes, and a frame that has waited too long is dropped: whoever asked has given up, and
//! anti-entropy makes up for what was to be told. How much is under way on the wire is TCP's matter (its windows are the credit):
//! a node that is behind stops reading, lane by lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until};

use crate::peer::counters::Counters;
use crate::peer::frame::PeerFrame;
use replica::Capabilities;

/// How many frames of a lane wait for a slow peer.
const QUEUE_FRAMES: usize = 65_536;
/// The same in bytes.
const QUEUE_BYTES: usize = 128 * 1024 * 1024;
/// Larger frames go by the lane for bulk, whatever they are.
const BULK_BYTES: usize = 64 * 1024;
/// How much is written at once.
const WRITE_BYTES: usize = 256 * 1024;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// What somebody waits for, and gossip.
    Requests,
    /// What fills and repairs replicas, and what is large.
    Bulk,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Bulk];

    /// The lane of a frame of so many bytes.
    #[must_use]
    pub fn of(frame: &PeerFrame, bytes: usize) -> Self {
        match frame {
            PeerFrame::Core(message) if message.is_bulk() => Self::Bulk,
            PeerFrame::Core(_) if bytes > BULK_BYTES => Self::Bulk,
            _ => Self::Requests,
        }
    }

    /// How long a frame waits at most.
    fn patience(self) -> Duration {
        match self {
            Self::Requests => Duration::from_secs(5),
            Self::Bulk => Duration::from_secs(30),
        }
    }
}

/// The end of a lane that frames are put in at.
pub(super) struct LaneSender {
    queue: Sender<(Instant, Vec<u8>)>,
    queued_bytes: Arc<AtomicUsize>,
    /// Is there a connection? Without one, what is sent is lost at once rather than later.
    is_up: Arc<AtomicBool>,
    /// What both ends can do, while there is one.
    capabilities: Arc<AtomicU64>,
}

impl LaneSender {
    /// What both ends of the connection can do.
    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities(self.capabilities.load(Ordering::Relaxed))
    }

    /// Puts a frame in, to be sent after a while; says whether there was room. Where there is no connection it is lost at once.
    pub(super) fn send(&self, frame: Vec<u8>, delay: Duration) -> bool {
        let len = frame.len();
        if !self.is_up.load(Ordering::Relaxed) {
            return true;
        }
        if self.queued_bytes.load(Ordering::Relaxed) + len > QUEUE_BYTES {
            return false;
        }
        self.queued_bytes.fetch_add(len, Ordering::Relaxed);
        let is_in = self.queue.try_send((Instant::now() + delay, frame)).is_ok();
        if !is_in {
            self.queued_bytes.fetch_sub(len, Ordering::Relaxed);
        }
        is_in
    }

    /// How many bytes wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }
}

/// The end of a lane that they are taken out at.
pub(super) struct LaneQueue {
    pub(super) lane: Lane,
    queue: Receiver<(Instant, Vec<u8>)>,
    queued_bytes: Arc<AtomicUsize>,
    is_up: Arc<AtomicBool>,
    capabilities: Arc<AtomicU64>,
}

/// A lane that is not connected yet.
pub(super) fn lane(lane: Lane) -> (LaneSender, LaneQueue) {
    let (sender, queue) = channel(QUEUE_FRAMES);
    let (queued_bytes, is_up) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let capabilities = Arc::new(AtomicU64::new(0));
    let sender = LaneSender {
        queue: sender,
        queued_bytes: Arc::clone(&queued_bytes),
        is_up: Arc::clone(&is_up),
        capabilities: Arc::clone(&capabilities),
    };
    (sender, LaneQueue { lane, queue, queued_bytes, is_up, capabilities })
}

impl LaneQueue {
    /// There is a connection now to a node that can do this, or none any more. What waited for one is out of date.
    pub(super) fn set_up(&mut self, other: Option<Capabilities>) {
        let capabilities = other.map_or(Capabilities::default(), |other| Capabilities::OURS.common(other));
        self.capabilities.store(capabilities.0, Ordering::Relaxed);
        while let Ok((_, frame)) = self.queue.try_recv() {
            self.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        }
        self.is_up.store(other.is_some(), Ordering::Relaxed);
    }

    /// Does nobody put anything in any more?
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Writes what is put in, as much at once as there is, until nobody puts anything in any more, or the other end is gone.
    pub(super) async fn pump(
        &mut self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        counters: &Counters,
    ) -> std::io::Result<()> {
        let (mut turn, mut out, mut nothing) = (Vec::new(), Vec::new(), [0; 1]);
        loop {
            tokio::select! {
                taken = self.queue.recv_many(&mut turn, 256) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                read = stream.read(&mut nothing) => {
                    read?;
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
            }
            // Whatever becomes of them, they are out of the queue.
            let taken = turn.iter().map(|(_, frame)| frame.len()).sum();
            self.queued_bytes.fetch_sub(taken, Ordering::Relaxed);
            for (due, frame) in turn.drain(..) {
                let now = Instant::now();
                if due > now {
                    stream.write_all(&std::mem::take(&mut out)).await?;
                    stream.flush().await?;
                    sleep_until(due).await;
                } else if now - due > self.lane.patience() {
                    counters.dropped_late();
                    continue;
                }
                out.extend_from_slice(&frame);
                if out.len() > WRITE_BYTES {
                    stream.write_all(&out).await?;
                    out.clear();
                }
            }
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
        }
    }
}
