//! The `dotted` program.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use server::config::ServeOptions;
use server::configuration::{self, File};
use server::demo::{self, DemoOptions};
use server::error::Error;
use server::logs::{self, LogFormat};
use server::node::Node;
use server::supervisor;
use server::tools::{
    self, BackupOptions, BenchOptions, DoctorOptions, ImportOptions, JoinOptions, LayoutOptions, LeaveOptions,
    ReplaceOptions, RestoreOptions, ScrubOptions, StatusOptions,
};

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

const SERVE: &str =
    "Each flag can be a line of a file as well (--config FILE), by its name: listen = \"0.0.0.0:6379\"; and a
variable of the environment: DOTTED_LISTEN. A flag counts before a variable, that before the file, and
that before the default. --print-config shows what is in force and where it comes from.

Examples:
  dotted serve                                        one node on 127.0.0.1:6379, data in ./dotted-data
  dotted serve --listen 10.0.0.2:6379 --requirepass SECRET --unprotected --join 10.0.0.1:16379
                                                      a member, in a network of trusted machines (else: certificates)
  dotted serve --config /etc/dotted.toml --print-config";
const LAYOUT: &str = "Examples:
  dotted layout show
  dotted layout stage d --zone attic --capacity 2
  dotted layout plan
  dotted layout commit 53d449d2faedd88d --wait";
const JOIN: &str = "Examples:
  dotted serve --listen 10.0.0.4:6379 --name d --join 10.0.0.1:16379      on its machine, first
  dotted join d --zone attic --capacity 2                                 shows the plan
  dotted join d --zone attic --capacity 2 --yes                           .. commits it, and waits until d is filled";
const LEAVE: &str = "Examples:
  dotted leave d                                      shows the plan
  dotted leave d --yes                                commits it, and waits until d holds nothing any more";
const REPLACE: &str = "Examples:
  dotted serve --listen 10.0.0.5:6379 --name e --join 10.0.0.1:16379      on its machine, first
  dotted replace d e --yes                            e takes zone and capacity of d; d leaves, or is removed if it is gone";
const DOCTOR: &str =
    "OK, WARN or FAIL, and what to do, a line each; a failure if there is a FAIL. Disk and limits are looked at where
the node runs on this machine: run it on each.

Examples:
  dotted doctor
  dotted doctor --node 10.0.0.1:6379 --password SECRET";
const BENCH: &str =
    "Keys are called dotted-bench:.. and removed at the end. A command counts from when it is sent until its answer
is read, those sent with it included. All clients share one thread.

Examples:
  dotted bench                                        set, get and incr, five seconds each, 50 clients
  dotted bench --commands set,get --pipeline 16 --seconds 10 --value-bytes 100 --keys 100000
  dotted bench --commands incr --requests 100000 --tsv > incr.tsv";

#[derive(Subcommand)]
enum Task {
    /// Run one node: a complete, durable server by itself, or a member of a cluster with --join.
    #[command(after_help = SERVE)]
    Serve(Box<ServeOptions>),
    /// Run three nodes on this machine and cut, heal and watch them with redis-cli.
    Demo(DemoOptions),
    /// Show how a cluster stands: members, what they own and lack. Fails if not all is well.
    Status(StatusOptions),
    /// Decide who holds what: show, stage, plan, commit, revert.
    #[command(after_help = LAYOUT)]
    Layout(LayoutOptions),
    /// Decide what a node that has joined (with `serve --join`) bears.
    #[command(after_help = JOIN)]
    Join(JoinOptions),
    /// Have a member hand over what it holds, so that it can be stopped for good.
    #[command(after_help = LEAVE)]
    Leave(LeaveOptions),
    /// Put a member in the place of another, which leaves, or is gone already.
    #[command(after_help = REPLACE)]
    Replace(ReplaceOptions),
    /// Have every member read all it holds, in the background, and set right what is damaged.
    Scrub(ScrubOptions),
    /// Look for what is wrong, or will be, with a cluster and this machine, and say what to do. Fails if a check does.
    #[command(after_help = DOCTOR)]
    Doctor(DoctorOptions),
    /// Send a node as much as it takes, and show how much that is and how long answers take.
    #[command(after_help = BENCH)]
    Bench(BenchOptions),
    /// Copy the keys of a running Redis, or of another cluster, into this one.
    Import(ImportOptions),
    /// Write the keys of a running node's cluster into a file.
    Backup(BackupOptions),
    /// Bring the keys of a backup into a cluster.
    Restore(RestoreOptions),
}

