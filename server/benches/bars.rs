//! The bars of the server: throughput beside redis-server driven by redis-benchmark, CPU per command, three nodes, memory, overload,
//! and latency beside a node that stalls. One run on one machine.
//!
//! `cargo bench -p server --bench bars [-- part of a name ..]` (needs Debian's packages redis-server and redis-tools; about
//! five minutes for everything). Both servers promise the same: `everysec` is `appendfsync everysec` beside `--durability
//! interval`, `always` is `appendfsync always` beside `--durability always`. A line per figure, tab-separated: name, ours, peer
//! or bar, ratio.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const COMMANDS: [&str; 7] = ["set", "get", "incr", "sadd", "hset", "lpush", "zadd"];
const REDIS_PORT: u16 = 27_379;
/// Per second, of three nodes together: Dynomite over Redis on such a machine.
const THREE_NODES_SET: f64 = 54_000.0;
const THREE_NODES_GET: f64 = 51_000.0;
/// Resident, with a million keys of 16 bytes and values of 3.
const MILLION_KEYS_MB: f64 = 210.0;
/// The p99 beside a node that stalls for 100 ms now and then, by the p99 of healthy ones.
const STALLED_RATIO: f64 = 2.0;

/// Of the greatest throughput, with ten times as many requests under way as that takes.
const OVERLOAD_GOODPUT: f64 = 0.8;
/// Until one client is answered as before once that is over.
const OVERLOAD_RECOVERY: Duration = Duration::from_secs(5);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What to measure: everything, or what has one of these in its name.
struct Chosen(Vec<String>);

impl Chosen {
    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|part| name.contains(part.as_str()))
    }
}

fn main() {
    let chosen = Chosen(std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect());
    let scratch = tempfile::tempdir().expect("a scratch directory");
    println!("machine\t{} cores\tfdatasync of 100 bytes {:?}", cores(), sync_time(scratch.path()));
    println!("name\tours\tpeer or bar\tratio");
    for (promise, durability, prefix) in [("everysec", "interval", ""), ("always", "always", "always-")] {
        beside_redis(&chosen, &scratch.path().join(promise), promise, durability, prefix);
    }
    if chosen.has("sadd-into") {
        let (one, port, _) = dotted(&scratch.path().join("growing"), &[]);
        growing_set(port, one.0.id());
    }
    million_keys(&chosen, &scratch.path().join("million"));
    overload(&chosen, &scratch.path().join("overload"));
    three_nodes(&chosen, &scratch.path().join("three"));
}

/// One node and one redis-server that promise the same.
fn beside_redis(chosen: &Chosen, directory: &Path, promise: &str, durability: &str, prefix: &str) {
    let mut loads: Vec<(String, Load)> = Vec::new();
    for pipeline in [1, 16] {
        for command in COMMANDS {
            let load = Load { command, pipeline, value_bytes: 3, keys: 1, clients: 50 };
            loads.push((format!("{prefix}p{pipeline}-{command}"), load));
        }
        for command in ["set", "get"] {
            let load = Load { command, pipeline, value_bytes: 1_024, keys: 1, clients: 50 };
            loads.push((format!("{prefix}p{pipeline}-{command}-1KiB"), load));
            let load = Load { value_bytes: 3, keys: 100_000, ..load };
            loads.push((format!("{prefix}p{pipeline}-{command}-100000-keys"), load));
        }
    }
    loads.retain(|(name, _)| chosen.has(name));
    if loads.is_empty() {
        return;
    }
    let redis = redis(directory, promise);
    let (one, port, _) = dotted(&directory.join("one"), &["--durability", durability]);
    for (name, load) in loads {
        let (ours, our_cpu) = load.run(port, &[one.0.id()]);
        let (theirs, their_cpu) = load.run(REDIS_PORT, &[redis.0.id()]);
        println!("{name}\t{ours:.0}/s\t{theirs:.0}/s\t{:.2}", ours / theirs);
        println!("cpu-{name}\t{our_cpu:.2} us\t{their_cpu:.2} us\t{:.2}", our_cpu / their_cpu);
    }
}

fn million_keys(chosen: &Chosen, directory: &Path) {
    if !chosen.has("rss-1M-keys-mb") {
        return;
    }
    let (one, port, _) = dotted(directory, &["--durability", "interval"]);
    let mut client = Client::new(port);
    for from in (0..1_000_000).step_by(1_000) {
        let sets: Vec<Vec<String>> =
            (from..from + 1_000).map(|n| vec!["SET".to_owned(), format!("key:{n:012}"), "xxx".to_owned()]).collect();
        client.pipeline(&sets);
    }
    std::thread::sleep(Duration::from_secs(2));
    let ours = resident_mb(one.0.id());
    println!("rss-1M-keys-mb\t{ours:.0}\t{MILLION_KEYS_MB:.0}\t{:.2}", ours / MILLION_KEYS_MB);
}

