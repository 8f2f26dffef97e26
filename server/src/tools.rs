//! Programs beside the server that speak to running ones as any client does: how a cluster stands, who holds what, what is wrong, how
//! fast it is, and copies of its keys.

mod bench;
mod client;
mod cluster;
mod copy;
mod doctor;
mod layout;
mod membership;
mod progress;
mod scrub;
mod status;
mod table;
mod tls;

pub use bench::{BenchOptions, bench};
pub use client::{Address, ServerOptions};
pub use copy::{BackupOptions, ImportOptions, RestoreOptions, backup, import, restore};
pub use doctor::{DoctorOptions, doctor};
pub use layout::{LayoutOptions, layout};
pub use membership::{JoinOptions, LeaveOptions, ReplaceOptions, join, leave, replace};
pub use scrub::{ScrubOptions, scrub};
pub use status::{StatusOptions, status};
pub use tls::Trust;
