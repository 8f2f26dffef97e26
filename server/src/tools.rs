//! Programs beside the server that speak to running ones as any client does: how a cluster stands, and copies of its keys.

mod client;
mod copy;
mod status;

pub use client::{Address, ServerOptions};
pub use copy::{BackupOptions, ImportOptions, RestoreOptions, backup, import, restore};
pub use status::{StatusOptions, status};