/// One node with 50 clients of 16 commands at a time, which it takes as fast as it can, and with ten times as many clients.
fn overload(chosen: &Chosen, directory: &Path) {
    if !chosen.has("overload-goodput") && !chosen.has("overload-recovery-s") {
        return;
    }
    let (_one, port, _) = dotted(directory, &["--durability", "interval"]);
    let peak = Load { command: "set", pipeline: 16, value_bytes: 100, keys: 100_000, clients: 50 };
    let best = (0..3).map(|_| peak.requests_per_second(port)).fold(0.0, f64::max);
    let mut client = Client::new(port);
    let healthy = slowest_hundredth(&mut client);
    let beyond = Load { clients: 500, ..peak }.requests_per_second(port);
    let over = Instant::now();
    while slowest_hundredth(&mut client) > 2 * healthy && over.elapsed() < 4 * OVERLOAD_RECOVERY {}
    println!(
        "overload-goodput\t{beyond:.0}/s of {best:.0}/s\t{OVERLOAD_GOODPUT}\t{:.2}",
        beyond / best / OVERLOAD_GOODPUT
    );
    let (took, bar) = (over.elapsed().as_secs_f64(), OVERLOAD_RECOVERY.as_secs_f64());
    println!("overload-recovery-s\t{took:.2}\t{bar}\t{:.2}", took / bar);
}

/// What the slowest hundredth of some hundred commands of one client take, at least.
fn slowest_hundredth(client: &mut Client) -> Duration {
    let mut times: Vec<Duration> = (0..500)
        .map(|n| {
            let asked = Instant::now();
            client.call(&["SET".to_owned(), format!("probe{n}"), "v".to_owned()]);
            asked.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() * 99 / 100]
}

fn three_nodes(chosen: &Chosen, directory: &Path) {
    let names = ["three-nodes-set", "three-nodes-get", "stalled-p99-ratio"];
    if !names.iter().any(|name| chosen.has(name)) {
        return;
    }
    let durability = ["--durability", "interval"];
    let (first, port, peer) = dotted(&directory.join("a"), &[&durability[..], &["--name", "a"]].concat());
    let mut nodes = vec![(first, port)];
    for name in ["b", "c"] {
        let flags = [&durability[..], &["--name", name, "--join", &peer]].concat();
        let (node, port, _) = dotted(&directory.join(name), &flags);
        nodes.push((node, port));
    }
    nodes.iter().for_each(|(_, port)| {
        wait_for(*port, "\r\nmembers:3\r\n");
        wait_for(*port, "\r\npartitions_serving:1024\r\n");
    });
    for (name, command, bar) in [(names[0], "set", THREE_NODES_SET), (names[1], "get", THREE_NODES_GET)] {
        if chosen.has(name) {
            let load = Load { command, pipeline: 1, value_bytes: 100, keys: 100_000, clients: 17 };
            let ours = std::thread::scope(|scope| {
                let running: Vec<_> =
                    nodes.iter().map(|(_, port)| scope.spawn(move || load.requests_per_second(*port))).collect();
                running.into_iter().map(|run| run.join().expect("redis-benchmark runs")).sum::<f64>()
            });
            println!("{name}\t{ours:.0}/s\t{bar:.0}/s\t{:.2}", ours / bar);
        }
    }
    if chosen.has(names[2]) {
        stalled(nodes[0].0.0.id(), nodes[1].1);
    }
}

/// One client of a healthy node, on keys that healthy nodes coordinate, while another one is stopped for 100 ms in every 400.
fn stalled(stalls: u32, port: u16) {
    let mut client = Client::new(port);
    // By CLUSTER SLOTS the coordinator of a range stands first; keys of the node that stalls are left out.
    let mut keys = Vec::new();
    for n in 0..2_000 {
        let key = format!("stall{n}");
        let explained = client.text(&["DOT.EXPLAIN".to_owned(), key.clone()]);
        if explained.iter().skip_while(|word| *word != "preference-list").nth(1).is_some_and(|node| node != "a") {
            keys.push(key);
        }
    }
    let mut p99 = |name: &str| {
        let start = Instant::now();
        let mut times = Vec::new();
        for key in keys.iter().cycle() {
            for command in [vec!["SET".to_owned(), key.clone(), "v".to_owned()], vec!["GET".to_owned(), key.clone()]] {
                let asked = Instant::now();
                client.pipeline(&[command]);
                times.push(asked.elapsed());
            }
            if start.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
        times.sort();
        let p99 = times[times.len() * 99 / 100].as_secs_f64() * 1e6;
        println!("{name}\t{p99:.0} us\t{} commands\t", times.len());
        p99
    };
    let healthy = p99("healthy-p99");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            let signal = |name: &str| Command::new("kill").args([name, &stalls.to_string()]).status();
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                signal("-STOP").expect("kill runs");
                std::thread::sleep(Duration::from_millis(100));
                signal("-CONT").expect("kill runs");
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let beside = p99("stalled-p99");
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        beside
    });
    let ratio = beside / healthy;
    println!("stalled-p99-ratio\t{ratio:.2}\t{STALLED_RATIO}\t{:.2}", ratio / STALLED_RATIO);
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

fn redis(directory: &Path, promise: &str) -> Server {
    std::fs::create_dir_all(directory).expect("a directory");
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &REDIS_PORT.to_string(),
        "--appendonly",
        "yes",
        "--appendfsync",
        promise,
        "--save",
        "",
        "--dir",
    ]);
    let server = command.arg(directory).stdout(Stdio::null()).spawn().expect("redis-server is installed");
    wait_for(REDIS_PORT, "loading:0");
    Server(server)
}

