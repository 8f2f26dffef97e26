//! Small clusters driven by hand through the public interface: who stands in for whom, and what becomes of damage.

#[path = "nodes/alone.rs"]
mod alone;
#[path = "nodes/deadlines.rs"]
mod deadlines;
#[path = "nodes/hedged.rs"]
mod hedged;
#[path = "nodes/orders.rs"]
mod orders;
#[path = "nodes/procedures.rs"]
mod procedures;
#[path = "nodes/ranges.rs"]
mod ranges;
#[path = "nodes/sessions.rs"]
mod sessions;
#[path = "nodes/stand_ins.rs"]
mod stand_ins;
#[path = "nodes/streams.rs"]
mod streams;
#[path = "nodes/support.rs"]
mod support;
#[path = "nodes/sweeps.rs"]
mod sweeps;
#[path = "nodes/verification.rs"]
mod verification;
