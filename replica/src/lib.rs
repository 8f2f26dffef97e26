//! One node of a Dynamo cluster as pure state machines: no IO, no clock, no threads, no randomness of its own.
//!
//! [`Core`] replicates data: it takes [`Event`]s (a client's request, a peer's message, a batch that reached the
//! disk, a tick) and gives [`Action`]s (send, answer, write). [`Cluster`] keeps the member list and says who
//! answers. A shell drives both: the server with sockets and disks, the simulator with one seed.
//!
//! A write's answer is released by the event that says its batch is flushed, and by the owners that hold it; no
//! code that applies a write can answer it.
//!
//! ```
//! use std::{collections::BTreeSet, sync::Arc};
//! use replica::*;
//!
//! let me = NodeId(uuid::Uuid::from_u128(1));
//! let address = ([127, 0, 0, 1], 7001).into();
//! let own = Member::starting("a".into(), address, address, Incarnation(1), PartitionSet::all());
//! let cluster = Cluster::new(me, own, None, DEFAULT_REPLICAS);
//! let mut store = MemoryStore::new();
//! let settings = Settings::default();
//! let mut core = Core::new(Actor { node: me, incarnation: Incarnation(1) }, settings, PartitionId::all(), &store)?;
//! let (now, mut actions) = (Now { mono_ms: 0, wall_ms: 0 }, Vec::new());
//! core.handle(now, Event::View(Arc::clone(cluster.view())), &store, &mut actions);
//!
//! let partition = PartitionId::of_slot(4180);
//! let operation = Operation::Write(Write::Set(b"milk".to_vec()));
//! let request = Request::new(partition, "cart", operation);
//! core.handle(now, Event::Client(RequestId(7), request), &store, &mut actions);
//! let [Action::Write(batch)] = &actions[..] else { panic!("written, and not answered yet: {actions:?}") };
//! store.apply(batch);
//! let flushed = Event::Flushed(batch.seq);
//! actions.clear();
//! core.handle(now, flushed, &store, &mut actions);
//! assert!(matches!(&actions[..], [Action::Answer(RequestId(7), Answer::Written(_))]));
//! # Ok::<(), StoreError>(())
//! ```
#![forbid(unsafe_code)]

mod application;
mod callers;
mod capabilities;
mod cluster;
mod core;
mod decisions;
mod detector;
mod digest;
mod hash_tree;
mod id;
mod layout;
mod message;
mod operation;
mod pack;
mod partition;
mod place;
mod placement;
mod position;
mod procedure;
mod quorum;
mod record;
mod residual;
mod store;
mod sweep;
#[cfg(feature = "world")]
pub mod world;

pub use application::{Application, Ask, Next, Service, Step};
pub use callers::{Callers, Objection, REFUSED_MS};
pub use capabilities::Capabilities;
pub use cluster::{BEAT_MS, Cluster, ClusterAction, Gossip, SILENCE_MS};
pub use core::{Action, Contents, Core, Durability, Event, MergeReport, Now, RequestId, Settings, TICK_MS};
pub use decisions::{Decisions, MAX_DECISION_BYTES, MAX_DECISION_NAME_BYTES, MAX_DECISIONS, Undecided};
pub use detector::{Detector, MAX_STRETCH_PERCENT, Opinion, Swim, Word};
pub use hash_tree::{FANOUT, HashTree, LEAVES};
pub use id::{Actor, Cell, ClusterId, Context, Dot, Entry, Incarnation, NodeId, PARTITIONS, PartitionId, SLOTS, Seen};
pub use layout::{
    DEFAULT_REPLICAS, Layout, LayoutChange, Layouts, MAX_REPLICAS, Member, Members, PartitionSet, Presence, Proposal,
    Refused, Replicas, View,
};
pub use message::{
    Change, ClockNote, Compared, Comparison, Cursor, KeyState, Message, MissingKeys, StatedCell, StreamedRange, Ticket,
};
pub use operation::{
    Answer, ByteString, Failure, Found, Observed, Operation, OwnerReport, PeerEntropy, Read, Request, Write, Written,
};
pub use partition::{Keys, MergeNote, Noted, Start, VisitCell, WriteNote};
pub use place::{CellId, CellKind, Counts, Place};
pub use placement::{MAX_CAPACITY, MAX_ZONE_BYTES, Move, Owners, Plan, Role, plan};
pub use position::Position;
pub use procedure::{Mapped, NoProcedures, Procedures};
pub use quorum::{Holder, Medium, Part, Quorum, QuorumKind, Receipt};
pub use record::{CellState, KeyHash, NEVER};
pub use residual::Residual;
pub use store::{Batch, BatchSeq, MemoryStore, Store, StoreError, Visit, merge_scan, prefix_end};
pub use sweep::Sweep;