fn dotted(data: &Path, more: &[&str]) -> (Server, u16, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotted"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(more).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let ready = lines.by_ref().map_while(Result::ok).find_map(|line| {
        line.split_once("takes clients at 127.0.0.1:")
            .map(|(_, port)| port.split_whitespace().next().unwrap_or_default().to_owned())
    });
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

/// What redis-benchmark is to do.
#[derive(Clone, Copy)]
struct Load {
    command: &'static str,
    pipeline: u32,
    value_bytes: u32,
    keys: u32,
    clients: u32,
}

impl Load {
    /// The better of two runs: commands per second, and microseconds of the servers' CPU per command.
    fn run(self, port: u16, processes: &[u32]) -> (f64, f64) {
        let mut runs: Vec<(f64, f64)> = (0..2)
            .map(|_| {
                let before: f64 = processes.iter().map(|process| cpu_seconds(*process)).sum();
                let rate = self.requests_per_second(port);
                let after: f64 = processes.iter().map(|process| cpu_seconds(*process)).sum();
                (rate, (after - before) * 1e6 / f64::from(self.requests()))
            })
            .collect();
        runs.sort_by(|x, y| y.0.total_cmp(&x.0));
        runs[0]
    }

    fn requests(self) -> u32 {
        if self.pipeline == 1 { 60_000 } else { 400_000 }
    }

    fn requests_per_second(self, port: u16) -> f64 {
        let numbers = [
            ("-p", u32::from(port)),
            ("-c", self.clients),
            ("-P", self.pipeline),
            ("-n", self.requests()),
            ("-d", self.value_bytes),
            ("-r", self.keys),
        ];
        let mut command = Command::new("redis-benchmark");
        for (flag, number) in numbers {
            command.args([flag, &number.to_string()]);
        }
        let output = command.args(["-t", self.command, "--csv"]).output().expect("redis-benchmark is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let figure =
            text.lines().last().and_then(|line| line.split(',').nth(1)).map(|field| field.trim_matches('"').to_owned());
        figure.and_then(|figure| figure.parse::<f64>().ok()).unwrap_or_else(|| panic!("redis-benchmark printed {text}"))
    }
}

/// What the process has used of the processors so far.
fn cpu_seconds(process: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a number");
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

fn resident_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is running");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1_024.0
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

    fn send(&mut self, commands: &[Vec<String>]) {
        let mut out = String::new();
        for command in commands {
            out.push_str(&format!("*{}\r\n", command.len()));
            command.iter().for_each(|argument| out.push_str(&format!("${}\r\n{argument}\r\n", argument.len())));
        }
        self.0.get_mut().write_all(out.as_bytes()).expect("the node reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the node answers");
        line.trim_end().to_owned()
    }

    /// The texts of one reply, however deep.
    fn texts_of_one(&mut self, texts: &mut Vec<String>) {
        let line = self.line();
        let count = line.get(1..).and_then(|count| count.parse::<i64>().ok());
        match line.as_bytes().first() {
            Some(b'$') if count.is_some_and(|count| count >= 0) => texts.push(self.line()),
            Some(b'*') => (0..count.unwrap_or(0)).for_each(|_| self.texts_of_one(texts)),
            Some(b'-') => panic!("{line}"),
            _ => texts.push(line),
        }
    }

    fn text(&mut self, command: &[String]) -> Vec<String> {
        self.send(&[command.to_vec()]);
        let mut texts = Vec::new();
        self.texts_of_one(&mut texts);
        texts
    }

    fn pipeline(&mut self, commands: &[Vec<String>]) {
        self.send(commands);
        for _ in commands {
            self.texts_of_one(&mut Vec::new());
        }
    }

    fn call(&mut self, command: &[String]) {
        self.text(command);
    }
}
