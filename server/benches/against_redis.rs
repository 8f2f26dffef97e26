//! Throughput side by side with redis-server, driven by redis-benchmark, in one run on one machine.
//!
//! `cargo bench -p server --bench against_redis` (needs Debian's packages redis-server and redis-tools).
//! Redis runs with `appendonly yes` and `appendfsync always`, Dotted with `--durability always`: on both sides no
//! write is answered before it is synced. Prints a line per figure, tab-separated: name, ours, theirs, ratio.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const COMMANDS: [&str; 4] = ["set", "get", "incr", "sadd"];
const REDIS_PORT: u16 = 27_379;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    println!("machine\t{} cores\tfdatasync of 100 bytes {:?}", cores(), sync_time(scratch.path()));
    println!("name\tours\ttheirs\tratio");
    let (redis, redis_port) = redis(scratch.path());
    let (one, port, _) = dotted(&scratch.path().join("one"), &[]);
    for pipeline in [1, 16] {
        for command in COMMANDS {
            compare(&format!("one-node/{command}/P{pipeline}"), port, redis_port, command, pipeline);
        }
    }
    growing_set(port, one.0.id());
    drop(one);

    let (first, port, peer) = dotted(&scratch.path().join("a"), &["--name", "a"]);
    let others: Vec<_> =
        ["b", "c"].iter().map(|name| dotted(&scratch.path().join(name), &["--name", name, "--join", &peer])).collect();
    wait_for(port, "\r\nmembers:3\r\n");
    others.iter().for_each(|(_, port, _)| wait_for(*port, "\r\npartitions_serving:1024\r\n"));
    for pipeline in [1, 16] {
        for command in COMMANDS {
            compare(&format!("three-nodes/{command}/P{pipeline}"), port, redis_port, command, pipeline);
        }
    }
    drop((first, others, redis));
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The median of what one small durable append costs here: every figure depends on it.
fn sync_time(directory: &Path) -> Duration {
    let mut file = std::fs::File::create(directory.join("sync")).expect("a file");
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; 100]).and_then(|()| file.sync_data()).expect("a write");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[50]
}

fn redis(directory: &Path) -> (Server, u16) {
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &REDIS_PORT.to_string(),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
        "--dir",
    ]);
    let server = command.arg(directory).stdout(Stdio::null()).spawn().expect("redis-server is installed");
    wait_for(REDIS_PORT, "loading:0");
    (Server(server), REDIS_PORT)
}

fn dotted(data: &Path, more: &[&str]) -> (Server, u16, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotted"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(more).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let ready = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("takes clients at 127.0.0.1:").map(|(_, port)| port.trim().to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    let port = ready.and_then(|port| port.parse().ok()).expect("the node starts");
    let info = info(port).expect("the node answers");
    let peer = info.lines().find_map(|line| line.strip_prefix("peer_address:")).expect("INFO has it").trim().to_owned();
    (Server(child), port, peer)
}

fn info(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"INFO\r\nQUIT\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map(|_| text)
}

fn wait_for(port: u16, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !info(port).is_ok_and(|text| text.contains(wanted)) {
        assert!(Instant::now() < deadline, "port {port} never says {wanted:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn compare(name: &str, ours: u16, theirs: u16, command: &str, pipeline: u32) {
    let (ours, theirs) = (requests_per_second(ours, command, pipeline), requests_per_second(theirs, command, pipeline));
    println!("{name}\t{ours:.0}/s\t{theirs:.0}/s\t{:.2}", ours / theirs);
}

/// The better of two runs.
fn requests_per_second(port: u16, command: &str, pipeline: u32) -> f64 {
    let requests = if pipeline == 1 { "40000" } else { "200000" };
    let run = || {
        let output = Command::new("redis-benchmark")
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "50",
                "-P",
                &pipeline.to_string(),
                "-n",
                requests,
                "-r",
                "100000",
                "-t",
                command,
                "--csv",
            ])
            .output()
            .expect("redis-benchmark is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let figure =
            text.lines().last().and_then(|line| line.split(',').nth(1)).map(|field| field.trim_matches('"').to_owned());
        figure.and_then(|figure| figure.parse::<f64>().ok()).unwrap_or_else(|| panic!("redis-benchmark printed {text}"))
    };
    run().max(run())
}

/// One member more, in a small set and in a large one: time and bytes must not depend on the size.
fn growing_set(port: u16, process: u32) {
    const ADDS: u32 = 2_000;
    let mut client = Client::new(port);
    let mut figures = Vec::new();
    for (key, size) in [("small", 100), ("large", 1_000_000)] {
        for chunk in (0..size).step_by(1_000) {
            let members: Vec<String> = (chunk..size.min(chunk + 1_000)).map(|n| format!("m{n}")).collect();
            client.call(&[&["SADD".to_owned(), key.to_owned()][..], &members].concat());
        }
        wait_until_quiet(process);
        let (start, before) = (Instant::now(), written_bytes(process));
        for n in 0..ADDS {
            client.call(&["SADD".to_owned(), key.to_owned(), format!("new{n}")]);
        }
        let per_add = |total: f64| total / f64::from(ADDS);
        figures.push((per_add(start.elapsed().as_secs_f64() * 1e6), per_add((written_bytes(process) - before) as f64)));
    }
    let ((small_time, small_bytes), (large_time, large_bytes)) = (figures[0], figures[1]);
    println!("sadd-into-1000000-vs-100/time\t{large_time:.0} us\t{small_time:.0} us\t{:.2}", large_time / small_time);
    println!(
        "sadd-into-1000000-vs-100/written\t{large_bytes:.0} B\t{small_bytes:.0} B\t{:.2}",
        large_bytes / small_bytes
    );
}

/// What the process has handed to the disk.
fn written_bytes(process: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{process}/io")).expect("Linux tells");
    io.lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .and_then(|bytes| bytes.parse().ok())
        .expect("a number")
}

fn wait_until_quiet(process: u32) {
    let mut last = u64::MAX;
    while std::mem::replace(&mut last, written_bytes(process)) != written_bytes(process) {
        std::thread::sleep(Duration::from_secs(1));
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the node listens");
        stream.set_nodelay(true).expect("a socket option");
        Self(BufReader::new(stream))
    }

    /// Every command used here has an integer for a reply.
    fn call(&mut self, arguments: &[String]) {
        let mut out = format!("*{}\r\n", arguments.len());
        arguments.iter().for_each(|argument| out.push_str(&format!("${}\r\n{argument}\r\n", argument.len())));
        self.0.get_mut().write_all(out.as_bytes()).expect("the node reads");
        let mut reply = String::new();
        self.0.read_line(&mut reply).expect("the node answers");
        assert!(reply.starts_with(':'), "{reply}");
    }
}
