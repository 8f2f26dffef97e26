//! The `dotted` program.

use std::error::Error as _;
use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use server::config::ServeOptions;
use server::demo::{self, DemoOptions};
use server::error::Error;
use server::node::Node;
use server::tools::{self, BackupOptions, ImportOptions, RestoreOptions, StatusOptions};

/// Commands are many small allocations that live a few milliseconds: this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Redis-speaking Dynamo that keeps concurrent writes instead of losing them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run one node: a complete, durable server by itself, or a member of a cluster with --join.
    Serve(ServeOptions),
    /// Run three nodes on this machine and cut, heal and watch them with redis-cli.
    Demo(DemoOptions),
    /// Show how a cluster stands: members, what they own and lack. Fails if not all is well.
    Status(StatusOptions),
    /// Copy the keys of a running Redis, or of another cluster, into this one.
    Import(ImportOptions),
    /// Write the keys of a running node's cluster into a file.
    Backup(BackupOptions),
    /// Bring the keys of a backup into a cluster.
    Restore(RestoreOptions),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,fjall=warn,lsm_tree=warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    logs.with_ansi(std::io::stderr().is_terminal()).init();
    let done = match Arguments::parse().task {
        Task::Serve(options) => serve(options),
        Task::Demo(options) => demo::run(&options),
        Task::Status(options) => tools::status(&options),
        Task::Import(options) => tools::import(&options),
        Task::Backup(options) => tools::backup(&options),
        Task::Restore(options) => tools::restore(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("dotted: {error}");
            let mut cause = error.source();
            while let Some(why) = cause {
                eprint!(": {why}");
                cause = why.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn serve(options: ServeOptions) -> Result<(), Error> {
    let stops_with_parent = options.stop_with_parent;
    let running = Node::start(options)?;
    let node = &running.node;
    if let Some(address) = node.http_address {
        tracing::info!("the node's page is at http://{address}/");
    }
    tracing::info!(
        "node {} ({}, incarnation {}) takes clients at {}",
        node.view().name(node.id),
        node.id,
        node.incarnation().0,
        running.client_address
    );
    if stops_with_parent {
        let node = Arc::clone(node);
        std::thread::spawn(move || {
            let mut nothing = [0; 64];
            // Anything but bytes means that the parent is gone.
            while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
            node.stop.notify_one();
        });
    }
    node.wait_for_end()?;
    tracing::info!("everything that was answered is on disk: the node ends");
    Ok(())
}