fn main() -> ExitCode {
    match parse().and_then(run) {
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

/// The task, with what flags, environment and file say of it.
fn parse() -> Result<Task, Error> {
    let command = Arguments::command().mut_subcommand("serve", configuration::with_environment);
    let serve = |command: &Command| command.find_subcommand("serve").cloned().unwrap_or_default();
    if std::env::args().nth(1).is_some_and(|task| task == "serve") {
        configuration::check_environment(&serve(&command))?;
    }
    // What belongs to what the file says may seem to be missing.
    let lenient = command.clone().ignore_errors(true).try_get_matches();
    let said = lenient.as_ref().ok().and_then(|matches| matches.subcommand_matches("serve"));
    let Some(said) = said else {
        let matches = command.get_matches();
        return Ok(Arguments::from_arg_matches(&matches).unwrap_or_else(|why| why.exit()).task);
    };
    let serve = serve(&command);
    let file = match said.get_one::<PathBuf>("config") {
        Some(path) => File::read(path, &serve)?,
        None => File::default(),
    };
    let flags = file.as_flags(&serve, said).into_iter().map(OsString::from);
    let mut given = std::env::args_os();
    let begin: Vec<OsString> = given.by_ref().take(2).collect();
    let matches = command.get_matches_from(begin.into_iter().chain(flags).chain(given));
    let mut task = Arguments::from_arg_matches(&matches).unwrap_or_else(|why| why.exit()).task;
    if let (Task::Serve(options), Some((_, matches))) = (&mut task, matches.subcommand()) {
        options.in_force = configuration::in_force(&serve, matches, said, &file);
    }
    Ok(task)
}

fn run(task: Task) -> Result<(), Error> {
    let (level, format) = match &task {
        Task::Serve(options) => (options.log_level.as_deref(), options.log_format),
        _ => (None, LogFormat::Text),
    };
    logs::start(level, format);
    match task {
        Task::Serve(options) if options.print_config => {
            // Nobody may be reading.
            let _ = std::io::stdout().write_all(configuration::show(&options.in_force).as_bytes());
            Ok(())
        }
        Task::Serve(options) => serve(*options),
        Task::Demo(options) => demo::run(&options),
        Task::Status(options) => tools::status(&options),
        Task::Layout(options) => tools::layout(&options),
        Task::Join(options) => tools::join(&options),
        Task::Leave(options) => tools::leave(&options),
        Task::Replace(options) => tools::replace(&options),
        Task::Scrub(options) => tools::scrub(&options),
        Task::Doctor(options) => tools::doctor(&options),
        Task::Bench(options) => tools::bench(&options),
        Task::Import(options) => tools::import(&options),
        Task::Backup(options) => tools::backup(&options),
        Task::Restore(options) => tools::restore(&options),
    }
}

fn serve(options: ServeOptions) -> Result<(), Error> {
    let stops_with_parent = options.stop_with_parent;
    let running = Node::start(options)?;
    let node = &running.node;
    let (plain, secret) = (node.http_address.map(|at| ("http", at)), node.https_address.map(|at| ("https", at)));
    for (scheme, address) in plain.into_iter().chain(secret) {
        tracing::info!("the node's page is at {scheme}://{address}/");
    }
    let name = node.view().name(node.id);
    tracing::info!(
        node = name,
        id = %node.id,
        incarnation = node.incarnation().0,
        version = env!("CARGO_PKG_VERSION"),
        "node {name} takes clients at {}",
        running.client_address
    );
    supervisor::ready();
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
