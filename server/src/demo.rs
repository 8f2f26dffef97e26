//! `dotted demo`: three durable nodes on this machine, and how to reach them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::configuration::ENVIRONMENT;
use crate::error::Error;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The distance of the HTTP port from the client port.
const HTTP_PORT_OFFSET: u16 = 1_000;
/// How long the nodes may take to find each other.
const START_TIME: Duration = Duration::from_secs(30);

/// The flags of `dotted demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoOptions {
    /// Where the nodes keep their data, each in a folder of its own.
    #[arg(long, default_value = "dotted-demo", value_name = "DIR")]
    pub data: PathBuf,
    /// The client port of node a; b and c take the next two. HTTP is 1000 higher, peer ports 10000.
    #[arg(long, default_value_t = 7001, value_parser = clap::value_parser!(u16).range(1..=55_532))]
    pub port: u16,
}

/// Starts the nodes, tells how to reach them, and stays until one of them ends or this process is stopped.
///
/// # Errors
/// [`Error::Demo`] if a node does not start.
pub fn run(options: &DemoOptions) -> Result<(), Error> {
    let mut nodes = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        nodes.push((*name, options.port + index as u16, start(options, index, name)?));
    }
    wait_until_ready(&mut nodes)?;
    let mut out = std::io::stdout();
    // Nobody may be reading; the nodes run all the same.
    let _ = writeln!(out, "{}", banner(options));
    let _ = out.flush();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        for (name, _, node) in &mut nodes {
            if let Ok(Some(status)) = node.try_wait() {
                tracing::warn!("node {name} has ended ({status}); starting it again");
                let index = NAMES.iter().position(|known| known == name).unwrap_or(0);
                *node = start(options, index, name)?;
            }
        }
    }
}

fn start(options: &DemoOptions, index: usize, name: &str) -> Result<Child, Error> {
    let failed = |why: std::io::Error| Error::Demo(format!("node {name} cannot be started: {why}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    let port = options.port + index as u16;
    command.arg("serve").args(["--listen", &format!("127.0.0.1:{port}"), "--name", name]);
    command.args(["--http", &format!("127.0.0.1:{}", port + HTTP_PORT_OFFSET)]);
    command.arg("--data").arg(options.data.join(name)).args(["--faults", "--stop-with-parent", "--workers", "1"]);
    if index > 0 {
        command.args(["--join", &format!("127.0.0.1:{}", options.port + 10_000)]);
    }
    // A setting of the environment would be the same for all three.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(ENVIRONMENT.as_bytes()) {
            command.env_remove(name);
        }
    }
    // The node stops when its standard input ends: it never outlives this process.
    command.stdin(Stdio::piped()).spawn().map_err(failed)
}

/// Waits until every node serves every partition and sees the others.
fn wait_until_ready(nodes: &mut [(&str, u16, Child)]) -> Result<(), Error> {
    let deadline = Instant::now() + START_TIME;
    loop {
        for (name, port, node) in nodes.iter_mut() {
            if let Ok(Some(status)) = node.try_wait() {
                return Err(Error::Demo(format!(
                    "node {name} on port {port} did not start ({status}): see its message above"
                )));
            }
        }
        let ready = |port: u16| {
            info(port).is_ok_and(|text| {
                let all_alive =
                    text.lines().any(|line| line.starts_with("alive:") && line.split(',').count() == NAMES.len());
                all_alive && text.contains("\r\npartitions_serving:1024\r\n")
            })
        };
        if nodes.iter().all(|(_, port, _)| ready(*port)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Demo(format!("the nodes have not found each other within {} s", START_TIME.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn info(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"INFO\r\nQUIT\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn banner(options: &DemoOptions) -> String {
    let port = |index: u16| options.port + index;
    let reach = |name: &str, index: u16| {
        format!("  node {name}   redis-cli -p {}   http://127.0.0.1:{}/", port(index), port(index) + HTTP_PORT_OFFSET)
    };
    let lines: Vec<String> = NAMES.iter().zip(0..).map(|(name, index)| reach(name, index)).collect();
    format!(
        "Three nodes are up, with their data in {}:\n\n{}\n\nTry, in another terminal:\n\n  \
         redis-cli -p {a} DOT.FAULT CUT a                      cut node a off from b and c\n  \
         redis-cli -p {a} DOT.WITH W 1 SET cart milk           write on one side ..\n  \
         redis-cli -p {b} DOT.WITH W 1 SET cart bread          .. and on the other\n  \
         redis-cli -p {b} DOT.FAULT HEAL\n  \
         redis-cli -p {c} DOT.GET cart                         both are there, with the context to replace them\n  \
         redis-cli -p {c} SUBSCRIBE __dot__:merges             watch merges as they happen\n\n\
         Ctrl-C stops the nodes; the same command starts them again with their data.",
        options.data.display(),
        lines.join("\n"),
        a = port(0),
        b = port(1),
        c = port(2)
    )
}
